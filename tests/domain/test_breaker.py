"""The circuit breaker: what opens it, what closes it, and that it never admits too much nor stays open for ever."""

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.breaker import (
    UNUSED,
    Outcomes,
    Policy,
    State,
    admit,
    hold_open,
    in_window,
    opens_until_s,
    record,
    reset,
    retry_after_s,
)

POLICY = Policy(
    window_s=60,
    slices=6,
    failure_calls_min=10,
    failure_ratio=0.5,
    slow_calls_min=20,
    slow_ratio=0.8,
    open_s=30,
    open_s_max=300,
    trials=3,
    trial_wait_s=60,
)
NOON = 1_800_000_000.0
GOOD, FAILED, SLOW = Outcomes(1), Outcomes(1, failed=1), Outcomes(1, slow=1)


def times(count: int, outcome: Outcomes) -> list[Outcomes]:
    return [outcome] * count


def after(
    *outcomes: Outcomes, policy: Policy = POLICY, at: float = NOON, every_s: float = 0.0, state: State | None = None
) -> State:
    """The state after calls of the same generation end one after the other."""
    state = state or State()
    generation = state.generation
    for number, outcome in enumerate(outcomes):
        state = record(state, policy, generation, outcome, at + number * every_s)
    return state


def opened(policy: Policy = POLICY, at: float = NOON) -> State:
    return after(*times(policy.failure_calls_min, FAILED), policy=policy, at=at)


class Case(NamedTuple):
    """Calls that end, `every_s` apart, and what the breaker then is."""

    outcomes: list[Outcomes]
    expected: str
    reason: str = ""
    every_s: float = 0.0
    policy: Policy = POLICY


