"""Budgets of APIs: never exceeded at the API, used evenly, and what age that promises."""

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.budgets import (
    BLOCK_S_MAX,
    DAY_MARGIN_S,
    HORIZON_S,
    Budget,
    BudgetState,
    block,
    charge,
    day_of,
    everyone_s,
    give_back,
    margin_s,
    promised_age_s,
    take,
    usable_units,
)
from hannun.domain.poll_order import Pollable, in_order

PERIOD_S = 300.0
PACIFIC = "America/Los_Angeles"
YOUTUBE = Budget(name="units", scope="youtube", units=10_000, day_zone=PACIFIC)
KAKAO = Budget(name="reports", scope="kakao", units=1, window_s=5)
TIKTOK = Budget(name="calls", scope="tiktok", units=600, window_s=60)
INSTAGRAM = Budget(name="calls", scope="instagram", units=24_000, window_s=86_400)
APIS = {"youtube": YOUTUBE, "kakao": KAKAO, "tiktok": TIKTOK, "instagram": INSTAGRAM}


def at(zone: str, *parts: int) -> float:
    return datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()  # type: ignore[arg-type]


NOON = at(PACIFIC, 2026, 11, 20, 12)
FRESH = BudgetState()


# -- days


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        (PACIFIC, (2026, 3, 8), 23),
        (PACIFIC, (2026, 11, 1), 25),
        (PACIFIC, (2026, 11, 2), 24),
        ("Asia/Seoul", (2026, 3, 8), 24),
        ("America/Santiago", (2026, 9, 6), 23),  # midnight itself is skipped
        ("America/Havana", (2026, 11, 1), 25),  # midnight comes twice
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_of_its_zone(zone: str, date: tuple[int, ...], hours: int) -> None:
    day = day_of(zone, at(zone, *date, 12))
    assert day.ends_s - day.starts_s == hours * 3600
    assert day_of(zone, day.starts_s) == day == day_of(zone, day.ends_s - 1)
    assert day_of(zone, day.ends_s).starts_s == day.ends_s


def test_a_round_takes_what_the_even_pace_allows_until_the_next() -> None:
    midnight = at(PACIFIC, 2026, 11, 20)
    first = take(YOUTUBE, FRESH, midnight + PERIOD_S, 500, PERIOD_S)
    assert first.calls == pytest.approx(2 * 9_800 / 288, abs=1)
    assert take(YOUTUBE, first.state, midnight + PERIOD_S + 1, 500, PERIOD_S).calls <= 1


def test_what_earlier_rounds_left_may_be_taken_later() -> None:
    assert take(YOUTUBE, FRESH, NOON, 100_000, PERIOD_S).calls == pytest.approx(9_800 / 2, rel=0.01)


def test_the_budget_of_a_day_is_used_up_at_its_end_and_not_before() -> None:
    day = day_of(PACIFIC, NOON)
    state, now = FRESH, day.starts_s
    while now < day.ends_s - 2 * PERIOD_S:
        state = take(YOUTUBE, state, now, 10_000, PERIOD_S).state
        assert state.units < usable_units(YOUTUBE)
        now += PERIOD_S
    for _ in range(2):
        state = take(YOUTUBE, state, now, 10_000, PERIOD_S).state
        now += PERIOD_S
    assert state.units == usable_units(YOUTUBE) == 9_800


def test_nothing_is_taken_around_midnight() -> None:
    midnight = day_of(PACIFIC, NOON).ends_s
    for now in (midnight - DAY_MARGIN_S, midnight, midnight + DAY_MARGIN_S - 1):
        taken = take(YOUTUBE, FRESH, now, 1, PERIOD_S)
        assert (taken.calls, taken.starts_at_s) == (0, midnight + DAY_MARGIN_S)
    assert take(YOUTUBE, FRESH, midnight + DAY_MARGIN_S, 1, PERIOD_S).calls == 1


def test_a_day_with_fewer_units_than_rounds_says_when_the_next_may_be_taken() -> None:
    scarce = replace(YOUTUBE, units=10)
    now, taken_at = day_of(PACIFIC, NOON).starts_s, []
    state = FRESH
    while now < day_of(PACIFIC, NOON).ends_s:
        taken = take(scarce, state, now, 5, PERIOD_S)
        state = taken.state
        taken_at += [now] * taken.calls
        assert taken.calls > 0 or taken.starts_at_s > now
        now = now + 1 if taken.calls else taken.starts_at_s
    assert len(taken_at) == 10 and max(b - a for a, b in itertools.pairwise(taken_at)) < 86_400 / 10 + 60


