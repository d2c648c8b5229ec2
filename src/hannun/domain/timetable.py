"""When a periodic job is due: a cron expression of six fields, seconds first, in UTC.

0 */5 * * * *      every five minutes
0 0 */2 * * *      every two hours, on the hour
"""

import itertools
from datetime import datetime, timedelta
from functools import cached_property

from cronsim import CronSim, CronSimError

FIELDS = 6
COMPARED = timedelta(days=8)
COMPARED_IF_DAILY = timedelta(days=1)
"""A timetable for every day is the same each day."""
TIMES_COMPARED_MAX = 5_000
"""The times of so many days, at most so many, decide how long a period is: so nights and week-ends are seen."""
PERIOD_MIN = timedelta(seconds=10)


class Timetable:
    """The times at which a job is due. Times are in UTC, without a zone.

    Args:
        expression: second, minute, hour, day, month, weekday.

    Raises:
        ValueError: it is no such expression, never comes due, or comes due more often than every `PERIOD_MIN`.
    """

    def __init__(self, expression: str) -> None:
        if len(expression.split()) != FIELDS:
            raise ValueError(f"{expression!r} has not six fields: second minute hour day month weekday")
        self.expression = expression
        try:
            next(CronSim(expression, datetime(2026, 1, 1)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(f"{expression!r} is no timetable: {error or 'it never comes due'}") from error
        if self._gaps and min(self._gaps) < PERIOD_MIN:
            raise ValueError(f"{expression!r} comes due more often than every {PERIOD_MIN.seconds} seconds")

    def latest(self, now: datetime) -> datetime:
        """The newest time that is not after `now`."""
        return next(CronSim(self.expression, now.replace(microsecond=0) + timedelta(seconds=1), reverse=True))

    def following(self, now: datetime) -> datetime:
        """The first time after `now`."""
        return next(CronSim(self.expression, now))

    @property
    def period(self) -> timedelta:
        """The longest time between two times in a row."""
        return max(self._gaps)

    @cached_property
    def _gaps(self) -> list[timedelta]:
        times = self._times_after(datetime(2026, 1, 1))
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    def _times_after(self, start: datetime) -> list[datetime]:
        times: list[datetime] = []
        compared = COMPARED_IF_DAILY if self.expression.split()[3:] == ["*", "*", "*"] else COMPARED
        for time in itertools.islice(CronSim(self.expression, start), TIMES_COMPARED_MAX):
            times.append(time)
            if len(times) > 1 and time - times[0] > compared:
                break
        return times
