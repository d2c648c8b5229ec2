"""Ranges and their preceding ranges, cursors and lists."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hannun.domain.questions import decode_cursor, encode_cursor, parse_list, parse_metrics
from hannun.domain.ranges import Preceding, Range, parse_range
from hannun.errors import BadRequest

NOW = datetime(2026, 11, 23, 3, 0, 30)


def test_a_week_with_a_clock_change_is_preceded_by_a_calendar_week() -> None:
    # New York: 1 November has 25 hours
    asked = Range(datetime(2026, 11, 1, 4), datetime(2026, 11, 8, 5), "America/New_York")
    assert asked.preceding(NOW) == Preceding(
        Range(datetime(2026, 10, 25, 4), datetime(2026, 11, 1, 4), "America/New_York")
    )


def test_a_range_of_hours_is_preceded_by_as_many_hours() -> None:
    asked = Range(datetime(2026, 11, 1, 4, 30), datetime(2026, 11, 1, 9), "America/New_York")
    assert asked.preceding(NOW) == Preceding(
        Range(datetime(2026, 11, 1, 0), datetime(2026, 11, 1, 4, 30), "America/New_York")
    )


def test_an_open_range_ends_with_the_current_minute() -> None:
    asked = Range(datetime(2026, 11, 23, 1))
    assert asked.preceding(NOW) == Preceding(Range(datetime(2026, 11, 22, 22, 59), datetime(2026, 11, 23, 1)))


def test_a_week_that_is_not_over_is_compared_with_the_same_days_and_hours_of_the_week_before() -> None:
    # in Seoul the week began on Sunday, and it is Monday 12:00
    asked = Range(datetime(2026, 11, 21, 15), datetime(2026, 11, 28, 15))
    before = Range(datetime(2026, 11, 14, 15), datetime(2026, 11, 16, 3, 1))
    assert asked.preceding(NOW) == Preceding(before, partial=True)


def test_hours_that_are_not_over_are_compared_with_as_many_minutes() -> None:
    asked = Range(datetime(2026, 11, 23, 2, 30), datetime(2026, 11, 23, 4, 30), "America/New_York")
    before = Range(datetime(2026, 11, 23, 0, 30), datetime(2026, 11, 23, 1, 1), "America/New_York")
    assert asked.preceding(NOW) == Preceding(before, partial=True)


@pytest.mark.parametrize("at", ["2026-03-29T02:30", "2026-03-30T02:30"])  # Berlin: on 29 March 02:30 does not exist
def test_a_day_that_is_not_over_is_compared_by_the_clock_where_clocks_change(at: str) -> None:
    day = at[:10]
    asked = parse_range(day, f"{day[:-2]}{int(day[-2:]) + 1}", "Europe/Berlin")
    assert asked.start is not None
    now = asked.start + timedelta(hours=5)
    before = asked.preceding(now)
    assert before is not None and before.partial and before.range.end is not None
    clocks = {
        moment.replace(tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin")).time()
        for moment in (asked.elapsed_until(now), before.range.end)
    }
    assert len(clocks) == 1


@pytest.mark.parametrize(
    "asked",
    [
        Range(),
        Range(end=NOW),
        Range(datetime(2026, 12, 1)),
        Range(datetime(2026, 12, 1), datetime(2026, 12, 2)),
        Range(datetime(2026, 11, 23, 3, 1), datetime(2026, 11, 23, 3, 2)),
    ],
)
def test_a_range_without_a_start_or_in_the_future_has_no_preceding_range(asked: Range) -> None:
    assert asked.preceding(NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-01T09:00:00+09:00[Asia/Seoul]",
        "2026-11-01T00:00Z[UTC]",
        "2026-11-01T09:00 09:00[GMT 09:00]",  # a + that the client did not encode
    ],
)
def test_a_zone_in_brackets_after_an_offset_is_taken(text: str) -> None:
    assert parse_range(text, None, "UTC").start == datetime(2026, 11, 1)
    assert parse_range(None, text, "UTC").end == datetime(2026, 11, 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-11-01T09:00:00[Asia/Seoul]", "no-offset"),
        ("2026-11-01[Asia/Seoul]", "no-offset"),
        ("2026-11-01T09:00:00Z[]", "bad-date"),
        ("2026-11-01T09:00:00Z[UTC][UTC]", "bad-date"),
        ("2026-11-01T09:00:00Z[Bad]", "bad-date"),
    ],
)
def test_a_zone_in_brackets_does_not_replace_an_offset(text: str, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_range(text, None, "UTC")
    assert refused.value.code == code


def test_a_cursor_decodes_to_its_sort_key() -> None:
    assert decode_cursor(encode_cursor(NOW, 7)) == (NOW, 7)


def test_a_list_with_an_empty_entry_or_too_many_is_refused() -> None:
    assert parse_list("channels", " a, b ,a") == ("a", "b")
    assert parse_list("channels", None) == ()
    for text in ("", "a,,b", ",", ",".join(map(str, range(21)))):
        with pytest.raises(BadRequest):
            parse_list("channels", text)
    with pytest.raises(BadRequest, match="participants, views"):
        parse_metrics("reach")
