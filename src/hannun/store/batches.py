"""A batch into PostgreSQL, in one transaction. This is the whole of counting once.

    positions ─► hold the events ─► registers ─► ledgers: who is new? ─► aggregates ─► dead letters ─► debt

Every writer holds the events of its batch, in the order of their numbers, before it changes anything of them. From
there on it is alone with them: what it reads stays true, and no two batches can deadlock. Two writers of different
events (the ordinary case: Kafka keeps an event's messages in one partition) never wait for each other.

The caller decides where the transaction begins and ends. Run twice with the same messages, the second changes nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from hannun.domain.batch import ChangedEvent, Received, Span, Written
from hannun.domain.channels import Channel, ChannelType
from hannun.domain.fold import Distribution, Gathered, Plan, Register, Registers, settle
from hannun.domain.messages import DeliveryState, EventStatus, Rejected
from hannun.errors import StaleBatch, StoreUnavailable
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("batches")
NO_CHANNEL = 0
"""The channel number of a participant without a channel."""
KNOWN_EVENTS_MAX = 200_000


def participant_key(conn: Connection) -> bytes:
    """The key of the hash of participant ids that are not UUIDs (`domain.messages.Rules`)."""
    row = conn.execute(SQL["participant_key"]).fetchone()
    assert row is not None
    return bytes(row[0])


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as the database numbers it."""

    no: int
    name: str
    type: ChannelType | None


class Numbers:
    """The numbers of events and channels, remembered: they are given once and never change.

    Numbers are given in a transaction of their own, before the batch: a number without counts harms nobody, and what
    is remembered here is then always committed.
    """

    def __init__(self) -> None:
        self.events: dict[str, int] = {}
        self.channels: dict[str, ChannelRow] = {}

    def unknown(self, gathered: Gathered) -> bool:
        """Whether `learn` has something to do for this batch."""
        return not (gathered.events.keys() <= self.events.keys() and gathered.channels.keys() <= self.channels.keys())

    def learn(self, conn: Connection, gathered: Gathered) -> None:
        """Number what has no number yet."""
        event_ids = [event_id for event_id in gathered.events if event_id not in self.events]
        if event_ids:
            if len(self.events) + len(event_ids) > KNOWN_EVENTS_MAX:
                self.events.clear()
                event_ids = list(gathered.events)
            found = self._event_numbers(conn, event_ids)
            if len(found) < len(event_ids):
                conn.execute(SQL["add_events"], {"event_ids": event_ids})
                found = self._event_numbers(conn, event_ids)
            self.events.update(found)
        named = [channel for key, channel in gathered.channels.items() if key not in self.channels]
        if named:
            found_channels = self._channel_numbers(conn, named)
            if len(found_channels) < len(named):
                names = {"keys": [channel.key for channel in named], "names": [channel.name for channel in named]}
                conn.execute(SQL["add_channels"], names)
                found_channels = self._channel_numbers(conn, named)
            self.channels.update(found_channels)

    def forget(self) -> None:
        """Believe nothing: the database was restored, or is another one."""
        self.events.clear()
        self.channels.clear()

    @staticmethod
    def _event_numbers(conn: Connection, event_ids: list[str]) -> dict[str, int]:
        return dict(conn.execute(SQL["event_numbers"], {"event_ids": event_ids}).fetchall())

    @staticmethod
    def _channel_numbers(conn: Connection, channels: Sequence[Channel]) -> dict[str, ChannelRow]:
        rows = conn.execute(SQL["channel_numbers"], {"keys": [channel.key for channel in channels]}).fetchall()
        return {key: ChannelRow(no, name, type and ChannelType(type)) for key, no, name, type in rows}


@dataclass(slots=True)
class _Change:
    """What a batch adds to one event."""

    participants: int = 0
    unattributed: int = 0
    sales: int = 0
    revenue: Decimal = Decimal("0.00")
    first_minute: int | None = None
    channels: set[str] = field(default_factory=set)
    whole: bool = False  # more than participants changed: its row in event_stats is made anew


