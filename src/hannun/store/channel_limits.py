"""Circuit breakers and budgets of channels in PostgreSQL, shared by all processes.

Breakers are saved by compare-and-set on their version. Budgets are locked, decided by `domain.budgets` and written in
one short transaction. Both need no session lock and no session setting. Instants are seconds since 1970 by this
server's clock (`clock_timestamp()`).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg.types.json import Jsonb

from hannun.domain.breaker import State
from hannun.domain.budgets import BudgetState
from hannun.store.database import Connection
from hannun.store.queries import load
from hannun.telemetry import log

SQL = load("channel_limits")
BudgetKey = tuple[str, str]
"""Scope and name of a budget."""


class VersionedBreaker(NamedTuple):
    """A breaker and the version of its row; version 0 is no row."""

    version: int
    state: State


class Synchronized(NamedTuple):
    """What `synchronize_breakers` found. Those that are not in `saved` were changed by another process meanwhile."""

    now_s: float
    breakers: Mapping[str, VersionedBreaker]
    saved: frozenset[str]


class LockedBudgets(NamedTuple):
    """What `lock_budgets` found."""

    now_s: float
    states: Mapping[BudgetKey, BudgetState]


def synchronize_breakers(
    conn: Connection, wanted: Collection[str], changed: Mapping[str, VersionedBreaker]
) -> Synchronized:
    """Save changed breakers and read all wanted ones, in one query.

    Args:
        changed: the new state of each, with the version that was read before.
    """
    rows = conn.execute(
        SQL["synchronize_breakers"],
        {
            "wanted": sorted({*wanted, *changed}),
            "channels": list(changed),
            "versions": [breaker.version for breaker in changed.values()],
            "states": [breaker.state.name for breaker in changed.values()],
            "since_s": [breaker.state.since_s for breaker in changed.values()],
            "details": [Jsonb(msgspec.to_builtins(breaker.state)) for breaker in changed.values()],
        },
    ).fetchall()
    if not rows:
        return Synchronized(now(conn), {}, frozenset())
    breakers = {
        channel: VersionedBreaker(version, stored_breaker(channel, details)) for _, channel, version, details, _ in rows
    }
    return Synchronized(rows[0][0], breakers, frozenset(row[1] for row in rows if row[4]))


def now(conn: Connection) -> float:
    """The database's clock."""
    row = conn.execute(SQL["now"]).fetchone()
    assert row is not None
    return float(row[0])


def lock_budgets(conn: Connection, keys: Sequence[BudgetKey]) -> LockedBudgets:
    """What is taken of these budgets, locked until the transaction ends."""
    parameters = {"scopes": [scope for scope, _ in keys], "budgets": [name for _, name in keys]}
    rows = conn.execute(SQL["lock_budgets"], parameters).fetchall()
    if len(rows) < len(set(keys)):
        conn.execute(SQL["add_budgets"], parameters)
        rows = conn.execute(SQL["lock_budgets"], parameters).fetchall()
    return LockedBudgets(
        max(row[0] for row in rows), {(scope, name): BudgetState(*taken) for _, scope, name, *taken in rows}
    )


def save_budgets(conn: Connection, states: Mapping[BudgetKey, BudgetState]) -> None:
    """Write what is taken, in the transaction that has locked it."""
    columns: list[Any] = [list(column) for column in zip(*(_budget_row(*item) for item in states.items()), strict=True)]
    names = ("scopes", "budgets", "window_starts_s", "units", "free_at_s", "blocked_until_s")
    conn.execute(SQL["save_budgets"], dict(zip(names, columns, strict=True)))


def _budget_row(key: BudgetKey, state: BudgetState) -> tuple[Any, ...]:
    return *key, state.window_starts_s, state.units, state.free_at_s, state.blocked_until_s


def stored_breaker(channel: str, details: Any) -> State:
    """The state in a row. One that another version of the service has written otherwise begins closed."""
    if details is None:
        return State()
    try:
        return msgspec.convert(details, State)
    except msgspec.ValidationError as error:
        log.warning(
            "the stored breaker of a channel is unreadable; it begins closed", channel=channel, error=str(error)
        )
        return State()
