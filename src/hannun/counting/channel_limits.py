"""Circuit breakers and budgets that all processes share, as the polls of channels use them.

    admit ─► local copy closed: at once ─► call ─► record ─► buffer ─► every few seconds: one query for all channels
          └► open: refused at once; half-open: a trial is admitted in PostgreSQL, by compare-and-set

    take ─► one short transaction: lock the channel's budgets, decide (domain.budgets), write ─► a block of calls

While PostgreSQL is away, breakers go on with their local copy and what ended since, but admit no trials; no budget is
taken. Nothing here raises because of it. All methods may be called from any thread. They may wait for PostgreSQL: an
event loop calls them in a thread.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hannun import deadlines
from hannun.domain import breaker, budgets
from hannun.domain.breaker import Outcomes, Policy, State
from hannun.domain.budgets import Budget, BudgetState, Taken
from hannun.errors import StoreUnavailable
from hannun.store import channel_limits
from hannun.store.channel_limits import BudgetKey, VersionedBreaker
from hannun.store.database import Connection, Database
from hannun.telemetry import log, metrics

SHARED_S: Final = 5.0
"""How often outcomes are shared while all breakers are closed."""
SHARED_S_MIN: Final = 1.0
"""The same while one is not closed, or has opened here; and the pause after a query that failed."""
STORE_S_MAX: Final = 5.0
"""How long PostgreSQL may take for a query of breakers, or a transaction of budgets."""
BLOCK_S: Final = 300.0
"""How long an API that says "over quota", but not for how long, blocks where its budget cannot be written."""
ATTEMPTS_MAX: Final = 5
"""How often a save is repeated because other processes have saved first."""
_STATE_VALUES: Final = {"closed": 0, "half-open": 1, "open": 2}


class Admission(NamedTuple):
    """How many calls may be made, and the generation that their outcomes belong to.

    With none, `retry_after_s` is when to ask again; infinite where an operator holds the breaker open. `unavailable`:
    PostgreSQL is away, so it is not known whether the breaker would admit any.
    """

    granted: int
    generation: int
    retry_after_s: float = 0.0
    unavailable: bool = False


@dataclass
class _Local:
    """The local copy of a breaker: as it was read, what ended here since, and the breaker after that."""

    read: VersionedBreaker = field(default_factory=lambda: VersionedBreaker(0, State()))
    ended: dict[int, Outcomes] = field(default_factory=dict)
    state: State = field(default_factory=State)


class SharedBreakers:
    """The breakers of the channels. One for each process.

    Args:
        database: used by nothing else at the same time.
        channels: the names of the channels by their keys.
        now: a steady clock, in seconds.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, str],
        policy: Policy | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._policy = policy or Policy()
        self._now = now
        self._lock = threading.Lock()  # of what is below
        self._names = dict(channels)
        self._local = {channel: _Local() for channel in channels}
        self._ahead_s: float | None = None
        self._tried_at_s = -math.inf
        self._away = False
        self._synchronizing = threading.RLock()

    def admit(self, channel: str, wanted: int = 1) -> Admission:
        """Admit up to `wanted` calls to a channel. Record the outcome of each, or that it was not used."""
        self._synchronize_when_due()
        with self._lock:
            admission, state = self._admit_locally(channel, wanted)
            if self._ahead_s is None or state == self._local[channel].state:
                return admission
        return self._admit_trials(channel, wanted)

    def record(self, channel: str, generation: int, outcomes: Outcomes) -> None:
        """Record how calls of this generation ended."""
        with self._lock:
            local = self._local[channel]
            local.ended[generation] = local.ended.get(generation, Outcomes()) + outcomes
            local.state = breaker.record(local.state, self._policy, generation, outcomes, self._clock())
        self._synchronize_when_due()

    def outcome(self, seconds: float, *, failed: bool) -> Outcomes:
        """The outcome of one call. One that was over quota is `breaker.UNUSED`."""
        return self._policy.outcome(seconds, failed=failed)

    def flush(self) -> None:
        """Share everything now: at the end of a round, and of the process."""
        self._synchronize()

    def _clock(self) -> float:
        """The database's clock, as of the newest query."""
        return self._now() + (self._ahead_s or 0.0)

    def _admit_locally(self, channel: str, wanted: int) -> tuple[Admission, State]:
        if self._ahead_s is None:
            return Admission(0, 0, SHARED_S_MIN, unavailable=True), State()  # nothing was read yet
        state, granted = breaker.admit(self._local[channel].state, self._policy, self._clock(), wanted)
        if granted:
            return Admission(granted, state.generation), state
        retry_after_s = breaker.retry_after_s(state, self._policy, self._clock())
        return Admission(0, state.generation, max(retry_after_s, SHARED_S_MIN)), state

    def _admit_trials(self, channel: str, wanted: int) -> Admission:
        """Admit trials in PostgreSQL: only where the row is still the one for which this was decided."""
        with self._synchronizing:
            for _ in range(ATTEMPTS_MAX):
                if not self._synchronize():
                    break
                with self._lock:
                    admission, state = self._admit_locally(channel, wanted)
                    local = self._local[channel]
                    unchanged, changed = state == local.state, VersionedBreaker(local.read.version, state)
                    ended = dict(local.ended)
                if unchanged or channel in self._save({channel: changed}, {channel: ended}):
                    return admission
            return Admission(0, 0, SHARED_S_MIN, unavailable=self._away)

    # -- with PostgreSQL

    def _synchronize_when_due(self) -> None:
        """Synchronize if it is time, and no other thread does. Before the first read, wait for that thread: until then
        nothing is admitted."""
        with self._lock:
            wait = self._ahead_s is None
        if self._synchronizing.acquire(blocking=wait):
            try:
                if self._is_due():
                    self._synchronize()
            finally:
                self._synchronizing.release()

    def _is_due(self) -> bool:
        with self._lock:
            closed = all(local.state.name == local.read.state.name == "closed" for local in self._local.values())
            interval_s = SHARED_S if closed and self._ahead_s is not None else SHARED_S_MIN
            return self._now() - self._tried_at_s >= interval_s

    def _synchronize(self) -> bool:
        """Save what ended here, and read what other processes have saved. Returns whether that was possible."""
        with self._synchronizing:
            for _ in range(ATTEMPTS_MAX):
                with self._lock:
                    ended = {channel: dict(local.ended) for channel, local in self._local.items()}
                    changed = {
                        channel: VersionedBreaker(local.read.version, local.state)
                        for channel, local in self._local.items()
                        if local.state != local.read.state
                    }
                saved = self._save(changed, ended)
                if saved == changed.keys():
                    return not self._away
                if self._away:
                    break
            return False

    def _save(
        self, changed: Mapping[str, VersionedBreaker], ended: Mapping[str, Mapping[int, Outcomes]]
    ) -> frozenset[str]:
        """Save changed breakers, which hold what `ended`, and read all. Returns which were saved."""
        with self._lock:
            if self._away and self._now() - self._tried_at_s < SHARED_S_MIN:
                return frozenset()
            self._tried_at_s = self._now()
        try:
            with deadlines.within(STORE_S_MAX), self._database.transaction() as conn:
                found = channel_limits.synchronize_breakers(conn, self._local, changed)
        except StoreUnavailable as error:
            self._note_away(error)
            return frozenset()
        with self._lock:
            self._away = False
            self._ahead_s = found.now_s - self._now()
            for channel, read in found.breakers.items():
                self._take_over(channel, read, ended.get(channel, {}) if self._holds(channel, changed, found) else {})
        return found.saved

    def _holds(self, channel: str, changed: Mapping[str, VersionedBreaker], found: channel_limits.Synchronized) -> bool:
        """Whether what ended here is in the row now, or changes nothing."""
        return channel in found.saved or (
            channel not in changed and found.breakers[channel].version == self._local[channel].read.version
        )

    def _take_over(self, channel: str, read: VersionedBreaker, ended: Mapping[int, Outcomes]) -> None:
        """Replace the local copy. What `ended` is in it; the rest ended since, and comes on top."""
        local = self._local[channel]
        if read.state.name != local.read.state.name:
            report = log.warning if read.state.name == "open" else log.info
            report("the breaker of a channel changed", channel=channel, state=read.state.name, reason=read.state.reason)
        rest = {
            generation: outcomes - ended.get(generation, Outcomes()) for generation, outcomes in local.ended.items()
        }
        local.ended = {generation: outcomes for generation, outcomes in rest.items() if outcomes != Outcomes()}
        local.read = read
        local.state = read.state
        for generation, outcomes in local.ended.items():
            local.state = breaker.record(local.state, self._policy, generation, outcomes, self._clock())
        metrics.channel_breaker_state.labels(self._names[channel]).set(_STATE_VALUES[local.state.name])

    def _note_away(self, error: StoreUnavailable) -> None:
        if not self._away:
            log.warning("breakers of channels are not shared while PostgreSQL is away", error=str(error))
        self._away = True


