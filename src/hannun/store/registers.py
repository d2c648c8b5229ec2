"""The last-writer-wins registers in PostgreSQL: plans, statuses and distributions. `domain.fold` decides who wins."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hannun.domain.channels import ChannelType
from hannun.domain.facts import DeliveryState, EventStatus
from hannun.domain.fold import Distribution, Plan, Registers
from hannun.domain.instants import microseconds_since_1970
from hannun.store.amounts import Amounts, amounts_of, cost_of, plan_of
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("registers")


def read(conn: Connection, event_nos: list[int]) -> dict[int, Registers]:
    """The registers of events, by number.

    The caller has locked the events, so the registers stay valid until the end of its transaction.
    """
    wanted, amounts = {"event_nos": event_nos}, amounts_of(conn)
    rows = conn.execute(SQL["registers"], wanted).fetchall()
    id_of = {no: event_id for no, event_id, *_ in rows}
    distributions: dict[int, dict[str, Distribution]] = {no: {} for no in event_nos}
    for no, key, *row in conn.execute(SQL["distributions"], wanted):
        distributions[no][key] = _distribution(amounts, id_of[no], row)
    return {
        no: Registers(
            None if plan_at is None else _plan(amounts, event_id, plan_at, plan),
            EventStatus(status),
            _us_or_none(status_at),
            distributions[no],
        )
        for no, event_id, status, status_at, plan_at, *plan in rows
    }


def _plan(amounts: Amounts, event_id: str, created_at: datetime, row: Sequence[Any]) -> Plan:
    title, user_id, target, starts_at, ends_at, *numbers, sealed = row
    planned, expected, baseline = amounts.several(plan_of(event_id), numbers, sealed)
    starts, ends = _us_or_none(starts_at), _us_or_none(ends_at)
    return Plan(microseconds_since_1970(created_at), title, user_id, planned, expected, target, baseline, starts, ends)


def _distribution(amounts: Amounts, event_id: str, row: Sequence[Any]) -> Distribution:
    type_, state, completed_at, views, succeeded_at, number, sealed, channel_no = row
    cost = amounts.one(cost_of(event_id, channel_no), number, sealed)
    at, succeeded = microseconds_since_1970(completed_at), _us_or_none(succeeded_at)
    return Distribution(ChannelType(type_), DeliveryState(state), at, views, cost, succeeded)


def save(conn: Connection, events: Mapping[int, Registers], sealed: Mapping[int, str]) -> None:
    """Write the plans and statuses of events, by number.

    Args:
        sealed: the ids of the events whose amounts are sealed, by number.
    """
    nos, amounts = sorted(events), amounts_of(conn)
    plans = [events[no].plan for no in nos]

    def of_plans(figure: Callable[[Plan], object]) -> list[object]:
        return [None if plan is None else figure(plan) for plan in plans]

    def numbers(amount: Callable[[Plan], object]) -> list[object]:
        return [None if plan is None or no in sealed else amount(plan) for no, plan in zip(nos, plans, strict=True)]

    conn.execute(
        SQL["save_registers"],
        {
            "event_nos": nos,
            "plan_ats": of_plans(lambda plan: timestamp(plan.created_at)),
            "titles": of_plans(lambda plan: plan.title),
            "user_ids": of_plans(lambda plan: plan.user_id),
            "total_investments": numbers(lambda plan: plan.total_investment),
            "expected_revenues": numbers(lambda plan: plan.expected_revenue),
            "target_rois": of_plans(lambda plan: plan.target_roi),
            "baseline_revenues": numbers(lambda plan: plan.baseline_revenue),
            "sealed_plans": [
                None if plan is None or no not in sealed else seal_plan(amounts, sealed[no], plan)
                for no, plan in zip(nos, plans, strict=True)
            ],
            "starts_ats": of_plans(lambda plan: timestamp_or_none(plan.starts_at)),
            "ends_ats": of_plans(lambda plan: timestamp_or_none(plan.ends_at)),
            "statuses": [events[no].status for no in nos],
            "status_ats": [timestamp_or_none(events[no].status_at) for no in nos],
        },
    )


def seal_plan(amounts: Amounts, event_id: str, plan: Plan) -> bytes:
    """The value of `sealed_plan`."""
    return amounts.seal(plan_of(event_id), plan.total_investment, plan.expected_revenue, plan.baseline_revenue)


def save_distributions(
    conn: Connection, states: Mapping[tuple[int, int], Distribution], sealed: Mapping[int, str]
) -> None:
    """Write distributions, by event and channel number, and their rows in channel_stats. `sealed` as in `save`."""
    keys, amounts = sorted(states), amounts_of(conn)
    where = {"event_nos": [event for event, _ in keys], "channel_nos": [channel for _, channel in keys]}
    conn.execute(
        SQL["save_distributions"],
        where
        | {
            "channel_types": [states[key].channel_type for key in keys],
            "states": [states[key].state for key in keys],
            "completed_ats": [timestamp(states[key].completed_at) for key in keys],
            "expected_views": [states[key].expected_views for key in keys],
            "costs": [None if no in sealed else states[no, channel].cost for no, channel in keys],
            "sealed_costs": [
                amounts.seal(cost_of(sealed[no], channel), states[no, channel].cost) if no in sealed else None
                for no, channel in keys
            ],
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
