"""What a batch of facts changes: the one fold behind both doors.

    facts ──gather──► Gathered ──(the store locks the events and reads their registers)──► settle ──► Changes

Two manners of counting once, and no third:

- participants and sales are *sets*: the first of a key counts, the database's ledgers decide which is the first;
- plans, statuses and distributions are *registers*: the newest by its own time wins, an older or equal one changes
  nothing. They are settled here, on what the store has read while it held the event.

The order of the facts is the order of the log (over HTTP: of the array). No clock, no I/O: the same facts on the same
registers give the same changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from hannun.domain.channels import Channel, ChannelType
from hannun.domain.facts import (
    DeliveryState,
    DistributionCompleted,
    EventCreated,
    EventStatus,
    EventStatusChanged,
    Fact,
    ParticipantRegistered,
    Reason,
    Rejected,
    SalesRecorded,
)

Register = EventCreated | EventStatusChanged | DistributionCompleted


class Arrival(NamedTuple):
    """How a participant came: `minute` is minutes since 1970 UTC, `channel` a channel's key or None."""

    minute: int
    channel: str | None


@dataclass(slots=True)
class EventFacts:
    """All that one batch tells of one event, in the order in which it was told."""

    participants: dict[str, Arrival] = field(default_factory=dict)
    sales: dict[str, SalesRecorded] = field(default_factory=dict)
    registers: list[tuple[int, Register]] = field(default_factory=list)


@dataclass(slots=True)
class FactsByEvent:
    """A batch by event. `rejected` keeps the index of its message in the batch; `minutes` are those in which somebody
    took part: their partitions must exist."""

    events: dict[str, EventFacts] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)
    minutes: set[int] = field(default_factory=set)


def group_by_event(facts: Iterable[Fact | Rejected]) -> FactsByEvent:
    """Sort a batch by event; of a participant or a sale only its first message is kept."""
    gathered = FactsByEvent()
    events, channels = gathered.events, gathered.channels
    arrivals: dict[tuple[int, Channel | None], Arrival] = {}
    for index, fact in enumerate(facts):
        if type(fact) is ParticipantRegistered:
            event_id, participant, minute, channel = fact
            arrival = arrivals.get((minute, channel))
            if arrival is None:
                arrival = arrivals[minute, channel] = Arrival(minute, None if channel is None else channel.key)
                gathered.minutes.add(minute)
                if channel is not None:
                    channels.setdefault(channel.key, channel)
            told = events.get(event_id)
            if told is None:
                told = events[event_id] = EventFacts()
            told.participants.setdefault(participant, arrival)
            continue
        if isinstance(fact, Rejected):
            gathered.rejected.append((index, fact))
            continue
        told = events.get(fact.event_id)
        if told is None:
            told = events[fact.event_id] = EventFacts()
        if type(fact) is SalesRecorded:
            told.sales.setdefault(fact.sale_id, fact)
            if fact.channel is not None:
                channels.setdefault(fact.channel.key, fact.channel)
        else:
            assert isinstance(fact, EventCreated | EventStatusChanged | DistributionCompleted)
            told.registers.append((index, fact))
            if type(fact) is DistributionCompleted:
                for delivery in fact.deliveries:
                    channels.setdefault(delivery.channel.key, delivery.channel)
    return gathered


@dataclass(frozen=True, slots=True)
class Plan:
    """What the event service last said of an event; `created_at` is when it said so."""

    created_at: int
    title: str
    user_id: str
    total_investment: Decimal
    expected_revenue: Decimal
    target_roi: Decimal
    baseline_revenue: Decimal | None
    starts_at: int | None
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """The state of one channel of an event.

    Two registers in one: `state`, `expected_views` and the type are those of the newest message; `cost` is that of the
    newest SUCCESS, since a later failure does not give the money back. `cost` is 0 while there was none.
    """

    channel_type: ChannelType
    state: DeliveryState
    completed_at: int
    expected_views: int | None
    cost: Decimal
    succeeded_at: int | None


@dataclass(frozen=True, slots=True)
class Registers:
    """Everything of an event that the newest message decides. `plan` is None until the event was created."""

    plan: Plan | None = None
    status: EventStatus = EventStatus.ACTIVE
    status_at: int | None = None
    distributions: Mapping[str, Distribution] = field(default_factory=dict)


@dataclass(slots=True)
class SettledRegisters:
    """An event's registers after a batch, and what each message did, by its index in the batch.

    `rejected` are messages that only the registers could show to be unusable (the owner never changes).
    """

    registers: Registers
    changed: set[int] = field(default_factory=set)
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)


def settle(before: Registers, told: Iterable[tuple[int, Register]]) -> SettledRegisters:
    """Apply register messages in their order."""
    settled = SettledRegisters(before)
    for index, fact in told:
        now = settled.registers
        if type(fact) is EventCreated:
            if now.plan is not None and now.plan.user_id != fact.user_id:
                settled.rejected.append((index, _owner_changed(fact)))
                continue
            after = _created(now, fact)
        elif type(fact) is EventStatusChanged:
            after = _status_changed(now, fact)
        else:
            assert isinstance(fact, DistributionCompleted)
            after = _distributed(now, fact)
        if after is not now:
            settled.registers = after
            settled.changed.add(index)
    return settled


def _created(now: Registers, fact: EventCreated) -> Registers:
    if now.plan is not None and fact.created_at <= now.plan.created_at:
        return now
    plan = Plan(
        fact.created_at,
        fact.title,
        fact.user_id,
        fact.total_investment,
        fact.expected_revenue,
        fact.target_roi,
        fact.baseline_revenue,
        fact.starts_at,
        fact.ends_at,
    )
    if now.status_at is not None and fact.created_at <= now.status_at:
        return replace(now, plan=plan)
    return replace(now, plan=plan, status=fact.status, status_at=fact.created_at)


def _status_changed(now: Registers, fact: EventStatusChanged) -> Registers:
    if now.status_at is not None and fact.changed_at <= now.status_at:
        return now
    return replace(now, status=fact.status, status_at=fact.changed_at)


def _distributed(now: Registers, fact: DistributionCompleted) -> Registers:
    distributions = dict(now.distributions)
    changed = False
    for delivery in fact.deliveries:
        before = distributions.get(delivery.channel.key)
        succeeded = delivery.state is DeliveryState.SUCCESS
        newest = before is None or fact.completed_at > before.completed_at
        newest_success = succeeded and (
            before is None or before.succeeded_at is None or fact.completed_at > before.succeeded_at
        )
        if not newest and not newest_success:
            continue
        changed = True
        cost, succeeded_at = (Decimal("0.00"), None) if before is None else (before.cost, before.succeeded_at)
        if newest_success:
            cost, succeeded_at = delivery.cost, fact.completed_at
        if newest:
            distributions[delivery.channel.key] = Distribution(
                delivery.channel_type, delivery.state, fact.completed_at, delivery.expected_views, cost, succeeded_at
            )
        else:
            assert before is not None
            distributions[delivery.channel.key] = replace(before, cost=cost, succeeded_at=succeeded_at)
    return replace(now, distributions=distributions) if changed else now


def _owner_changed(fact: EventCreated) -> Rejected:
    return Rejected(
        "event-created",
        Reason.OWNER_CHANGED,
        "the event belongs to another userId",
        fact.event_id,
        # Plain values only: what the message said is in the log of the platform, not here.
        {"eventId": fact.event_id, "userId": fact.user_id},
    )
