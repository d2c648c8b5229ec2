"""Questions to PostgreSQL, answered as values. Each is one statement, and so of one moment."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg

from hannun.domain.metrics import Counts, Money
from hannun.errors import BadQuestion
from hannun.store.database import AsyncConnection
from hannun.store.queries import load

SQL = load("reports")


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """One channel of an event. `delivery` and `completed_at` are of its newest distribution, None without one."""

    name: str
    type: str
    counts: Counts
    average_duration_s: int
    cost: Decimal
    delivery: str | None
    expected_views: int | None
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class EventFigures:
    """All that a dashboard is made of. `version` is the microsecond of the newest change."""

    event_id: str
    title: str
    status: str
    user_id: str
    participants: int
    unattributed: int
    version: int
    money: Money
    target_roi: Decimal
    starts_at: datetime | None
    ends_at: datetime | None
    channels: tuple[ChannelFigures, ...]


async def dashboard(conn: AsyncConnection, event_id: str) -> EventFigures | None:
    """An event with its channels; None where it does not exist or was not created yet."""
    row: Any = await (await conn.execute(SQL["dashboard"], {"event_id": event_id}, prepare=True)).fetchone()
    if row is None:
        return None
    event_id, title, status, user_id, participants, unattributed, version, *money, starts_at, ends_at, channels = row
    planned, expected, target, baseline, recorded = money
    figures = tuple(_channel(channel) for channel in channels or ())
    costs = sum((channel.cost for channel in figures), Decimal("0.00"))
    return EventFigures(
        event_id,
        title,
        status,
        user_id,
        participants,
        unattributed,
        version,
        Money(planned, costs, expected, recorded, baseline),
        target,
        starts_at,
        ends_at,
        figures,
    )


def _channel(row: list[Any]) -> ChannelFigures:
    name, type_, *counts, duration, cost, delivery, expected_views, completed_at = row
    return ChannelFigures(name, type_, Counts(*counts), duration, Decimal(cost), delivery, expected_views, completed_at)


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event in its merchant's list. `last_hours` are participants of the last 24 clock hours, oldest first."""

    row_id: int
    created_at: datetime
    event_id: str
    title: str
    status: str
    participants: int
    views: int
    target_roi: Decimal
    version: int
    money: Money
    starts_at: datetime | None
    ends_at: datetime | None
    last_hours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UserFigures:
    """All of a merchant's events together, and a page of them."""

    events: int
    version: int
    unattributed: int
    counts: Counts
    clicked: Counts  # of TV and SNS channels alone: what the conversion rate is made of
    money: Money
    page: tuple[EventLine, ...]


async def user(
    conn: AsyncConnection,
    user_id: str,
    *,
    status: str | None,
    before: tuple[datetime, int] | None,
    limit: int,
    hour: datetime,
) -> UserFigures:
    """A merchant's events, newest first, after the place `before`; `hour` is the current hour, UTC."""
    async with conn.transaction():
        totals: Any = await (await conn.execute(SQL["user_totals"], {"user_id": user_id, "status": status})).fetchone()
        rows: Any = await (
            await conn.execute(
                SQL["user_events"],
                {
                    "user_id": user_id,
                    "status": status,
                    "before_at": before and before[0],
                    "before": before and before[1],
                    "limit": limit,
                    "hour": hour,
                },
            )
        ).fetchall()
    events, version, participants, unattributed, planned, expected, recorded, assumed, grown, baseline, types = totals
    by_type = {type_: (Counts(0, *counts), Decimal(cost)) for type_, *counts, cost in types or ()}
    costs = sum((cost for _, cost in by_type.values()), Decimal("0.00"))
    clicked = sum((counts for type_, (counts, _) in by_type.items() if type_ != "VOICE"), Counts())
    return UserFigures(
        events,
        version,
        unattributed,
        sum((counts for counts, _ in by_type.values()), Counts(participants=participants)),
        clicked,
        Money(planned, costs, expected, recorded, baseline, assumed if recorded is not None else None, grown),
        tuple(_event_line(row) for row in rows),
    )


def _event_line(row: Any) -> EventLine:
    row_id, created_at, event_id, title, status, participants, views, target, version, *rest = row
    planned, expected, baseline, recorded, starts_at, ends_at, cost, hours = rest
    last = tuple(int((hours or {}).get(str(ago), 0)) for ago in range(23, -1, -1))
    money = Money(planned, cost, expected, recorded, baseline)
    return EventLine(
        row_id,
        created_at,
        event_id,
        title,
        status,
        participants,
        views,
        target,
        version,
        money,
        starts_at,
        ends_at,
        last,
    )


@dataclass(frozen=True, slots=True)
class TimelineFigures:
    """An event's buckets. A point is (start in seconds since 1970, participants, views, engagement, conversions,
    cumulative participants, complete)."""

    user_id: str
    version: int
    starts: datetime
    ends: datetime
    points: tuple[tuple[int, int, int, int, int, int, bool], ...]


async def timeline(
    conn: AsyncConnection,
    event_id: str,
    *,
    unit: str,
    step: str,
    tz: str,
    start: datetime | None,
    end: datetime | None,
    now: datetime,
    points_max: int,
) -> TimelineFigures | None:
    """An event's buckets within [start, end), UTC without a zone; None where there is no such event."""
    question = {
        "event_id": event_id,
        "unit": unit,
        "step": step,
        "tz": tz,
        "from": start,
        "to": end,
        "now": now,
        "points_max": points_max,
    }
    try:
        row: Any = await (await conn.execute(SQL["timeline"], question)).fetchone()
    except psycopg.errors.InvalidParameterValue as error:  # a zone that Python knows and PostgreSQL does not
        raise BadQuestion(f"the database knows no zone {tz!r}", code="unknown-zone", field="tz") from error
    if row is None:
        return None
    user_id, version, starts, ends, points = row
    return TimelineFigures(user_id, version, starts, ends, tuple(tuple(point) for point in points or ()))


async def first_minute(conn: AsyncConnection, event_id: str) -> datetime | None:
    """When an event's timeline begins, UTC; None where nothing has happened."""
    row: Any = await (await conn.execute(SQL["first_minute"], {"event_id": event_id})).fetchone()
    return row[0] if row else None
