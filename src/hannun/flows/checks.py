"""Is everything as it must be? The same checks at the start of a process (die early, with a hint) and in its health."""

from collections.abc import Mapping

from hannun.cache import Invalidator
from hannun.errors import HannunError, OperatorError
from hannun.store.database import Connection, Database
from hannun.store.migrate import check_version
from hannun.store.positions import stopped


def check_database(conn: Connection) -> None:
    """
    Raises:
        OperatorError: the schema is not the one this code needs, or a right is missing.
    """
    check_version(conn)
    row = conn.execute("SELECT has_table_privilege('hannun.events', 'UPDATE')").fetchone()
    if row is None or not row[0]:
        user = conn.info.user
        raise OperatorError(
            f"the database user {user} may not write",
            hint=f"GRANT analytics_readwrite TO {user}; or use that role's URL",
        )


def health(database: Database, invalidator: Invalidator) -> Mapping[str, object]:
    """How the process is: ready; degraded (it answers, but something is away); unavailable."""
    parts: dict[str, str] = {}
    try:
        with database.transaction() as conn:
            waiting = stopped(conn)
        parts["postgresql"] = "ready"
        if waiting:
            places = ", ".join(f"{at.topic}[{at.partition}]" for at in waiting)
            parts["kafka"] = f"degraded: {places} wait for an operator (hannun positions list)"
    except HannunError as error:
        parts["postgresql"] = f"unavailable: {error}"
    try:
        invalidator.check()
        parts["redis"] = "ready"
    except OperatorError as error:
        parts["redis"] = f"degraded: {error.args[0]}"
    if parts["postgresql"] != "ready":
        status = "unavailable"
    else:
        status = "ready" if all(part == "ready" for part in parts.values()) else "degraded"
    return {"status": status, "parts": parts}
