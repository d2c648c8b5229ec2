"""The circuit breaker of a channel: whether it may be called. A value, without clock, lock or I/O.

    closed ── too many failed or slow calls in the window ──► open ── its time is over ──► half-open
       ▲                                                       ▲                              │
       └────────────── enough trials succeed ──────────────────┼──────────────────────────────┤
                                 twice as long, up to a bound  └── trials fail, or never end ─┘

- The window is made of slices of time, so the state is small, and the outcomes of several processes add up.
- Failures and slow calls have a minimum of calls each. Trials need neither: half-open decides by its trials alone.
- A trial whose outcome never comes (its process died) counts as failed after a maximum wait.
- A call belongs to the generation in which it was admitted. An outcome of an earlier generation changes nothing: a call
  that began before the breaker opened is no trial.
- Being over quota is no outcome: such a call counts as unused.

Instants are seconds since 1970 by the database's clock. The clock may stand still or step back: an open time then
begins again, and no slice is lost.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

Name: TypeAlias = Literal["closed", "open", "half-open"]
Reason: TypeAlias = Literal["", "failures", "slow-calls", "trials-failed", "trials-slow", "trials-lost", "held"]
"""Why a breaker opened: the last two are trials that never ended, and an operator."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a breaker opens and closes. Ratios are shares of all calls in the window, or of all trials.

    The defaults fit rounds that are 5 minutes apart, as HANNUN_REFRESH_AT has them by default, and poll a channel for a
    few seconds to minutes. The window is shorter than that: the good calls of the round before say nothing about now.
    The longest open time begins when the trials of a round fail, and is over before the next: so each round tries a
    channel at least once. With rounds closer together, some rounds find the breaker open.

    Args:
        window_s, slices: the sliding window, and how many slices of time it has.
        failure_calls_min, slow_calls_min: with fewer calls in the window no ratio opens the breaker.
        slow_s: a call that takes at least so long is slow.
        open_s, open_s_max: the open time; it doubles with each opening in a row, up to the bound.
        trials: how many calls half-open admits.
        trial_wait_s: after so long without an outcome a trial counts as failed.
    """

    window_s: float = 60.0
    slices: int = 6
    failure_calls_min: int = 10
    failure_ratio: float = 0.5
    slow_calls_min: int = 20
    slow_ratio: float = 0.8
    slow_s: float = 4.0
    open_s: float = 30.0
    open_s_max: float = 240.0
    trials: int = 3
    trial_wait_s: float = 60.0

    def __post_init__(self) -> None:
        if not (0 < self.failure_ratio <= 1 and 0 < self.slow_ratio <= 1):
            raise ValueError("expected ratios above 0, up to 1")
        if min(self.slices, self.failure_calls_min, self.slow_calls_min, self.trials) < 1:
            raise ValueError("expected at least one slice, call and trial")
        if not (0 < self.open_s <= self.open_s_max and self.window_s > 0 and self.trial_wait_s > 0):
            raise ValueError("expected times above 0, and open_s up to open_s_max")

    def outcome(self, seconds: float, *, failed: bool) -> "Outcomes":
        """The outcome of one call that took so long."""
        return Outcomes(1, int(failed), int(seconds >= self.slow_s))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How calls ended. They add up, so several calls, threads and processes may be recorded at once.

    `unused` calls were admitted and say nothing about the channel: never made, or refused as over quota.
    """

    calls: int = 0
    failed: int = 0
    slow: int = 0
    unused: int = 0

    def __add__(self, other: Self) -> "Outcomes":
        return Outcomes(
            self.calls + other.calls,
            self.failed + other.failed,
            self.slow + other.slow,
            self.unused + other.unused,
        )

    def __sub__(self, other: Self) -> "Outcomes":
        return Outcomes(
            self.calls - other.calls,
            self.failed - other.failed,
            self.slow - other.slow,
            self.unused - other.unused,
        )


UNUSED = Outcomes(unused=1)


@dataclass(frozen=True, slots=True)
class Slice:
    """The outcomes in one slice of the window. `number` is its start, in slices since 1970."""

    number: int
    outcomes: Outcomes


@dataclass(frozen=True, slots=True)
class Trials:
    """The trial calls of a half-open breaker: those admitted, when the last of them was, and how they ended."""

    admitted: int = 0
    admitted_at_s: float = 0.0
    ended: Outcomes = Outcomes()

    @property
    def running(self) -> int:
        """Trials without an outcome."""
        return self.admitted - self.ended.calls


@dataclass(frozen=True, slots=True)
class State:
    """A breaker.

    `generation` rises with each change of `name`. `openings` counts those without a closing between them; `reason` says
    why the last was, and `opened_by` what was seen then: the window, or the trials. A breaker that is `held` stays open
    until an operator resets it.
    """

    name: Name = "closed"
    since_s: float = 0.0
    generation: int = 0
    reason: Reason = ""
    opened_by: Outcomes = Outcomes()
    openings: int = 0
    held: bool = False
    window: tuple[Slice, ...] = ()
    trials: Trials = Trials()


def admit(state: State, policy: Policy, now_s: float, wanted: int) -> tuple[State, int]:
    """Admit up to `wanted` calls. Returns the state after it and how many may be made: of its new generation."""
    if state.name == "closed":
        return state, wanted
    if state.held:
        return state, 0
    state = _in_order_with_clock(state, now_s)
    if state.name == "open":
        if now_s < opens_until_s(state, policy):
            return state, 0
        state = _changed(state, "half-open", now_s)
    state = _without_lost_trials(state, policy, now_s)
    admitted = min(wanted, policy.trials - state.trials.admitted) if state.name == "half-open" else 0
    if admitted <= 0:
        return state, 0
    trials = replace(state.trials, admitted=state.trials.admitted + admitted, admitted_at_s=now_s)
    return replace(state, trials=trials), admitted


