"""Converts the amounts that are stored already: encrypts, decrypts, or encrypts them with the active key.

    begin: new events get the new form ─► events, with their costs ─► sales ─► dead letters ─► finish

Each step is a transaction of its own, beside running writers. A step on events holds their locks, so a writer sees an
event either before or after it. A sweep that was interrupted goes on where rows still have the old form. Only one
process runs a sweep: each step proves that with its epoch, and a process that was taken over writes nothing more.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from hannun.errors import OperatorError, Transient
from hannun.store import amount_state, dead_letters
from hannun.store.amounts import amounts_of, bytes_array, cost_of, plan_of, revenue_of, sale_of
from hannun.store.batches import SQL as BATCHES
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("amount_sweep")

SILENT_S_MAX = 60.0
"""A sweep that shows no sign of life for so long was interrupted."""
FIRST_VERSION = "0022"
"""The schema version of the first Hannun that can read sealed amounts."""


class Operation(StrEnum):
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    ROTATE = "rotate"


class Sweep(NamedTuple):
    """A sweep that this process runs."""

    no: int
    epoch: int
    operation: Operation

    def wanted(self, conn: Connection) -> dict[str, Any]:
        """Which form rows shall have, for the queries that look for others."""
        prefix = amounts_of(conn).ring.sealed_prefix if self.operation is Operation.ROTATE else None
        return {"sealed": self.seals, "prefix": prefix}

    @property
    def seals(self) -> bool:
        return self.operation is not Operation.DECRYPT


def begin(conn: Connection, operation: Operation, by: str) -> Sweep:
    """Begin a sweep, or go on with one that was interrupted. From the commit on new events have the new form.

    Raises:
        OperatorError: another process runs a sweep; there is no key ring; or there is nothing to rotate.
    """
    active = amounts_of(conn).ring.active
    if operation is Operation.ROTATE:
        row = conn.execute(SQL["form"]).fetchone()
        if row is None or not row[0]:
            raise OperatorError("the amounts are not encrypted", hint="hannun amounts encrypt")
    else:
        conn.execute(SQL["lock_form"], {"seals": operation is Operation.ENCRYPT})
    if operation is not Operation.DECRYPT:
        amount_state.record_key(conn, active)
        conn.execute(SQL["require_version"], {"version": FIRST_VERSION})
    amount_state.check_keys(conn)
    return Sweep(*_claim(conn, operation, by), operation)


def _claim(conn: Connection, operation: Operation, by: str) -> tuple[int, int]:
    """The number and the epoch of the sweep. The caller holds the lock that lets operators wait for each other."""
    arguments = {"operation": operation, "run_by": by}
    row: tuple[Any, ...] | None = conn.execute(SQL["open_sweep"]).fetchone()
    if row is not None:
        no, running, run_by, silent_s = row
        if silent_s < SILENT_S_MAX:
            raise OperatorError(
                f"another process converts the amounts ({running}, by {run_by}): its last step was {silent_s:.0f} s "
                "ago",
                hint=f"wait for it; where it was interrupted, try again in {SILENT_S_MAX - silent_s:.0f} s",
            )
        if running == operation:
            row = conn.execute(SQL["take_over"], {"sweep_no": no, "run_by": by}).fetchone()
            assert row is not None
            return row[0], row[1]
        conn.execute(SQL["end_interrupted"], {"sweep_no": no})
    row = conn.execute(SQL["begin"], arguments).fetchone()
    assert row is not None
    return row[0], row[1]


def convert_events(conn: Connection, sweep: Sweep, after: int, limit: int) -> int | None:
    """Convert the next events and the costs of their channels. Returns the last event's number; None at the end."""
    rows = conn.execute(SQL["lock_events"], sweep.wanted(conn) | {"after": after, "limit": limit}).fetchall()
    if not rows:
        _beat(conn, sweep, 0)
        return None
    nos = [row[0] for row in rows]
    conn.execute(SQL["save_events"], _event_columns(conn, sweep, rows))
    costs = conn.execute(SQL["costs"], {"event_nos": nos}).fetchall()
    if costs:
        id_of = {no: event_id for no, event_id, *_ in rows}
        conn.execute(SQL["save_costs"], _cost_columns(conn, sweep, id_of, costs))
        conn.execute(SQL["publish_costs"], {"event_nos": nos})
    if sweep.operation is not Operation.ROTATE:
        conn.execute(BATCHES["publish_events"], {"event_nos": nos})
    _beat(conn, sweep, len(rows) + len(costs))
    return int(nos[-1])


def _event_columns(conn: Connection, sweep: Sweep, rows: Sequence[Any]) -> dict[str, object]:
    amounts = amounts_of(conn)
    columns: dict[str, list[object]] = {
        name: [] for name in ("investments", "expecteds", "baselines", "recordeds", "sealed_plans", "sealed_revenues")
    }
    for _, event_id, sold, *numbers, sealed_plan, recorded, sealed_revenue in rows:
        plan = amounts.several(plan_of(event_id), numbers, sealed_plan)
        revenue = amounts.one(revenue_of(event_id), recorded, sealed_revenue) or Decimal(0)
        if sweep.seals:
            seals_plan = any(amount is not None for amount in plan)
            written = [
                *(None, None, None, Decimal(0)),
                amounts.seal(plan_of(event_id), *plan) if seals_plan or sealed_plan else None,
                amounts.seal(revenue_of(event_id), revenue) if sold else None,
            ]
        else:
            written = [*plan, revenue, None, None]
        for column, value in zip(columns.values(), written, strict=True):
            column.append(value)
    return {"event_nos": [row[0] for row in rows], "sealed": sweep.seals, **columns}


