"""How often advice is right over thousands of simulated events whose truth is known.

People come by chance, as a Poisson process. Where channels or hours do not differ, an advice that names one is a false
alarm: rarer than the level. Where they differ enough, it must be said, and name the right one. The seeds are fixed, so
each run simulates the same events.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from random import Random

import pytest
from made_dashboards import NAMES, channel, dashboard

from hannun.domain.advice import LEVEL, advice_on
from hannun.domain.buckets import Buckets, buckets_in, to_epoch_s
from hannun.domain.event_phase import Phase
from hannun.domain.figures import HourFigures
from hannun.domain.granularity import Granularity
from hannun.domain.insights import date_hours
from hannun.domain.response_schemas import Advice, Comparisons
from hannun.domain.situation import Situation

EVENTS = 10_000
NOW = datetime(2026, 11, 23, 3)
RUNNING = Situation(NOW, "Asia/Seoul", Phase.RUNNING, NOW - timedelta(20), NOW + timedelta(20), None)
NOTHING_BEFORE = Comparisons(None, None)


def poisson(chance: Random, mean: float) -> int:
    """A random count; for large means rounded from a normal one, which differs by less than a test can see."""
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    product, count = chance.random(), 0
    while product > math.exp(-mean):
        product *= chance.random()
        count += 1
    return count


# -- channels ------------------------------------------------------------------------------------------------------


def best_channel(chance: Random, participants: float, factors: Sequence[float]) -> str | None:
    """Whom the advice names, where each channel brings so many times as many participants for its money."""
    costs = [chance.choice([5_000, 30_000, 100_000, 400_000]) for _ in factors]
    total = sum(cost * factor for cost, factor in zip(costs, factors, strict=True))
    channels = [
        channel(name, poisson(chance, participants * cost * factor / total), cost)
        for name, cost, factor in zip(NAMES, costs, factors, strict=False)
    ]
    return named(advice_on(dashboard(channels, recorded=10**12), NOTHING_BEFORE, None, RUNNING))


def named(found: list[Advice]) -> str | None:
    return next((each.facts[0].path.split(".")[1] for each in found if each.code == "best-channel"), None)


def test_where_channels_bring_as_many_for_their_money_one_is_hardly_ever_called_the_cheapest() -> None:
    chance = Random(1)
    alarms = sum(
        best_channel(chance, chance.choice([40, 200, 2_000]), [1.0] * chance.randint(2, 6)) is not None
        for _ in range(EVENTS)
    )
    assert alarms <= LEVEL * EVENTS


@pytest.mark.parametrize(("participants", "power"), [(300, 0.5), (1_000, 0.9), (5_000, 0.99)])
def test_a_channel_that_brings_twice_as_many_for_its_money_is_named(participants: int, power: float) -> None:
    chance = Random(2)
    names = [best_equal_costs(chance, participants) for _ in range(1_000)]
    assert names.count(NAMES[0]) >= power * len(names)
    assert len(names) - names.count(None) - names.count(NAMES[0]) <= LEVEL * len(names)


def best_equal_costs(chance: Random, participants: int) -> str | None:
    """Whom the advice names among three channels of equal costs, the first of which brings twice as many."""
    channels = [
        channel(name, poisson(chance, participants * factor / 4), 100_000)
        for name, factor in zip(NAMES, (2, 1, 1), strict=False)
    ]
    return named(advice_on(dashboard(channels, recorded=10**12), NOTHING_BEFORE, None, RUNNING))


@pytest.mark.parametrize(("participants", "power"), [(1_000, 0.8), (8_000, 0.99)])
def test_two_channels_that_are_alike_are_named_together_where_others_cost_many_times_as_much(
    participants: int, power: float
) -> None:
    chance = Random(6)
    groups = [cheap_group(chance, participants, (23, 23, 4, 1)) for _ in range(1_000)]
    truth = set(NAMES[:2])
    assert groups.count(truth) >= power * len(groups)
    # One of the two is called cheaper than the other, or a dear one is called cheap, as rarely as the level says.
    assert sum(bool(each) and not each <= truth for each in groups) <= LEVEL * len(groups)
    assert sum(each < truth for each in groups if each) <= LEVEL * len(groups)


def cheap_group(chance: Random, participants: int, factors: Sequence[float]) -> set[str]:
    """The channels that the advice calls cheapest, where all cost as much and bring so many times as many."""
    channels = [
        channel(name, poisson(chance, participants * factor / sum(factors)), 100_000)
        for name, factor in zip(NAMES, factors, strict=False)
    ]
    found = advice_on(dashboard(channels, recorded=10**12), NOTHING_BEFORE, None, RUNNING)
    texts = [each.text.en for each in found if each.code == "best-channel" and " least " in each.text.en]
    return {
        each.channel_name for each in channels for text in texts if each.channel_title.en in text.split(" least ")[0]
    }


def test_a_channel_that_few_came_through_does_not_silence_what_is_certain_of_the_others() -> None:
    channels = [channel(NAMES[0], 5_000, 75_000), channel(NAMES[1], 400, 136_400), channel(NAMES[2], 1, 40)]
    found = advice_on(dashboard(channels, recorded=10**12), NOTHING_BEFORE, None, RUNNING)
    [said] = [each for each in found if each.code == "best-channel"]
    assert "₩15" in said.text.en and "₩341, 22.7 times as much" in said.text.en
    assert "least" not in said.text.en  # nobody knows that of the third one


def test_a_difference_that_helps_nobody_is_not_said_however_certain_it_is() -> None:
    million = 1_000_000
    channels = [channel(NAMES[0], 105 * million // 100, million), channel(NAMES[1], million, million)]
    assert named(advice_on(dashboard(channels, recorded=10**12), NOTHING_BEFORE, None, RUNNING)) is None


# -- hours ---------------------------------------------------------------------------------------------------------

LIVES = [  # when an event began, and now: whole days, parts of days, and days on which the clocks change
    ("Asia/Seoul", "2026-11-18T00:00", "2026-11-22T23:59"),
    ("Asia/Seoul", "2026-11-20T18:00", "2026-11-22T21:00"),
    ("Asia/Kathmandu", "2026-11-19T09:20", "2026-11-22T11:50"),
    ("America/St_Johns", "2026-10-31T22:00", "2026-11-03T01:40"),
    ("Australia/Lord_Howe", "2026-04-04T00:00", "2026-04-06T23:59"),
]


@cache
def hours_of(tz: str, begun: str, now: str) -> Buckets:
    midnight = datetime.fromisoformat(begun) - timedelta(days=1)
    return buckets_in(to_epoch_s(midnight), to_epoch_s(datetime.fromisoformat(now)), Granularity.HOURLY, tz)


def busy_hours(chance: Random, life: tuple[str, str, str], mean: float, factor: float = 1.0) -> str | None:
    """The text of the advice, where `mean` people come in an hour, and so many times as many from 18 to 21."""
    _, begun, now = life
    buckets = hours_of(*life)
    first, last = (to_epoch_s(datetime.fromisoformat(each)) for each in (begun, now))
    filled = []
    edges = [*buckets.starts, buckets.end]
    for index, hour in enumerate(buckets.hours()):
        seconds = max(0, min(edges[index + 1], last + 60) - max(edges[index], first))
        count = poisson(chance, mean * seconds / 3_600 * (factor if 18 <= hour < 21 else 1))
        filled += [(index, count)] if count else []
    hours = date_hours(HourFigures(buckets, filled), datetime.fromisoformat(begun), datetime.fromisoformat(now))
    found = advice_on(dashboard([], unattributed=hours.total, recorded=1), NOTHING_BEFORE, hours, RUNNING)
    return next((each.text.en for each in found if each.code == "busy-hours"), None)


@pytest.mark.parametrize("life", LIVES)
def test_where_people_come_evenly_no_hours_are_hardly_ever_called_busy(life: tuple[str, str, str]) -> None:
    chance = Random(3)
    each = EVENTS // len(LIVES)
    alarms = sum(busy_hours(chance, life, chance.choice([1, 10, 200, 20_000])) is not None for _ in range(each))
    assert alarms <= LEVEL * each


@pytest.mark.parametrize(("mean", "power"), [(10, 0.9), (20, 0.99)])
def test_hours_in_which_twice_as_many_come_are_named(mean: int, power: float) -> None:
    chance = Random(4)
    texts = [busy_hours(chance, LIVES[0], mean, factor=2) for _ in range(200)]
    assert texts.count("Most come between 18:00 and 21:00. Post your news just before.") >= power * len(texts)


def test_hours_that_are_a_little_busier_are_not_named_however_many_come() -> None:
    assert busy_hours(Random(5), LIVES[0], 1_000_000, factor=1.05) is None