def record(state: State, policy: Policy, generation: int, outcomes: Outcomes, now_s: float) -> State:
    """The state after calls that were admitted in this generation have ended."""
    if generation != state.generation:
        return state
    if state.name == "closed":
        return _judge_window(replace(state, window=_with_slice(state.window, policy, outcomes, now_s)), policy, now_s)
    if state.name == "half-open":
        return _judge_trials(replace(state, trials=_with_ended(state.trials, outcomes)), policy, now_s)
    return state


def hold_open(state: State, now_s: float) -> State:
    """Open until `reset`: an operator's maintenance."""
    return replace(_changed(state, "open", now_s), reason="held", opened_by=Outcomes(), held=True)


def reset(state: State, now_s: float) -> State:
    """Closed, with an empty window."""
    return _changed(state, "closed", now_s)


def opens_until_s(state: State, policy: Policy) -> float:
    """When an open breaker admits trials; infinite where it is held."""
    if state.held:
        return math.inf
    doubled = min(max(state.openings - 1, 0), 30)
    return state.since_s + min(math.ldexp(policy.open_s, doubled), policy.open_s_max)


def next_trial_s(state: State, policy: Policy) -> float | None:
    """When an open breaker admits trials, as an operator reads it; None where it is not open, or held."""
    return opens_until_s(state, policy) if state.name == "open" and not state.held else None


def retry_after_s(state: State, policy: Policy, now_s: float) -> float:
    """After how many seconds a caller that was admitted nothing may be admitted; infinite where it is held."""
    if state.name == "open":
        return max(opens_until_s(state, policy) - now_s, 0.0)
    if state.name == "half-open" and state.trials.admitted >= policy.trials:
        return max(state.trials.admitted_at_s + policy.trial_wait_s - now_s, 0.0)
    return 0.0


def in_window(state: State, policy: Policy, now_s: float) -> Outcomes:
    """The outcomes of the sliding window."""
    return sum((each.outcomes for each in _live(state.window, policy, now_s)), Outcomes())


def _changed(state: State, name: Name, now_s: float) -> State:
    """The state under another name, with no window and no trials. Closing ends a row of openings."""
    openings = 0 if name == "closed" else state.openings
    return State(name, now_s, state.generation + 1, state.reason, state.opened_by, openings)


def _opened(state: State, reason: Reason, seen: Outcomes, now_s: float) -> State:
    return replace(_changed(state, "open", now_s), reason=reason, opened_by=seen, openings=state.openings + 1)


def _in_order_with_clock(state: State, now_s: float) -> State:
    """Where the clock has stepped back, what began later than now begins now: it would else take as long again."""
    trials = replace(state.trials, admitted_at_s=min(state.trials.admitted_at_s, now_s))
    return replace(state, since_s=min(state.since_s, now_s), trials=trials)


def _slice_number(policy: Policy, now_s: float) -> int:
    return math.floor(now_s * policy.slices / policy.window_s)


def _live(window: tuple[Slice, ...], policy: Policy, now_s: float) -> list[Slice]:
    """The slices that count. After a step back some begin later than now: they count as long as they are near."""
    number = _slice_number(policy, now_s)
    return [each for each in window if abs(each.number - number) < policy.slices]


def _with_slice(window: tuple[Slice, ...], policy: Policy, outcomes: Outcomes, now_s: float) -> tuple[Slice, ...]:
    by_number = {each.number: each.outcomes for each in _live(window, policy, now_s)}
    number = _slice_number(policy, now_s)
    by_number[number] = by_number.get(number, Outcomes()) + replace(outcomes, unused=0)
    return tuple(Slice(*item) for item in sorted(by_number.items()) if item[1].calls)


def _judge_window(state: State, policy: Policy, now_s: float) -> State:
    seen = in_window(state, policy, now_s)
    if seen.calls >= policy.failure_calls_min and seen.failed >= policy.failure_ratio * seen.calls:
        return _opened(state, "failures", seen, now_s)
    if seen.calls >= policy.slow_calls_min and seen.slow >= policy.slow_ratio * seen.calls:
        return _opened(state, "slow-calls", seen, now_s)
    return state


def _with_ended(trials: Trials, outcomes: Outcomes) -> Trials:
    """Unused trials may be admitted again. More outcomes than trials are running are not counted."""
    unused = min(outcomes.unused, trials.running)
    calls = min(outcomes.calls, trials.running - unused)
    counted = Outcomes(calls, min(outcomes.failed, calls), min(outcomes.slow, calls))
    return replace(trials, admitted=trials.admitted - unused, ended=trials.ended + counted)


def _judge_trials(state: State, policy: Policy, now_s: float) -> State:
    """Open as soon as the trials that are left cannot make it good; close after the last of them."""
    ended = state.trials.ended
    if ended.failed >= policy.failure_ratio * policy.trials:
        return _opened(state, "trials-failed", ended, now_s)
    if ended.slow >= policy.slow_ratio * policy.trials:
        return _opened(state, "trials-slow", ended, now_s)
    return _changed(state, "closed", now_s) if ended.calls >= policy.trials else state


def _without_lost_trials(state: State, policy: Policy, now_s: float) -> State:
    """Trials without an outcome for `trial_wait_s` have failed."""
    trials = state.trials
    if trials.running == 0 or now_s < trials.admitted_at_s + policy.trial_wait_s:
        return state
    lost = Outcomes(trials.running, failed=trials.running)
    judged = _judge_trials(replace(state, trials=_with_ended(trials, lost)), policy, now_s)
    return replace(judged, reason="trials-lost") if judged.name == "open" else judged
