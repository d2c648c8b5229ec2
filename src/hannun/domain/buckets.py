"""Where the buckets of a timeline begin, in any zone: minutes, hours, days, ISO weeks and months of its clocks.

    the zone's changes of offset ─► stretches of one offset ─► the full minutes, hours, midnights in each

Within a stretch local time is UTC plus a number, so nothing is ambiguous. At a change an hour ends early or begins
anew, and a day, week or month begins where its date is first shown: at 01:00 where midnight is skipped, at the first of
two midnights, at the next day where a whole one is left out. Instants are seconds since 1970, UTC.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hannun.domain.granularity import Granularity
from hannun.domain.ranges import RANGE_DAYS_MAX
from hannun.errors import BadRequest

POINTS_MAX = 50_000
"""The most buckets in one answer."""
HOURLY_UP_TO = timedelta(days=7)
DAY = 86_400
QUARTER = 900
"""Seconds of the roll-up that long timelines are made of."""
_LONGEST = {
    Granularity.MINUTE: 60,
    Granularity.HOURLY: 3_600 * 2,  # an hour that is repeated by a change of less than an hour
    Granularity.DAILY: DAY + 3_600 * 3,
    Granularity.WEEKLY: 7 * DAY + 3_600 * 3,
    Granularity.MONTHLY: 31 * DAY + 3_600 * 3,
}
_CLOCKS = {Granularity.MINUTE: 60, Granularity.HOURLY: 3_600}
_MONDAY = 3  # 1970-01-01 was a Thursday
_PROBE_S = DAY // 4  # no zone has changed its offset to and fro in six hours since 1970
_TIMES = [f"T{minute // 60:02}:{minute % 60:02}:00" for minute in range(1_440)]
_EPOCH = datetime(1970, 1, 1)  # without a zone on purpose, as in the database
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets that cover [from, end): each lasts until the next begins, the last until `ends`.

    `starts` are instants, also of the first bucket's own beginning before the range; `offsets` the zone's seconds east
    of UTC there.
    """

    starts: list[int]
    offsets: list[int]
    ends: int

    @property
    def grain(self) -> int:
        """The longest time in seconds of which every bucket is made, counted from the first one's start: what is summed
        up by it can be given to buckets without loss. Where all are alike it is a bucket."""
        first = self.starts[0]
        return math.gcd(self.ends - first, *(start - first for start in self.starts))

    @property
    def of_quarters(self) -> bool:
        """Whether every bucket begins at a full quarter of an hour, UTC: in all zones since 1972, but for minutes."""
        return bool(self.starts) and self.starts[0] % QUARTER == 0 and self.grain % QUARTER == 0

    def labels(self) -> list[str]:
        """Each start as ISO 8601 with the zone's offset."""
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
        """The hour of the day in which each begins, 0 to 23."""
        pairs = zip(self.starts, self.offsets, strict=True)
        return [(start + offset) % DAY // 3_600 for start, offset in pairs]

    def weekdays(self) -> list[int]:
        """The day of the week on which each begins, 1 Monday to 7."""
        pairs = zip(self.starts, self.offsets, strict=True)
        return [((start + offset) // DAY + _MONDAY) % 7 + 1 for start, offset in pairs]


def buckets(start: int, end: int, granularity: Granularity, tz: str) -> Buckets:
    """The buckets that hold a moment of [start, end); none where the range is empty.

    Raises:
        BadQuestion: there would be more than POINTS_MAX, or the range is longer than RANGE_DAYS_MAX.
    """
    if end - start > RANGE_DAYS_MAX * DAY:
        raise BadRequest(
            "the range is longer than {days_max} days, the most that is answered: name both of its ends",
            code="range-too-long",
            field="startDate",
            days_max=RANGE_DAYS_MAX,
        )
    if (end - start) // _LONGEST[granularity] > POINTS_MAX:
        raise _too_many_points()
    starts: list[int] = []
    offsets: list[int] = []
    for at, offset in _begins(start - _LONGEST[granularity] - DAY, end, granularity, tz):
        if at <= start:  # the bucket in which the range begins is the last one that began before it
            starts, offsets = [at], [offset]
        else:
            starts.append(at)
            offsets.append(offset)
            if len(starts) > POINTS_MAX:
                raise _too_many_points()
    if end <= start:
        return Buckets([], [], start)
    ends = next(at for at, _ in _begins(end - 1, end + _LONGEST[granularity] + DAY, granularity, tz))
    return Buckets(starts, offsets, ends)


def _too_many_points() -> BadRequest:
    return BadRequest(
        "more than {count_max} points, the most that is answered: ask for a shorter range or a coarser granularity",
        code="too-many-points",
        field="granularity",
        count_max=POINTS_MAX,
    )


def default_granularity(start: datetime, end: datetime) -> Granularity:
    """Hourly up to 7 days, else daily."""
    return Granularity.HOURLY if end - start <= HOURLY_UP_TO else Granularity.DAILY


def full_quarters(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """From where to where full quarters of an hour lie within [start, end), UTC; (start, start) where none does."""
    step = timedelta(seconds=QUARTER)
    first = start + (_EPOCH - start) % step
    last = end - (end - _EPOCH) % step
    return (first, last) if first < last else (start, start)


def seconds_of(moment: datetime) -> int:
    """Seconds since 1970 of an instant in UTC without a zone."""
    return int(moment.replace(tzinfo=UTC).timestamp())


def moment_of(seconds: int) -> datetime:
    """An instant in UTC without a zone."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _begins(start: int, end: int, granularity: Granularity, tz: str) -> Iterator[tuple[int, int]]:
    """Every instant after `start` and before `end` at which a bucket begins, with the zone's offset there."""
    if granularity in _CLOCKS:
        return _clock_begins(start, end, _CLOCKS[granularity], tz)
    return _date_begins(start, end, granularity, tz)


def _clock_begins(start: int, end: int, unit: int, tz: str) -> Iterator[tuple[int, int]]:
    """Full hours or minutes; and where the clock is changed: an hour is told from its repetition by its offset."""
    for first, last, offset in _stretches(start, end, tz):
        at = -(-(first + offset) // unit) * unit - offset
        if first > start and at > first:
            yield first, offset
        for begin in range(at, last, unit):
            if begin > start:
                yield begin, offset


def _date_begins(start: int, end: int, granularity: Granularity, tz: str) -> Iterator[tuple[int, int]]:
    """Where a new day, week or month is shown for the first time."""
    number = _NUMBERS[granularity]
    shown: int | None = None
    for first, last, offset in _stretches(start, end, tz):
        day = (first + offset) // DAY
        if shown is None:
            shown = number(day)
        elif number(day) > shown:  # the change led over midnight
            shown = number(day)
            yield first, offset
        while True:
            day = _next_day(day, granularity)
            at = day * DAY - offset
            if at >= last:
                break
            if number(day) > shown:
                shown = number(day)
                yield at, offset


def _next_day(day: int, granularity: Granularity) -> int:
    """The first day of the next day, week or month, in days since 1970."""
    if granularity is Granularity.DAILY:
        return day + 1
    if granularity is Granularity.WEEKLY:
        return day + 7 - (day + _MONDAY) % 7
    of = date.fromordinal(_EPOCH_ORDINAL + day)
    return date(of.year + of.month // 12, of.month % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL


def _month(day: int) -> int:
    of = date.fromordinal(_EPOCH_ORDINAL + day)
    return of.year * 12 + of.month


_NUMBERS = {
    Granularity.DAILY: lambda day: day,
    Granularity.WEEKLY: lambda day: (day + _MONDAY) // 7,
    Granularity.MONTHLY: _month,
}


def _stretches(start: int, end: int, tz: str) -> Iterator[tuple[int, int, int]]:
    """(from, to, offset) over [start, end), cut where the zone changes its offset."""
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
    """The instants of a year (UTC) from which on the zone has another offset."""
    zone = ZoneInfo(tz)
    changes = []
    known, offset = _year(year) - 1, _offset(_year(year) - 1, zone)
    for at in [*range(_year(year), _year(year + 1), _PROBE_S), _year(year + 1) - 1]:
        if (found := _offset(at, zone)) != offset:
            low, high = known, at
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(middle, zone) == offset else (low, middle)
            changes.append(high)
            offset = found
        known = at
    return tuple(changes)


def _year(year: int) -> int:
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
