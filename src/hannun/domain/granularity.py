"""The bucket sizes of a timeline."""

from enum import StrEnum


class Granularity(StrEnum):
    MINUTE = "minute"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
