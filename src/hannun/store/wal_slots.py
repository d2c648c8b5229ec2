"""The replication slot through which the write-ahead log is archived."""

from typing import Final, NamedTuple

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("wal_slots")
ARCHIVE: Final = "hannun_wal_archive"
"""The name of the slot."""


class SlotState(NamedTuple):
    """A slot. `kept_bytes` is the log that the server keeps because the archive does not have it yet.

    `status` is PostgreSQL's wal_status; empty where there is no slot.
    """

    active: bool
    status: str
    flushed_lsn: str
    kept_bytes: int

    @property
    def lost(self) -> bool:
        """Whether the server has removed log that the archive does not have."""
        return self.status == "lost"


def state(conn: Connection, slot: str) -> SlotState:
    """The state of a slot."""
    row = conn.execute(SQL["slot"], {"slot": slot}).fetchone()
    return SlotState(False, "", "", 0) if row is None else SlotState(*row)
