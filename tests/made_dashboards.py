"""Dashboards for tests of sentences: only what advice and headlines use differs."""

from datetime import datetime
from typing import Any

from hannun.domain.channels import load_table
from hannun.domain.hours import DateHours
from hannun.domain.response_schemas import (
    ChannelPerformance,
    ComparedParticipants,
    Dashboard,
    Investment,
    ParticipantsOfPeriod,
    Period,
    Revenue,
    Roi,
    SocialInteractions,
    Summary,
)

NOW = datetime(2026, 11, 23, 3)
TABLE = load_table()
NAMES = [channel.name for channel in TABLE.known]
A_PERIOD = Period(None, None, "Asia/Seoul")


def channel(name: str, participants: int, cost: Any, state: str = "measured") -> ChannelPerformance:
    at = "2026-11-22T20:00:00Z" if state in ("measured", "stale") else None
    since = "2026-11-22T20:10:00Z" if state == "stale" else None
    per = round(cost / participants, 2) if cost is not None and participants else None
    title = TABLE.title(name)
    return ChannelPerformance(
        *(
            name,
            title,
            "SNS",
            state,
            at,
            since,
            [],
            participants,
            0,
            0,
            0,
            0,
            0,
            0,
            None,
            None,
            None,
            None,
            None,
            cost,
            per,
        ),
        *(None, None),
    )


def dashboard(
    channels: list[ChannelPerformance], *, unattributed: int = 0, recorded: Any = None, expected: Any = None
) -> Dashboard:
    came = unattributed + sum(each.participants for each in channels)
    costs = [each.distribution_cost for each in channels if each.distribution_cost is not None]
    invested = sum(costs) if costs else None
    revenue = expected if recorded is None else recorded
    needed = -(-invested * came // revenue) if invested is not None and revenue and came else None
    roi = None if not invested or revenue is None else round(100 * (revenue - invested) / invested, 2)
    nothing = SocialInteractions(0, 0, 0)
    return Dashboard(
        *("e", "t", "ACTIVE", None, None, A_PERIOD, A_PERIOD),
        Summary(came, unattributed, 0, 0, 0, 0, None, None, None, None, nothing),
        channels,
        Roi(roi, 30, None, None, Investment(invested, None, invested), Revenue(revenue, recorded, expected, None),
            None, None, None, needed),
        {},
        None,
    )  # fmt: skip


def compared(now: int, before: int) -> ComparedParticipants:
    delta = round(100 * (now - before) / before, 2) if before else None
    return ComparedParticipants(A_PERIOD, now, ParticipantsOfPeriod(A_PERIOD, before), delta)


def whole_days(dates: dict[int, list[int]]) -> DateHours:
    """The participants by date and hour of an event that ran on these dates from midnight to midnight."""
    return DateHours(dates, [60 * len(dates)] * 24)
