"""Time ranges in a zone: reading them from text, and the equal range before one."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from hannun.domain.instants import NoOffset, no_offset, parse_instant_with_offset, to_naive_utc
from hannun.errors import BadRequest

DEFAULT_TZ = "Asia/Seoul"

RANGE_DAYS_MAX = 36_525
"""The longest range that a caller may ask for: a hundred years."""

_FIRST, _END = datetime(1970, 1, 1), datetime(9998, 1, 1)
"""Instants that every zone and every driver on the way can express; the same bounds as for messages."""
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Range:
    """[start, end) in a zone. Both are instants in UTC without a zone, cut to the minute; None is open."""

    start: datetime | None = None
    end: datetime | None = None
    tz: str = DEFAULT_TZ

    def __post_init__(self) -> None:
        if self.start is None or self.end is None:
            return
        if self.start >= self.end:
            raise BadRequest("startDate is not before endDate", code="empty-range", field="startDate")

    @property
    def is_bounded(self) -> bool:
        return self.start is not None or self.end is not None

    @property
    def is_default(self) -> bool:
        """Whether it is all time in the default zone: only answers over such a range are cached."""
        return not self.is_bounded and self.tz == DEFAULT_TZ

    def end_or_now(self, now: datetime) -> datetime:
        """The end of the range; of an open range the end of the current minute."""
        return self.end if self.end is not None else end_of_minute(now)

    def elapsed_until(self, now: datetime) -> datetime:
        """Where the part of the range that has elapsed ends: at the end of the current minute, or of the range."""
        return min(self.end_or_now(now), end_of_minute(now))

    def preceding(self, now: datetime) -> "Preceding | None":
        """The range of equal length that ends where this one starts. None where this one has no start or lies in the
        future, and where the range before would start before 1970, the first instant that messages can have.

        A range of whole days is preceded by as many days of the zone's calendar: the week before a week with a clock
        change is 7 days, not 168 hours. Of a range that is not over, only the part before that has elapsed likewise is
        comparable: on Wednesday at 15:00 it ends on the Wednesday before at 15:00, by the zone's clock.
        """
        if self.start is None:
            return None
        end, elapsed_until = self.end_or_now(now), self.elapsed_until(now)
        if elapsed_until <= self.start or end - self.start > self.start - _FIRST:
            return None
        zone = ZoneInfo(self.tz)
        starts, ends = (at.replace(tzinfo=UTC).astimezone(zone) for at in (self.start, end))
        whole_days = _begins_a_day(starts) and _begins_a_day(ends)
        days = ends.date() - starts.date()
        start = self.start - (end - self.start)
        if whole_days:
            start = _midnight(starts.date() - days, zone)
        if not _FIRST <= start < self.start:
            return None
        if elapsed_until == end:
            return Preceding(Range(start, self.start, self.tz))
        by_clock = days_earlier(elapsed_until, days.days, self.tz)
        if not whole_days or by_clock <= start:  # clocks set back over midnight show the time of the day before again
            by_clock = start + (elapsed_until - self.start)
        return Preceding(Range(start, min(by_clock, self.start), self.tz), partial=True)


@dataclass(frozen=True, slots=True)
class Preceding:
    """The range before a range, to compare with. `partial`: the range is not over, so this is only as much of the one
    before as has elapsed of it."""

    range: Range
    partial: bool = False


def end_of_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + _MINUTE


def days_earlier(moment: datetime, days: int, tz: str) -> datetime:
    """When the clock of the zone showed the same time so many days before, UTC without a zone. Where it skipped that
    time: the first minute after it."""
    zone = ZoneInfo(tz)
    there = moment.replace(tzinfo=UTC).astimezone(zone)
    wanted = datetime.combine(there.date() - timedelta(days=days), there.time().replace(fold=there.fold))
    found = to_naive_utc(wanted.replace(tzinfo=zone))
    if _clock(found, zone) > wanted:
        while _clock(found - _MINUTE, zone) >= wanted:
            found -= _MINUTE
    return found


def _clock(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)


def _begins_a_day(moment: datetime) -> bool:
    return to_naive_utc(moment) == to_naive_utc(datetime.combine(moment.date(), time(), moment.tzinfo))


ALL_TIME = Range()


@dataclass(frozen=True, slots=True)
class TwoDays:
    """Today, and yesterday up to the same time of day by the zone's clock.

    yesterday: None where the zone's calendar left that day out.
    clocks_change: whether either day has more or less than 24 hours.
    """

    today: Range
    yesterday: Range | None
    clocks_change: bool


def two_days(now: datetime, tz: str) -> TwoDays:
    """The days of a zone at `now`, UTC without a zone."""
    zone = ZoneInfo(tz)
    date_ = now.replace(tzinfo=UTC).astimezone(zone).date()
    before, start, end = (_midnight(date_ + timedelta(days=days), zone) for days in (-1, 0, 1))
    today = Range(start, end, tz)
    preceding = today.preceding(now)
    yesterday = None if preceding is None else preceding.range
    return TwoDays(today, yesterday, clocks_change=not start - before == end - start == timedelta(days=1))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Where a day begins, UTC without a zone. Where a clock change skips midnight: its first instant."""
    return to_naive_utc(datetime.combine(day, time(), zone))


