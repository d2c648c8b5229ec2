"""Reads the figures of reports from PostgreSQL.

A caller that reads several runs them in one transaction: a transaction of the read pool is one snapshot.
"""

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hannun.domain.buckets import Buckets, rollup_bounds
from hannun.domain.channel_state import NOTHING_MEASURED, Freshness, KnownCounts, channel_state, together
from hannun.domain.channel_totals import COUNTS
from hannun.domain.detached_months import DetachedSpan, overlapping
from hannun.domain.figures import (
    ChannelFigures,
    DistributionFigures,
    EventFigures,
    EventHistory,
    ListedEvent,
    MerchantFigures,
    OutageFigures,
    PeriodComparison,
    PeriodFigures,
    TimelineHead,
    sum_totals,
)
from hannun.domain.metrics import ChannelCounts, Money, sum_money, sum_of_said
from hannun.domain.ranges import Preceding, Range, TwoDays
from hannun.store.amounts import Amounts, amounts_of, cost_of, plan_of, revenue_of, sale_of, total
from hannun.store.database import AsyncConnection
from hannun.store.queries import load

SQL = load("reports")

_EPOCH = datetime(1970, 1, 1)  # without a zone on purpose: the columns are UTC
_EVER, _NEVER = _EPOCH, datetime(9999, 1, 1)
_MINUTE = timedelta(minutes=1)
_A_MONTH = timedelta(days=31)
"""From the start of a month, this leads into the next one."""
_COUNTS = len(COUNTS)


# -- one event -----------------------------------------------------------------------------------------------------


async def event(conn: AsyncConnection, event_id: str, now: datetime, stale_after: timedelta) -> EventFigures | None:
    """An event with its channels; None where it does not exist, or its creation has not arrived yet.

    Args:
        now: decides which measured counts are stale; UTC without a zone.
        stale_after: how long what a channel has measured is good.
    """
    parameters = {"event_id": event_id, "stale_after": stale_after}
    row: Any = await (await conn.execute(SQL["event"], parameters, prepare=True)).fetchone()
    return None if row is None else _event(amounts_of(conn), row, now)


async def events(
    conn: AsyncConnection, event_ids: Sequence[str], now: datetime, stale_after: timedelta
) -> list[EventFigures]:
    """Those of these events that exist, with their channels, by one statement. Arguments as in `event`."""
    parameters = {"event_ids": list(event_ids), "stale_after": stale_after}
    rows: Any = await (await conn.execute(_EVENTS, parameters)).fetchall()
    return [_event(amounts_of(conn), row, now) for row in rows]


_EVENTS = SQL["event"].replace("s.event_id = %(event_id)s", "s.event_id = ANY(%(event_ids)s::text[])")


async def event_and_period(
    conn: AsyncConnection,
    event_id: str,
    now: datetime,
    stale_after: timedelta,
    range_: Range,
    preceding: Preceding | None,
) -> tuple[EventFigures, PeriodComparison] | None:
    """What `event` and `period` return for one event, by one statement."""
    parameters = {"event_id": event_id, "stale_after": stale_after} | _bounds_of_period(range_, preceding)
    row: Any = await (await conn.execute(_EVENT_AND_PERIOD, parameters, prepare=True)).fetchone()
    if row is None:
        return None
    *figures, happened, detached = row
    comparison = _comparison(happened or (), _detached_spans(detached), range_, preceding)
    return _event(amounts_of(conn), figures, now), comparison


async def event_with_history(
    conn: AsyncConnection, event_id: str, now: datetime, stale_after: timedelta, marks_max: int
) -> tuple[EventFigures, EventHistory, list[DetachedSpan]] | None:
    """What `event`, `event_history` and `detached_months` return for one event, by one statement."""
    parameters = {"event_id": event_id, "stale_after": stale_after, "marks_max": marks_max}
    row: Any = await (await conn.execute(_EVENT_WITH_HISTORY, parameters, prepare=True)).fetchone()
    if row is None:
        return None
    figures, history, detached = row[:_EVENT_COLUMNS], row[_EVENT_COLUMNS:-1], row[-1]
    return _event(amounts_of(conn), figures, now), _history(history), _detached_spans(detached)


