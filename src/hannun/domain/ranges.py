"""Ranges of time in a zone, and where their days begin."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hannun.errors import BadRequest

DEFAULT_TZ = "Asia/Seoul"

RANGE_DAYS_MAX = 36_525

"""The longest range: a hundred years."""

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Range:
    """[start, end) in a zone. Instants are UTC without a zone, cut to the minute; None is open."""

    start: datetime | None = None
    end: datetime | None = None
    tz: str = DEFAULT_TZ

    def __post_init__(self) -> None:
        if self.start is None or self.end is None:
            return
        if self.start >= self.end:
            raise BadRequest("startDate is not before endDate", code="empty-range", field="startDate")
        if self.end - self.start > timedelta(days=RANGE_DAYS_MAX):
            raise BadRequest(
                "the range is longer than {days_max} days, the most that is answered: ask for less",
                code="range-too-long",
                field="startDate",
                days_max=RANGE_DAYS_MAX,
            )

    @property
    def bounded(self) -> bool:
        return self.start is not None or self.end is not None

    @property
    def plain(self) -> bool:
        """Everything so far, in the default zone: what is kept in the cache."""
        return not self.bounded and self.tz == DEFAULT_TZ

    def until(self, now: datetime) -> datetime:
        """Where the range ends, or the minute after `now` where it is open."""
        return self.end if self.end is not None else now.replace(second=0, microsecond=0) + _MINUTE

    def before(self, now: datetime) -> "Range | None":
        """The equal range that ends where this one starts; None where this one has no start, or is not there yet.

        Days are days of the clock: before a week in which the clocks are changed lies a week, and not 168 hours.
        """
        if self.start is None:
            return None
        end = self.until(now)
        zone = ZoneInfo(self.tz)
        starts, ends = (moment.replace(tzinfo=UTC).astimezone(zone) for moment in (self.start, end))
        days = ends.date() - starts.date()
        start = self.start - (end - self.start)
        if _begins_a_day(starts) and _begins_a_day(ends):
            start = _utc(datetime.combine(starts.date() - days, time(), zone))
        return Range(start, self.start, self.tz) if start < self.start else None


def _begins_a_day(moment: datetime) -> bool:
    return _utc(moment) == _utc(datetime.combine(moment.date(), time(), moment.tzinfo))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


EVERYTHING = Range()


def day(text: str, zone: ZoneInfo) -> datetime:
    """Where a date begins in a zone, UTC without a zone. At a change of the clock, the first moment of that date."""
    return _utc(datetime.combine(date.fromisoformat(text), time(), zone))
