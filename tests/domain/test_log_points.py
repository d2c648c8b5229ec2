"""The points in a log that commands take."""

from datetime import UTC, datetime

import pytest

from hannun.cli.positions import parse_log_point
from hannun.errors import OperatorError


@pytest.mark.parametrize(
    "text", ["2026-11-20T10:00:00Z", "2026-11-20T19:00:00+09:00", "2026-11-20T19:00+09:00[Asia/Seoul]"]
)
def test_an_instant_with_an_offset_is_a_point_in_a_log(text: str) -> None:
    assert parse_log_point(text, "--to") == datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11-20T19:00:00", "2026-11-20T19:00:00[Asia/Seoul]", "[UTC]", "yesterday"])
def test_an_instant_without_an_offset_is_no_point_in_a_log(text: str) -> None:
    with pytest.raises(OperatorError, match="is not a point in a log"):
        parse_log_point(text, "--to")


def test_more_digits_than_an_offset_has_are_no_point_in_a_log() -> None:
    assert parse_log_point(str(2**63 - 1), "--to") == 2**63 - 1
    with pytest.raises(OperatorError, match="is not a point in a log"):
        parse_log_point("9" * 5_000, "--to")
