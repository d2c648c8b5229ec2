"""All sealed amounts of a database, opened: to recompute the recorded revenues, and to compare two databases.

PostgreSQL cannot add up or compare what it cannot read, so this is done here, row by row.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from typing import Any

from hannun.domain.replay import RowValues
from hannun.key_ring import CannotOpen
from hannun.store import amount_state
from hannun.store.amounts import Amounts, amounts_of, cost_of, plan_of, revenue_of, sale_of
from hannun.store.database import Connection
from hannun.store.queries import load
from hannun.store.reconciliation import Drift

SQL = load("sealed_amounts")
PART = "sealed_amounts"
"""The name of these values among the parts of a comparison, and among what is reconciled."""

_FETCHED_ROWS = 10_000
_PLACES: dict[str, Callable[[str, str], bytes]] = {
    "plan": lambda event_id, _: plan_of(event_id),
    "revenue": lambda event_id, _: revenue_of(event_id),
    "cost": lambda event_id, channel_no: cost_of(event_id, int(channel_no)),
    "sale": sale_of,
}


def may_exist(conn: Connection) -> bool:
    """Whether amounts were encrypted here and not all decrypted since."""
    return bool(amount_state.key_ids(conn))


def find_drift(conn: Connection) -> Iterator[Drift]:
    """Every sealed amount that does not open in its row, and every recorded revenue that differs from its sales."""
    amounts = amounts_of(conn)
    for event_id, name, opened in _values(conn, None):
        if opened is None:
            yield Drift(PART, event_id, name, "not an amount of this row", "an encrypted amount")
    for event_no, event_id, number, sealed in conn.execute(SQL["revenues"]).fetchall():
        sold = Decimal("0.00")
        for sale_id, amount, sealed_amount in _stream(conn, SQL["sales"], {"event_no": event_no}):
            sold += _opened_or_zero(amounts, sale_of(event_id, sale_id), amount, sealed_amount)
        recorded = _opened_or_zero(amounts, revenue_of(event_id), number, sealed)
        if recorded != sold:
            yield Drift("event_totals", event_id, "recorded_revenue", str(recorded), str(sold))


def digests(conn: Connection, event_ids: Collection[str] | None) -> dict[str, tuple[int, int]]:
    """For each event, how many sealed values it has, and the sum of the hashes of what they hold."""
    found: dict[str, tuple[int, int]] = {}
    for event_id, name, opened in _values(conn, event_ids):
        count, digest = found.get(event_id, (0, 0))
        text = f"{name} {opened}".encode()
        found[event_id] = count + 1, digest + int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    return found


def rows_of(conn: Connection, event_id: str) -> dict[str, RowValues]:
    """What the sealed values of one event hold, by name."""
    return {
        name: {"amounts": None if opened is None else [None if each is None else str(each) for each in opened]}
        for _, name, opened in _values(conn, [event_id])
    }


def _values(
    conn: Connection, event_ids: Collection[str] | None
) -> Iterator[tuple[str, str, list[Decimal | None] | None]]:
    """(event id, name, amounts) of each sealed value; None where it does not open in its row."""
    amounts = amounts_of(conn)
    asked = {"event_ids": None if event_ids is None else sorted(event_ids)}
    for event_id, kind, key, name, sealed in _stream(conn, SQL["values"], asked):
        try:
            opened = amounts.open(_PLACES[kind](event_id, key), sealed)
        except CannotOpen:
            opened = None
        yield event_id, f"{kind} {name}".rstrip(), opened


def _opened_or_zero(amounts: Amounts, place: bytes, number: Decimal | None, sealed: bytes | None) -> Decimal:
    """An amount; 0 where none was said, or where it does not open, which `_values` reports."""
    try:
        return amounts.one(place, number, sealed) or Decimal("0.00")
    except CannotOpen:
        return Decimal("0.00")


def _stream(conn: Connection, query: str, arguments: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, which need not fit into memory. The caller has a transaction."""
    with conn.cursor(name="sealed_amounts") as cursor:
        cursor.itersize = _FETCHED_ROWS
        yield from cursor.execute(query, arguments)
