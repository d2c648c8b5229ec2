"""The buckets of a timeline in any zone: minutes, hours, days, weeks and months of local time.

    the zone's changes of offset ─► spans of one offset ─► the full minutes, hours, midnights in each span

Within a span local time is UTC plus a constant, so nothing is ambiguous. At a change of offset an hour ends early or
starts again. A day, week or month starts at the first instant of its date: at 01:00 where midnight is skipped, at the
first of two midnights, at the next day where a whole day is left out. Instants are seconds since 1970, UTC.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hannun.domain.granularity import Granularity, WeekStart
from hannun.domain.ranges import RANGE_DAYS_MAX
from hannun.errors import BadRequest

POINTS_MAX = 50_000
"""The most buckets in one answer."""
HOURLY_UP_TO = timedelta(days=7)
DAY = 86_400
ROLLUP_S = 900
"""Length in seconds of a bucket of the 15-minute roll-up, which long ranges read."""
_LENGTH_MAX_S = {
    Granularity.MINUTE: 60,
    Granularity.HOURLY: 3_600 * 2,  # a change of less than an hour repeats a part of the hour
    Granularity.DAILY: DAY + 3_600 * 3,
    Granularity.WEEKLY: 7 * DAY + 3_600 * 3,
    Granularity.MONTHLY: 31 * DAY + 3_600 * 3,
}
_CLOCK_UNITS_S = {Granularity.MINUTE: 60, Granularity.HOURLY: 3_600}
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
_EPOCH_DAY_OF_WEEK = {WeekStart.MONDAY: 3, WeekStart.SUNDAY: 4}
"""The days from a week's first day to that Thursday."""
_PROBE_S = DAY // 4  # since 1970 no zone has changed its offset and back within six hours
_TIMES = [f"T{minute // 60:02}:{minute % 60:02}:00" for minute in range(1_440)]
_EPOCH = datetime(1970, 1, 1)  # without a zone on purpose, as in PostgreSQL
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Buckets:
    """Adjacent buckets that cover a range: each ends where the next starts, the last one at `end`.

    starts: instants; the first bucket may start before the range.
    offsets: the zone's seconds east of UTC at each start.
    """

    starts: list[int]
    offsets: list[int]
    end: int

    @property
    def step_s(self) -> int:
        """The longest step in seconds, counted from the first start, that never crosses a bucket's start: sums by step
        add up to the buckets. Where all buckets have the same length, it is that length."""
        first = self.starts[0]
        return math.gcd(self.end - first, *(start - first for start in self.starts))

    @property
    def is_rollup_aligned(self) -> bool:
        """Whether every bucket starts at a bucket of the roll-up: so in all zones since 1972, except for minutes."""
        return bool(self.starts) and self.starts[0] % ROLLUP_S == 0 and self.step_s % ROLLUP_S == 0

    def labels(self) -> list[str]:
        """Each start in ISO 8601 with the zone's offset."""
        days: dict[int, str] = {}
        ends = {offset: _offset_text(offset) for offset in set(self.offsets)}
        texts = []
        for start, offset in zip(self.starts, self.offsets, strict=True):
            local = start + offset
            day = local // DAY
            second = local - day * DAY
            date_ = days.get(day) or days.setdefault(day, date.fromordinal(_EPOCH_ORDINAL + day).isoformat())
            time = _TIMES[second // 60] if second % 60 == 0 else f"{_TIMES[second // 60][:-2]}{second % 60:02}"
            texts.append(f"{date_}{time}{ends[offset]}")
        return texts

    def hours(self) -> list[int]:
        """The local hour in which each bucket starts, 0 to 23."""
        pairs = zip(self.starts, self.offsets, strict=True)
        return [(start + offset) % DAY // 3_600 for start, offset in pairs]

    def weekdays(self) -> list[int]:
        """The local weekday on which each bucket starts, 1 (Monday) to 7."""
        pairs = zip(self.starts, self.offsets, strict=True)
        return [((start + offset) // DAY + _EPOCH_WEEKDAY) % 7 + 1 for start, offset in pairs]


def buckets_in(
    start: int, end: int, granularity: Granularity, tz: str, week_start: WeekStart = WeekStart.MONDAY
) -> Buckets:
    """The buckets that overlap [start, end); none where the range is empty.

    Raises:
        BadRequest: there would be more than POINTS_MAX, or the range is longer than RANGE_DAYS_MAX.
    """
    if end - start > RANGE_DAYS_MAX * DAY:
        raise BadRequest(
            "the range is longer than {days_max} days: give startDate and endDate",
            code="range-too-long",
            field="startDate",
            days_max=RANGE_DAYS_MAX,
        )
    if (end - start) // _LENGTH_MAX_S[granularity] > POINTS_MAX:
        raise _too_many_points()
    starts: list[int] = []
    offsets: list[int] = []
    for at, offset in _bucket_starts(start - _LENGTH_MAX_S[granularity] - DAY, end, granularity, tz, week_start):
        if at <= start:  # the range starts in the last bucket that starts before it
            starts, offsets = [at], [offset]
        else:
            starts.append(at)
            offsets.append(offset)
            if len(starts) > POINTS_MAX:
                raise _too_many_points()
    if end <= start:
        return Buckets([], [], start)
    later = _bucket_starts(end - 1, end + _LENGTH_MAX_S[granularity] + DAY, granularity, tz, week_start)
    last_end = next(at for at, _ in later)
    return Buckets(starts, offsets, last_end)


def _too_many_points() -> BadRequest:
    return BadRequest(
        "the answer would have more than {count_max} points: ask for a shorter range or a coarser granularity",
        code="too-many-points",
        field="granularity",
        count_max=POINTS_MAX,
    )


def default_granularity(start: datetime, end: datetime) -> Granularity:
    """Hourly up to 7 days, else daily."""
    return Granularity.HOURLY if end - start <= HOURLY_UP_TO else Granularity.DAILY


def rollup_bounds(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The part of [start, end), UTC, that whole buckets of the roll-up cover; (start, start) where none does."""
    step = timedelta(seconds=ROLLUP_S)
    first = start + (_EPOCH - start) % step
    last = end - (end - _EPOCH) % step
    return (first, last) if first < last else (start, start)


def to_epoch_s(moment: datetime) -> int:
    """Seconds since 1970 of an instant in UTC without a zone."""
    return int(moment.replace(tzinfo=UTC).timestamp())


def from_epoch_s(seconds: int) -> datetime:
    """An instant in UTC without a zone."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _bucket_starts(
    start: int, end: int, granularity: Granularity, tz: str, week_start: WeekStart
) -> Iterator[tuple[int, int]]:
    """Every bucket start after `start` and before `end`, with the zone's offset there."""
    if granularity in _CLOCK_UNITS_S:
        return _clock_starts(start, end, _CLOCK_UNITS_S[granularity], tz)
    return _date_starts(start, end, _Dates(granularity, _EPOCH_DAY_OF_WEEK[week_start]), tz)


def _clock_starts(start: int, end: int, unit: int, tz: str) -> Iterator[tuple[int, int]]:
    """Full hours or minutes, and each change of offset: the offset tells an hour from its repetition."""
    for first, last, offset in _constant_offset_spans(start, end, tz):
        first_full = -(-(first + offset) // unit) * unit - offset
        if first > start and first_full > first:
            yield first, offset
        for at in range(first_full, last, unit):
            if at > start:
                yield at, offset


def _date_starts(start: int, end: int, dates: "_Dates", tz: str) -> Iterator[tuple[int, int]]:
    """The first instant of each new day, week or month of the local date."""
    ordinal = dates.ordinal
    latest: int | None = None
    for first, last, offset in _constant_offset_spans(start, end, tz):
        day = (first + offset) // DAY
        if latest is None:
            latest = ordinal(day)
        elif ordinal(day) > latest:  # the change of offset skipped midnight
            latest = ordinal(day)
            yield first, offset
        while True:
            day = dates.next_day(day)
            at = day * DAY - offset
            if at >= last:
                break
            if ordinal(day) > latest:
                latest = ordinal(day)
                yield at, offset


@dataclass(frozen=True, slots=True)
class _Dates:
    """Days, weeks or months of local dates. Dates are days since 1970; `epoch_day_of_week` says where weeks begin."""

    granularity: Granularity
    epoch_day_of_week: int

    def ordinal(self, day: int) -> int:
        """The number of the day, week or month that holds a date. It rises with each new one."""
        if self.granularity is Granularity.DAILY:
            return day
        if self.granularity is Granularity.WEEKLY:
            return (day + self.epoch_day_of_week) // 7
        local = date.fromordinal(_EPOCH_ORDINAL + day)
        return local.year * 12 + local.month

    def next_day(self, day: int) -> int:
        """The first date of the next day, week or month."""
        if self.granularity is Granularity.DAILY:
            return day + 1
        if self.granularity is Granularity.WEEKLY:
            return day + 7 - (day + self.epoch_day_of_week) % 7
        first = date.fromordinal(_EPOCH_ORDINAL + day)
        return date(first.year + first.month // 12, first.month % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL


def _constant_offset_spans(start: int, end: int, tz: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, offset) of the spans of [start, end) in which the zone keeps its offset."""
    zone = ZoneInfo(tz)
    for year in range(datetime.fromtimestamp(start, UTC).year, datetime.fromtimestamp(end, UTC).year + 1):
        for change in _changes(tz, year):
            if start < change < end:
                yield start, change, _offset(start, zone)
                start = change
    if start < end:
        yield start, end, _offset(start, zone)


@lru_cache(maxsize=4_096)
def _changes(tz: str, year: int) -> tuple[int, ...]:
    """The instants of a year (UTC) at which the zone's offset changes, found by probing and bisection."""
    zone = ZoneInfo(tz)
    changes = []
    known, offset = _year_start(year) - 1, _offset(_year_start(year) - 1, zone)
    for at in [*range(_year_start(year), _year_start(year + 1), _PROBE_S), _year_start(year + 1) - 1]:
        if (found := _offset(at, zone)) != offset:
            low, high = known, at
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(middle, zone) == offset else (low, middle)
            changes.append(high)
            offset = found
        known = at
    return tuple(changes)


def _year_start(year: int) -> int:
    return (date(year, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY


def _offset(at: int, zone: ZoneInfo) -> int:
    """Seconds east of UTC."""
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


def _offset_text(offset: int) -> str:
    sign, offset = ("-", -offset) if offset < 0 else ("+", offset)
    seconds = f":{offset % 60:02}" if offset % 60 else ""
    return f"{sign}{offset // 3_600:02}:{offset % 3_600 // 60:02}{seconds}"
