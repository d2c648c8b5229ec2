"""Forget again in a restored database whoever was forgotten since its backup: a restore brings nobody back."""

from collections import defaultdict
from collections.abc import Iterable

from hannun.domain.forgotten import merchant_digests, participant_digests
from hannun.key_ring import KeyRing
from hannun.store import forgotten
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("forgotten_again")


def check_ring(live: Connection, in_backup: int, ring: KeyRing | None) -> None:
    """Check that a restore can forget again whoever was forgotten in the live database since the backup.

    Args:
        in_backup: how many forgotten ids the backup holds. None is ever removed.

    Raises:
        OperatorError: the key ring lacks a key by which somebody was forgotten.
    """
    rows = forgotten.read_all(live)
    if len(rows) > in_backup:
        forgotten.ring_with(ring, {str(row[3]) for row in rows})


def forget_again(restored: Connection, live: Connection, ring: KeyRing | None) -> int:
    """Forget in the restored database who was forgotten in the live one since, in the caller's transaction.

    Returns how many ids the backup brought back. The counts stay.

    Raises:
        OperatorError: the key ring lacks a key by which somebody was forgotten.
    """
    known = {tuple(row[:3]) for row in forgotten.read_all(restored)}
    missing = [row for row in forgotten.read_all(live) if tuple(row[:3]) not in known]
    if not missing:
        return 0
    ring = forgotten.ring_with(ring, {str(row[3]) for row in missing})
    # Known before anybody is replaced, so that the substitutes are those of the live database.
    forgotten.copy_to(restored, missing)
    _copy_counts(restored, live)
    participants, merchants = _by_kind(missing)
    return _forget_participants(restored, ring, participants) + _forget_merchants(restored, ring, merchants)


def _by_kind(rows: Iterable[tuple[object, ...]]) -> tuple[dict[str, set[bytes]], set[bytes]]:
    """The digests of participants by event, and those of merchants."""
    participants: defaultdict[str, set[bytes]] = defaultdict(set)
    merchants: set[bytes] = set()
    for kind, event_id, digest, *_ in rows:
        assert isinstance(digest, bytes)
        (merchants if kind == "merchant" else participants[str(event_id)]).add(digest)
    return participants, merchants


def _copy_counts(restored: Connection, live: Connection) -> None:
    """Copy how often ids of events were forgotten: what was prepared before that is prepared again."""
    counts = live.execute(SQL["counts"]).fetchall()
    restored.execute(
        SQL["raise_counts"], {"event_ids": [row[0] for row in counts], "counts": [row[1] for row in counts]}
    )


def _forget_participants(restored: Connection, ring: KeyRing, wanted: dict[str, set[bytes]]) -> int:
    found = 0
    for event_id, digests in sorted(wanted.items()):
        for (participant,) in restored.execute(SQL["participants"], {"event_id": event_id}).fetchall():
            if any(digest in digests for _, digest in participant_digests(ring.digest, event_id, participant)):
                forgotten.forget_participant(restored, ring, participant, [event_id], [event_id])
                found += 1
    return found


def _forget_merchants(restored: Connection, ring: KeyRing, wanted: set[bytes]) -> int:
    found = 0
    if not wanted:
        return found
    for (user_id,) in restored.execute(SQL["merchants"]).fetchall():
        if any(digest in wanted for _, digest in merchant_digests(ring.digest, user_id)):
            forgotten.forget_merchant(restored, ring, user_id)
            found += 1
    return found
