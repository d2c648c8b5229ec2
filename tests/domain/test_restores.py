"""How long a restore took, in words."""

import pytest

from hannun.domain.restores import format_duration


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1.0 minutes"), (72_000, "1,200.0 minutes")]
)
def test_a_duration_is_in_seconds_below_a_minute_and_else_in_minutes(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected
