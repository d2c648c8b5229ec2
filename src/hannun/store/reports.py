"""Questions to PostgreSQL, answered as values. Whoever asks more than one asks them in one transaction: the reader's
transactions are of one moment."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hannun.domain.buckets import Buckets, full_quarters
from hannun.domain.figures import (
    ChannelFigures,
    EventFigures,
    EventLine,
    MerchantFigures,
    PeriodComparison,
    PeriodFigures,
    TimelineFigures,
    TimelineHead,
    totals_of,
)
from hannun.domain.metrics import ChannelCounts, Money
from hannun.domain.ranges import Range
from hannun.store.database import AsyncConnection
from hannun.store.queries import load

SQL = load("reports")

_EPOCH = datetime(1970, 1, 1)  # without a zone on purpose: the columns are UTC
_EVER, _NEVER = _EPOCH, datetime(9999, 1, 1)
_MINUTE = timedelta(minutes=1)


# -- one event -----------------------------------------------------------------------------------------------------


async def event(conn: AsyncConnection, event_id: str) -> EventFigures | None:
    """An event with its channels; None where it does not exist or was not created yet."""
    row: Any = await (await conn.execute(SQL["event"], {"event_id": event_id}, prepare=True)).fetchone()
    if row is None:
        return None
    no, event_id, title, status, user_id, unattributed, version, *money, starts_at, ends_at, found = row
    planned, expected, target, baseline, recorded = money
    channels = tuple(_channel(channel) for channel in found or ())
    costs = sum((channel.cost for channel in channels), Decimal("0.00"))
    return EventFigures(
        no,
        event_id,
        title,
        status,
        user_id,
        unattributed,
        version,
        Money(planned, costs, expected, recorded, baseline),
        target,
        starts_at,
        ends_at,
        channels,
    )


def _channel(row: Sequence[Any]) -> ChannelFigures:
    name, type_, *counts, duration, cost, delivery, expected_views, changed = row
    return ChannelFigures(
        name, type_, ChannelCounts(*counts), duration, Decimal(cost), delivery, expected_views, changed
    )


async def period(
    conn: AsyncConnection, event_nos: Sequence[int], asked: Range, before: Range | None, *, compare: bool = True
) -> PeriodComparison:
    """What happened within a range in events together, and in the range before it where there is one."""
    base = before if compare else None
    starts, until = asked.start or _EVER, asked.end or _NEVER
    since = starts if base is None or base.start is None else base.start
    bounds = {"starts": starts, "since": since, "until": until}
    rows: Any = await (
        await conn.execute(
            SQL["period"],
            {"event_nos": _numbers(event_nos)}
            | bounds
            | {f"{name}_minute": _minute(at) for name, at in bounds.items()},
        )
    ).fetchall()

    def figures(within: bool) -> PeriodFigures:
        told = [row[1:] for row in rows if row[0] is within]
        return PeriodFigures(
            {(name, type_): ChannelCounts(*counts) for name, type_, *counts in told if name is not None},
            sum(row[2] for row in told if row[0] is None),
        )

    return PeriodComparison(figures(within=True), None if base is None else figures(within=False))


def _minute(moment: datetime) -> int:
    """The ledger's minutes since 1970, which end before the year 6053."""
    return min((moment - _EPOCH) // _MINUTE, 2**31 - 1)


# -- a merchant's events -------------------------------------------------------------------------------------------


async def merchant(
    conn: AsyncConnection, user_id: str, *, status: str | None, text: str | None, channel_keys: Sequence[str] | None
) -> MerchantFigures:
    """All of a merchant's events together that the filter leaves."""
    row: Any = await (
        await conn.execute(
            SQL["user_totals"],
            {
                "user_id": user_id,
                "status": status,
                "text": text,
                "channel_keys": None if channel_keys is None else list(channel_keys),
            },
        )
    ).fetchone()
    nos, ids, version, changed, unattributed, planned, expected, recorded, assumed, grown, baseline, types = row
    by_type = [(type_, ChannelCounts(*counts), Decimal(cost)) for type_, *counts, cost in types or ()]
    costs = sum((cost for _, _, cost in by_type), Decimal("0.00"))
    return MerchantFigures(
        nos,
        ids,
        int(version),
        changed,
        totals_of([(type_, counts) for type_, counts, _ in by_type], unattributed),
        Money(planned, costs, expected, recorded, baseline, assumed if recorded is not None else None, grown),
    )


async def merchant_page(
    conn: AsyncConnection,
    user_id: str,
    event_nos: Sequence[int],
    asked: Range,
    *,
    before: tuple[datetime, int] | None,
    limit: int,
    hour: datetime,
) -> list[EventLine]:
    """A page of these events, newest first, after the place `before`; `hour` is the current hour, UTC."""
    since, until = asked.start or _EVER, asked.end or _NEVER
    rows: Any = await (
        await conn.execute(
            SQL["user_events"],
            {
                "user_id": user_id,
                "event_nos": _numbers(event_nos),
                "before_at": before and before[0],
                "before": before and before[1],
                "limit": limit,
                "hour": hour,
                "ranged": asked.bounded,
                "since": since,
                "until": until,
                "since_minute": _minute(since),
                "until_minute": _minute(until),
            },
        )
    ).fetchall()
    return [_event_line(row) for row in rows]


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
        int(views),
        target,
        version,
        money,
        starts_at,
        ends_at,
        last,
    )