class Grant(NamedTuple):
    """Calls of a channel that may be made: the first in `wait_s`, each further one `spacing_s` later.

    A call that cannot begin within `late_s_max` of its time is not made. With no calls, `wait_s` is when to take again.
    `unavailable`: PostgreSQL is away, so it is not known whether the budgets have any.
    """

    calls: int
    wait_s: float
    spacing_s: float
    late_s_max: float
    taken: Sequence[tuple[Budget, Taken]] = ()
    unavailable: bool = False


class SharedBudgets:
    """The budgets of the channels' APIs. One for each process.

    Args:
        database: used by nothing else at the same time.
        budgets: of each channel. A channel without one is not limited.
        period_s: the time between two rounds.
        now: a steady clock, in seconds.
    """

    def __init__(
        self,
        database: Database,
        budgets: Mapping[str, Sequence[Budget]],
        period_s: float,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._budgets = {channel: sorted(of, key=lambda budget: budget.key) for channel, of in budgets.items() if of}
        self._period_s = period_s
        self._now = now
        self._blocked_until_s: dict[str, float] = {}

    def take(self, channel: str, wanted: int) -> Grant:
        """Take a block of up to `wanted` calls. It is used up, whatever happens to this process, unless given back."""
        blocked_s = self._blocked_until_s.get(channel, 0.0) - self._now()
        if blocked_s > 0:
            return Grant(0, blocked_s, 0.0, 0.0)
        of_channel = self._budgets.get(channel)
        if not of_channel or wanted <= 0:
            return Grant(max(wanted, 0), 0.0, 0.0, math.inf)
        granted: list[Grant] = []

        def decide(states: Mapping[BudgetKey, BudgetState], now_s: float) -> dict[BudgetKey, BudgetState]:
            grant = self._decide(of_channel, states, now_s, wanted)
            granted[:] = [grant]
            return {budget.key: taken.state for budget, taken in grant.taken}

        if self._change(of_channel, decide):
            return granted[0]
        return Grant(0, SHARED_S_MIN, 0.0, 0.0, unavailable=True)

    def give_back(self, channel: str, grant: Grant, calls: int) -> None:
        """Give the last `calls` of a grant back, which were not made. Where PostgreSQL is away they stay used up."""
        taken = {budget.key: (budget, taken) for budget, taken in grant.taken}
        if not taken or calls <= 0:
            return

        def decide(states: Mapping[BudgetKey, BudgetState], _: float) -> dict[BudgetKey, BudgetState]:
            return {
                key: budgets.give_back(budget, states[key], of_grant, calls, self._period_s)
                for key, (budget, of_grant) in taken.items()
            }

        self._change(self._budgets[channel], decide)

    def charge(self, channel: str, calls: int) -> None:
        """Count calls that were made beyond those taken: retries, further pages. Later takes get as many fewer.

        So a budget that may never be exceeded, as one call in some seconds, allows no retries within one call.
        """
        of_channel = self._budgets.get(channel)
        if not of_channel or calls <= 0:
            return

        def decide(states: Mapping[BudgetKey, BudgetState], now_s: float) -> dict[BudgetKey, BudgetState]:
            return {
                budget.key: budgets.charge(budget, states[budget.key], now_s, calls, self._period_s)
                for budget in of_channel
            }

        self._change(of_channel, decide)

    def block(self, channel: str, retry_after_s: float | None) -> None:
        """Take nothing for a channel whose API says that a budget is used up: for as long as it says, else until the
        shortest of the channel's windows ends."""
        of_channel = self._budgets.get(channel, ())
        shortest = min(of_channel, key=lambda budget: budget.window_s or 86_400.0, default=None)
        wait_s = BLOCK_S if retry_after_s is None or math.isnan(retry_after_s) else max(retry_after_s, 1.0)
        if shortest is None:
            self._blocked_until_s[channel] = self._now() + min(wait_s, budgets.BLOCK_S_MAX)
            return

        def decide(states: Mapping[BudgetKey, BudgetState], now_s: float) -> dict[BudgetKey, BudgetState]:
            return {shortest.key: budgets.block(shortest, states[shortest.key], now_s, retry_after_s)}

        if not self._change([shortest], decide):
            self._blocked_until_s[channel] = self._now() + min(wait_s, budgets.BLOCK_S_MAX)

    def _decide(
        self, of_channel: Sequence[Budget], states: Mapping[BudgetKey, BudgetState], now_s: float, wanted: int
    ) -> Grant:
        """As many calls as each of the budgets allows."""
        offers = [budgets.take(budget, states[budget.key], now_s, wanted, self._period_s) for budget in of_channel]
        calls = min(offer.calls for offer in offers)
        if calls == 0:
            return Grant(0, max(max(o.starts_at_s for o in offers if not o.calls) - now_s, 0.0), 0.0, 0.0)
        taken = [budgets.take(budget, states[budget.key], now_s, calls, self._period_s) for budget in of_channel]
        return Grant(
            calls,
            max(each.starts_at_s for each in taken) - now_s,
            max(each.spacing_s for each in taken),
            min(each.late_s_max for each in taken),
            list(zip(of_channel, taken, strict=True)),
        )

    def _change(
        self,
        of_channel: Sequence[Budget],
        decide: Callable[[Mapping[BudgetKey, BudgetState], float], Mapping[BudgetKey, BudgetState]],
    ) -> bool:
        """Lock the budgets, decide and write, in one transaction. Returns False where PostgreSQL is away."""

        def change(conn: Connection) -> Mapping[BudgetKey, BudgetState]:
            locked = channel_limits.lock_budgets(conn, [budget.key for budget in of_channel])
            changed = decide(locked.states, locked.now_s)
            if changed:
                channel_limits.save_budgets(conn, changed)
            return {**locked.states, **changed}

        try:
            with deadlines.within(STORE_S_MAX):
                states = self._database.run(change)
        except StoreUnavailable as error:
            log.warning("no budget of a channel is taken while PostgreSQL is away", error=str(error))
            return False
        for (scope, name), state in states.items():
            metrics.channel_budget_units.labels(scope, name).set(state.units)
        return True