# -- reading a range from text -------------------------------------------------------------------------------------

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_range(start: str | None, end: str | None, tz: str) -> Range:
    """The range between two texts, each an instant with an offset or a date in the zone `tz`; None is open.

    Raises:
        BadRequest: unknown zone, an unreadable or impossible text, an instant without an offset, an empty range, or one
            that is too long.
    """
    zone = _zone(tz)
    first, last = _parse_instant("startDate", start, zone), _parse_instant("endDate", end, zone)
    requested = Range(first, last, tz)
    # checked here and not in `Range`: a range before this one can be an hour longer, where the clocks change
    if first is not None and last is not None and last - first > timedelta(days=RANGE_DAYS_MAX):
        raise BadRequest(
            "the range is longer than {days_max} days: ask for a shorter one",
            code="range-too-long",
            field="startDate",
            days_max=RANGE_DAYS_MAX,
        )
    return requested


@cache
def zone_names() -> frozenset[str]:
    """The zones that PostgreSQL knows too. `localtime` and `Factory` are files in the same folder that it does not."""
    return frozenset(available_timezones()) - {"Factory", "localtime"}


def _zone(name: str) -> ZoneInfo:
    try:
        if name in zone_names():
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise BadRequest(
        "no zone is named {name!r}: give an IANA name, as in Asia/Seoul", code="unknown-zone", field="tz", name=name
    )


def _parse_instant(field: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    """UTC without a zone, cut to the minute."""
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            moment = start_of_day(text, zone)
        else:
            moment = to_naive_utc(_parse_query_instant(text))
        moment = moment.replace(second=0, microsecond=0)
        if not _FIRST <= moment < _END:
            raise BadRequest("{field} is before 1970 or after 9997", code="bad-date", field=field)
        return moment
    except NoOffset as error:
        raise no_offset(field) from error
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            "{field} is neither an ISO 8601 instant with an offset nor a date", code="bad-date", field=field
        ) from error


def _parse_query_instant(text: str) -> datetime:
    """An instant in a query string. A + that the client did not encode arrives as a space."""
    clock_begins = len("0000-00-00T")
    if (
        len(text) <= clock_begins
    ):  # a date in another form than that of `start_of_day`: an offset would not make it right
        raise ValueError(text)
    return parse_instant_with_offset(text[:clock_begins] + text[clock_begins:].replace(" ", "+"))


def start_of_day(text: str, zone: ZoneInfo) -> datetime:
    """Where a date begins in a zone, UTC without a zone, as `_midnight`."""
    return _midnight(date.fromisoformat(text), zone)
