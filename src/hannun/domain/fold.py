"""What a batch of facts changes: the fold that Kafka ingestion, HTTP ingestion, replay and retry share.

    facts ─ group_by_event ─► FactsByEvent ─ the store locks the events and reads their registers ─ settle ─► changes

Every message counts once in one of two ways:

- Participants and sales are *sets*: the first message of a key counts. The ledgers in PostgreSQL decide which is first.
- Plans, statuses and distributions are *last-writer-wins registers*: the newest by its own time wins; an older or equal
  one changes nothing. `settle` decides this from the registers that the store reads while it holds the event's lock.

Facts are in the order of the Kafka log; over HTTP, in the order of the array. There is no clock and no I/O: the same
facts on the same registers give the same changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import itemgetter

import numpy as np

from hannun.domain.channels import Channel, ChannelType
from hannun.domain.decoded_batch import DecodedBatch
from hannun.domain.facts import (
    DeliveryState,
    DistributionCompleted,
    EventCreated,
    EventStatus,
    EventStatusChanged,
    Fact,
    Reason,
    Rejected,
    SalesRecorded,
)
from hannun.domain.registrations import Registrations

RegisterFact = EventCreated | EventStatusChanged | DistributionCompleted


@dataclass(slots=True)
class EventFacts:
    """The facts of one batch about one event that are no registrations, in their order.

    `sales` holds the first fact of each key. `registers` holds all facts of registers, each with its index in the
    batch.
    """

    sales: dict[str, SalesRecorded] = field(default_factory=dict)
    registers: list[tuple[int, RegisterFact]] = field(default_factory=list)


@dataclass(slots=True)
class FactsByEvent:
    """The facts of a batch, grouped by event.

    `registrations` holds the first registration of each participant, by event. `others` holds the other facts, by event
    id. `channels` holds the batch's channels by key, `rejected` each unusable message with its index in the batch.
    """

    registrations: Registrations
    others: dict[str, EventFacts] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)

    @property
    def event_ids(self) -> list[str]:
        """The batch's events, each once."""
        return list(dict.fromkeys([*self.registrations.event_ids, *self.others]))

    @property
    def minutes(self) -> set[int]:
        """The minutes in which a participant took part, since 1970 UTC: the partitions of `timeline_data` for them
        must exist before the batch is written."""
        return set(np.unique(self.registrations.minute).tolist())


def group_by_event(facts: Iterable[Fact | Rejected]) -> FactsByEvent:
    """Group a batch by event, keeping only the first fact of each participant and of each sale."""
    batch = facts if isinstance(facts, DecodedBatch) else DecodedBatch.of(facts)
    by_event = FactsByEvent(batch.registrations.first_of_each())
    named = batch.registrations
    channels = [(named.first_index(code), channel) for code, channel in enumerate(named.channels)]
    for index, fact in batch.others.items():
        if isinstance(fact, Rejected):
            by_event.rejected.append((index, fact))
            continue
        of_event = by_event.others.get(fact.event_id)
        if of_event is None:
            of_event = by_event.others[fact.event_id] = EventFacts()
        if type(fact) is SalesRecorded:
            of_event.sales.setdefault(fact.sale_id, fact)
            if fact.channel is not None:
                channels.append((index, fact.channel))
        else:
            assert isinstance(fact, EventCreated | EventStatusChanged | DistributionCompleted)
            of_event.registers.append((index, fact))
            if type(fact) is DistributionCompleted:
                channels += [(index, delivery.channel) for delivery in fact.deliveries]
    for _, channel in sorted(channels, key=itemgetter(0)):  # under the name of its first message
        by_event.channels.setdefault(channel.key, channel)
    return by_event


@dataclass(frozen=True, slots=True)
class Plan:
    """The newest `event-created` message of an event, without its status, which is a register of its own.

    Times are microseconds since 1970 UTC. A figure is None where that message does not say it, whatever an older one
    said.
    """

    created_at: int
    title: str
    user_id: str
    total_investment: Decimal | None
    expected_revenue: Decimal | None
    target_roi: Decimal | None
    baseline_revenue: Decimal | None
    starts_at: int | None
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of an event on one channel.

    It holds two registers. `state`, `expected_views` and the type come from the newest message. `cost` comes from the
    newest SUCCESS, since a later failure does not give the money back. It is 0 before the first SUCCESS, and None where
    the newest SUCCESS does not say it.
    """

    channel_type: ChannelType
    state: DeliveryState
    completed_at: int
    expected_views: int | None
    cost: Decimal | None
    succeeded_at: int | None


@dataclass(frozen=True, slots=True)
class Registers:
    """The last-writer-wins registers of an event.

    `plan` is None until its `event-created` message arrives. `status_at` is None until a message says a status; until
    then the event is ACTIVE.
    """

    plan: Plan | None = None
    status: EventStatus = EventStatus.ACTIVE
    status_at: int | None = None
    distributions: Mapping[str, Distribution] = field(default_factory=dict)


@dataclass(slots=True)
class SettledRegisters:
    """An event's registers after a batch, and the effect of each message, by its index in the batch.

    `changed` holds the messages that changed a register. `rejected` holds those that contradict a register: an event
    never changes its owner.
    """

    registers: Registers
    changed: set[int] = field(default_factory=set)
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)


def settle(before: Registers, facts: Iterable[tuple[int, RegisterFact]]) -> SettledRegisters:
    """Apply the facts, each with its index in the batch, to the registers in their order."""
    settled = SettledRegisters(before)
    for index, fact in facts:
        current = settled.registers
        if type(fact) is EventCreated:
            if current.plan is not None and current.plan.user_id != fact.user_id:
                settled.rejected.append((index, _owner_changed(fact)))
                continue
            after = _with_event_created(current, fact)
        elif type(fact) is EventStatusChanged:
            after = _with_status(current, fact.status, fact.changed_at)
        else:
            assert isinstance(fact, DistributionCompleted)
            after = _with_distributions(current, fact)
        if after is not current:
            settled.registers = after
            settled.changed.add(index)
    return settled


def _with_event_created(current: Registers, fact: EventCreated) -> Registers:
    """The registers after an `event-created` message: its plan, and its status where it says one.

    Each of the two is decided by itself, since an older message may say a status that a newer one does not.
    """
    after = _with_plan(current, fact)
    return after if fact.status is None else _with_status(after, fact.status, fact.created_at)


def _with_plan(current: Registers, fact: EventCreated) -> Registers:
    if current.plan is not None and fact.created_at <= current.plan.created_at:
        return current
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
    return replace(current, plan=plan)


def _with_status(current: Registers, status: EventStatus, said_at: int) -> Registers:
    if current.status_at is not None and said_at <= current.status_at:
        return current
    return replace(current, status=status, status_at=said_at)


def _with_distributions(current: Registers, fact: DistributionCompleted) -> Registers:
    distributions = dict(current.distributions)
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
    return replace(current, distributions=distributions) if changed else current


def _owner_changed(fact: EventCreated) -> Rejected:
    return Rejected(
        "event-created",
        Reason.OWNER_CHANGED,
        "the event belongs to another userId",
        fact.event_id,
        # Only these two fields: the message as sent is in the platform's log.
        {"eventId": fact.event_id, "userId": fact.user_id},
    )