class Writer:
    """Writes batches. Keeps only what makes the next batch cheaper; everything that counts is in the database."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._repeats_expected = False

    def write(
        self, conn: Connection, batch: Sequence[Received], gathered: Gathered, spans: Sequence[Span] = ()
    ) -> Written:
        """Write a batch in the caller's transaction. Its events and channels are numbered, its months exist.

        Raises:
            StaleBatch: a position no longer stands where the batch began, or belongs to another owner. Roll back.
            StoreUnavailable: what we remember of the database is not true of this one; it is forgotten. Do it again.
        """
        advance(conn, spans)
        written = Written(rejected=list(gathered.rejected))
        if gathered.events:
            self._write_events(conn, gathered, written)
        _add_dead_letters(conn, batch, written.rejected)
        if written.events:
            written.debt_no = _owe(conn, written.events)
        return written

    def _write_events(self, conn: Connection, gathered: Gathered, written: Written) -> None:
        owners = self._hold(conn, gathered)
        changes: dict[int, _Change] = {}
        self._settle_registers(conn, gathered, changes, owners, written)
        self._add_participants(conn, gathered, changes, written)
        self._add_sales(conn, gathered, changes, written)
        if not changes:
            return
        ids = {self._numbers.events[event_id]: event_id for event_id in gathered.events}
        versions = _add_to_events(conn, changes)
        _publish(conn, changes, ids)
        written.events = [
            ChangedEvent(ids[no], owners[no], versions[no], tuple(sorted(change.channels)))
            for no, change in sorted(changes.items())
        ]

    def _hold(self, conn: Connection, gathered: Gathered) -> dict[int, str | None]:
        """Hold the batch's events until its end. Returns the owners, by event number."""
        numbers = self._numbers.events
        expected = {numbers[event_id]: event_id for event_id in gathered.events}
        rows = conn.execute(SQL["lock_events"], {"event_nos": list(expected)}).fetchall()
        if {no: event_id for no, event_id, _ in rows} != expected:
            self._numbers.forget()
            raise StoreUnavailable(
                "the database numbers its events otherwise than it did: it was restored or exchanged"
            )
        return {no: user_id for no, _, user_id in rows}

    # -- registers: the newest wins

    def _settle_registers(
        self,
        conn: Connection,
        gathered: Gathered,
        changes: dict[int, _Change],
        owners: dict[int, str | None],
        written: Written,
    ) -> None:
        told: dict[int, list[tuple[int, Register]]] = {
            self._numbers.events[event_id]: told.registers
            for event_id, told in gathered.events.items()
            if told.registers
        }
        if not told:
            return
        before = _read_registers(conn, list(told))
        events: dict[int, Registers] = {}
        distributions: dict[tuple[int, int], Distribution] = {}
        for no, registers in told.items():
            settled = settle(before[no], registers)
            written.changed |= settled.changed
            written.rejected += settled.rejected
            if not settled.changed:
                continue
            change = changes.setdefault(no, _Change())
            change.whole = True
            events[no] = settled.registers
            if settled.registers.plan is not None:
                owners[no] = settled.registers.plan.user_id
            for key, distribution in settled.registers.distributions.items():
                if before[no].distributions.get(key) != distribution:
                    channel = self._numbers.channels[key]
                    distributions[no, channel.no] = distribution
                    change.channels.add(channel.name)
        if events:
            _save_registers(conn, events)
        if distributions:
            self._save_distributions(conn, distributions, changes)

    def _save_distributions(
        self, conn: Connection, distributions: dict[tuple[int, int], Distribution], changes: dict[int, _Change]
    ) -> None:
        places = sorted(distributions)
        states = [distributions[place] for place in places]
        where = {"event_nos": [no for no, _ in places], "channel_nos": [no for _, no in places]}
        conn.execute(
            SQL["save_distributions"],
            where
            | {
                "channel_types": [state.channel_type for state in states],
                "states": [state.state for state in states],
                "completed_ats": [_timestamp(state.completed_at) for state in states],
                "expected_views": [state.expected_views for state in states],
                "costs": [state.cost for state in states],
                "succeeded_ats": [_timestamp(state.succeeded_at) for state in states],
            },
        )
        conn.execute(SQL["publish_distributions"], where)
        # A type that has come takes in those who waited for it.
        moved = conn.execute(SQL["take_untyped"], where).fetchall()
        if moved:
            self._add_to_channels(
                conn,
                {
                    (no, channel_no): (waited, distributions[no, channel_no].channel_type)
                    for no, channel_no, waited in moved
                },
            )
            for no, _, waited in moved:
                changes[no].unattributed -= waited

    # -- ledgers: the first counts

    def _add_participants(
        self, conn: Connection, gathered: Gathered, changes: dict[int, _Change], written: Written
    ) -> None:
        written.new_participants = self._add_to_ledger(conn, gathered)
        by_minute: Counter[tuple[str, int]] = Counter()
        by_channel: Counter[tuple[int, str]] = Counter()
        for event_id, told in gathered.events.items():
            new = told.participants
            if written.new_participants is not None:
                new = {key: arrival for key, arrival in new.items() if (event_id, key) in written.new_participants}
            if not new:
                continue
            no = self._numbers.events[event_id]
            change = changes.setdefault(no, _Change())
            change.participants += len(new)
            for arrival, count in Counter(new.values()).items():
                by_minute[event_id, arrival.minute] += count
                if arrival.channel is None:
                    change.unattributed += count
                else:
                    by_channel[no, arrival.channel] += count
                if change.first_minute is None or arrival.minute < change.first_minute:
                    change.first_minute = arrival.minute
        if by_minute:
            places = sorted(by_minute)
            conn.execute(
                SQL["add_timeline_participants"],
                {
                    "event_ids": [event_id for event_id, _ in places],
                    "minutes": [minute for _, minute in places],
                    "participants": [by_minute[place] for place in places],
                },
            )
        if by_channel:
            self._attribute(conn, by_channel, changes)

    def _add_to_ledger(self, conn: Connection, gathered: Gathered) -> set[tuple[str, str]] | None:
        """Put the batch's participants into the ledger. Returns who was new; None when all were.

        `COPY` is the fast road and fails on the first repeat; the sure road says who was new. Repeats come in runs
        (a replay, a restart), so the road of a batch is the one that would have been right for the batch before.
        """
        events, channels = self._numbers.events, self._numbers.channels
        rows = [
            (
                events[event_id],
                key,
                arrival.minute,
                NO_CHANNEL if arrival.channel is None else channels[arrival.channel].no,
            )
            for event_id, told in gathered.events.items()
            for key, arrival in told.participants.items()
        ]
        if not rows:
            return set()
        rows.sort()  # neighbours in the index, and one order for all writers
        if not self._repeats_expected:
            try:
                with conn.transaction(), conn.cursor().copy(SQL["copy_participants"]) as copy:
                    copy.write("".join([f"{no}\t{key}\t{minute}\t{channel}\n" for no, key, minute, channel in rows]))
                return None
            except psycopg.errors.UniqueViolation:
                pass
        nos, keys, minutes, channel_nos = zip(*rows, strict=True)
        added = conn.execute(
            SQL["add_participants"],
            {
                "event_nos": list(nos),
                "participants": list(keys),
                "minutes": list(minutes),
                "channel_nos": list(channel_nos),
            },
        ).fetchall()
        self._repeats_expected = len(added) < len(rows)
        ids = {events[event_id]: event_id for event_id in gathered.events}
        return {(ids[no], participant.hex) for no, participant in added}

    def _attribute(self, conn: Connection, by_channel: Counter[tuple[int, str]], changes: dict[int, _Change]) -> None:
        """Give participants to their channels; those of a channel without a type wait, as unattributed."""
        channels = self._numbers.channels
        asked = sorted((no, channels[key].no) for no, key in by_channel if channels[key].type is None)
        typed: dict[tuple[int, int], ChannelType] = {}
        if asked:
            where = {"event_nos": [no for no, _ in asked], "channel_nos": [no for _, no in asked]}
            rows = conn.execute(SQL["typed_channels"], where).fetchall()
            typed = {(no, channel_no): ChannelType(type) for no, channel_no, type in rows}
        attributed: dict[tuple[int, int], tuple[int, ChannelType]] = {}
        waiting: dict[tuple[int, int], int] = {}
        for (no, key), count in by_channel.items():
            channel = channels[key]
            channel_type = channel.type or typed.get((no, channel.no))
            if channel_type is None:
                waiting[no, channel.no] = count
                changes[no].unattributed += count
            else:
                attributed[no, channel.no] = (count, channel_type)
                changes[no].channels.add(channel.name)
        if attributed:
            self._add_to_channels(conn, attributed)
        if waiting:
            places = sorted(waiting)
            conn.execute(
                SQL["add_untyped"],
                {
                    "event_nos": [no for no, _ in places],
                    "channel_nos": [no for _, no in places],
                    "participants": [waiting[place] for place in places],
                },
            )

    def _add_to_channels(self, conn: Connection, counts: dict[tuple[int, int], tuple[int, ChannelType]]) -> None:
        names = {row.no: row.name for row in self._numbers.channels.values()}
        places = sorted(counts)
        conn.execute(
            SQL["add_channel_participants"],
            {
                "event_nos": [no for no, _ in places],
                "names": [names[channel_no] for _, channel_no in places],
                "types": [counts[place][1] for place in places],
                "participants": [counts[place][0] for place in places],
            },
        )

    def _add_sales(self, conn: Connection, gathered: Gathered, changes: dict[int, _Change], written: Written) -> None:
        events, channels = self._numbers.events, self._numbers.channels
        sales = sorted(
            (events[event_id], sale_id, sale)
            for event_id, told in gathered.events.items()
            for sale_id, sale in told.sales.items()
        )
        if not sales:
            return
        added = conn.execute(
            SQL["add_sales"],
            {
                "event_nos": [no for no, _, _ in sales],
                "sale_ids": [sale_id for _, sale_id, _ in sales],
                "amounts": [sale.amount for _, _, sale in sales],
                "sold_ats": [_timestamp(sale.sold_at) for _, _, sale in sales],
                "channel_nos": [
                    NO_CHANNEL if sale.channel is None else channels[sale.channel.key].no for _, _, sale in sales
                ],
            },
        ).fetchall()
        new = {(no, sale_id) for no, sale_id in added}
        for no, sale_id, sale in sales:
            if (no, sale_id) in new:
                written.new_sales.add((sale.event_id, sale_id))
                change = changes.setdefault(no, _Change())
                change.sales += 1
                change.revenue += sale.amount
                change.whole = True