CASES = {
    "fewer failures than the minimum of calls": Case(times(9, FAILED), "closed"),
    "the minimum of calls, all failed": Case(times(10, FAILED), "open", "failures"),
    "half of the calls failed": Case([*times(5, GOOD), *times(5, FAILED)], "open", "failures"),
    "less than half of the calls failed": Case([*times(6, GOOD), *times(5, FAILED)], "closed"),
    "a window that never holds the minimum does not open early": Case(times(100, FAILED), "closed", every_s=7.0),
    "all calls slow, fewer than the minimum of slow calls": Case(times(19, SLOW), "closed"),
    "all calls slow, as many as the minimum of slow calls": Case(times(20, SLOW), "open", "slow-calls"),
    "slow calls need their own minimum, failures theirs": Case(
        times(12, Outcomes(1, failed=1, slow=1)), "open", "failures"
    ),
    "a small minimum of slow calls does not open for failures": Case(
        times(9, FAILED), "closed", policy=replace(POLICY, slow_calls_min=2)
    ),
    "a small minimum of failures does not open for slow calls": Case(
        times(19, SLOW), "closed", policy=replace(POLICY, failure_calls_min=1)
    ),
    "a minimum of one call": Case([FAILED], "open", "failures", policy=replace(POLICY, failure_calls_min=1)),
    "over quota is no outcome": Case([*times(1000, UNUSED), *times(9, FAILED)], "closed"),
    "over quota does not make failures fewer": Case([*times(90, UNUSED), *times(10, FAILED)], "open", "failures"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_closed_breaker_opens_for_a_ratio_of_enough_calls(case: Case) -> None:
    state = after(*case.outcomes, policy=case.policy, every_s=case.every_s)
    assert (state.name, state.reason) == (case.expected, case.reason)


def test_failures_that_are_older_than_the_window_are_forgotten() -> None:
    assert after(FAILED, state=after(*times(9, FAILED)), at=NOON + 40).name == "open"
    assert after(FAILED, state=after(*times(9, FAILED)), at=NOON + 60).name == "closed"


def test_an_open_breaker_admits_nothing_until_its_time_is_over_and_then_its_trials() -> None:
    state, admitted = admit(opened(), POLICY, NOON + 29.9, 100)
    assert (state.name, admitted) == ("open", 0) and retry_after_s(state, POLICY, NOON + 29.9) == pytest.approx(0.1)
    state, admitted = admit(state, POLICY, NOON + 30, 100)
    assert (state.name, admitted) == ("half-open", 3)
    assert admit(state, POLICY, NOON + 31, 100)[1] == 0


def half_open(admitted: int = 3, policy: Policy = POLICY) -> State:
    state, given_ = admit(opened(policy), policy, NOON + 30, admitted)
    assert given_ == admitted
    return state


@pytest.mark.parametrize(
    ("outcomes", "expected", "reason"),
    [
        (times(3, GOOD), "closed", "failures"),  # three, not the minimum of ten again
        ([GOOD, GOOD, FAILED], "closed", "failures"),
        ([GOOD, FAILED, FAILED], "open", "trials-failed"),
        (times(2, FAILED), "open", "trials-failed"),  # the third cannot make it good
        (times(3, SLOW), "open", "trials-slow"),
        (times(2, GOOD), "half-open", "failures"),
        ([GOOD, GOOD, UNUSED], "half-open", "failures"),
    ],
)
def test_half_open_decides_by_its_trials_alone(outcomes: list[Outcomes], expected: str, reason: str) -> None:
    state = after(*outcomes, state=half_open(), at=NOON + 31)
    assert (state.name, state.reason) == (expected, reason)


def test_a_single_trial_decides_whatever_the_minimum_is() -> None:
    policy = replace(POLICY, trials=1)
    assert after(GOOD, policy=policy, state=half_open(1, policy), at=NOON + 31).name == "closed"
    assert after(FAILED, policy=policy, state=half_open(1, policy), at=NOON + 31).name == "open"


def test_a_trial_that_was_over_quota_may_be_made_again() -> None:
    state = after(GOOD, UNUSED, state=half_open(), at=NOON + 31)
    state, admitted = admit(state, POLICY, NOON + 32, 100)
    assert admitted == 1
    assert after(GOOD, GOOD, state=state, at=NOON + 33).name == "closed"


def test_a_trial_that_never_ends_counts_as_failed_after_the_maximum_wait() -> None:
    state = after(GOOD, state=half_open(), at=NOON + 31)
    assert admit(state, POLICY, NOON + 89.9, 1) == (state, 0)
    state, admitted = admit(state, POLICY, NOON + 90, 1)
    assert (state.name, state.reason, admitted) == ("open", "trials-lost", 0)
    assert opens_until_s(state, POLICY) == NOON + 90 + 60  # and so the next trial comes


def test_one_lost_trial_among_good_ones_does_not_keep_the_breaker_open() -> None:
    state = after(GOOD, GOOD, state=half_open(), at=NOON + 31)
    state, admitted = admit(state, POLICY, NOON + 90, 7)
    assert (state.name, admitted) == ("closed", 0)
    assert admit(state, POLICY, NOON + 90, 7)[1] == 7


def test_the_open_time_doubles_up_to_its_bound_and_begins_anew_after_a_closing() -> None:
    state, now, open_times = opened(), NOON, []
    for _ in range(8):
        open_times.append(opens_until_s(state, POLICY) - now)
        now = opens_until_s(state, POLICY)
        state = after(*times(3, FAILED), state=admit(state, POLICY, now, 3)[0], at=now)
    assert open_times == [30, 60, 120, 240, 300, 300, 300, 300]
    now = opens_until_s(state, POLICY)
    state = after(*times(3, GOOD), state=admit(state, POLICY, now, 3)[0], at=now)
    assert state.name == "closed"
    state = after(*times(10, FAILED), state=state, at=now)
    assert opens_until_s(state, POLICY) == now + 30


def test_outcomes_of_calls_that_were_admitted_before_are_no_trials_and_no_new_calls() -> None:
    half = half_open()
    assert record(half, POLICY, 0, Outcomes(50, failed=50), NOON + 31) == half
    closed = after(*times(3, GOOD), state=half, at=NOON + 31)
    assert record(closed, POLICY, 0, Outcomes(50, failed=50), NOON + 32) == closed
    assert record(opened(), POLICY, 0, Outcomes(50), NOON + 1) == opened()


def test_a_breaker_that_an_operator_holds_open_stays_open_until_it_is_reset() -> None:
    held = hold_open(State(), NOON)
    assert admit(held, POLICY, NOON + 1e9, 1) == (held, 0)
    assert retry_after_s(held, POLICY, NOON) == math.inf
    assert admit(reset(held, NOON + 5), POLICY, NOON + 5, 7)[1] == 7


def test_reset_forgets_window_and_openings() -> None:
    state = reset(opened(), NOON + 1)
    assert in_window(state, POLICY, NOON + 1) == Outcomes()
    assert after(*times(9, FAILED), state=state, at=NOON + 1).name == "closed"


@pytest.mark.parametrize("step_s", [-1.0, -45.0, -3600.0, 0.0])
def test_a_clock_that_steps_back_delays_the_trials_by_one_open_time_at_most(step_s: float) -> None:
    state, admitted = admit(opened(), POLICY, NOON + step_s, 1)
    assert admitted == 0
    assert admit(state, POLICY, NOON + step_s + 30, 1)[1] == 1


def test_a_clock_that_steps_back_by_a_little_loses_no_outcome() -> None:
    state = after(*times(5, FAILED), at=NOON)
    assert after(*times(5, FAILED), at=NOON - 20, state=state).name == "open"


def test_the_window_has_few_slices_however_the_clock_moves() -> None:
    state = State()
    for number in range(10_000):
        state = record(state, POLICY, 0, GOOD, NOON + (number * 7919) % 300)
        assert len(state.window) < 2 * POLICY.slices


def test_outcomes_of_several_processes_add_up() -> None:
    apart = after(*times(6, GOOD), *times(3, FAILED))
    together = after(Outcomes(4, failed=1), Outcomes(5, failed=2))
    assert apart == together


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_ratio": 0.0},
        {"slow_ratio": 1.1},
        {"trials": 0},
        {"slices": 0},
        {"failure_calls_min": 0},
        {"open_s": 0.0},
        {"open_s": 400.0},
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(POLICY, **wrong)


# -- properties

policies = st.builds(
    Policy,
    window_s=st.sampled_from([1.0, 60.0]),
    slices=st.integers(1, 8),
    failure_calls_min=st.integers(1, 8),
    failure_ratio=st.sampled_from([0.01, 0.5, 1.0]),
    slow_calls_min=st.integers(1, 8),
    slow_ratio=st.sampled_from([0.01, 0.5, 1.0]),
    open_s=st.sampled_from([0.5, 30.0]),
    open_s_max=st.sampled_from([30.0, 300.0]),
    trials=st.integers(1, 4),
    trial_wait_s=st.sampled_from([1.0, 60.0]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["admit", "good", "failed", "slow", "unused", "stray"]),
        st.integers(1, 6),
        st.sampled_from([0.0, 0.1, 1.0, 29.0, 31.0, 61.0, 400.0, -0.5, -10.0, -4_000.0]),
    ),
    max_size=60,
)
OUTCOME = {"good": GOOD, "failed": FAILED, "slow": SLOW, "unused": UNUSED, "stray": FAILED}


@settings(deadline=None)
@given(policies, steps)
def test_in_any_order_open_admits_nothing_half_open_its_trials_and_it_recovers(
    policy: Policy, steps: list[tuple[str, int, float]]
) -> None:
    state, now = State(), NOON
    used_trials = 0  # admitted in this half-open generation and not unused
    for what, count, later_s in steps:
        now += later_s
        before = state
        if what == "admit":
            state, admitted = admit(state, policy, now, count)
            assert 0 <= admitted <= count
            if before.name == "open" and state.name == "open":
                assert admitted == 0
            if state.name == "half-open":
                used_trials = admitted if before.generation != state.generation else used_trials + admitted
                assert used_trials <= policy.trials
            elif state.name == "open":
                assert admitted == 0
        else:
            generation = state.generation - 1 if what == "stray" else state.generation
            for _ in range(count):
                unused = what == "unused" and state.name == "half-open" and state.trials.running > 0
                used_trials -= int(unused and generation == state.generation)
                state = record(state, policy, generation, OUTCOME[what], now)
            if what == "stray":
                assert state == before
        assert state.generation >= before.generation
        assert state.name != "half-open" or 0 <= state.trials.running <= policy.trials
    assert _closes_where_all_trials_succeed(state, policy, now)


def _closes_where_all_trials_succeed(state: State, policy: Policy, now: float) -> bool:
    for _ in range(10):
        if state.name == "closed":
            return True
        now += policy.open_s_max + policy.trial_wait_s
        state, admitted = admit(state, policy, now, policy.trials)
        state = record(state, policy, state.generation, Outcomes(admitted), now)
    return False


@pytest.mark.parametrize("trials_take_s", [0.1, 15.0, 45.0])
def test_each_round_tries_a_channel_that_stays_away(trials_take_s: float) -> None:
    policy = Policy()
    state = hold_open(State(), NOON)
    state = replace(state, held=False, openings=20, reason="failures")
    for number in range(1, 20):
        begins_s = NOON + number * 300.0
        state, granted = admit(state, policy, begins_s, 10)
        assert granted == policy.trials
        failed = Outcomes(calls=granted, failed=granted)
        state = record(state, policy, state.generation, failed, begins_s + trials_take_s)
        assert state.name == "open"
