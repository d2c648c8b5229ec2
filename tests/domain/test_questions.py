"""Ranges, and the equal ones before them."""

from datetime import datetime

import pytest

from hannun.domain.questions import decode_cursor, encode_cursor, parse_list, parse_metrics
from hannun.domain.ranges import Range
from hannun.errors import BadRequest

NOW = datetime(2026, 11, 23, 3, 0, 30)


def test_before_a_week_in_which_the_clocks_are_changed_lies_a_week() -> None:
    # New York: 1 November has 25 hours
    asked = Range(datetime(2026, 11, 1, 4), datetime(2026, 11, 8, 5), "America/New_York")
    assert asked.preceding(NOW) == Range(datetime(2026, 10, 25, 4), datetime(2026, 11, 1, 4), "America/New_York")


def test_before_hours_lie_as_many_hours() -> None:
    asked = Range(datetime(2026, 11, 1, 4, 30), datetime(2026, 11, 1, 9), "America/New_York")
    assert asked.preceding(NOW) == Range(datetime(2026, 11, 1, 0), datetime(2026, 11, 1, 4, 30), "America/New_York")


def test_an_open_range_ends_with_this_minute() -> None:
    asked = Range(datetime(2026, 11, 23, 1))
    assert asked.preceding(NOW) == Range(datetime(2026, 11, 22, 22, 59), datetime(2026, 11, 23, 1))


@pytest.mark.parametrize("asked", [Range(), Range(end=NOW), Range(datetime(2026, 12, 1))])
def test_what_has_no_start_or_has_not_begun_has_nothing_before_it(asked: Range) -> None:
    assert asked.preceding(NOW) is None


def test_a_cursor_is_the_place_it_was_made_of() -> None:
    assert decode_cursor(encode_cursor(NOW, 7)) == (NOW, 7)


def test_lists_have_no_holes_and_an_end() -> None:
    assert parse_list("channels", " a, b ,a") == ("a", "b")
    assert parse_list("channels", None) == ()
    for text in ("", "a,,b", ",", ",".join(map(str, range(21)))):
        with pytest.raises(BadRequest):
            parse_list("channels", text)
    with pytest.raises(BadRequest, match="participants, views"):
        parse_metrics("reach")