def test_a_clock_that_steps_back_over_midnight_spends_no_day_twice() -> None:
    midnight = day_of(PACIFIC, NOON).ends_s
    spent = replace(take(YOUTUBE, FRESH, midnight + 60, 9_800, PERIOD_S).state, units=9_800)
    assert take(YOUTUBE, spent, midnight - 60, 1, PERIOD_S).calls == 0


def test_a_clock_that_was_days_ahead_does_not_keep_the_budget_shut() -> None:
    ahead = NOON + 10 * 86_400
    for budget in (YOUTUBE, KAKAO):
        state = block(budget, replace(take(budget, FRESH, ahead, 1, PERIOD_S).state, units=9_800), ahead)
        assert take(budget, state, NOON + 60, 1, PERIOD_S).starts_at_s <= NOON + 60 + 2 * PERIOD_S


def test_a_call_that_costs_several_units_takes_them_all() -> None:
    dear = replace(YOUTUBE, units_per_call=100)
    taken = take(dear, FRESH, day_of(PACIFIC, NOON).ends_s - 60, 1_000, PERIOD_S)
    assert (taken.calls, taken.state.units) == (98, 9_800)


# -- seconds


def test_one_call_in_5_s_is_spaced_by_the_window_and_the_margin() -> None:
    taken = take(KAKAO, FRESH, NOON, 100, PERIOD_S)
    assert (taken.starts_at_s, taken.spacing_s) == (NOON, 5 + margin_s(KAKAO))
    assert taken.calls == 1 + HORIZON_S // taken.spacing_s
    following = take(KAKAO, taken.state, NOON + 1, 1, PERIOD_S)
    assert following.calls == 0 or following.starts_at_s >= NOON + taken.calls * taken.spacing_s


def test_a_long_window_lets_the_calls_of_one_round_begin_together() -> None:
    taken = take(INSTAGRAM, FRESH, NOON, 1_000, PERIOD_S)
    assert (taken.calls, taken.spacing_s) == (83, 0)
    again = take(INSTAGRAM, taken.state, NOON + PERIOD_S, 1_000, PERIOD_S)
    assert again.calls == pytest.approx(82, abs=1)


def test_what_is_given_back_may_be_taken_again() -> None:
    for budget in APIS.values():
        taken = take(budget, FRESH, NOON, 5, PERIOD_S)
        given = give_back(budget, taken.state, taken, taken.calls, PERIOD_S)
        assert take(budget, given, NOON, 5, PERIOD_S)[:4] == taken[:4]


def test_spaced_calls_that_others_follow_cannot_be_given_back() -> None:
    ours = take(TIKTOK, FRESH, NOON, 5, PERIOD_S)
    others = take(TIKTOK, ours.state, NOON, 5, PERIOD_S)
    assert give_back(TIKTOK, others.state, ours, 5, PERIOD_S) == others.state


def test_units_of_yesterday_are_not_given_back_to_today() -> None:
    yesterday = take(YOUTUBE, FRESH, NOON, 5, PERIOD_S)
    today = take(YOUTUBE, yesterday.state, NOON + 86_400, 5, PERIOD_S)
    assert give_back(YOUTUBE, today.state, yesterday, 5, PERIOD_S) == today.state


def test_calls_that_nobody_took_make_the_next_wait_longer() -> None:
    charged = charge(YOUTUBE, take(YOUTUBE, FRESH, NOON, 1, PERIOD_S).state, NOON, 99, PERIOD_S)
    assert charged.units == 100
    assert charge(YOUTUBE, charged, NOON + 86_400, 2, PERIOD_S).units == 2  # of the next day
    taken = take(KAKAO, FRESH, NOON, 1, PERIOD_S)
    retried = charge(KAKAO, taken.state, NOON + 1, 2, PERIOD_S)
    assert take(KAKAO, retried, NOON + 2, 1, PERIOD_S).starts_at_s == NOON + 3 * 7


# -- over quota


