"""Views of figures, without a database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.buckets import buckets_in, to_epoch_s
from hannun.domain.figures import TimelineFigures, TimelineHead, TimelineViewFigures
from hannun.domain.granularity import Granularity
from hannun.domain.questions import EventSubject, TimelineQuestion
from hannun.domain.ranges import Range
from hannun.domain.trend import Trend
from hannun.domain.views import event_timeline

quick = settings(derandomize=True, deadline=None, max_examples=100, database=None)
HOUR = timedelta(hours=1)
BEGAN = datetime(2026, 11, 23, 9)


def trend_of(
    participants: Sequence[int],
    *,
    hours_before: int = 0,
    hours_after: int = 0,
    planned: bool = False,
    ended: bool = False,
) -> Trend:
    """The trend of an event that has these participants in each hour from its beginning on, over a range that starts
    some hours before and ends some hours after. Now is the end of the range."""
    start, over = BEGAN - hours_before * HOUR, BEGAN + len(participants) * HOUR
    end = over + hours_after * HOUR
    came = [BEGAN + hour * HOUR for hour, count in enumerate(participants) if count]
    head = TimelineHead(
        owner="u1",
        version=1,
        changed_at_us=1,
        participants=sum(participants),
        event_nos=[1],
        measured={},
        first=came[0] if came else None,
        last=came[-1] if came else None,
        begins=BEGAN if planned else None,
        ended=over if ended else None,
    )
    buckets = buckets_in(to_epoch_s(start), to_epoch_s(end), Granularity.HOURLY, "UTC")
    filled = [(hours_before + hour, count, 0, 0, 0) for hour, count in enumerate(participants) if count]
    question = TimelineQuestion(EventSubject("e1"), Range(start, end, "UTC"), Granularity.HOURLY)
    counted = TimelineFigures(filled, before=0)
    figures = TimelineViewFigures(head, Granularity.HOURLY, buckets, counted, end=to_epoch_s(end), now=end)
    return event_timeline(question, figures).trend


participants_of_hours = st.lists(st.integers(0, 50), min_size=1, max_size=40)


@quick
@given(participants_of_hours, st.integers(0, 48))
def test_the_time_before_an_event_began_does_not_change_its_trend(participants: list[int], before: int) -> None:
    assert trend_of(participants, hours_before=before, planned=True) == trend_of(participants, planned=True)
    since_first = [1, *participants]  # an event without a planned start begins with its first participant
    assert trend_of(since_first, hours_before=before) == trend_of(since_first)


@quick
@given(participants_of_hours, st.integers(0, 48))
def test_the_time_after_an_event_ended_does_not_change_its_trend(participants: list[int], after: int) -> None:
    planned = trend_of(participants, hours_after=after, planned=True, ended=True)
    assert planned == trend_of(participants, planned=True, ended=True)


def test_an_event_that_falls_from_its_first_hour_on_has_a_falling_trend() -> None:
    falling = [40, 36, 33, 27, 25, 20, 16, 11, 9, 4]
    assert trend_of(falling, hours_before=38).direction == "down"


def test_an_event_that_nobody_visits_any_more_has_a_falling_trend_while_it_runs() -> None:
    assert trend_of([9, 8, 9, 8, 9, 8], hours_after=12).direction == "down"
