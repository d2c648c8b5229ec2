"""The audit log for operators: list its entries, and prove that none was changed, removed, inserted or cut off."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from hannun.domain.audit_chain import Break, Newest, Verification
from hannun.store import audit_log as store
from hannun.store.audit_log import ListedEntry as ListedEntry
from hannun.store.database import Connection, Database, snapshot
from hannun.telemetry import log


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are listed; None is any. `person` is the id of who acted, or whose data it was."""

    action: str | None = None
    object: str | None = None
    person: str | None = None
    since: datetime | None = None


def list_entries(conn: Connection, filters: Filters, limit: int) -> list[ListedEntry]:
    """The newest entries that fit the filters, newest first."""
    return store.find(
        conn,
        action=filters.action,
        object_=filters.object,
        person=filters.person,
        since=filters.since,
        limit=limit,
    )


class AuditCheck:
    """Proves the log in one snapshot. `newest` is its end, after `breaks` was read to its end."""

    def __init__(self, conn: Connection, noted: Iterable[Newest]) -> None:
        self._conn = conn
        self._verification = Verification(noted)

    @property
    def newest(self) -> Newest:
        return self._verification.newest

    def breaks(self) -> Iterator[Break]:
        """Each place where the log is not as it was written."""
        with snapshot(self._conn):
            yield from self._verification.check(store.entries(self._conn))
            yield from self._verification.check_subjects(store.subjects(self._conn))
            for no, entries in store.unnamed(self._conn):
                yield Break(f"entry {no}", f"names somebody whose row was removed, as do {entries - 1:,} others")


def log_newest(database: Database) -> None:
    """Write the end of the log into this process's log, which is kept elsewhere: so nobody can cut it off unseen."""
    with database.transaction() as conn:
        newest = store.newest(conn)
    if newest is not None:
        log.info("the newest entry of the audit log", newest=str(newest))
