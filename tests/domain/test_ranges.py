"""The range before a range, over all zones and up to both ends of the calendar."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hannun.domain.ranges import RANGE_DAYS_MAX, Preceding, Range, parse_range, zone_names
from hannun.errors import BadRequest

FIRST, END = datetime(1970, 1, 1), datetime(9998, 1, 1)
NOW = datetime(2026, 11, 27, 5)
moments = st.datetimes(FIRST, END - timedelta(minutes=1)).map(lambda at: at.replace(second=0, microsecond=0))
zones = st.sampled_from(sorted(zone_names()))


@settings(deadline=None)
@given(moments, st.one_of(st.none(), moments), zones, moments)
@example(datetime(9000, 1, 1), None, "Asia/Seoul", NOW)
@example(FIRST, None, "Asia/Seoul", datetime(9997, 12, 31, 23, 59))
@example(FIRST, FIRST + timedelta(days=RANGE_DAYS_MAX), "Africa/Monrovia", NOW)
def test_the_range_before_any_range_of_the_calendar_is_as_long_or_there_is_none(
    start: datetime, end: datetime | None, tz: str, now: datetime
) -> None:
    assume(end is None or end > start)
    asked = Range(start, end, tz)
    found = asked.preceding(now)
    ends, elapsed_until = asked.end_or_now(now), asked.elapsed_until(now)
    if found is None:
        # nothing is before 1970; a day that a zone left out may stand where the range before would begin
        assert elapsed_until <= start or ends - start > start - FIRST - timedelta(days=1)
        return
    before = found.range
    assert found.partial == (elapsed_until < ends)
    assert before.start is not None and before.end is not None
    assert FIRST <= before.start < before.end <= start
    assert found.partial or before.end == start
    assert abs((before.end - before.start) - (elapsed_until - start)) <= timedelta(days=1)


@settings(deadline=None)
@given(moments, st.integers(1, RANGE_DAYS_MAX), zones)
def test_before_whole_days_are_as_many_days_of_the_calendar(day: datetime, days: int, tz: str) -> None:
    zone = ZoneInfo(tz)
    assume(FIRST + timedelta(days=days + 2) < day < END - timedelta(days=days + 2))

    def midnight(date: datetime) -> datetime:
        return datetime.combine(date.date(), time(), zone).astimezone(UTC).replace(tzinfo=None)

    first, start, end = (midnight(day + timedelta(days=count * days)) for count in (-1, 0, 1))
    local = start.replace(tzinfo=UTC).astimezone(zone).date(), end.replace(tzinfo=UTC).astimezone(zone).date()
    assume(local == (day.date(), (day + timedelta(days=days)).date()) and first < start)  # no day left out
    assert Range(start, end, tz).preceding(end) == Preceding(Range(first, start, tz))


@settings(deadline=None)
@given(moments, st.integers(1, 400), st.floats(0, 1), st.sampled_from(["Asia/Seoul", "Europe/Berlin", "Asia/Gaza"]))
@example(datetime(2026, 10, 18), 7, 1 - 1 / (7 * 1_440), "Europe/Berlin")
def test_of_days_that_are_not_over_the_same_days_and_hours_before_are_compared(
    day: datetime, days: int, part: float, tz: str
) -> None:
    zone = ZoneInfo(tz)
    assume(FIRST + timedelta(days=2 * days + 2) < day < END - timedelta(days=days + 2))

    def at(count: int, clock: time = time()) -> datetime:
        return datetime.combine(day.date() + timedelta(days=count), clock, zone).astimezone(UTC).replace(tzinfo=None)

    asked = Range(at(0), at(days), tz)
    now = at(0) + (at(days) - at(0)) * part
    found, elapsed = asked.preceding(now), asked.elapsed_until(now).replace(tzinfo=UTC).astimezone(zone)
    if asked.elapsed_until(now) == at(days):
        assert found == Preceding(Range(at(-days), at(0), tz))
    elif elapsed.fold == 0:  # in an hour that comes twice, the second time is an hour that the days before do not have
        same_clock = at((elapsed.date() - day.date()).days - days, elapsed.time())
        assert found == Preceding(Range(at(-days), min(same_clock, at(0)), tz), partial=True)


def test_a_range_of_more_than_a_hundred_years_is_refused() -> None:
    assert parse_range("1970-01-01T00:00Z", "2070-01-01T00:00Z", "UTC").end == datetime(2070, 1, 1)
    with pytest.raises(BadRequest, match="longer than"):
        parse_range("1970-01-01T00:00Z", "2070-01-02T00:00Z", "UTC")
