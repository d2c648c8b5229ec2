"""Events that were counted although no event-created message came for them."""

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("uncreated_events")


def uncreated_events(conn: Connection) -> list[tuple[str, int]]:
    """Events that have counts but received no event-created message for an hour: id and participants, 100 at most."""
    return [(event_id, participants) for event_id, participants in conn.execute(SQL["uncreated_events"])]
