"""What an answer says about the months whose minutes are not kept."""

from datetime import datetime

from hannun.domain.buckets import Buckets, to_epoch_s
from hannun.domain.detached_months import DetachedSpan, cumulative, from_start, intervals, overlapping, unknown_buckets
from hannun.domain.ranges import Range

JANUARY = DetachedSpan(datetime(2026, 1, 1), datetime(2026, 2, 1), 10)
FEBRUARY = DetachedSpan(datetime(2026, 2, 1), datetime(2026, 3, 1), 5)
APRIL = DetachedSpan(datetime(2026, 4, 1), datetime(2026, 5, 1), 3)


def weeks(*days: tuple[int, int]) -> Buckets:
    starts = [to_epoch_s(datetime(2026, month, day)) for month, day in days]
    return Buckets(starts[:-1], [0] * (len(starts) - 1), starts[-1])


def test_a_range_overlaps_the_months_that_share_an_instant_with_it() -> None:
    months = [JANUARY, FEBRUARY, APRIL]
    assert overlapping(months, Range()) == months
    assert overlapping(months, Range(datetime(2026, 2, 1), datetime(2026, 4, 1))) == [FEBRUARY]
    assert overlapping(months, Range(start=datetime(2026, 4, 30, 23, 59))) == [APRIL]
    assert overlapping(months, Range(end=datetime(2026, 1, 1))) == []


def test_adjacent_months_are_one_interval_that_is_cut_to_the_range_and_in_its_zone() -> None:
    range_ = Range(datetime(2026, 1, 15), datetime(2026, 4, 2), "Asia/Seoul")
    assert intervals([JANUARY, FEBRUARY, APRIL], range_) == [
        "2026-01-15T09:00:00+09:00/2026-03-01T09:00:00+09:00",
        "2026-04-01T09:00:00+09:00/2026-04-02T09:00:00+09:00",
    ]


def test_of_the_month_in_which_a_range_starts_only_the_rest_is_left() -> None:
    start = datetime(2026, 2, 10)
    (february, april) = from_start([JANUARY, FEBRUARY, APRIL], start, before_in_month=2)
    assert (february, april) == (DetachedSpan(start, FEBRUARY.end, 3), APRIL)


def test_a_bucket_that_overlaps_a_month_is_unknown_and_the_total_is_known_again_at_its_end() -> None:
    buckets = weeks((2, 15), (2, 22), (3, 1), (3, 8), (4, 5), (4, 12))
    end = to_epoch_s(datetime(2026, 4, 10))
    spans = [DetachedSpan(datetime(2026, 2, 15), FEBRUARY.end, 5), APRIL]
    assert unknown_buckets(buckets, end, spans) == [True, True, False, True, True]
    kept = [0, 0, 7, 1, 0]
    assert cumulative(buckets, end, kept, 100, spans) == [None, 105, 112, None, None]
    assert cumulative(buckets, to_epoch_s(APRIL.end), kept, 100, spans) == [None, 105, 112, None, 116]


def test_without_buckets_there_is_nothing_to_say() -> None:
    assert unknown_buckets(Buckets([], [], 0), 0, [JANUARY]) == []
    assert cumulative(Buckets([], [], 0), 0, [], 7, [JANUARY]) == []
