"""Encrypts and decrypts the amounts that are stored already, beside running writers.

    begin ─► events ─► sales ─► dead letters ─► finish, or once more from the events

`store.amount_sweep` says why a writer never sees half of a conversion, and how an interrupted one goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hannun import key_ring
from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.store import amount_state, amount_sweep, audit_log, forgotten
from hannun.store.amount_sweep import FormCount, LastSweep, Operation
from hannun.store.database import Connection, Database

EVENTS_A_STEP = 100
"""Their locks are held for one step."""
ROWS_A_STEP = 2_000
OTHER_KEYS_S_MAX = key_ring.CHECK_EVERY_S + 2.0
"""For so long after a key was activated, other processes may encrypt with the key of before, and commit."""

_STEPS: tuple[tuple[str, Callable[..., Any], Any, int], ...] = (
    ("events", amount_sweep.convert_events, 0, EVENTS_A_STEP),
    ("sales", amount_sweep.convert_sales, (0, ""), ROWS_A_STEP),
    ("dead letters", amount_sweep.convert_dead_letters, 0, ROWS_A_STEP),
)
"""What is converted, the step that converts the next rows, before which row it begins, and how many rows it takes."""


def convert(
    database: Database,
    operation: Operation,
    by: str,
    progress: Callable[[str], None],
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Give every stored amount the form that the operation names, and every new one.

    Args:
        progress: called with what is converted and how far, after each step.
        wait: waits for so many seconds, until every process has read the key ring in which the new key is active.

    Raises:
        OperatorError: another process converts; there is no key ring, or it lacks a key; or nothing is to be rotated.
        Transient: PostgreSQL is away, or another process has taken over. The same call goes on.
    """
    sweep = database.run(partial(_begin, operation=operation, by=by))
    other_keys_until = time.monotonic() + OTHER_KEYS_S_MAX
    while True:
        for what, step, first, limit in _STEPS:
            last, passed = first, 0
            while last is not None:
                last = database.run(partial(step, sweep=sweep, after=last, limit=limit))
                passed += limit if last is not None else 0
                progress(f"{what}: {passed:,}")
        if operation is Operation.ROTATE and (left_s := other_keys_until - time.monotonic()) > 0:
            wait(left_s)
            other_keys_until = 0.0
        if database.run(partial(amount_sweep.finish, sweep=sweep)):
            return


def _begin(conn: Connection, operation: Operation, by: str) -> amount_sweep.Sweep:
    """Begin, and record it: also an interrupted conversion has changed how amounts are stored."""
    sweep = amount_sweep.begin(conn, operation, by)
    audit_log.record(conn, NewEntry(operator(by), Action.AMOUNTS_CONVERTED, "amounts", reason=operation))
    return sweep


@dataclass(frozen=True, slots=True)
class AmountStatus:
    """In which form amounts are.

    Args:
        state: plain, mixed or encrypted.
        forgotten: how many ids were forgotten with each key. Such a key stays in the ring, active or not.
        missing: keys with which amounts are encrypted or ids were forgotten, and which this process lacks.
        active: the key of this process that encrypts; None without a key ring.
    """

    state: str
    counts: list[FormCount]
    forgotten: dict[str, int]
    missing: list[str]
    active: str | None
    last: LastSweep | None


def status(conn: Connection, key_ids: list[str]) -> AmountStatus:
    """In which form all amounts are. It reads whole tables.

    Args:
        key_ids: those of this process' key ring, the active one first.
    """
    counts = amount_sweep.counts(conn)
    used = {row.key_id for row in counts if row.key_id is not None} | set(amount_state.key_ids(conn))
    forgotten_with = forgotten.key_counts(conn)
    last = amount_sweep.last_sweep(conn)
    return AmountStatus(
        _state(counts, amount_state.seals_now(conn)),
        counts,
        forgotten_with,
        sorted((used | forgotten_with.keys()) - set(key_ids)),
        key_ids[0] if key_ids else None,
        last,
    )


def _state(counts: list[FormCount], seals: bool) -> str:
    forms = {row.key_id is not None for row in counts} | {seals}
    return "mixed" if len(forms) > 1 else "encrypted" if seals else "plain"