def _history(row: Any) -> EventHistory:
    first, status_at, planned_at, until, distributions, outages = row
    return EventHistory(
        first,
        status_at,
        planned_at,
        until,
        [DistributionFigures(name, state, _moment(at_us)) for name, state, at_us in distributions or ()],
        [
            OutageFigures(name, _moment(began_us), None if ended_us is None else _moment(ended_us), reason == "held")
            for name, began_us, ended_us, reason in outages or ()
        ],
    )


def _composed(name: str, *parts: str) -> str:
    """A statement in which marks, as /* event */, stand for other statements, about the one event of `figures`."""
    composed = SQL[name]
    for part in parts:
        statement = SQL[part].rstrip(";").replace("= ANY(%(event_nos)s::int[])", "= (SELECT event_no FROM figures)")
        composed = composed.replace(f"/* {part} */", statement)
    return composed


_EVENT_COLUMNS = 17
_EVENT_AND_PERIOD = _composed("event_and_period", "event", "period", "detached_months")
_EVENT_WITH_HISTORY = _composed("event_with_history", "event", "event_history", "detached_months")


def _event(amounts: Amounts, row: Any, now: datetime) -> EventFigures:
    no, event_id, title, status, user_id, unattributed, version, *money, starts_at, ends_at, found = row
    planned, expected, target, baseline, recorded, *sealed = money
    planned, expected, baseline, recorded = _opened(amounts, event_id, (planned, expected, baseline, recorded), *sealed)
    channels = tuple(_channel(amounts, event_id, channel, now) for channel in found or ())
    costs = sum_of_said(channel.cost for channel in channels)
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


def _opened(
    amounts: Amounts,
    event_id: str,
    numbers: Sequence[Decimal | None],
    sealed_plan: bytes | None,
    sealed_revenue: bytes | None,
) -> Sequence[Decimal | None]:
    """(investment, expected revenue, baseline, recorded revenue) of an event, from numbers or from sealed amounts."""
    if sealed_plan is None and sealed_revenue is None:
        return numbers
    *plan, recorded = numbers
    plan = list(amounts.several(plan_of(event_id), plan, sealed_plan))
    return [*plan, amounts.one(revenue_of(event_id), recorded, sealed_revenue)]


def _costs(amounts: Amounts, event_id: str, sealed: Sequence[Any] | None) -> list[Decimal | None]:
    """The costs of an event's channels, from pairs of the channel's number and the sealed cost."""
    return [amounts.open(cost_of(event_id, no), b64decode(cost))[0] for no, cost in sealed or ()]


def _channel(amounts: Amounts, event_id: str, row: Sequence[Any], now: datetime) -> ChannelFigures:
    name, type_, *counts, duration, cost, sealed, delivery, views, changed, measured_us, stale_us = row[:-_COUNTS]
    said = None if cost is None else Decimal(cost)
    if sealed is not None:
        (said,) = _costs(amounts, event_id, [sealed])
    measured: KnownCounts = NOTHING_MEASURED
    if measured_us is not None:
        measurement = Freshness(_moment(measured_us), None if stale_us is None else _moment(stale_us))
        measured = {count: measurement for count, is_known in zip(COUNTS, row[-_COUNTS:], strict=True) if is_known}
    state = channel_state(measured, delivery, now)
    return ChannelFigures(name, type_, ChannelCounts(*counts), duration, said, state, views, changed, measured)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


async def measured_counts(
    conn: AsyncConnection, event_nos: Sequence[int], stale_after: timedelta
) -> dict[tuple[str, str], KnownCounts]:
    """When the counts of events' channels were measured, by channel name and type, where they were."""
    parameters = {"event_nos": _numbers(event_nos), "stale_after": stale_after}
    rows: Any = await (await conn.execute(SQL["measured_counts"], parameters)).fetchall()
    return {(name, type_): _known_counts(as_ofs, stale_ats) for name, type_, as_ofs, stale_ats in rows}


def _known_counts(as_ofs: Sequence[datetime | None], stale_ats: Sequence[datetime | None]) -> KnownCounts:
    """What arrays of moments, one for each of `COUNTS`, say of when these were measured and become stale."""
    return {
        count: Freshness(as_of, stale_at)
        for count, as_of, stale_at in zip(COUNTS, as_ofs, stale_ats, strict=True)
        if as_of is not None
    }


