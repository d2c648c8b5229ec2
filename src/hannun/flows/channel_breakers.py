"""What an operator reads and decides about the circuit breaker of a channel.

A process learns of a decision with its next query: within 5 s while it polls the channel, else when it begins to.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from hannun.domain import breaker
from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.breaker import Outcomes, Policy, State
from hannun.errors import StoreUnavailable
from hannun.store import audit_log, channel_limits
from hannun.store.channel_limits import VersionedBreaker
from hannun.store.database import Connection

ATTEMPTS_MAX = 20
"""How often a decision is repeated because a process that polls has saved first."""


class Breaker(NamedTuple):
    """The breaker of a channel as an operator reads it. Instants are in UTC.

    `since` is None where the channel was never polled. `next_trial_at` is when an open breaker admits trial calls; None
    where it is not open, or held. `window` is what the sliding window holds now.
    """

    state: State
    since: datetime | None
    next_trial_at: datetime | None
    window: Outcomes
    policy: Policy


def read(conn: Connection, channel: str, policy: Policy | None = None) -> Breaker:
    """The breaker of a channel, by the channel's key."""
    found = channel_limits.synchronize_breakers(conn, [channel], {})
    return _shown(found.breakers[channel], found.now_s, policy or Policy())


def hold_open(conn: Connection, channel: str, by: str) -> Breaker:
    """Open until it is reset: the channel is not called, during a maintenance for example."""
    held = _decide(conn, channel, breaker.hold_open)
    audit_log.record(conn, NewEntry(operator(by), Action.BREAKER_SET, f"channel {channel}", reason="held open"))
    return held


def reset(conn: Connection, channel: str, by: str) -> Breaker:
    """Close: the channel is called again, and the window is empty."""
    closed = _decide(conn, channel, breaker.reset)
    audit_log.record(conn, NewEntry(operator(by), Action.BREAKER_SET, f"channel {channel}", reason="closed"))
    return closed


def _decide(conn: Connection, channel: str, decide: Callable[[State, float], State]) -> Breaker:
    found = channel_limits.synchronize_breakers(conn, [channel], {})
    for _ in range(ATTEMPTS_MAX):
        version, state = found.breakers[channel]
        decided = VersionedBreaker(version, decide(state, found.now_s))
        found = channel_limits.synchronize_breakers(conn, [channel], {channel: decided})
        if channel in found.saved:
            return _shown(found.breakers[channel], found.now_s, Policy())
    raise StoreUnavailable(f"the breaker of {channel} changed {ATTEMPTS_MAX} times while it was decided about")


def _shown(found: VersionedBreaker, now_s: float, policy: Policy) -> Breaker:
    state = found.state
    trial_s = breaker.next_trial_s(state, policy)
    return Breaker(
        state,
        datetime.fromtimestamp(state.since_s, UTC) if found.version and state.since_s else None,
        None if trial_s is None else datetime.fromtimestamp(trial_s, UTC),
        breaker.in_window(state, policy, now_s),
        policy,
    )
