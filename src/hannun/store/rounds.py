"""Rounds of periodic work in PostgreSQL (`domain.rounds`): each function in the caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from psycopg.types.json import Jsonb

from hannun.domain.rounds import HeldPiece, OpenRound, Pair, Piece, PlannedPiece, RoundRecord, WorkToken
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("rounds")


def clock(conn: Connection) -> datetime:
    """PostgreSQL's time: UTC, without a zone."""
    row = conn.execute(SQL["clock"]).fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def open_round(conn: Connection, job: str) -> OpenRound | None:
    """The round of a job that is not ended; there is one at most."""
    row = conn.execute(SQL["open_round"], {"job": job}).fetchone()
    return None if row is None else OpenRound(job, *row)


def end_overdue(conn: Connection, job: str) -> int:
    """End rounds that have passed their deadline. Returns how many there were."""
    return conn.execute(SQL["end_overdue"], {"job": job}).rowcount


def begin(conn: Connection, job: str, due_at: datetime, owner: str, length_s: float) -> bool:
    """Begin a round that may take `length_s` seconds. Returns False where it was begun before, or another is open."""
    given = {"job": job, "due_at": due_at, "owner": owner, "length_s": length_s}
    return conn.execute(SQL["begin_round"], given).fetchone() is not None


def pairs(conn: Connection, settle_s: Mapping[str, int]) -> list[Pair]:
    """The pairs of event and channel to measure.

    Args:
        settle_s: how long the numbers of a channel still change after an event's end, in seconds, by its key.
    """
    rows = conn.execute(SQL["pairs"], {"keys": list(settle_s), "settle_s": list(settle_s.values())}).fetchall()
    return [Pair(*row) for row in rows]


def active_events(conn: Connection) -> list[int]:
    """The numbers of the ACTIVE events."""
    return [no for (no,) in conn.execute(SQL["active_events"]).fetchall()]


def add_work(conn: Connection, job: str, due_at: datetime, pieces: Sequence[PlannedPiece]) -> None:
    """Plan the pieces of a round, in the order in which they are taken."""
    described = [
        {"work_no": number, "kind": piece.kind, "channel": piece.channel, "event_nos": list(piece.event_nos)}
        for number, piece in enumerate(pieces, 1)
    ]
    conn.execute(SQL["add_work"], {"job": job, "due_at": due_at, "pieces": Jsonb(described)})


def take(
    conn: Connection,
    job: str,
    due_at: datetime,
    owner: str,
    kind: str,
    *,
    limit: int,
    except_channels: Collection[str] = (),
    lost_after_s: float,
) -> tuple[list[Piece], datetime | None]:
    """Take at most `limit` pieces that nobody does. Returns them, and PostgreSQL's time where there are any."""
    rows = conn.execute(
        SQL["take"],
        {
            "job": job,
            "due_at": due_at,
            "owner": owner,
            "kind": kind,
            "limit": limit,
            "except_channels": list(except_channels),
            "lost_after_s": lost_after_s,
        },
    ).fetchall()
    taken = [
        Piece(WorkToken(job, due_at, work_no, epoch), kind, channel, nos, ids or [])
        for work_no, epoch, kind, channel, nos, ids, _ in rows
    ]
    return taken, rows[0][-1] if rows else None


def finish(conn: Connection, token: WorkToken, result: Mapping[str, int]) -> bool:
    """Record that a piece is done. Returns False where another process has taken it meanwhile."""
    return conn.execute(SQL["finish"], token._asdict() | {"result": Jsonb(dict(result))}).rowcount == 1


def finish_many(conn: Connection, results: Mapping[WorkToken, Mapping[str, int]]) -> set[WorkToken]:
    """Record that pieces are done. Returns them without those that another process has taken meanwhile."""
    described = [
        token._asdict() | {"due_at": token.due_at.isoformat(), "result": dict(result)}
        for token, result in results.items()
    ]
    return {WorkToken(*row) for row in conn.execute(SQL["finish_many"], {"pieces": Jsonb(described)}).fetchall()}


def heartbeat(
    conn: Connection, job: str, due_at: datetime, owner: str, epoch: int, held: Collection[HeldPiece]
) -> set[HeldPiece]:
    """Say that this process is alive. Returns which of the pieces that it works on are still its own.

    Args:
        epoch: the epoch under which it owns the round; 0 where it does not.
    """
    given = {
        "job": job,
        "due_at": due_at,
        "owner": owner,
        "epoch": epoch,
        "work_nos": [work_no for work_no, _ in held],
        "epochs": [epoch for _, epoch in held],
    }
    return {(work_no, epoch) for work_no, epoch in conn.execute(SQL["heartbeat"], given)}


def take_over(conn: Connection, found: OpenRound, owner: str, lost_after_s: float) -> int:
    """Become the owner of a round whose owner is lost. Returns the new epoch, 0 where another was faster."""
    row = conn.execute(
        SQL["take_over"],
        {
            "job": found.job,
            "due_at": found.due_at,
            "epoch": found.epoch,
            "owner": owner,
            "lost_after_s": lost_after_s,
        },
    ).fetchone()
    return 0 if row is None else int(row[0])


def open_work(conn: Connection, job: str, due_at: datetime, kind: str) -> int:
    """How many pieces of a kind are not done."""
    row = conn.execute(SQL["open_work"], {"job": job, "due_at": due_at, "kind": kind}).fetchone()
    assert row is not None
    return int(row[0])


def end(conn: Connection, job: str, due_at: datetime, epoch: int) -> tuple[dict[str, int], float] | None:
    """End a round of which all pieces are done. Returns its counts, and the seconds that it took.

    None where a piece is open, or somebody else owns or has ended the round.
    """
    row = conn.execute(SQL["end_round"], {"job": job, "due_at": due_at, "epoch": epoch}).fetchone()
    return None if row is None else (row[0], row[1])


def newest(conn: Connection, job: str, limit: int) -> list[RoundRecord]:
    """The newest rounds of a job, newest first."""
    rows = conn.execute(SQL["newest_rounds"], {"job": job, "limit": limit}).fetchall()
    return [RoundRecord(*row) for row in rows]


def prune(conn: Connection, job: str) -> None:
    """Delete old rounds, and the pieces of ended ones."""
    conn.execute(SQL["prune_work"], {"job": job})
    conn.execute(SQL["prune_rounds"], {"job": job})
