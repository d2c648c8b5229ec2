"""Texts that the service writes have the forms of the page: `domain.wording` beside `format.js`."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browsing import Browser
from served import Site

from hannun.domain import wording
from hannun.domain.terms import Language

pytestmark = pytest.mark.browser

ZONES = ("Asia/Seoul", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland")
EDGES = [
    0,
    0.001,
    0.004,
    0.04,
    0.049,
    0.05,
    0.06,
    0.25,
    0.499,
    0.005,
    0.5,
    1.005,
    1.5,
    2.675,
    8.125,
    99.994,
    99.995,
    99.996,
    999.994,
    999.995,
    1_000,
    1_234.5,
]
MONEY = [
    *(
        99_999,
        99_999.5,
        100_000,
        104_999,
        105_000,
        999_499,
        999_500,
        999_994.99,
        999_995,
        1_234_567,
        9_994_999,
        9_995_000,
    ),
    *(9_999_499, 9_999_500, 10_000_000, 12_345_678, 99_994_999, 99_995_000, 99_999_999, 100_000_000, 123_456_789),
    *(9_999_994_999, 9_999_995_000, 10_000_000_000, 12_345_678_901, 999_994_999_999, 9_999_999_999_999.99),
    *(19_999_999_999, 999_949_999_999, 999_950_000_000, 1_237_149_999_999, 1_237_150_000_000, 2_000_000_000_000),
    *(9_876_543_210_123, 99_999_949_999_999, 99_999_950_000_000, 100_499_999_999_999, 100_500_000_000_000),
]
NAMES = {  # the page's function and ours, of a number
    "formatCount": lambda value, _: wording.count(value),
    "formatPercent": lambda value, _: wording.percent(value),
    "formatSignedPercent": lambda value, _: wording.signed_percent(value),
    "formatChange": wording.change,
    "formatSignedChange": wording.signed_change,
    "formatMoney": wording.won,
    "formatMoneyShort": wording.won_short,
}
TIMES = {  # and of a time
    "formatTime": lambda at, tz, _: wording.time_of_day(at, tz),
    "formatDate": wording.day,
    "formatMonthDay": lambda at, tz, _: wording.month_day(at, tz),
    "formatDateWithYear": wording.day_with_year,
    "formatDateWithTime": wording.day_with_time,
}
CALL = """async ([names, values]) => {
    const format = await import("/static/format.js");
    return names.map((name) => values.map((value) => format[name](value)));
}"""


def numbers() -> list[float]:
    chance = random.Random(14)
    some = [round(chance.choice((1, 100, 1e4, 1e6, 1e8, 1e10, 1e12, 1e15)) * chance.random(), 2) for _ in range(600)]
    return [sign * value for value in (*EDGES, *MONEY, *some) for sign in (1, -1)]


def moments() -> list[datetime]:
    chance = random.Random(41)
    clock_changes = [datetime(2026, 3, 8, 6, 59), datetime(2026, 3, 8, 7), datetime(2026, 11, 1, 5, 30)]
    return [
        *clock_changes,
        *(datetime(2020, 1, 1) + timedelta(minutes=chance.randrange(4_000_000)) for _ in range(200)),
    ]


def shown_by_page(browser: Browser, site: Site, query: str, names: Any, values: list[Any]) -> list[list[str]]:
    page = browser.new_page()
    page.goto(f"{site.address}/?{query}")
    found: list[list[str]] = page.evaluate(CALL, [list(names), values])
    return found


@pytest.mark.parametrize("language", ["ko", "en"])
def test_numbers_and_money_have_the_forms_of_the_page(browser: Browser, site: Site, language: Language) -> None:
    found = shown_by_page(browser, site, f"lang={language}", NAMES, numbers())
    for (name, ours), shown in zip(NAMES.items(), found, strict=True):
        assert dict(zip(numbers(), shown, strict=True)) == {value: ours(value, language) for value in numbers()}, name


@pytest.mark.parametrize(("language", "tz"), list(itertools.product(["ko", "en"], ZONES)))
def test_times_have_the_forms_of_the_page(browser: Browser, site: Site, language: Language, tz: str) -> None:
    instants = [at.replace(tzinfo=UTC).isoformat() for at in moments()]
    found = shown_by_page(browser, site, f"lang={language}&tz={tz}", TIMES, instants)
    for (name, ours), shown in zip(TIMES.items(), found, strict=True):
        assert dict(zip(moments(), shown, strict=True)) == {at: ours(at, tz, language) for at in moments()}, name