async def known_channel_keys(
    conn: AsyncConnection, keys: Sequence[str], event_id: str | None, user_id: str | None
) -> set[str]:
    """Those of these keys that a channel of the event, or of any event of the merchant, has."""
    parameters = {"keys": list(keys), "event_id": event_id, "user_id": user_id}
    rows: Any = await (await conn.execute(SQL["known_channel_keys"], parameters)).fetchall()
    return {key for (key,) in rows}


async def period(
    conn: AsyncConnection, event_nos: Sequence[int], range_: Range, preceding: Preceding | None
) -> PeriodComparison:
    """What happened within a range in events together, and within the preceding range, if there is one."""
    parameters = {"event_nos": _numbers(event_nos)} | _bounds_of_period(range_, preceding)
    rows: Any = await (await conn.execute(SQL["period"], parameters)).fetchall()
    return _comparison(rows, await detached_months(conn, event_nos), range_, preceding)


def _bounds_of_period(range_: Range, preceding: Preceding | None) -> dict[str, Any]:
    """The parameters of the statement `period`."""
    starts, until = range_.start or _EVER, range_.end or _NEVER
    before = (starts, starts) if preceding is None else (preceding.range.start or starts, preceding.range.end or starts)
    bounds = {"starts": starts, "since": before[0], "before_until": before[1], "until": until}
    return bounds | {f"{name}_minute": _minute(at) for name, at in bounds.items()}


def _comparison(
    rows: Sequence[Sequence[Any]], detached: Sequence[DetachedSpan], range_: Range, preceding: Preceding | None
) -> PeriodComparison:
    def figures(within: bool) -> PeriodFigures:
        counted = [row[1:] for row in rows if row[0] is within]
        return PeriodFigures(
            {(name, type_): ChannelCounts(*counts) for name, type_, *counts in counted if name is not None},
            sum(row[2] for row in counted if row[0] is None),
        )

    before = None if preceding is None else figures(within=False)
    return PeriodComparison(figures(within=True), before, overlapping(detached, range_))


def _minute(moment: datetime) -> int:
    """The minutes since 1970 that the ledger stores: an int4, which ends in the year 6053."""
    return min((moment - _EPOCH) // _MINUTE, 2**31 - 1)


# -- a merchant's events -------------------------------------------------------------------------------------------


async def merchant(
    conn: AsyncConnection,
    user_id: str,
    *,
    status: str | None,
    text: str | None,
    channel_keys: Sequence[str] | None,
    stale_after: timedelta,
) -> MerchantFigures:
    """The events of a merchant that the filter leaves, together. `stale_after` as in `event`."""
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
    nos, ids, version, changed, unattributed, any_sealed, *sums, types = row
    planned, costs, expected, recorded, assumed, grown, baseline = sums
    money = Money(planned, costs, expected, recorded, baseline, assumed, grown)
    if any_sealed:
        money = sum_money([money, *await _sealed_money(conn, nos)])
    return MerchantFigures(
        nos,
        ids,
        int(version),
        changed,
        sum_totals([(type_, ChannelCounts(*counts)) for type_, *counts in types or ()], unattributed),
        money if money.recorded is not None else replace(money, assumed=None),
        await measured_counts(conn, nos, stale_after),
    )


async def _sealed_money(conn: AsyncConnection, event_nos: Sequence[int]) -> list[Money]:
    """The share of each event with sealed amounts in the sums of `merchant`."""
    amounts = amounts_of(conn)
    rows: Any = await (await conn.execute(SQL["sealed_money"], {"event_nos": _numbers(event_nos)})).fetchall()
    shares = []
    for event_id, is_recorded, *sealed, costs in rows:
        planned, expected, baseline, revenue = _opened(amounts, event_id, (None, None, None, None), *sealed)
        grown = is_recorded and baseline is not None
        shares.append(
            Money(
                planned,
                sum_of_said(_costs(amounts, event_id, costs)),
                expected,
                recorded=revenue if is_recorded else None,
                baseline=baseline if grown else None,
                assumed=None if is_recorded else expected,
                grown=revenue if grown else None,
            )
        )
    return shares


async def merchant_page(
    conn: AsyncConnection,
    user_id: str,
    event_nos: Sequence[int],
    range_: Range,
    *,
    before: tuple[datetime, int] | None,
    limit: int,
    hour: datetime,
    stale_after: timedelta,
) -> list[ListedEvent]:
    """A page of these events, newest first, older than the sort key `before`. `hour` is the current hour, UTC;
    `stale_after` as in `event`."""
    since, until = range_.start or _EVER, range_.end or _NEVER
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
                "ranged": range_.is_bounded,
                "since": since,
                "until": until,
                "since_minute": _minute(since),
                "until_minute": _minute(until),
                "stale_after": stale_after,
            },
        )
    ).fetchall()
    return [_listed_event(amounts_of(conn), row, hour) for row in rows]


