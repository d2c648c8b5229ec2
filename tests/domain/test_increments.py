"""A channel's totals become increments and corrections, whatever the channel says and in whatever order it arrives."""

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.channel_totals import COUNTS, ChannelTotals, checked, engagement
from hannun.domain.field_values import COUNT_MAX
from hannun.domain.increments import NEVER_MEASURED, Measured, MinuteCounts, Settled, settle

quick = settings(derandomize=True, deadline=None, max_examples=100, database=None)
START = datetime(2026, 11, 27, 9)

Poll = tuple[int, ChannelTotals]
"""Minutes after the start, and what the channel says."""

DIGITS = (None, 0, 1, 2, 3, COUNT_MAX // 4)


def decoded(code: int) -> ChannelTotals:
    """Totals whose counts are the digits of a number: far cheaper to generate than ten values."""
    counts = {
        name: DIGITS[code // len(DIGITS) ** place % len(DIGITS)] for place, name in enumerate(ChannelTotals._fields)
    }
    if (counts["completed_calls"] or 0) > (counts["total_calls"] or 0) and counts["total_calls"] is not None:
        counts["completed_calls"] = counts["total_calls"]
    found = checked(counts)
    return found if isinstance(found, ChannelTotals) else ChannelTotals(views=1)


histories = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, len(DIGITS) ** len(ChannelTotals._fields) - 1).map(decoded)),
    max_size=12,
)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def run(polls: Sequence[Poll], before: Measured = NEVER_MEASURED) -> list[Settled]:
    """The effect of each poll, in the order of their arrival."""
    found = []
    for minute, said in polls:
        found.append(settle(before, said, at(minute)))
        before = found[-1].after
    return found


def after(*polls: ChannelTotals) -> Settled:
    """The effect of the last of polls that follow each other."""
    return run(list(enumerate(polls)))[-1]


def views(*counts: int | None) -> Settled:
    return after(*(ChannelTotals(views=count, likes=1) for count in counts))


@quick
@given(histories)
def test_increments_and_corrections_add_up_to_the_totals_after_each_poll(polls: list[Poll]) -> None:
    summed = Counter[str]()
    for effect in run(polls):
        summed.update(effect.increments)
        summed.update(effect.corrections)
        assert {name: summed[name] for name in COUNTS} == {
            name: total or 0 for name, total in zip(COUNTS, effect.after.totals, strict=False)
        }
        assert all(amount > 0 for amount in effect.increments.values())
        assert all(amount < 0 for amount in effect.corrections.values())


@quick
@given(histories)
def test_completed_calls_never_exceed_the_calls(polls: list[Poll]) -> None:
    for effect in run(polls):
        assert (effect.after.totals.completed_calls or 0) <= (effect.after.totals.total_calls or 0)


@quick
@given(histories, st.randoms(use_true_random=False))
def test_late_polls_change_nothing_in_whatever_order_they_arrive(polls: list[Poll], random: object) -> None:
    newest = -1
    in_time, late = list[Poll](), list[Poll]()
    for poll in polls:
        (in_time if poll[0] > newest else late).append(poll)
        newest = max(newest, poll[0])
    shuffled = random.sample(late, len(late))  # type: ignore[attr-defined]
    with_late = run([*in_time, *shuffled])
    assert [effect.after for effect in run(polls)][-1:] == [effect.after for effect in with_late][-1:]
    assert all(not effect.accepted for effect in with_late[len(in_time) :])


@quick
@given(histories)
def test_a_poll_twice_is_a_poll_once(polls: list[Poll]) -> None:
    twice = list(itertools.chain.from_iterable((poll, poll) for poll in polls))
    assert [effect.after for effect in run(twice)][-1:] == [effect.after for effect in run(polls)][-1:]


@quick
@given(histories)
def test_an_empty_minute_holds_the_increments_of_any_poll(polls: list[Poll]) -> None:
    for effect in run(polls):
        assert MinuteCounts().plus(effect.increments) is not None


@quick
@given(histories)
def test_a_minute_takes_increments_exactly_as_far_as_its_columns_hold_them(polls: list[Poll]) -> None:
    minute, summed = MinuteCounts(), Counter[str]()
    for effect in run(polls):
        more = summed + Counter(effect.increments)
        holds = max([*more.values(), engagement(more)], default=0) <= COUNT_MAX
        taken = minute.plus(effect.increments)
        assert (taken is not None) == holds
        if taken is not None:
            minute, summed = taken, more
    assert {name: minute.of_channel.get(name, 0) for name in COUNTS} == {name: summed[name] for name in COUNTS}
    assert (minute.views, minute.conversions) == (summed["views"], summed["conversions"])
    assert minute.engagement == engagement(summed)