async def merchant_channels(conn: AsyncConnection, event_nos: Sequence[int]) -> list[ChannelFigures]:
    """The channels of events together, most participants first."""
    rows: Any = await (await conn.execute(SQL["user_channels"], {"event_nos": _numbers(event_nos)})).fetchall()
    channels = []
    for name, type_, *counts, cost, delivery, expected_views, changed in rows:
        channels.append(
            ChannelFigures(name, type_, ChannelCounts(*counts), None, cost, delivery, expected_views, changed)
        )
    return channels


# -- a timeline ----------------------------------------------------------------------------------------------------


async def timeline_head(conn: AsyncConnection, event_id: str) -> TimelineHead | None:
    """Whose timeline it is, and where it begins and ends; None where there is no such event."""
    row: Any = await (await conn.execute(SQL["timeline_head"], {"event_id": event_id}, prepare=True)).fetchone()
    if row is None:
        return None
    user_id, version, participants, event_no, first, last, measured = row
    return TimelineHead(user_id, version, version, participants, [event_no], first, last, measured)


async def merchant_timeline_head(conn: AsyncConnection, user_id: str, figures: MerchantFigures) -> TimelineHead:
    """The same of a merchant's events together."""
    asked = {"event_ids": figures.event_ids, "event_nos": _numbers(figures.event_nos)}
    row: Any = await (await conn.execute(SQL["timeline_ends"], asked)).fetchone()
    participants = figures.totals.counts.participants
    return TimelineHead(user_id, figures.version, figures.changed, participants, figures.event_nos, *row)


async def timeline(
    conn: AsyncConnection,
    event_nos: Sequence[int],
    grid: Buckets,
    start: datetime,
    end: datetime,
    newest: datetime | None = None,
) -> TimelineFigures:
    """What happened in events together in each bucket of the grid within [start, end), UTC without a zone. `newest` is
    the last minute of all in which anything did, where that is known."""
    filled: Any = []
    if grid.starts:
        first_quarter, last_quarter = full_quarters(start, end) if grid.of_quarters else (start, start)
        asked = {
            "event_nos": _numbers(event_nos),
            "from": start,
            "to": end,
            "first_quarter": first_quarter,
            "last_quarter": last_quarter,
            "first": _EPOCH + timedelta(seconds=grid.starts[0]),
            "grain": grid.grain,
            "starts": _numbers(grid.starts),
        }
        filled = await (await conn.execute(SQL["timeline_filled"], asked)).fetchall()
    none_after = newest is not None and newest < end
    return TimelineFigures(filled, 0 if none_after else await came_from(conn, event_nos, end))


async def came_from(conn: AsyncConnection, event_nos: Sequence[int], end: datetime) -> int:
    """How many came to events together from a minute on."""
    asked = {"event_nos": _numbers(event_nos), "to": end, "first_quarter": full_quarters(end, _NEVER)[0]}
    row: Any = await (await conn.execute(SQL["timeline_after"], asked)).fetchone()
    return int(row[0])


async def sales(conn: AsyncConnection, event_no: int, starts: Sequence[int]) -> list[Decimal]:
    """What was sold in each of these buckets (seconds since 1970); in the last one all that came later."""
    asked = {
        "event_no": event_no,
        "from": _EPOCH + timedelta(seconds=starts[0]),
        "starts": _numbers(starts),
    }
    rows: Any = await (await conn.execute(SQL["sales_by_bucket"], asked)).fetchall()
    sold = [Decimal("0.00")] * len(starts)
    for place, amount in rows:
        sold[place] = amount
    return sold


def _numbers(numbers: Sequence[int]) -> str:
    """An array as text: the driver looks at each value of a list three times, a join looks once."""
    return "{" + ",".join(map(str, numbers)) + "}"


async def first_minute(conn: AsyncConnection, event_id: str) -> datetime | None:
    """When an event's timeline begins, UTC; None where nothing has happened."""
    row: Any = await (await conn.execute(SQL["first_minute"], {"event_id": event_id})).fetchone()
    return row[0] if row else None