def _listed_event(amounts: Amounts, row: Any, hour: datetime) -> ListedEvent:
    row_id, created_at, event_id, title, status, participants, views, target, version, *rest = row
    *money, starts_at, ends_at, cost, sealed_costs, hours, detached, seen_at, stale_at = rest
    planned, expected, baseline, recorded = _opened(amounts, event_id, money[:4], *money[4:])
    if sealed_costs is not None:
        cost = sum_of_said(_costs(amounts, event_id, sealed_costs))
    last = tuple(
        None if _month(hour - timedelta(hours=ago)) in (detached or ()) else int((hours or {}).get(str(ago), 0))
        for ago in range(23, -1, -1)
    )
    return ListedEvent(
        row_id,
        created_at,
        event_id,
        title,
        status,
        participants,
        int(views),
        target,
        version,
        Money(planned, cost, expected, recorded, baseline),
        starts_at,
        ends_at,
        last,
        None if seen_at is None else Freshness(seen_at, stale_at),
    )


async def participants_of_days(
    conn: AsyncConnection, event_ids: Sequence[str], days: TwoDays
) -> dict[str, tuple[int | None, int | None]]:
    """The participants of each of these events in the two days; None where minutes of the day are not kept."""
    today_start, today_end = days.today.start or _EVER, days.today.end or _NEVER
    yesterday = days.yesterday or Range(today_start - _MINUTE, today_start)
    start, end = yesterday.start or _EVER, yesterday.end or _NEVER
    parameters = {
        "event_ids": list(event_ids),
        "yesterday": start,
        "yesterday_until": end,
        "rollup_until": rollup_bounds(start, end)[1],
        "today": today_start,
        "today_until": today_end,
    }
    rows: Any = await (await conn.execute(SQL["participants_of_days"], parameters)).fetchall()
    return {event_id: (today, before if days.yesterday else None) for event_id, today, before in rows}


async def first_participants(
    conn: AsyncConnection, event_ids: Sequence[str], since: datetime, until: datetime
) -> datetime | None:
    """The first minute within [since, until) in which any of these events has participants, in attached months; None
    where there is none."""
    parameters = {"event_ids": list(event_ids), "since": since, "until": until}
    row: Any = await (await conn.execute(SQL["first_participants"], parameters)).fetchone()
    found: datetime | None = row[0]
    return found


async def merchant_channels(conn: AsyncConnection, merchant: MerchantFigures, now: datetime) -> list[ChannelFigures]:
    """The channels of a merchant's events together, those with the most participants first. `now` as in `event`."""
    rows: Any = await (await conn.execute(SQL["user_channels"], {"event_nos": _numbers(merchant.event_nos)})).fetchall()
    channels = []
    sealed = await _sealed_costs(conn, merchant.event_nos) if any(row[-4] for row in rows) else {}
    for name, type_, *counts, number, _, delivery, expected_views, changed in rows:
        cost = sum_of_said([number, *sealed.get((name, type_), ())])
        measured = merchant.measured_by_channel.get((name, type_), NOTHING_MEASURED)
        state = channel_state(measured, delivery, now)
        channels.append(
            ChannelFigures(name, type_, ChannelCounts(*counts), None, cost, state, expected_views, changed, measured)
        )
    return channels


