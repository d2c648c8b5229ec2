"""The ranges that a replay reads, and its progress."""

import pytest

from hannun.domain.positions import KnownPosition, PartitionLog
from hannun.domain.replay import Progress, live_end, shadow_start

LOG = PartitionLog("this", low=100, high=200)


@pytest.mark.parametrize("known", [None, KnownPosition("this", 150), KnownPosition("this", 50)])
def test_a_replay_into_live_ends_where_the_log_ends(known: KnownPosition | None) -> None:
    assert live_end(LOG, known, stopped=False) == 200


def test_a_stopped_partition_is_read_up_to_its_position() -> None:
    assert live_end(LOG, KnownPosition("this", 150), stopped=True) == 150


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(None, id="never read"),
        pytest.param(KnownPosition("another", 150), id="recreated"),
        pytest.param(KnownPosition("this", 50), id="before the log begins"),
        pytest.param(KnownPosition("this", 201), id="after the log ends"),
    ],
)
def test_nothing_is_read_of_a_stopped_partition_whose_position_is_not_in_the_log(known: KnownPosition | None) -> None:
    assert live_end(LOG, known, stopped=True) == 100


def test_nothing_is_read_of_a_recreated_topic_also_before_a_consumer_notices_it() -> None:
    assert live_end(LOG, KnownPosition("another", 150), stopped=False) == 100


@pytest.mark.parametrize(("requested", "start"), [(120, 120), (150, 150), (180, 150)])
def test_a_shadow_starts_no_higher_than_the_live_position(requested: int, start: int) -> None:
    assert shadow_start(requested, LOG, KnownPosition("this", 150)) == start


def test_a_shadow_starts_where_requested_without_a_live_position() -> None:
    assert shadow_start(180, LOG, None) == 180


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        pytest.param(
            Progress(done=2_500, total=10_000, messages=2_000, took_s=20.0),
            "2,500 of 10,000 offsets (25 %), 100 messages/s, 0:01:00 left",
            id="under way",
        ),
        pytest.param(
            Progress(done=999_999, total=1_000_000, messages=3_000_000, took_s=1.0),
            "999,999 of 1,000,000 offsets (99 %), 3,000,000 messages/s, 0:00:00 left",
            id="the share is rounded down",
        ),
        pytest.param(
            Progress(done=1, total=101, messages=1, took_s=38.0),
            "1 of 101 offsets (0 %), 0 messages/s, 1:03:20 left",
            id="slow",
        ),
        pytest.param(
            Progress(done=0, total=10_000, messages=0, took_s=2.0),
            "0 of 10,000 offsets (0 %), 0 messages/s",
            id="no remaining time yet",
        ),
        pytest.param(
            Progress(done=0, total=0, messages=0, took_s=0.0),
            "0 of 0 offsets (100 %), 0 messages/s",
            id="nothing to do",
        ),
    ],
)
def test_progress_shows_its_share_its_rate_and_the_remaining_time(progress: Progress, text: str) -> None:
    assert str(progress) == text
