"""What `hannun amounts` needs: the database as its owner, with the key ring."""

from collections.abc import Callable

from hannun.flows import amounts as flow
from hannun.flows.amounts import AmountStatus
from hannun.processes.amounts import amounts
from hannun.processes.commands.database import owner_url
from hannun.settings import Settings
from hannun.store.amount_sweep import Operation
from hannun.store.database import Database, connected
from hannun.store.version import check_version

APPLICATION = "hannun-amounts"


def convert(settings: Settings, operation: str, by: str, progress: Callable[[str], None]) -> None:
    """Encrypt, decrypt or rotate all amounts. Raises as `flows.amounts.convert`.

    As the owner, who also records from which version on processes may use the database.
    """
    settings.needed("key_ring_file")
    url, of_process = owner_url(settings), amounts(settings)
    with connected(url, application=APPLICATION) as conn:
        check_version(conn)
    database = Database(url, settings.pool, application=APPLICATION, amounts=of_process)
    try:
        flow.convert(database, Operation(operation), by, progress)
    finally:
        database.close()


def status(settings: Settings) -> AmountStatus:
    """In which form the amounts are."""
    of_process = amounts(settings)
    with connected(settings.service_url, application=APPLICATION) as conn:
        check_version(conn)
        return flow.status(conn, of_process.key_ids)
