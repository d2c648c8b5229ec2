"""What an operator sees of the refresh, the channels and their budgets in PostgreSQL. It reads only."""

from datetime import datetime, timedelta
from typing import NamedTuple

from hannun.domain.budgets import BudgetState
from hannun.domain.refresh_status import JOB, ChannelAge, ChannelWork, RefreshStatus
from hannun.store import rounds
from hannun.store.channel_limits import BudgetKey, stored_breaker
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("refresh_status")
ROUNDS_READ = 12


class NewestCounted(NamedTuple):
    """When a partition of Kafka was last counted further, None where none ever was; and pending invalidations."""

    at: datetime | None
    pending: int


def read(conn: Connection, stale_after: timedelta) -> RefreshStatus:
    """The refresh now.

    Args:
        stale_after: how long a measurement is good.
    """
    newest = rounds.newest(conn, JOB, ROUNDS_READ)
    work = [
        ChannelWork(*row)
        for row in (
            conn.execute(SQL["work_by_channel"], {"job": JOB, "due_at": newest[0].due_at}).fetchall() if newest else ()
        )
    ]
    ages = [ChannelAge(*row) for row in conn.execute(SQL["channel_ages"], {"stale_after": stale_after}).fetchall()]
    return RefreshStatus(
        now=newest[0].now if newest else rounds.clock(conn),
        rounds=newest,
        work={each.channel: each for each in work},
        ages={each.channel: each for each in ages},
        breakers={key: stored_breaker(key, details) for key, details in conn.execute(SQL["breakers"]).fetchall()},
    )


def newest_refusals(conn: Connection) -> dict[str, dict[str, int]]:
    """Why the newest attempts of ACTIVE events brought nothing: by channel, the most frequent reason first."""
    reasons: dict[str, dict[str, int]] = {}
    for key, reason, count in conn.execute(SQL["newest_refusals"]).fetchall():
        reasons.setdefault(key, {})[reason] = count
    return reasons


def budgets(conn: Connection) -> dict[BudgetKey, BudgetState]:
    """What is taken of every budget that was ever used."""
    return {(scope, name): BudgetState(*taken) for scope, name, *taken in conn.execute(SQL["budgets"]).fetchall()}


def newest_counted(conn: Connection) -> NewestCounted:
    """How far messages are counted."""
    row = conn.execute(SQL["newest_counted"]).fetchone()
    assert row is not None
    return NewestCounted(*row)


def newest_event(conn: Connection, channel: str) -> str | None:
    """The newest ACTIVE event that a channel, by its key, has distributed; None where there is none."""
    row = conn.execute(SQL["newest_event"], {"channel": channel}).fetchone()
    return None if row is None else row[0]
