"""Which events are polled first, where a budget does not reach all of them."""

import random

import pytest

from hannun.domain.poll_order import ENDING_WEIGHT, ENDS_SOON_S, MOVING_WEIGHT, Pollable, in_order, score, weight

WEIGHT_MAX = MOVING_WEIGHT * ENDING_WEIGHT


def order(*events: Pollable) -> list[int]:
    return [event.event_no for event in in_order(events)]


def test_the_oldest_comes_first() -> None:
    assert order(Pollable(1, 300), Pollable(2, 900), Pollable(3, 600)) == [2, 3, 1]


def test_an_event_without_a_poll_comes_before_all_others() -> None:
    assert order(Pollable(1, 1e9, WEIGHT_MAX), Pollable(2, None), Pollable(3, None, 2)) == [3, 2, 1]


def test_an_event_that_moves_comes_before_one_that_is_up_to_twice_as_old() -> None:
    assert order(Pollable(1, 599), Pollable(2, 300, 2)) == [2, 1]
    assert order(Pollable(1, 601), Pollable(2, 300, 2)) == [1, 2]


@pytest.mark.parametrize(
    ("moving", "ends_in_s", "expected"),
    [
        (False, None, 1),
        (True, None, 2),
        (False, ENDS_SOON_S, 2),
        (False, ENDS_SOON_S + 1, 1),
        (True, 60.0, WEIGHT_MAX),
        (True, -1.0, 2),
    ],
)
def test_moving_and_ending_soon_double_the_weight_each(moving: bool, ends_in_s: float | None, expected: int) -> None:
    assert weight(moving=moving, ends_in_s=ends_in_s) == expected


def test_a_poll_in_the_future_is_no_negative_age() -> None:
    assert score(Pollable(1, -5.0)) == 0


@pytest.mark.parametrize("seed", range(10))
def test_nobody_starves_whatever_moves(seed: int) -> None:
    """Events change their weight at any time. Each is polled within the rounds that all events of the highest weight
    take."""
    dice, events, a_round = random.Random(seed), 60, 5
    ages = dict.fromkeys(range(events), 0.0)
    for _ in range(600):
        chosen = in_order(Pollable(no, age, dice.choice([1, 2, WEIGHT_MAX])) for no, age in ages.items())[:a_round]
        ages = {no: age + 1 for no, age in ages.items()} | {event.event_no: 1.0 for event in chosen}
        assert max(ages.values()) <= WEIGHT_MAX * events / a_round


def test_a_light_event_among_heavy_ones_is_polled_in_its_turn() -> None:
    events, a_round = 40, 4
    ages = dict.fromkeys(range(events), 0.0)
    oldest = 0.0
    for _ in range(1_000):
        chosen = in_order(Pollable(no, age, 1 if no == 0 else WEIGHT_MAX) for no, age in ages.items())[:a_round]
        ages = {no: age + 1 for no, age in ages.items()} | {event.event_no: 1.0 for event in chosen}
        oldest = max(oldest, ages[0])
    assert oldest <= WEIGHT_MAX * events / a_round + 1


@pytest.mark.parametrize("heavy_share", [0.0, 0.1, 0.5, 0.9])
def test_nobody_becomes_older_than_promised_while_new_events_come_first(heavy_share: float) -> None:
    """No event has been polled yet: those of the first rounds wait until all others had their turn."""
    events, a_round = 300, 6
    weights = [WEIGHT_MAX if no < heavy_share * events else 1 for no in range(events)]
    everyone = events / a_round
    promised = everyone * sum(weights) / events
    ages: dict[int, float | None] = dict.fromkeys(range(events))
    for _ in range(1_000):
        chosen = in_order((Pollable(no, age, weights[no]) for no, age in ages.items()), everyone)[:a_round]
        for event in chosen:
            assert event.age_s is None or event.age_s <= promised + 1
        ages = {no: None if age is None else age + 1 for no, age in ages.items()}
        ages |= {event.event_no: 1.0 for event in chosen}