def advance(conn: Connection, spans: Iterable[Span]) -> None:
    """Move positions over what a batch covers, in the caller's transaction.

    Raises:
        StaleBatch: a position no longer stands where the batch began, or its epoch is another owner's.
    """
    for span in sorted(spans):
        if conn.execute(SQL["advance_position"], span._asdict()).rowcount != 1:
            raise StaleBatch(
                f"{span.topic}[{span.partition}] no longer stands at {span.start} under epoch {span.epoch}: "
                "another consumer owns it"
            )


def _read_registers(conn: Connection, event_nos: list[int]) -> dict[int, Registers]:
    of: dict[int, dict[str, Distribution]] = {no: {} for no in event_nos}
    for row in conn.execute(SQL["distributions"], {"event_nos": event_nos}).fetchall():
        no, key, type_, state, completed_at, expected_views, cost, succeeded_at = row
        of[no][key] = Distribution(
            ChannelType(type_),
            DeliveryState(state),
            _microseconds(completed_at),
            expected_views,
            cost,
            None if succeeded_at is None else _microseconds(succeeded_at),
        )
    registers: dict[int, Registers] = {}
    for no, plan_at, title, user_id, *money, starts_at, ends_at, status, status_at in conn.execute(
        SQL["registers"], {"event_nos": event_nos}
    ).fetchall():
        plan = None
        if plan_at is not None:
            times = (None if at is None else _microseconds(at) for at in (starts_at, ends_at))
            plan = Plan(_microseconds(plan_at), title, user_id, *money, *times)
        at = None if status_at is None else _microseconds(status_at)
        registers[no] = Registers(plan, EventStatus(status), at, of[no])
    return registers