def test_an_api_that_says_over_quota_blocks_until_the_window_ends_or_as_long_as_it_says() -> None:
    midnight = day_of(PACIFIC, NOON).ends_s
    assert block(YOUTUBE, FRESH, NOON).blocked_until_s == midnight + DAY_MARGIN_S
    assert block(KAKAO, FRESH, NOON).blocked_until_s == NOON + 7
    blocked = block(YOUTUBE, FRESH, NOON, 90)
    assert take(YOUTUBE, blocked, NOON + 89, 1, PERIOD_S)[:2] == (0, NOON + 90)
    assert take(YOUTUBE, blocked, NOON + 90, 1, PERIOD_S).calls == 1


@pytest.mark.parametrize("absurd", [float("inf"), 1e300, -1.0, float("nan"), 0.0])
def test_an_absurd_retry_after_blocks_for_two_days_at_most_and_a_second_at_least(absurd: float) -> None:
    until = block(KAKAO, FRESH, NOON, absurd).blocked_until_s
    assert until is not None and NOON + 1 <= until <= NOON + BLOCK_S_MAX


def test_a_later_answer_does_not_shorten_a_block() -> None:
    blocked = block(YOUTUBE, block(YOUTUBE, FRESH, NOON, 900), NOON + 1, 5)
    assert blocked.blocked_until_s == NOON + 900


@pytest.mark.parametrize("wrong", [{}, {"window_s": 5.0, "day_zone": PACIFIC}, {"window_s": 5.0, "units_per_call": 2}])
def test_a_budget_without_one_window_or_with_too_few_units_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Budget(name="n", scope="s", units=1, **wrong)  # type: ignore[arg-type]


# -- at the API


def exceeded(budget: Budget, arrivals: list[float]) -> bool:
    """Whether the API, which counts calls as they arrive, has seen more than it grants in any window."""
    arrivals = sorted(arrivals)
    if budget.day_zone is not None:
        days = Counter(day_of(budget.day_zone, arrival).starts_s for arrival in arrivals)
        return any(calls * budget.units_per_call > budget.units for calls in days.values())
    window_s, calls = budget.window_s or 0, budget.units // budget.units_per_call
    return any(later - earlier < window_s for earlier, later in zip(arrivals, arrivals[calls:], strict=False))


class Step(NamedTuple):
    """A process takes so many calls so long after the step before, makes some, and gives some of the others back."""

    later_s: float
    wanted: int
    made: float
    returned: bool


