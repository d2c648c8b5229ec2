"""What an event's figures mean: how it goes beside the time before, when people come, and what happened when.

The sentences on it are `domain.headline` and `domain.advice`. All functions are pure.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hannun.domain import views
from hannun.domain.advice import advice_on
from hannun.domain.buckets import DAY, Buckets, to_epoch_s
from hannun.domain.channels import ChannelTable
from hannun.domain.codes import code, names_of
from hannun.domain.event_phase import Phase, phase_of
from hannun.domain.figures import (
    ComparedCounts,
    DistributionFigures,
    EventDashboardFigures,
    EventFigures,
    EventHistory,
    EventInsightsFigures,
    HourFigures,
    OutageFigures,
)
from hannun.domain.granularity import WeekStart
from hannun.domain.headline import headline
from hannun.domain.hours import DateHours
from hannun.domain.metrics import json_number, percent_change
from hannun.domain.provenance import NOT_KEPT, measured
from hannun.domain.questions import EventDashboardQuestion, InsightsQuestion
from hannun.domain.ranges import Range, days_earlier, end_of_minute, start_of_day, two_days
from hannun.domain.response_schemas import (
    WEEKDAYS,
    ComparedParticipants,
    Comparisons,
    EventInsights,
    HeatMap,
    Mark,
    ParticipantsOfPeriod,
    Provenance,
    format_instant,
    instant_of_version,
)
from hannun.domain.situation import Situation
from hannun.domain.terms import Bilingual
from hannun.domain.view_parts import period

HEAT_MAP_DAYS = 56
"""Eight weeks, with today."""
_MINUTE = timedelta(minutes=1)
MARKS_MAX = 100
"""The most marks of distributions, and of outages."""


def event_insights(question: InsightsQuestion, figures: EventInsightsFigures) -> EventInsights:
    event, now, tz = figures.event, figures.now, question.tz
    dashboard = views.event_dashboard(
        EventDashboardQuestion(question.subject), EventDashboardFigures(event, None, None, now, figures.names)
    )
    comparisons = Comparisons(_compared(figures.day), _compared(figures.week))
    hours = None if figures.hours is None else date_hours(figures.hours, *_run(event, figures.history, now))
    situation = Situation(
        now, tz, phase_of(event.status, event.starts_at, now), event.starts_at, event.ends_at, figures.history.first
    )
    as_of = instant_of_version(event.version)
    return EventInsights(
        event_id=event.event_id,
        event_title=event.title,
        status=event.status,
        tz=tz,
        as_of=format_instant(now.replace(second=0, microsecond=0), tz),
        comparisons=comparisons,
        headline=headline(dashboard, comparisons, situation),
        advice=advice_on(dashboard, comparisons, hours, situation),
        heat_map=_heat_map(figures.hours_of, hours, question.week_start),
        marks=list(_marks(event, figures.history, figures.names, now, tz)),
        provenance={
            "comparisons": measured(as_of, "count"),
            "comparisons.day.delta": measured(as_of, "percent"),
            "comparisons.week.delta": measured(as_of, "percent"),
            "heatMap": measured(as_of, "count") if hours else Provenance("unknown", None, "count", NOT_KEPT),
        },
        last_updated_at=as_of,
    )


# -- comparisons ---------------------------------------------------------------------------------------------------


def today_and_yesterday(now: datetime, tz: str) -> tuple[Range, Range] | None:
    """Today so far, and yesterday up to the same time by the clock of the zone; None where the zone's calendar left
    yesterday out."""
    days = two_days(now, tz)
    if days.yesterday is None:
        return None
    return Range(days.today.start, days.today.elapsed_until(now), tz), days.yesterday


def week_and_week_before(now: datetime, tz: str) -> tuple[Range, Range]:
    """The last 7 days up to now, and the 7 before, by the clock of the zone."""
    end = end_of_minute(now)
    start, before = days_earlier(end, 7, tz), days_earlier(end, 14, tz)
    return Range(start, end, tz), Range(before, start, tz)


def ran_in_both(event: EventFigures, first: datetime | None, before: Range, now: datetime) -> bool:
    """Whether the event runs, and has run since the beginning of the period before."""
    begun = min((at for at in (event.starts_at, first) if at is not None), default=None)
    running = phase_of(event.status, event.starts_at, now) is Phase.RUNNING
    return running and begun is not None and before.start is not None and begun <= before.start


def _compared(counts: ComparedCounts | None) -> ComparedParticipants | None:
    if counts is None:
        return None
    return ComparedParticipants(
        period(counts.period),
        counts.participants,
        ParticipantsOfPeriod(period(counts.before), counts.participants_before),
        json_number(percent_change(counts.participants, counts.participants_before)),
    )


# -- the heat map --------------------------------------------------------------------------------------------------


def hours_shown(
    event: EventFigures, history: EventHistory, kept_from: datetime | None, now: datetime, tz: str
) -> Range:
    """The whole days of the heat map: the last eight weeks in which the event ran, as far as minutes are kept.

    Where no whole day is kept, the period is that of all eight weeks: then its figures are unknown.

    Args:
        kept_from: the end of the last month whose minutes are not kept.
    """
    over = phase_of(event.status, event.starts_at, now) is Phase.OVER
    begun, until = _run(event, history, now)
    last = _local_date(until, tz)
    end = _day_start(last + timedelta(days=1), tz) if over else end_of_minute(now)
    first = max(last - timedelta(days=HEAT_MAP_DAYS - 1), _local_date(begun, tz))
    start = _day_start(first, tz)
    if kept_from is not None and kept_from > start:
        first_kept = _day_start(_local_date(kept_from - _MINUTE, tz) + timedelta(days=1), tz)
        start = first_kept if first_kept < end else start
    return Range(start, end, tz)


def _run(event: EventFigures, history: EventHistory, now: datetime) -> tuple[datetime, datetime]:
    """When the event began, or its first participant came, and until when it ran: its end, or now."""
    until = now if history.until is None else min(now, history.until)
    begun = min((at for at in (event.starts_at, history.first) if at is not None and at <= until), default=until)
    return begun, until


def date_hours(hours: HourFigures, begun: datetime, until: datetime) -> DateHours:
    """The participants by date and hour of the day. An hour that the clocks repeat is one hour.

    Args:
        begun, until: when the event ran. Participants who came after it extend it.
    """
    days, hour_of = _dates(hours.buckets), hours.buckets.hours()
    found: dict[int, list[int]] = {day: [0] * 24 for day in days}
    for index, participants in hours.filled:
        found[days[index]][hour_of[index]] += participants
    edges = [*hours.buckets.starts, hours.buckets.end]
    first, last = to_epoch_s(begun.replace(second=0)), to_epoch_s(end_of_minute(until))
    last = max([last, *(edges[index + 1] for index, _ in hours.filled if edges[index] >= last)])
    minutes = [0] * 24
    for hour, start, end in zip(hour_of, edges, edges[1:], strict=False):
        minutes[hour] += max(0, min(end, last) - max(start, first)) // 60
    return DateHours(found, minutes)


def _dates(buckets: Buckets) -> list[int]:
    """The local date of each bucket, in days since 1970."""
    return [(start + offset) // DAY for start, offset in zip(buckets.starts, buckets.offsets, strict=True)]


def _heat_map(shown: Range, hours: DateHours | None, week_start: WeekStart) -> HeatMap:
    order = list(range(7)) if week_start is WeekStart.MONDAY else [6, 0, 1, 2, 3, 4, 5]
    by_weekday = None if hours is None else hours.by_weekday()
    return HeatMap(
        period=period(shown),
        weeks=0 if hours is None else -(-len(hours.dates) // 7),
        days=[WEEKDAYS[day] for day in order],
        participants=None if by_weekday is None else [by_weekday[day] for day in order],
        total=None if hours is None else hours.total,
    )


# -- marks ---------------------------------------------------------------------------------------------------------


class _Moment(NamedTuple):
    """What a mark says, before its instants are texts."""

    at: datetime
    kind: str
    text: Bilingual
    channel: str | None = None
    until: datetime | None = None


def _marks(event: EventFigures, history: EventHistory, names: ChannelTable, now: datetime, tz: str) -> Iterator[Mark]:
    """What happened when, in the order of time."""
    moments = [
        *_moments_of_plan(event, now),
        *_moments_of_status(event, history),
        *(_moment_of_distribution(each, names.title(each.channel)) for each in history.distributions),
        *(_moment_of_outage(each, names.title(each.channel)) for each in history.outages),
    ]
    for at, kind, text, channel, until in sorted(moments, key=lambda each: (each.at, each.kind, each.channel or "")):
        title = None if channel is None else names.title(channel)
        yield Mark(format_instant(at, tz), format_instant(until, tz), kind, channel, title, text)


def _moments_of_plan(event: EventFigures, now: datetime) -> Iterator[_Moment]:
    if event.starts_at is not None:
        planned = event.starts_at > now
        text = Bilingual("시작 예정", "Planned start") if planned else Bilingual("이벤트 시작", "Event started")
        yield _Moment(event.starts_at, "event-started", text)
    if event.ends_at is not None:
        yield _Moment(event.ends_at, "event-ends", Bilingual("종료 예정", "Planned end"))


def _moments_of_status(event: EventFigures, history: EventHistory) -> Iterator[_Moment]:
    """The newest change of the status. That an event is ACTIVE from its creation on is no change."""
    if history.status_at is None or (event.status == "ACTIVE" and history.status_at == history.planned_at):
        return
    status = code(event.status, names_of("status") or {})
    text = Bilingual(f"상태: {status.name('ko')}", f"Status: {status.name('en')}")
    yield _Moment(history.status_at, "status-changed", text)


def _moment_of_distribution(found: DistributionFigures, title: Bilingual) -> _Moment:
    if found.state == "SUCCESS":
        text = Bilingual(f"{title.ko} 배포", f"Distributed on {title.en}")
        return _Moment(found.completed_at, "distribution-succeeded", text, found.channel)
    text = Bilingual(f"{title.ko} 배포 실패", f"Distribution on {title.en} failed")
    return _Moment(found.completed_at, "distribution-failed", text, found.channel)


def _moment_of_outage(found: OutageFigures, title: Bilingual) -> _Moment:
    text = Bilingual(f"{title.ko} 응답 없음", f"No answer from {title.en}")
    if found.held:
        text = Bilingual(f"{title.ko} 측정 멈춤", f"{title.en} not measured")
    return _Moment(found.began_at, "channel-outage", text, found.channel, found.ended_at)


def _day_start(day: date, tz: str) -> datetime:
    return start_of_day(day.isoformat(), ZoneInfo(tz))


def _local_date(moment: datetime, tz: str) -> date:
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(tz)).date()
