"""Numbers, money and times in words. The page's browser tests compare them with `format.js`."""

from datetime import datetime

import pytest

from hannun.domain import wording


def test_signs_stand_for_what_is_shown() -> None:
    assert wording.signed_percent(12.345) == "+12.35%"
    assert wording.signed_percent(-3) == "−3%"
    assert wording.signed_percent(0.001) == wording.signed_percent(-0.001) == "0%"
    assert wording.signed_points(1.5, "ko") == "+1.5%p"
    assert wording.signed_points(-1.5, "en") == "−1.5 points"


def test_people_are_counted_in_both_languages() -> None:
    assert [wording.people(1_234, "ko"), wording.people(1_234, "en")] == ["1,234명", "1,234 people"]
    assert wording.people(1, "en") == "1 person"


def test_a_recent_time_has_its_day_only_if_that_is_another_one() -> None:
    noon = datetime(2026, 11, 23, 3)
    assert wording.recent_time(datetime(2026, 11, 22, 15), noon, "Asia/Seoul", "ko") == "00:00"
    assert wording.recent_time(datetime(2026, 11, 22, 14, 59), noon, "Asia/Seoul", "ko") == "11월 22일 23:59"
    assert wording.recent_time(datetime(2025, 11, 23, 3), noon, "Asia/Seoul", "ko") == "11월 23일 12:00", "a year ago"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("인스타그램", "인스타그램이"),
        ("네이버 블로그", "네이버 블로그가"),
        ("우리동네TV", "우리동네TV가"),
        ("채널 3", "채널 3이"),
        ("라디오 (서울)", "라디오 (서울)이"),
        ("Instagram", "Instagram이"),
        ("Radio", "Radio가"),
        ("Facebook", "Facebook이(가)"),
        ("☆", "☆이(가)"),
    ],
)
def test_a_particle_follows_the_last_sound(word: str, expected: str) -> None:
    assert wording.with_particle(word, "이", "가") == expected