def _cost_columns(
    conn: Connection, sweep: Sweep, id_of: dict[int, str], rows: Sequence[tuple[int, int, Decimal | None, bytes | None]]
) -> dict[str, object]:
    amounts = amounts_of(conn)
    places = [cost_of(id_of[no], channel_no) for no, channel_no, *_ in rows]
    costs = [amounts.one(place, cost, sealed) for place, (*_, cost, sealed) in zip(places, rows, strict=True)]
    return {
        "event_nos": [row[0] for row in rows],
        "channel_nos": [row[1] for row in rows],
        "costs": [None if sweep.seals else cost for cost in costs],
        "sealed_costs": [
            amounts.seal(place, cost) if sweep.seals else None for place, cost in zip(places, costs, strict=True)
        ],
    }


def convert_sales(conn: Connection, sweep: Sweep, after: tuple[int, str], limit: int) -> tuple[int, str] | None:
    """Convert the next sales. Returns the key of the last one; None at the end."""
    amounts = amounts_of(conn)
    place = {"event_no": after[0], "sale_id": after[1], "limit": limit}
    rows = conn.execute(SQL["sales"], sweep.wanted(conn) | place).fetchall()
    if rows:
        places = [sale_of(event_id, sale_id) for _, sale_id, event_id, *_ in rows]
        sold = [amounts.one(at, amount, sealed) for at, (*_, amount, sealed) in zip(places, rows, strict=True)]
        sealed_amounts = amounts.seal_each(list(zip(places, sold, strict=True))) if sweep.seals else [None] * len(rows)
        conn.execute(
            SQL["save_sales"],
            {
                "event_nos": [row[0] for row in rows],
                "sale_ids": [row[1] for row in rows],
                "amounts": [None if sweep.seals else amount for amount in sold],
                "sealed_amounts": bytes_array(sealed_amounts),
            },
        )
    _beat(conn, sweep, len(rows))
    return (rows[-1][0], rows[-1][1]) if rows else None


def convert_dead_letters(conn: Connection, sweep: Sweep, after: int, limit: int) -> int | None:
    """Convert the next dead letters. Returns the number of the last one; None at the end."""
    wanted = sweep.wanted(conn) | {"after": after, "limit": limit}
    rows = conn.execute(SQL["dead_letters"], wanted).fetchall()
    changed = 0
    for no, hash_, fields, sealed in rows:
        kept = fields if sealed is None else dead_letters.with_amounts(conn, hash_, fields, sealed)
        written = dead_letters.seal_amounts(conn, hash_, kept) if sweep.seals else (kept, None)
        if written != (fields, sealed):
            changed += 1
            conn.execute(SQL["save_dead_letter"], {"no": no, "fields": Jsonb(written[0]), "sealed_amounts": written[1]})
    _beat(conn, sweep, changed)
    return rows[-1][0] if rows else None


def finish(conn: Connection, sweep: Sweep) -> bool:
    """End the sweep where no row has the old form any more, and forget the keys that are no longer used. Returns
    whether it has ended."""
    found = counts(conn)
    if any(_has_old_form(conn, sweep, row) for row in found):
        _beat(conn, sweep, 0)
        return False
    used = {row.key_id for row in found if row.key_id is not None}
    if sweep.seals:
        used.add(amounts_of(conn).ring.active)
    for key_id in sorted(used):
        amount_state.record_key(conn, key_id)
    conn.execute(SQL["forget_keys"], {"used": sorted(used)})
    if conn.execute(SQL["finish"], {"sweep_no": sweep.no, "epoch": sweep.epoch}).rowcount != 1:
        raise _taken_over()
    return True


class FormCount(NamedTuple):
    """How many rows hold amounts in one form: plain where `key_id` is None."""

    what: str
    key_id: str | None
    rows: int


def counts(conn: Connection) -> list[FormCount]:
    """How many rows hold amounts, by what they are and by form. It reads whole tables."""
    return [FormCount(*row) for row in conn.execute(SQL["counts"])]


def _has_old_form(conn: Connection, sweep: Sweep, row: FormCount) -> bool:
    if sweep.operation is Operation.ROTATE:
        return row.key_id not in (None, amounts_of(conn).ring.active)
    return (row.key_id is not None) is not sweep.seals


class LastSweep(NamedTuple):
    """The newest sweep. `silent_s`: how long ago its last step was."""

    operation: str
    run_by: str
    started_at: Any
    ended_at: Any
    finished: bool
    rows_changed: int
    silent_s: float


def last_sweep(conn: Connection) -> LastSweep | None:
    row = conn.execute(SQL["last_sweep"]).fetchone()
    return None if row is None else LastSweep(*row)


def _beat(conn: Connection, sweep: Sweep, rows: int) -> None:
    """End a step: prove that the sweep is still this process', and record with which keys it has sealed."""
    amount_state.record_used_keys(conn)
    arguments = {"sweep_no": sweep.no, "epoch": sweep.epoch, "rows": rows}
    if conn.execute(SQL["heartbeat"], arguments).rowcount != 1:
        raise _taken_over()


def _taken_over() -> Transient:
    return Transient("another process has taken over; this one has stopped, and has written nothing more")