def _save_registers(conn: Connection, events: dict[int, Registers]) -> None:
    nos = sorted(events)
    plans = [events[no].plan for no in nos]

    def of_plan(name: str) -> list[Any]:
        return [None if plan is None else getattr(plan, name) for plan in plans]

    conn.execute(
        SQL["save_registers"],
        {
            "event_nos": nos,
            "plan_ats": [_timestamp(at) for at in of_plan("created_at")],
            "titles": of_plan("title"),
            "user_ids": of_plan("user_id"),
            "total_investments": of_plan("total_investment"),
            "expected_revenues": of_plan("expected_revenue"),
            "target_rois": of_plan("target_roi"),
            "baseline_revenues": of_plan("baseline_revenue"),
            "starts_ats": [_timestamp(at) for at in of_plan("starts_at")],
            "ends_ats": [_timestamp(at) for at in of_plan("ends_at")],
            "statuses": [events[no].status for no in nos],
            "status_ats": [_timestamp(events[no].status_at) for no in nos],
        },
    )


def _add_to_events(conn: Connection, changes: dict[int, _Change]) -> dict[int, int]:
    """Add to the totals of events. Returns their new versions."""
    nos = sorted(changes)
    rows = conn.execute(
        SQL["add_to_events"],
        {
            "event_nos": nos,
            "participants": [changes[no].participants for no in nos],
            "unattributed": [changes[no].unattributed for no in nos],
            "sales": [changes[no].sales for no in nos],
            "revenues": [changes[no].revenue for no in nos],
            "minutes": [changes[no].first_minute for no in nos],
        },
    ).fetchall()
    return dict(rows)


