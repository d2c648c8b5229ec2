"""Packing the ledger of participants: those of quiet events move into segments of up to 97 participants.

    hannun.participants: a row for each, 104 bytes ──── quiet for an hour ───► hannun.packed_participants: 22 bytes each

The segments of an event are in the order of their participants and do not overlap. So a batch finds whether somebody is
packed by one search in an index. Late participants of a packed event are rows again. They are merged into its segments
when they are many enough: a merge writes the segments of a whole range anew.

A step locks its event, as a batch does, and is one transaction: each participant is a row or in a segment, never both.
"""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from hannun.store.database import BeginTransaction, Connection
from hannun.store.queries import load

SQL = load("packing")

FIRST_VERSION = "0025"
"""The schema version of the first Hannun that knows segments."""
SEGMENT_SIZE = 97
"""Participants of a segment. One more, and PostgreSQL would put fewer than 4 segments on a page."""
STEP_SEGMENTS = 200
"""How many segments one step opens at most; it moves at most as many participants as they hold. Its transaction locks
the event, so no batch counts for it meanwhile."""
PACKED_PER_NEW = 64
"""An event is packed again when there is a new participant for each so many packed ones: a merge writes them all."""
QUIET_S = 3_600.0
"""An event to which nobody was added for so long is quiet."""
_LAST = UUID(int=2**128 - 1)


class PackingStep(NamedTuple):
    """One step for one event: how many participants it packed, and where the next one begins; None after the last."""

    event_no: int
    packed: int
    next_first: UUID | None


class DueEvent(NamedTuple):
    """An event with participants to pack, and its version."""

    event_no: int
    version: int


def packs(conn: Connection) -> bool:
    """Whether participants of quiet events are packed in this database."""
    row = conn.execute(SQL["packs"]).fetchone()
    return bool(row and row[0])


def set_packs(conn: Connection, *, packs: bool) -> None:
    """Pack participants of quiet events from now on, or pack no more. As the owner.

    Where they are packed, processes of a version that does not know segments cannot start any more.
    """
    conn.execute(SQL["set_packs"], {"packs": packs})
    if packs:
        conn.execute(SQL["require_version"], {"version": FIRST_VERSION})


def due_events(conn: Connection, after: int, *, quiet_s: float = QUIET_S, limit: int = 100) -> list[DueEvent]:
    """The first events above `after` that are to be packed, by their numbers."""
    wanted = {"after": after, "quiet_s": quiet_s, "limit": limit, "packed_per_new": PACKED_PER_NEW}
    return [DueEvent(*row) for row in conn.execute(SQL["due_events"], wanted)]


def pack_event(
    begin: BeginTransaction, event_no: int, *, quiet_s: float = QUIET_S, segments: int = STEP_SEGMENTS
) -> Iterator[PackingStep]:
    """Pack an event, and yield each step when it is committed. It ends early where a batch counts for the event."""
    first: UUID | None = UUID(int=0)
    while first is not None:
        with begin() as conn:
            step = pack_range(conn, event_no, first, quiet_s=quiet_s, segments=segments)
        if step is None:
            return
        yield step
        first = step.next_first


def pack_range(
    conn: Connection, event_no: int, first: UUID, *, quiet_s: float = QUIET_S, segments: int = STEP_SEGMENTS
) -> PackingStep | None:
    """Pack the next participants of an event, from this one on, in the caller's transaction.

    Returns None where another transaction has the event locked, or it is not quiet any more.
    """
    # A crash of the server may lose this commit as a whole: then the step is repeated.
    conn.execute("SET LOCAL synchronous_commit = off")
    if conn.execute(SQL["lock_event"], {"event_no": event_no, "quiet_s": quiet_s}).fetchone() is None:
        return None
    limits = {"rows": segments * SEGMENT_SIZE, "segments": segments}
    row = conn.execute(SQL["next_range"], {"event_no": event_no, "first": first, **limits}).fetchone()
    if row is None:
        return PackingStep(event_no, 0, None)
    first, following = row
    last = _LAST if following is None else UUID(int=following.int - 1)
    moved = conn.execute(
        SQL["pack"], {"event_no": event_no, "first": first, "last": last, "size": SEGMENT_SIZE}
    ).fetchone()
    assert moved is not None
    return PackingStep(event_no, moved[0], following)