budgets = st.one_of(
    st.builds(
        Budget,
        name=st.just("b"),
        scope=st.just("s"),
        units=st.integers(4, 300),
        window_s=st.sampled_from([0.5, 5.0, 60.0, 3_600.0, 86_400.0]),
        units_per_call=st.integers(1, 4),
    ),
    st.builds(
        Budget,
        name=st.just("b"),
        scope=st.just("s"),
        units=st.integers(4, 300),
        day_zone=st.sampled_from([PACIFIC, "Asia/Seoul", "America/Santiago"]),
        units_per_call=st.integers(1, 4),
    ),
)
all_steps = st.lists(
    st.builds(
        Step,
        st.sampled_from([0.0, 0.3, 5.0, 61.0, 299.0, 3_000.0, 20_000.0, -0.2, -20.0]),
        st.integers(0, 400),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(budgets, all_steps, st.randoms(use_true_random=False))
def test_whatever_is_taken_made_and_given_back_the_api_never_sees_too_many(
    budget: Budget, steps: list[Step], dice: random.Random
) -> None:
    """The clock of the API runs on; ours may step back by less than the margin."""
    state, true_now, arrivals, back_s = FRESH, at(PACIFIC, 2026, 10, 31, 23, 50), [], 0.0
    for step in steps:
        true_now += max(step.later_s, 0.0)
        back_s = 0.0 if step.later_s > 0 else min(0.2, -step.later_s)
        taken = take(budget, state, true_now - back_s, step.wanted, PERIOD_S)
        state = taken.state
        made = int(taken.calls * step.made)
        if step.returned:
            state = give_back(budget, state, taken, taken.calls - made, PERIOD_S)
        late_s_max = min(taken.late_s_max, margin_s(budget) / 2) - 0.2 if budget.window_s else taken.late_s_max
        arrivals += [
            taken.starts_at_s
            + back_s
            + number * taken.spacing_s
            + dice.uniform(0, max(late_s_max, 0.0))
            + dice.uniform(0, margin_s(budget) / 2)
            for number in range(made)
        ]
    assert not exceeded(budget, arrivals)


# -- a day of rounds


@dataclass
class Day:
    """Rounds every 5 minutes over one API, by several processes that share the budget's state."""

    budget: Budget
    events: int
    batch: int
    weights: list[int]
    processes: int = 1
    deaths: set[int] = field(default_factory=set)
    """Rounds in which a process dies with the calls it has taken."""
    dice: random.Random = field(default_factory=lambda: random.Random(12))

    def run(self, starts_s: float, hours: float) -> None:
        self.state, self.starts_s = FRESH, starts_s
        self.polled_at = dict.fromkeys(range(self.events), starts_s)
        self.arrivals: list[float] = []
        self.oldest: defaultdict[int, float] = defaultdict(float)
        for number in range(int(hours * 3600 / PERIOD_S)):
            self._round(number, starts_s + number * PERIOD_S)
        self.ends_s = starts_s + hours * 3600
        for event, polled_at in self.polled_at.items():
            self._note_age(event, self.ends_s - polled_at)

    def _round(self, number: int, now: float) -> None:
        events = [Pollable(no, now - polled, self.weights[no]) for no, polled in self.polled_at.items()]
        work = self._pieces(in_order(events, everyone_s([self.budget], self.events, self.batch, PERIOD_S)))
        left, ends_s = -(-self.events // self.batch), now + PERIOD_S
        turns = [(now + process * 0.01, process) for process in range(self.processes)]
        while turns and left:
            at_s, process = heapq.heappop(turns)
            taken = take(self.budget, self.state, at_s, min(left, 20), PERIOD_S)
            self.state = taken.state
            if number in self.deaths and process == 0 and taken.calls:
                continue  # it never makes them, nor gives them back
            left -= taken.calls
            for call in range(taken.calls):
                self._call(next(work), taken.starts_at_s + call * taken.spacing_s)
            again_at_s = taken.starts_at_s + max(taken.calls - 1, 0) * taken.spacing_s + 0.5
            if again_at_s < ends_s:
                heapq.heappush(turns, (again_at_s, process))

    def _pieces(self, events: list[Pollable]) -> Iterator[list[int]]:
        for first in range(0, len(events), self.batch):
            yield [event.event_no for event in events[first : first + self.batch]]

    def _call(self, events: list[int], begins_s: float) -> None:
        arrival = begins_s + self.dice.uniform(0, margin_s(self.budget) / 2)
        self.arrivals.append(arrival)
        for event in events:
            self._note_age(event, arrival - self.polled_at[event])
            self.polled_at[event] = arrival

    def _note_age(self, event: int, age_s: float) -> None:
        self.oldest[self.weights[event]] = max(self.oldest[self.weights[event]], age_s)

    def promised_s(self, weight: int) -> float:
        mean = sum(self.weights) / len(self.weights)
        return promised_age_s([self.budget], self.events, self.batch, PERIOD_S, mean_weight=mean, weight=weight)


def weights_of(events: int) -> list[int]:
    """Most events rest, some move, some end soon, and few do both."""
    return [4 if no % 50 == 0 else 2 if no % 5 == 0 else 1 for no in range(events)]


DAYS = {
    "an ordinary day": (PACIFIC, (2026, 11, 20, 12), 1, set[int]()),
    "a day of 23 hours, two processes": (PACIFIC, (2026, 3, 8, 0), 2, set[int]()),
    "a day of 25 hours, with restarts": (PACIFIC, (2026, 11, 1, 0), 2, {20, 21, 150, 287}),
}
SIZES = [pytest.param(400, 2, id="400 events"), pytest.param(10_000, 50, id="10000 events", marks=pytest.mark.faults)]
"""Events and ids a call. Both make 200 calls for all events; the smaller one takes a tenth of the time."""


@pytest.mark.parametrize(("events", "batch"), SIZES)
@pytest.mark.parametrize("day", DAYS.values(), ids=DAYS.keys())
@pytest.mark.parametrize("budget", APIS.values(), ids=APIS.keys())
def test_over_24_hours_no_budget_is_exceeded_and_no_event_is_older_than_its_budget_allows(
    budget: Budget, day: tuple[str, tuple[int, ...], int, set[int]], events: int, batch: int
) -> None:
    zone, starts, processes, deaths = day
    rounds = Day(budget, events, batch, weights_of(events), processes, deaths)
    rounds.run(at(zone, *starts), 25)
    assert not exceeded(budget, rounds.arrivals)
    lost_s = 2 * PERIOD_S if deaths else 0.0  # the calls of two rounds in a row
    for weight, age_s in rounds.oldest.items():
        assert age_s <= rounds.promised_s(weight) + lost_s
