"""The bucket sizes of a timeline, and where its weeks begin."""

from enum import StrEnum


class Granularity(StrEnum):
    MINUTE = "minute"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class WeekStart(StrEnum):
    """The first day of a week."""

    MONDAY = "monday"
    SUNDAY = "sunday"
