from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.partitions import month_after, months_of, plan

NOVEMBER = date(2026, 11, 1)


def test_an_empty_timeline_gets_this_month_and_those_ahead_over_the_end_of_the_year() -> None:
    found = plan(set(), date(2026, 11, 23), ahead=3, keep=None)
    assert found.create == (NOVEMBER, date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1))
    assert found.detach == ()


def test_only_missing_months_are_created() -> None:
    found = plan({NOVEMBER, date(2027, 1, 1)}, date(2026, 11, 30), ahead=2, keep=None)
    assert found.create == (date(2026, 12, 1),)


def test_without_a_retention_no_month_is_detached() -> None:
    assert plan({date(2015, 1, 1)}, NOVEMBER, ahead=0, keep=None).detach == ()


def test_months_beyond_the_retention_are_detached_oldest_first() -> None:
    existing = {date(2026, month, 1) for month in range(1, 13)}
    assert plan(existing, date(2026, 11, 23), ahead=0, keep=9).detach == (date(2026, 1, 1),)
    assert plan(existing, date(2027, 1, 1), ahead=0, keep=11).detach == (date(2026, 1, 1),)
    assert plan(existing, date(2026, 11, 1), ahead=0, keep=0).detach == tuple(
        date(2026, month, 1) for month in range(1, 11)
    )


def test_a_month_ahead_is_never_detached() -> None:
    assert plan({date(2030, 1, 1)}, NOVEMBER, ahead=0, keep=0).detach == ()


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(
    st.sets(st.dates(date(2015, 1, 1), date(2030, 1, 1)).map(lambda day: day.replace(day=1)), max_size=30),
    st.dates(date(2015, 1, 1), date(2030, 1, 1)),
    st.integers(0, 24),
    st.none() | st.integers(0, 60),
    st.sets(st.dates(date(2015, 1, 1), date(2030, 1, 1)).map(lambda day: day.replace(day=1)), max_size=30),
)
def test_a_second_run_plans_nothing(
    existing: set[date], today: date, ahead: int, keep: int | None, detached: set[date]
) -> None:
    detached -= existing
    first = plan(existing, today, ahead=ahead, keep=keep, detached=detached)
    after = (existing | set(first.create)) - set(first.detach)
    tables_left = (detached | set(first.detach)) - set(first.archive)
    second = plan(after, today, ahead=ahead, keep=keep, detached=tables_left)
    assert (second.create, second.detach, second.archive) == ((), (), ())
    assert today.replace(day=1) in after, "the current month always exists"
    assert after.isdisjoint(first.archive), "what is archived is detached first"


def test_months_follow_each_other_over_december() -> None:
    assert month_after(date(2026, 12, 1), 1) == date(2027, 1, 1)
    assert month_after(date(2027, 1, 1), -1) == date(2026, 12, 1)
    assert month_after(date(2026, 11, 1), 14) == date(2028, 1, 1)
    assert month_after(date(2026, 11, 1), -23) == date(2024, 12, 1)


def test_a_minute_belongs_to_its_month_in_utc() -> None:
    midnight = (date(2026, 1, 1) - date(1970, 1, 1)).days * 1_440
    assert months_of([midnight - 1, midnight]) == {date(2025, 12, 1), date(2026, 1, 1)}
    assert months_of([midnight, midnight + 31 * 1_440 - 1]) == {date(2026, 1, 1)}
    assert months_of([]) == set()