# -- what each poll becomes --------------------------------------------------------------------------------------------


def test_the_first_poll_is_one_increment_and_its_baseline() -> None:
    first = after(ChannelTotals(views=100, likes=3))
    assert (first.increments, first.baseline) == ({"views": 100, "likes": 3}, True)


def test_a_rise_is_an_increment_and_no_baseline() -> None:
    assert (views(100, 130).increments, views(100, 130).baseline) == ({"views": 30}, False)


def test_a_count_that_appears_later_is_a_baseline_too() -> None:
    later = after(ChannelTotals(views=5), ChannelTotals(views=6, clicks=40))
    assert (later.increments, later.baseline) == ({"views": 1, "clicks": 40}, True)


def test_a_count_that_is_first_0_rises_without_a_baseline() -> None:
    assert not after(ChannelTotals(views=0), ChannelTotals(views=7)).baseline


def test_a_count_that_the_channel_no_longer_names_keeps_its_total() -> None:
    assert views(100, None).after.totals.views == 100


def test_a_fall_waits_until_a_second_poll_confirms_it() -> None:
    assert (views(100, 90).after.totals.views, views(100, 90).corrections) == (100, {})
    assert dict(views(100, 90).after.falls) == {"views": 90}
    confirmed = views(100, 90, 92)
    assert (confirmed.after.totals.views, confirmed.corrections, dict(confirmed.after.falls)) == (92, {"views": -8}, {})


def test_a_fall_that_the_next_poll_does_not_confirm_is_forgotten() -> None:
    assert views(100, 90, 101).increments == {"views": 1}
    assert views(100, 90, 100, 90).corrections == {}


def test_a_poll_that_does_not_name_a_falling_count_neither_confirms_nor_forgets_the_fall() -> None:
    assert dict(views(100, 90, None).after.falls) == {"views": 90}
    assert views(100, 90, None, 90).corrections == {"views": -10}


def test_a_rise_after_a_correction_is_an_increment_again() -> None:
    assert views(100, 90, 90, 95).increments == {"views": 5}


def test_one_count_falls_while_another_rises() -> None:
    effect = after(ChannelTotals(views=9, likes=9), ChannelTotals(views=10, likes=8))
    assert (effect.increments, dict(effect.after.falls)) == ({"views": 1}, {"likes": 8})


def test_a_channel_that_changes_its_mind_for_weeks_ends_at_what_it_said_last_and_says_every_step() -> None:
    weeks = [100, 12, 100, 12, 12, 100, 100, 0, 0, 100] * 200
    effects = run([(minute, ChannelTotals(views=count)) for minute, count in enumerate(weeks)])
    assert effects[-1].after.totals.views == 100
    moved = sum(sum(effect.increments.values()) + sum(effect.corrections.values()) for effect in effects)
    assert moved == 100
    assert {tuple(effect.corrections.values()) for effect in effects} == {(), (-88,), (-100,)}


def test_the_mean_is_the_newest_and_no_increment() -> None:
    effect = after(ChannelTotals(average_duration=40), ChannelTotals(average_duration=30))
    assert (effect.after.totals.average_duration, effect.increments, effect.corrections) == (30, {}, {})


def test_a_fall_of_the_calls_waits_for_the_completed_ones() -> None:
    said = [(100, 30), (50, 40), (35, 35), (35, 35)]
    states = [
        effect.after
        for effect in run([(n, ChannelTotals(total_calls=t, completed_calls=c)) for n, (t, c) in enumerate(said)])
    ]
    assert [(state.totals.total_calls, state.totals.completed_calls) for state in states] == [
        (100, 30),
        (100, 40),
        (100, 40),
        (35, 35),
    ]


def test_completed_calls_without_a_total_wait_for_it() -> None:
    alone = ChannelTotals(completed_calls=5)
    assert after(alone).after.totals.completed_calls is None
    assert after(alone, ChannelTotals(total_calls=8, completed_calls=5)).increments == {
        "total_calls": 8,
        "completed_calls": 5,
    }
    assert after(ChannelTotals(total_calls=8), alone).increments == {"completed_calls": 5}
