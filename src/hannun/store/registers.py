"""Plans, statuses and distributions in PostgreSQL: what the newest message decides. Settled in `domain.fold`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hannun.domain.channels import ChannelType
from hannun.domain.facts import DeliveryState, EventStatus
from hannun.domain.fold import Distribution, Plan, Registers
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("registers")


def read(conn: Connection, event_nos: list[int]) -> dict[int, Registers]:
    """The registers of events, by number. True until the end of the transaction that holds the events."""
    wanted = {"event_nos": event_nos}
    distributions: dict[int, dict[str, Distribution]] = {no: {} for no in event_nos}
    for no, key, type_, state, completed_at, views, cost, succeeded_at in conn.execute(SQL["distributions"], wanted):
        distributions[no][key] = Distribution(
            ChannelType(type_), DeliveryState(state), microseconds(completed_at), views, cost, _us_or_none(succeeded_at)
        )
    registers: dict[int, Registers] = {}
    for no, status, status_at, plan_at, starts_at, ends_at, *plan in conn.execute(SQL["registers"], wanted):
        registers[no] = Registers(
            _plan(plan_at, plan, starts_at, ends_at),
            EventStatus(status),
            _us_or_none(status_at),
            distributions[no],
        )
    return registers


def _plan(at: datetime | None, plan: list[Any], starts_at: datetime | None, ends_at: datetime | None) -> Plan | None:
    if at is None:
        return None
    title, user_id, investment, revenue, target, baseline = plan
    starts, ends = _us_or_none(starts_at), _us_or_none(ends_at)
    return Plan(microseconds(at), title, user_id, investment, revenue, target, baseline, starts, ends)


def save(conn: Connection, events: Mapping[int, Registers]) -> None:
    """Keep the plans and statuses of events, by number."""
    nos = sorted(events)
    plans = [events[no].plan for no in nos]

    def of_plan(name: str) -> list[Any]:
        return [None if plan is None else getattr(plan, name) for plan in plans]

    conn.execute(
        SQL["save_registers"],
        {
            "event_nos": nos,
            "plan_ats": [timestamp_or_none(at) for at in of_plan("created_at")],
            "titles": of_plan("title"),
            "user_ids": of_plan("user_id"),
            "total_investments": of_plan("total_investment"),
            "expected_revenues": of_plan("expected_revenue"),
            "target_rois": of_plan("target_roi"),
            "baseline_revenues": of_plan("baseline_revenue"),
            "starts_ats": [timestamp_or_none(at) for at in of_plan("starts_at")],
            "ends_ats": [timestamp_or_none(at) for at in of_plan("ends_at")],
            "statuses": [events[no].status for no in nos],
            "status_ats": [timestamp_or_none(events[no].status_at) for no in nos],
        },
    )


def save_distributions(conn: Connection, states: Mapping[tuple[int, int], Distribution]) -> None:
    """Keep the states of channels, by event and channel number, and bring their rows in channel_stats to them."""
    places = sorted(states)
    where = {"event_nos": [event for event, _ in places], "channel_nos": [channel for _, channel in places]}
    conn.execute(
        SQL["save_distributions"],
        where
        | {
            "channel_types": [states[place].channel_type for place in places],
            "states": [states[place].state for place in places],
            "completed_ats": [timestamp(states[place].completed_at) for place in places],
            "expected_views": [states[place].expected_views for place in places],
            "costs": [states[place].cost for place in places],
            "succeeded_ats": [timestamp_or_none(states[place].succeeded_at) for place in places],
        },
    )
    conn.execute(SQL["publish_distributions"], where)


_EPOCH = datetime(1970, 1, 1)  # without a zone on purpose: the columns are UTC
_MICROSECOND = timedelta(microseconds=1)


def timestamp(microseconds: int) -> datetime:
    """Microseconds since 1970 as the columns hold them."""
    return _EPOCH + timedelta(microseconds=microseconds)


def timestamp_or_none(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else timestamp(microseconds)


def microseconds(moment: datetime) -> int:
    """A column's time as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def _us_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(moment)
