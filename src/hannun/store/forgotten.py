"""Forgetting ids in PostgreSQL, and the digests by which forgotten ids are known when a message names them again.

Each event counts how often ids of it were forgotten. A batch compares that number, under the event's lock, with the one
that it knew when it was prepared: so no batch that began before brings an id back.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hannun.domain.batch import ChangedEvent
from hannun.domain.forgotten import (
    FORGOTTEN_TITLE,
    NOTHING_FORGOTTEN,
    ForgottenIds,
    merchant_digests,
    merchant_substitute,
    participant_digests,
    participant_substitute,
)
from hannun.errors import KeysMissing
from hannun.key_ring import KeyRing
from hannun.store import outbox
from hannun.store.database import Connection
from hannun.store.queries import load as load_queries

SQL = load_queries("forgotten")


class ForgottenCounts(NamedTuple):
    """How many rows named the id, by table; each now names its substitute, or is deleted."""

    events: list[str]
    rows: dict[str, int]

    @property
    def found(self) -> bool:
        """Whether anything named the id."""
        return any(self.rows.values())


def load(conn: Connection, ring: KeyRing | None) -> ForgottenIds:
    """The forgotten ids of this database.

    Raises:
        KeysMissing: a key of their digests is missing, so that counting would bring the ids back.
    """
    # Counts first: digests that are newer than their count are found outdated under the event's lock, not the reverse.
    counts: dict[str, int] = dict(conn.execute(SQL["counts"]).fetchall())
    rows = conn.execute(SQL["digests"]).fetchall()
    if not rows:
        return NOTHING_FORGOTTEN
    needed = frozenset(key_id for _, _, _, key_id in rows)
    ring = ring_with(ring, needed)
    participants: dict[str, set[bytes]] = defaultdict(set)
    merchants: set[bytes] = set()
    for kind, event_id, digest, _ in rows:
        (merchants if kind == "merchant" else participants[event_id]).add(bytes(digest))
    by_event = {event_id: frozenset(digests) for event_id, digests in participants.items()}
    return ForgottenIds(by_event, frozenset(merchants), counts, ring.digest, needed)


def key_counts(conn: Connection) -> dict[str, int]:
    """How many ids were forgotten with each key. A digest cannot be made anew, so these keys never leave the ring."""
    return dict(conn.execute(SQL["key_counts"]).fetchall())


def read_all(conn: Connection) -> list[tuple[object, ...]]:
    """All forgotten ids, for `copy_to`."""
    return conn.execute(SQL["forgotten"]).fetchall()


def copy_to(conn: Connection, forgotten: Sequence[tuple[object, ...]]) -> None:
    """Copy forgotten ids to an empty database, before messages are counted there."""
    with conn.cursor() as cursor:
        cursor.executemany(SQL["copy_forgotten"], forgotten)


def ring_with(ring: KeyRing | None, key_ids: Iterable[str]) -> KeyRing:
    """The ring, which holds these keys.

    Raises:
        KeysMissing: it does not, or there is none.
    """
    if ring is None:
        raise KeysMissing(
            "ids were forgotten in this database, and without the key ring messages would bring them back",
            hint="HANNUN_KEY_RING_FILE names the file with the keys",
        )
    if missing := ring.missing(key_ids):
        raise KeysMissing(
            f"ids were forgotten with the key {missing[0]}, which the key ring lacks: messages would bring them back",
            hint=f"put the key {missing[0]} back into the ring of HANNUN_KEY_RING_FILE",
        )
    return ring


def events_of_participant(conn: Connection, participant: str) -> list[str]:
    """The events in which a participant is counted, whose id is 32 hexadecimal digits. It searches for each event."""
    return [event_id for (event_id,) in conn.execute(SQL["events_of_participant"], {"participant": participant})]


def events_of_dead_letters(conn: Connection, participant: str) -> list[str]:
    """The events whose dead letters name a participant; such an event may not exist. It reads all dead letters."""
    return [event_id for (event_id,) in conn.execute(SQL["events_of_dead_letters"], {"participant": participant})]


def delete_in_dead_letters(conn: Connection, participant: str) -> int:
    """Delete a participant from dead letters that name no event. Returns how many there were."""
    return conn.execute(SQL["delete_participant_in_dead_letters"], {"participant": participant}).rowcount


def forget_participant(
    conn: Connection, ring: KeyRing, participant: str, event_ids: Sequence[str], not_created: Sequence[str] = ()
) -> ForgottenCounts:
    """Forget a participant of these events, in the caller's transaction.

    Args:
        not_created: ids that are forgotten also where no such event exists: a message may create it later.
    """
    rows: dict[str, int] = defaultdict(int)
    found: list[tuple[int | None, str]] = conn.execute(
        SQL["lock_events"], {"event_ids": [*event_ids, *not_created]}
    ).fetchall()
    found += [(None, event_id) for event_id in sorted(set(not_created) - {event_id for _, event_id in found})]
    for event_no, event_id in found:
        digests = participant_digests(ring.digest, event_id, participant)
        digest = _record(conn, "participant", event_id, digests, event_no)
        names = {"event_no": event_no, "event_id": event_id, "old": participant, "new": participant_substitute(digest)}
        rows["hannun.participants"] += conn.execute(SQL["replace_participant"], names).rowcount
        rows["hannun.participants"] += conn.execute(SQL["replace_packed_participant"], names).rowcount
        rows["hannun.dead_letters"] += conn.execute(SQL["replace_participant_in_dead_letters"], names).rowcount
    return ForgottenCounts([event_id for _, event_id in found], dict(rows))


def forget_merchant(conn: Connection, ring: KeyRing, user_id: str) -> ForgottenCounts:
    """Forget a merchant, in the caller's transaction, with an outbox entry for every answer about their events."""
    names: dict[str, object] = {"old": user_id}
    conn.execute(SQL["lock_events_of_merchant"], names)
    # From here on no other transaction creates an event of theirs: it waits, and then knows that they are forgotten.
    conn.execute(SQL["lock_merchants"])
    conn.execute(SQL["lock_events_of_merchant"], names)
    digest = _record(conn, "merchant", "", merchant_digests(ring.digest, user_id))
    names |= {"new": merchant_substitute(digest), "title": FORGOTTEN_TITLE}
    changed = conn.execute(SQL["replace_owner"], names).fetchall()
    rows = {"hannun.events": len(changed)}
    for query, table in _MERCHANTS_ROWS.items():
        rows[table] = rows.get(table, 0) + conn.execute(SQL[query], names).rowcount
    events = [ChangedEvent(event_id, user_id, version, tuple(channels)) for event_id, version, channels in changed]
    if events:
        outbox.add(conn, events)
    return ForgottenCounts(
        [event.event_id for event in events], {table: count for table, count in rows.items() if count}
    )


_MERCHANTS_ROWS = {
    "replace_owner_in_totals": "public.event_stats",
    "delete_shares": "hannun.shares",
    "replace_maker_of_shares": "hannun.shares",
    "delete_sign_in_codes": "hannun.sign_in_codes",
    "replace_merchant_in_dead_letters": "hannun.dead_letters",
}


def _record(
    conn: Connection, kind: str, event_id: str, digests: Sequence[tuple[str, bytes]], event_no: int | None = None
) -> bytes:
    """Record the digest of a forgotten id. Returns the digest that stands: an older one, where it was forgotten before
    under another key."""
    known = {"kind": kind, "event_id": event_id, "digests": [digest for _, digest in digests]}
    row = conn.execute(SQL["recorded"], known).fetchone()
    if row is not None:
        return bytes(row[0])
    key_id, digest = digests[0]
    conn.execute(SQL["record"], {"kind": kind, "event_id": event_id, "digest": digest, "key_id": key_id})
    if event_no is not None:
        conn.execute(SQL["raise_count"], {"event_no": event_no})
    return digest
