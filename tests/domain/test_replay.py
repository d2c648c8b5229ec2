"""A replay reads what it may, and no further."""

import pytest

from hannun.domain.positions import Known, Log
from hannun.domain.replay import begin_of_shadow, end_of_live

LOG = Log("this", low=100, high=200)


@pytest.mark.parametrize("known", [None, Known("this", 150), Known("this", 50)])
def test_a_replay_into_live_ends_where_the_log_ends(known: Known | None) -> None:
    assert end_of_live(LOG, known, stopped=False) == 200


def test_a_stopped_partition_is_read_up_to_where_it_stopped() -> None:
    assert end_of_live(LOG, Known("this", 150), stopped=True) == 150


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(None, id="never read"),
        pytest.param(Known("another", 150), id="made anew"),
        pytest.param(Known("this", 50), id="cut off below"),
        pytest.param(Known("this", 201), id="cut off above"),
    ],
)
def test_nothing_is_read_of_a_stopped_partition_whose_position_is_not_in_the_log(known: Known | None) -> None:
    assert end_of_live(LOG, known, stopped=True) == 100


def test_nothing_is_read_of_a_topic_that_was_made_anew_before_anybody_noticed() -> None:
    assert end_of_live(LOG, Known("another", 150), stopped=False) == 100


@pytest.mark.parametrize(("asked", "begins"), [(120, 120), (150, 150), (180, 150)])
def test_a_shadow_begins_no_higher_than_the_live_tables_stand(asked: int, begins: int) -> None:
    assert begin_of_shadow(asked, LOG, Known("this", 150)) == begins


def test_a_shadow_begins_where_it_is_asked_to_where_the_live_tables_say_nothing() -> None:
    assert begin_of_shadow(180, LOG, None) == 180
