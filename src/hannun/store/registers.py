"""The last-writer-wins registers in PostgreSQL: plans, statuses and distributions. `domain.fold` decides who wins."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from hannun.domain.channels import ChannelType
from hannun.domain.facts import DeliveryState, EventStatus
from hannun.domain.fold import Distribution, Plan, Registers
from hannun.domain.instants import microseconds_since_1970
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("registers")


def read(conn: Connection, event_nos: list[int]) -> dict[int, Registers]:
    """The registers of events, by number.

    The caller has locked the events, so the registers stay valid until the end of its transaction.
    """
    wanted = {"event_nos": event_nos}
    distributions: dict[int, dict[str, Distribution]] = {no: {} for no in event_nos}
    for no, key, type_, state, completed_at, views, cost, succeeded_at in conn.execute(SQL["distributions"], wanted):
        distributions[no][key] = Distribution(
            ChannelType(type_),
            DeliveryState(state),
            microseconds_since_1970(completed_at),
            views,
            cost,
            _us_or_none(succeeded_at),
        )
    registers: dict[int, Registers] = {}
    for no, status, status_at, plan_at, *figures, starts_at, ends_at in conn.execute(SQL["registers"], wanted):
        plan = None
        if plan_at is not None:
            title, user_id, investment, revenue, target, baseline = figures
            starts, ends = _us_or_none(starts_at), _us_or_none(ends_at)
            plan = Plan(
                microseconds_since_1970(plan_at), title, user_id, investment, revenue, target, baseline, starts, ends
            )
        registers[no] = Registers(plan, EventStatus(status), _us_or_none(status_at), distributions[no])
    return registers


def save(conn: Connection, events: Mapping[int, Registers]) -> None:
    """Write the plans and statuses of events, by number."""
    nos = sorted(events)
    plans = [events[no].plan for no in nos]

    def of_plans(figure: Callable[[Plan], object]) -> list[object]:
        return [None if plan is None else figure(plan) for plan in plans]

    conn.execute(
        SQL["save_registers"],
        {
            "event_nos": nos,
            "plan_ats": of_plans(lambda plan: timestamp(plan.created_at)),
            "titles": of_plans(lambda plan: plan.title),
            "user_ids": of_plans(lambda plan: plan.user_id),
            "total_investments": of_plans(lambda plan: plan.total_investment),
            "expected_revenues": of_plans(lambda plan: plan.expected_revenue),
            "target_rois": of_plans(lambda plan: plan.target_roi),
            "baseline_revenues": of_plans(lambda plan: plan.baseline_revenue),
            "starts_ats": of_plans(lambda plan: timestamp_or_none(plan.starts_at)),
            "ends_ats": of_plans(lambda plan: timestamp_or_none(plan.ends_at)),
            "statuses": [events[no].status for no in nos],
            "status_ats": [timestamp_or_none(events[no].status_at) for no in nos],
        },
    )


def save_distributions(conn: Connection, states: Mapping[tuple[int, int], Distribution]) -> None:
    """Write distributions, by event and channel number, and update their rows in channel_stats."""
    keys = sorted(states)
    where = {"event_nos": [event for event, _ in keys], "channel_nos": [channel for _, channel in keys]}
    conn.execute(
        SQL["save_distributions"],
        where
        | {
            "channel_types": [states[key].channel_type for key in keys],
            "states": [states[key].state for key in keys],
            "completed_ats": [timestamp(states[key].completed_at) for key in keys],
            "expected_views": [states[key].expected_views for key in keys],
            "costs": [states[key].cost for key in keys],
            "succeeded_ats": [timestamp_or_none(states[key].succeeded_at) for key in keys],
        },
    )
    conn.execute(SQL["publish_distributions"], where)


_EPOCH = datetime(1970, 1, 1)  # without a zone on purpose: the columns are UTC


def timestamp(microseconds: int) -> datetime:
    """Microseconds since 1970 as a value of a timestamp column."""
    return _EPOCH + timedelta(microseconds=microseconds)


def timestamp_or_none(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else timestamp(microseconds)


def _us_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds_since_1970(moment)
