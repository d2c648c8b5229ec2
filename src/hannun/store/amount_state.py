"""Whether amounts are encrypted in this database, and with which keys."""

from hannun.errors import KeysMissing
from hannun.store.amounts import UsedKey, amounts_of
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("amount_state")


def seals(conn: Connection) -> bool:
    """Whether the amounts of new events and dead letters are sealed. It stays true until the transaction ends."""
    row = conn.execute(SQL["seals"]).fetchone()
    assert row is not None
    return bool(row[0])


def seals_now(conn: Connection) -> bool:
    """The same without a lock, for a reader."""
    row = conn.execute(SQL["form"]).fetchone()
    assert row is not None
    return bool(row[0])


def all_sealed(conn: Connection) -> bool:
    """Whether all amounts are sealed, also those of before `hannun amounts encrypt`."""
    row = conn.execute(SQL["all_sealed"]).fetchone()
    assert row is not None
    return bool(row[0])


def missing_keys(conn: Connection) -> list[str]:
    """The keys with which amounts may be encrypted here, and which this process lacks."""
    return amounts_of(conn).missing(key_ids(conn))


def check_keys(conn: Connection) -> None:
    """Check that this process has every key with which amounts may be encrypted here.

    Raises:
        KeysMissing: it lacks one, or has no key ring.
    """
    needed = key_ids(conn)
    if not needed:
        return
    ring = amounts_of(conn).ring
    if missing := missing_keys(conn):
        raise KeysMissing(
            f"amounts in this database are encrypted with the key {missing[0]}, and the key ring of this process holds "
            f"{', '.join(ring.key_ids)}",
            hint=f"put the key {missing[0]} into the file that HANNUN_KEY_RING_FILE names",
        )


def key_ids(conn: Connection) -> list[str]:
    """The ids of the keys with which amounts may be encrypted here; none where they are plain."""
    return [key_id for (key_id,) in conn.execute(SQL["keys"])]


def record_key(conn: Connection, key_id: str) -> None:
    """Record that amounts may be encrypted with this key from now on."""
    conn.execute(SQL["record_key"], {"key_id": key_id})


def record_used_keys(conn: Connection) -> frozenset[UsedKey]:
    """Record the keys with which this connection has sealed amounts, where that may not be on record yet.

    Call it at the end of a transaction that seals: it waits for nobody then who could wait for this transaction. After
    the commit `Amounts.recorded` gets what it returns, so that each key costs a statement once.
    """
    used = amounts_of(conn).unrecorded
    for key_id in sorted({key_id for key_id, _ in used}):
        record_key(conn, key_id)
    return used
