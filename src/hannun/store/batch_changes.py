"""The changes of one batch, statement by statement, in the transaction of the batch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter

import psycopg

from hannun.domain.batch import BatchResult, ChangedEvent
from hannun.domain.channels import ChannelType
from hannun.domain.facts import SalesRecorded
from hannun.domain.fold import Distribution, FactsByEvent, RegisterFact, Registers, settle
from hannun.domain.forgotten import NOTHING_FORGOTTEN, ForgottenIds
from hannun.errors import OutdatedCaches
from hannun.store import registers
from hannun.store.amounts import amounts_of, bytes_array, revenue_of, sale_of
from hannun.store.database import Connection
from hannun.store.ledger_copy import (
    NO_CHANNEL,
    LedgerText,
    channel_numbers,
    int_array,
    ledger_columns,
    ledger_text,
    pair_columns,
    text_array,
)
from hannun.store.queries import load
from hannun.store.surrogate_keys import SurrogateKeys

SQL = load("batches")

EventChannel = tuple[int, int]
"""An event's and a channel's number."""


@dataclass(slots=True)
class _EventChange:
    """What a batch adds to one event."""

    participants: int = 0
    unattributed: int = 0
    sales: int = 0
    revenue: Decimal = Decimal("0.00")
    first_minute: int | None = None
    channels: set[str] = field(default_factory=set)
    rewrite: bool = False  # more than participants changed: its row of event_stats is computed from its sources


class BatchChanges:
    """One batch on its way into the database. The methods stand in the order of their calls."""

    def __init__(
        self,
        conn: Connection,
        keys: SurrogateKeys,
        by_event: FactsByEvent,
        written: BatchResult,
        prepared_text: LedgerText | None = None,
        forgotten: ForgottenIds = NOTHING_FORGOTTEN,
    ) -> None:
        self._conn = conn
        self._forgotten = forgotten
        self._prepared_text = prepared_text
        self._channels = keys.channels
        self._keys = keys
        self._by_event = by_event
        self._written = written
        self._no_of = {event_id: keys.events[event_id] for event_id in by_event.events}
        self._id_of = {no: event_id for event_id, no in self._no_of.items()}
        self._owners: dict[int, str | None] = {}
        self._changes: dict[int, _EventChange] = {}
        self._sealed: dict[int, str] = {}  # the ids of the events whose amounts are sealed
        self._sealed_revenue: dict[int, bytes | None] = {}  # theirs; None before the first sale

    def lock_events(self) -> None:
        """Lock the batch's events until the commit, and check that the cached surrogate keys are those of this
        database, and that no id of these events was forgotten since the batch was prepared.

        Raises:
            OutdatedCaches: a surrogate key differs, or an id was forgotten. Drop the caches, and count it again.
        """
        keys = list(self._by_event.channels)
        known = {"channel_keys": keys, "channel_nos": [self._channels[key].no for key in keys]}
        rows = self._conn.execute(SQL["lock_events"], {"event_nos": int_array(self._id_of), **known}).fetchall()
        if {row[0]: row[1] for row in rows} != self._id_of or any(row[3] != len(keys) for row in rows):
            raise OutdatedCaches(
                "the surrogate keys of this database differ from the cached ones: it was restored or replaced"
            )
        counts = self._forgotten.counts
        for no, event_id, owner, _, forgotten, sealed, revenue in rows:
            if forgotten != counts.get(event_id, 0):
                raise OutdatedCaches("ids of an event were forgotten since the batch was prepared")
            self._owners[no] = owner
            if sealed:
                self._sealed[no] = event_id
                self._sealed_revenue[no] = revenue

    # -- registers: the last writer wins

    def settle_registers(self) -> None:
        """Apply plans, statuses and distributions to the stored registers."""
        by_event_no: dict[int, list[tuple[int, RegisterFact]]] = {
            self._no_of[event_id]: facts.registers
            for event_id, facts in self._by_event.events.items()
            if facts.registers
        }
        if not by_event_no:
            return
        before = registers.read(self._conn, list(by_event_no))
        if any(before[no].plan is None for no in by_event_no):
            self._check_forgotten_merchants()
        events: dict[int, Registers] = {}
        distributions: dict[EventChannel, Distribution] = {}
        for no, messages in by_event_no.items():
            settled = settle(before[no], messages)
            self._written.changed |= settled.changed
            self._written.rejected += settled.rejected
            if not settled.changed:
                continue
            change = self._change(no)
            change.rewrite = True
            events[no] = settled.registers
            if settled.registers.plan is not None:
                self._owners[no] = settled.registers.plan.user_id
            for key, distribution in settled.registers.distributions.items():
                if before[no].distributions.get(key) != distribution:
                    distributions[no, self._channels[key].no] = distribution
                    change.channels.add(self._channels[key].name)
        if events:
            registers.save(self._conn, events, self._sealed)
        if distributions:
            registers.save_distributions(self._conn, distributions, self._sealed)
            self._attribute_untyped(distributions)

    def _check_forgotten_merchants(self) -> None:
        """Check that every forgotten merchant is known, before an event gets its owner."""
        row = self._conn.execute(SQL["forgotten_merchants"]).fetchone()
        if row is None or row[0] != len(self._forgotten.merchants):
            raise OutdatedCaches("a merchant was forgotten since the batch was prepared")

    def _attribute_untyped(self, typed: Mapping[EventChannel, Distribution]) -> None:
        """Move participants who were unattributed because their channel had no type to the channel, which has one
        now."""
        moved = self._conn.execute(
            SQL["remove_untyped_participants"], pair_columns(typed, "event_nos", "channel_nos")
        ).fetchall()
        for no, _, participants in moved:
            self._change(no).unattributed -= participants
        self._add_to_channels({(no, channel): (count, typed[no, channel].channel_type) for no, channel, count in moved})

    # -- ledgers: the first counts

    def add_participants(self, *, repeats_expected: bool) -> bool:
        """Count the new participants. Returns whether some were repeats: then the next batch expects repeats too."""
        self._written.new_participants, repeats = self._add_to_ledger(repeats_expected)
        by_minute: dict[tuple[str, int], int] = {}
        by_channel: dict[tuple[int, str], int] = {}
        for event_id, facts in self._by_event.events.items():
            new = facts.participants
            if self._written.new_participants is not None:
                new = {id_: came for id_, came in new.items() if (event_id, id_) in self._written.new_participants}
            if not new:
                continue
            no = self._no_of[event_id]
            change = self._change(no)
            change.participants += len(new)
            # Up to ten participants are added one by one: building a Counter costs as much as ten additions.
            arrivals = Counter(new.values()).items() if len(new) > 10 else [(arrival, 1) for arrival in new.values()]
            for (minute, channel), count in arrivals:
                bucket = (event_id, minute)
                by_minute[bucket] = by_minute.get(bucket, 0) + count
                if channel is None:
                    change.unattributed += count
                else:
                    pair = (no, channel)
                    by_channel[pair] = by_channel.get(pair, 0) + count
                if change.first_minute is None or minute < change.first_minute:
                    change.first_minute = minute
        self._add_to_timeline(by_minute)
        self._attribute(by_channel)
        return repeats

    def _add_to_ledger(self, repeats_expected: bool) -> tuple[set[tuple[str, str]] | None, bool]:
        """Add the batch's participants to the ledger. Returns who was new (None: all), and whether some were repeats.

        COPY is the fast path and fails at the first repeat; INSERT ... ON CONFLICT returns who was new. Repeats come in
        runs (a replay, a restart), so a batch takes the path that would have been right for the one before it.
        """
        if not any(facts.participants for facts in self._by_event.events.values()):
            return set(), repeats_expected
        if not repeats_expected:
            try:
                with self._conn.transaction():
                    for name, text in self._ledger_text().items():
                        with self._conn.cursor().copy(SQL[name]) as copy:
                            copy.write(text)
                return None, False
            except psycopg.errors.UniqueViolation:
                pass
        channel_nos = channel_numbers(self._keys, self._by_event)
        rows = [
            (no, participant, *ledger_columns(minute, channel_nos[channel]))
            for event_id, no in sorted(self._no_of.items(), key=itemgetter(1))
            for participant, (minute, channel) in sorted(self._by_event.events[event_id].participants.items())
        ]
        nos, participants, cames, minutes, channels = zip(*rows, strict=True)
        added = self._conn.execute(
            SQL["add_participants"],
            {
                "event_nos": int_array(nos),
                "participants": list(participants),
                "cames": int_array(cames),
                "minutes": int_array(minutes),
                "channel_nos": int_array(channels),
            },
        ).fetchall()
        return {(self._id_of[no], participant.hex) for no, participant in added}, len(added) < len(rows)

    def _ledger_text(self) -> Mapping[str, bytes]:
        """The rows for COPY: those that were prepared, if the surrogate keys are still the same; else made now."""
        text = self._prepared_text
        if text is None or text.times_cleared != self._keys.times_cleared:
            text = ledger_text(self._keys, self._by_event)
            assert text is not None
        return text.by_statement

    def _add_to_timeline(self, counts: Mapping[tuple[str, int], int]) -> None:
        if counts:
            ordered = sorted(counts)
            try:
                self._conn.execute(
                    SQL["add_timeline_participants"],
                    {
                        "event_nos": int_array([self._no_of[event_id] for event_id, _ in ordered]),
                        "event_ids": text_array([event_id for event_id, _ in ordered]),
                        "minutes": int_array([minute for _, minute in ordered]),
                        "participants": int_array([counts[bucket] for bucket in ordered]),
                    },
                )
            except psycopg.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:
                    raise
                # No constraint of a column: the row has no partition, because its month was detached meanwhile.
                raise OutdatedCaches(f"a month of the timeline is detached: {error.diag.message_primary}") from error

    def _attribute(self, by_channel: Mapping[tuple[int, str], int]) -> None:
        """Add participants to their channels; those of a channel without a type stay unattributed until it has one."""
        unknown = {(no, self._channels[key].no) for no, key in by_channel if self._channels[key].type is None}
        typed: dict[EventChannel, ChannelType] = {}
        if unknown:
            rows = self._conn.execute(
                SQL["typed_channels"], pair_columns(unknown, "event_nos", "channel_nos")
            ).fetchall()
            typed = {(no, channel_no): ChannelType(type_) for no, channel_no, type_ in rows}
        attributed: dict[EventChannel, tuple[int, ChannelType]] = {}
        untyped: dict[EventChannel, int] = {}
        for (no, key), count in by_channel.items():
            channel = self._channels[key]
            channel_type = channel.type or typed.get((no, channel.no))
            if channel_type is None:
                untyped[no, channel.no] = count
                self._change(no).unattributed += count
            else:
                attributed[no, channel.no] = (count, channel_type)
                self._change(no).channels.add(channel.name)
        self._add_to_channels(attributed)
        if untyped:
            pairs = pair_columns(untyped, "event_nos", "channel_nos")
            self._conn.execute(
                SQL["add_untyped_participants"],
                pairs | {"participants": [untyped[pair] for pair in sorted(untyped)]},
            )

    def _add_to_channels(self, counts: Mapping[EventChannel, tuple[int, ChannelType]]) -> None:
        if not counts:
            return
        pairs = sorted(counts)
        self._conn.execute(
            SQL["add_channel_participants"],
            {
                "event_nos": int_array([no for no, _ in pairs]),
                "channel_nos": int_array([channel for _, channel in pairs]),
                "types": text_array([counts[pair][1] for pair in pairs]),
                "participants": int_array([counts[pair][0] for pair in pairs]),
            },
        )

    def add_sales(self) -> None:
        """Add the new sales to the ledger and to the totals."""
        sales = {
            (self._no_of[event_id], sale_id): sale
            for event_id, facts in self._by_event.events.items()
            for sale_id, sale in facts.sales.items()
        }
        if not sales:
            return
        ordered = [sales[key] for key in sorted(sales)]
        sealed = self._sealed_amounts(sales)
        added = self._conn.execute(
            SQL["add_sales"],
            pair_columns(sales, "event_nos", "sale_ids")
            | {
                "amounts": [None if key in sealed else sales[key].amount for key in sorted(sales)],
                "sealed_amounts": bytes_array([sealed.get(key) for key in sorted(sales)]),
                "sold_ats": [registers.timestamp(sale.sold_at) for sale in ordered],
                "channel_nos": [
                    NO_CHANNEL if sale.channel is None else self._channels[sale.channel.key].no for sale in ordered
                ],
            },
        ).fetchall()
        for no, sale_id in added:
            self._written.new_sales.add((self._id_of[no], sale_id))
            change = self._change(no)
            change.sales += 1
            change.revenue += sales[no, sale_id].amount
            change.rewrite = True

    def _sealed_amounts(self, sales: Mapping[tuple[int, str], SalesRecorded]) -> dict[tuple[int, str], bytes]:
        """The sealed amounts of those sales whose event's amounts are sealed, by event number and sale id."""
        keys = [key for key in sales if key[0] in self._sealed]
        if not keys:
            return {}
        places = [(sale_of(self._sealed[no], sale_id), sales[no, sale_id].amount) for no, sale_id in keys]
        return dict(zip(keys, amounts_of(self._conn).seal_each(places), strict=True))

    # -- totals, and the invalidations that follow

    def publish_totals(self) -> None:
        """Update the totals, and list the events whose cached answers are outdated."""
        if not self._changes:
            return
        versions = self._add_to_events()
        rewritten = sorted(no for no, change in self._changes.items() if change.rewrite)
        counted = sorted(no for no, change in self._changes.items() if not change.rewrite and change.participants)
        if rewritten:
            self._conn.execute(SQL["publish_events"], {"event_nos": rewritten})
        if counted:
            self._conn.execute(
                SQL["publish_participants"],
                {
                    "event_ids": text_array([self._id_of[no] for no in counted]),
                    "participants": int_array([self._changes[no].participants for no in counted]),
                },
            )
        self._written.events = [
            ChangedEvent(self._id_of[no], self._owners[no], versions[no], tuple(sorted(change.channels)))
            for no, change in sorted(self._changes.items())
        ]

    def _add_to_events(self) -> dict[int, int]:
        """Update `hannun.events`. Returns the new version of each event."""
        nos = sorted(self._changes)
        changes = [self._changes[no] for no in nos]
        sealed_revenues = self._sealed_revenues()
        rows = self._conn.execute(
            SQL["add_to_events"],
            {
                "event_nos": int_array(nos),
                "participants": int_array([change.participants for change in changes]),
                "unattributed": int_array([change.unattributed for change in changes]),
                "sales": int_array([change.sales for change in changes]),
                "revenues": "{"
                + ",".join(["0" if no in sealed_revenues else str(self._changes[no].revenue) for no in nos])
                + "}",
                "sealed_revenues": bytes_array([sealed_revenues.get(no) for no in nos]),
                "minutes": int_array([change.first_minute for change in changes]),
            },
        ).fetchall()
        return dict(rows)

    def _sealed_revenues(self) -> dict[int, bytes]:
        """The new recorded revenue of the events with new sales whose amounts are sealed."""
        amounts = amounts_of(self._conn)
        new = []
        for no, event_id in self._sealed.items():
            change = self._changes.get(no)
            if change is not None and change.sales:
                place = revenue_of(event_id)
                recorded = amounts.one(place, None, self._sealed_revenue[no]) or 0
                new.append((no, place, recorded + change.revenue))
        if not new:
            return {}
        sealed = amounts.seal_each([(place, revenue) for _, place, revenue in new])
        return {no: value for (no, *_), value in zip(new, sealed, strict=True)}

    def _change(self, no: int) -> _EventChange:
        change = self._changes.get(no)
        if change is None:
            change = self._changes[no] = _EventChange()
        return change