async def _sealed_costs(conn: AsyncConnection, event_nos: Sequence[int]) -> dict[tuple[str, str], list[Decimal | None]]:
    """The sealed costs of events' channels, by name and type."""
    amounts = amounts_of(conn)
    costs: dict[tuple[str, str], list[Decimal | None]] = {}
    rows: Any = await (await conn.execute(SQL["sealed_costs"], {"event_nos": _numbers(event_nos)})).fetchall()
    for name, type_, event_id, channel_no, sealed in rows:
        costs.setdefault((name, type_), []).append(amounts.one(cost_of(event_id, channel_no), None, sealed))
    return costs


# -- a timeline ----------------------------------------------------------------------------------------------------


async def timeline_head(conn: AsyncConnection, event_id: str, stale_after: timedelta) -> TimelineHead | None:
    """The owner and the extent of an event's timeline; None where there is no such event. `stale_after` as in
    `event`."""
    row: Any = await (await conn.execute(SQL["timeline_head"], {"event_id": event_id}, prepare=True)).fetchone()
    if row is None:
        return None
    user_id, version, participants, event_no, *extent = row
    measured = together((await measured_counts(conn, [event_no], stale_after)).values())
    return TimelineHead(user_id, version, version, participants, [event_no], measured, *extent)


async def merchant_timeline_head(conn: AsyncConnection, user_id: str, figures: MerchantFigures) -> TimelineHead:
    """The owner and the extent of the timeline of a merchant's events together."""
    parameters = {"event_ids": figures.event_ids, "event_nos": _numbers(figures.event_nos)}
    row: Any = await (await conn.execute(SQL["timeline_ends"], parameters)).fetchone()
    participants = figures.totals.counts.participants
    return TimelineHead(
        user_id, figures.version, figures.changed_at_us, participants, figures.event_nos, figures.measured, *row
    )


async def timeline(
    conn: AsyncConnection, event_nos: Sequence[int], buckets: Buckets, start: datetime, end: datetime
) -> list[tuple[int, int, int, int, int]]:
    """What happened in events together within [start, end), UTC without a zone, in attached months: the buckets that
    are not empty, as (index, participants, views, engagement, conversions)."""
    if not buckets.starts:
        return []
    parameters = _bounds_of_timeline(buckets, start, end) | {
        "event_nos": _numbers(event_nos),
        "first": _EPOCH + timedelta(seconds=buckets.starts[0]),
        "step_s": buckets.step_s,
    }
    rows: Any = await (await conn.execute(SQL["timeline_filled"], parameters)).fetchall()
    return list(rows)


def _bounds_of_timeline(buckets: Buckets, start: datetime, end: datetime) -> dict[str, Any]:
    """The parameters of a statement that sums up [start, end) by buckets."""
    rollup_from, rollup_to = rollup_bounds(start, end) if buckets.is_rollup_aligned else (start, start)
    return {
        "from": start,
        "to": end,
        "rollup_from": rollup_from,
        "rollup_to": rollup_to,
        "starts": _numbers(buckets.starts),
    }


@dataclass(frozen=True, slots=True)
class EventTimeline:
    """One event's timeline of a range [start, end), all read by one statement.

    filled: as `timeline` returns it.
    after: the participants at `end` or later, in attached months.
    detached: the event's detached months. Where one reaches into the range or lies after it, `filled` and `after` are
        not right.
    """

    head: TimelineHead
    filled: list[tuple[int, int, int, int, int]]
    after: int
    detached: list[DetachedSpan]


async def event_timeline(
    conn: AsyncConnection, event_id: str, buckets: Buckets, start: datetime, end: datetime, stale_after: timedelta
) -> EventTimeline | None:
    """An event's timeline of [start, end), UTC without a zone; None where there is no such event."""
    parameters = _bounds_of_timeline(buckets, start, end) | {
        "event_id": event_id,
        "stale_after": stale_after,
        "after_rollup_from": rollup_bounds(end, _NEVER)[0],
    }
    row: Any = await (await conn.execute(SQL["event_timeline"], parameters, prepare=True)).fetchone()
    if row is None:
        return None
    filled, after, detached, as_ofs, stale_ats, user_id, version, participants, event_no, *extent = row
    measured = _known_counts(as_ofs, stale_ats)
    head = TimelineHead(user_id, version, version, participants, [event_no], measured, *extent)
    return EventTimeline(head, filled or [], after, _detached_spans(detached))