def _publish(conn: Connection, changes: dict[int, _Change], ids: dict[int, str]) -> None:
    """Bring event_stats to what the batch made true."""
    whole = sorted(no for no, change in changes.items() if change.whole)
    counted = sorted(no for no, change in changes.items() if not change.whole and change.participants)
    if whole:
        conn.execute(SQL["publish_events"], {"event_nos": whole})
    if counted:
        conn.execute(
            SQL["publish_participants"],
            {
                "event_ids": [ids[no] for no in counted],
                "participants": [changes[no].participants for no in counted],
            },
        )


def _add_dead_letters(conn: Connection, batch: Sequence[Received], rejected: list[tuple[int, Rejected]]) -> None:
    if not rejected:
        return
    rows = []
    for index, letter in rejected:
        message = batch[index]
        place = message.place
        rows.append(
            {
                "kind": letter.kind,
                "reason": letter.reason,
                "detail": letter.detail,
                "event_id": letter.event_id,
                "topic": place and place.topic,
                "partition": place and place.partition,
                "topic_id": place and place.topic_id,
                "offset": place and place.offset,
                "received_at": _timestamp(message.received_at),
                "size_bytes": len(message.raw),
                "hash": hashlib.sha256(message.kind.encode() + b"\0" + message.raw).digest(),
                "fields": None if letter.fields is None else Jsonb(letter.fields),
            }
        )
    with conn.cursor() as cursor:
        cursor.executemany(SQL["add_dead_letter"], rows)


def _owe(conn: Connection, events: Sequence[ChangedEvent]) -> int:
    owed = {
        event.event_id: {"userId": event.user_id, "version": event.version, "channels": event.channels}
        for event in events
    }
    row = conn.execute(SQL["owe_invalidations"], {"events": Jsonb(owed)}).fetchone()
    assert row is not None
    return int(row[0])


_EPOCH = datetime(1970, 1, 1)  # naive on purpose: the columns are UTC without a zone


def _timestamp(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _microseconds(timestamp: object) -> int:
    assert isinstance(timestamp, datetime)
    return (timestamp - _EPOCH) // timedelta(microseconds=1)