async def participants_within(conn: AsyncConnection, event_no: int, ranges: Sequence[Range]) -> list[int]:
    """The participants of an event within each of these bounded ranges, all of whose months are attached."""
    starts = [range_.start or _EVER for range_ in ranges]
    ends = [range_.end or _NEVER for range_ in ranges]
    rollups = [rollup_bounds(start, end) for start, end in zip(starts, ends, strict=True)]
    parameters = {
        "event_no": event_no,
        "starts": starts,
        "ends": ends,
        "rollup_starts": [first for first, _ in rollups],
        "rollup_ends": [last for _, last in rollups],
    }
    rows: Any = await (await conn.execute(SQL["participants_within"], parameters, prepare=True)).fetchall()
    return [participants for (participants,) in rows]


async def detached_months(conn: AsyncConnection, event_nos: Sequence[int]) -> list[DetachedSpan]:
    """The detached months in which something happened in these events, oldest first."""
    rows: Any = await (await conn.execute(SQL["detached_months"], {"event_nos": _numbers(event_nos)})).fetchall()
    return [DetachedSpan(month, _month(month + _A_MONTH), participants) for month, participants in rows]


def _detached_spans(rows: Sequence[tuple[str, int]] | None) -> list[DetachedSpan]:
    """The detached months of a JSON array of [month, participants]."""
    return [
        DetachedSpan(month, _month(month + _A_MONTH), participants)
        for month, participants in ((datetime.fromisoformat(text), count) for text, count in rows or ())
    ]


async def participants_from(conn: AsyncConnection, event_nos: Sequence[int], end: datetime) -> int:
    """The participants of events together from a minute on, in attached months."""
    parameters = {"event_nos": _numbers(event_nos), "to": end, "rollup_from": rollup_bounds(end, _NEVER)[0]}
    row: Any = await (await conn.execute(SQL["timeline_after"], parameters)).fetchone()
    return int(row[0])


async def participants_before(conn: AsyncConnection, event_nos: Sequence[int], end: datetime) -> tuple[int, int]:
    """The participants of events together before a minute, whatever months are attached: those of earlier months, and
    those of its own month."""
    month = _month(end)
    bounds = {"month": month, "to": end}
    parameters = {
        "event_nos": _numbers(event_nos),
        "rollup_to": rollup_bounds(month, end)[1],
        **bounds,
        **{f"{name}_minute": _minute(at) for name, at in bounds.items()},
    }
    row: Any = await (await conn.execute(SQL["timeline_before"], parameters)).fetchone()
    return row[0], row[1]


def _month(moment: datetime) -> datetime:
    """The start of its month."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


async def sales(conn: AsyncConnection, event_no: int, event_id: str, starts: Sequence[int]) -> list[Decimal]:
    """The sales in each bucket, given by starts in seconds since 1970; the last bucket holds all later ones."""
    amounts = amounts_of(conn)
    parameters = {
        "event_no": event_no,
        "from": _EPOCH + timedelta(seconds=starts[0]),
        "starts": _numbers(starts),
    }
    rows: Any = await (await conn.execute(SQL["sales_by_bucket"], parameters)).fetchall()
    sold = [Decimal("0.00")] * len(starts)
    for place, amount, sealed in rows:
        sold[place] = amount
        if sealed is not None:
            sold[place] += await asyncio.to_thread(_opened_sales, amounts, event_id, sealed)
    return sold


def _opened_sales(amounts: Amounts, event_id: str, sealed: Sequence[tuple[str, str]]) -> Decimal:
    """The sum of an event's sealed sales. There may be a hundred thousand of them."""
    return total(amounts.open(sale_of(event_id, sale_id), b64decode(amount))[0] for sale_id, amount in sealed)


def _numbers(numbers: Sequence[int]) -> str:
    """An array as text: the driver would inspect each value of a list three times, `join` does it once."""
    return "{" + ",".join(map(str, numbers)) + "}"


async def first_minute(conn: AsyncConnection, event_id: str) -> datetime | None:
    """The first minute of an event's timeline, UTC; None where nothing has happened."""
    row: Any = await (await conn.execute(SQL["first_minute"], {"event_id": event_id})).fetchone()
    return row[0] if row else None
