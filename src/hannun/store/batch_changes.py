"""The changes of one batch, statement by statement, in the transaction of the batch."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import psycopg

from hannun.domain.batch import BatchResult, ChangedEvent
from hannun.domain.facts import SalesRecorded
from hannun.domain.fold import Distribution, FactsByEvent, RegisterFact, Registers, settle
from hannun.domain.forgotten import NOTHING_FORGOTTEN, ForgottenIds
from hannun.domain.registrations import NO_CHANNEL_CODE, Numbers, Registrations, hexadecimal
from hannun.errors import OutdatedCaches
from hannun.store import registers
from hannun.store.amounts import amounts_of, bytes_array, revenue_of, sale_of
from hannun.store.database import Connection
from hannun.store.ledger_copy import (
    NO_CHANNEL,
    LedgerColumns,
    LedgerRows,
    channel_numbers,
    event_numbers,
    int_array,
    ledger_rows,
    pair_columns,
    text_array,
)
from hannun.store.queries import load
from hannun.store.surrogate_keys import SurrogateKeys

SQL = load("batches")

EventChannel = tuple[int, int]
"""An event's and a channel's number."""
Mask = npt.NDArray[np.bool_]


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
        prepared_rows: LedgerRows | None = None,
        forgotten: ForgottenIds = NOTHING_FORGOTTEN,
    ) -> None:
        self._conn = conn
        self._forgotten = forgotten
        self._prepared_rows = prepared_rows
        self._channels = keys.channels
        self._keys = keys
        self._by_event = by_event
        self._written = written
        self._no_of = {event_id: keys.events[event_id] for event_id in by_event.event_ids}
        self._id_of = {no: event_id for event_id, no in self._no_of.items()}
        self._owners: dict[int, str | None] = {}
        self._changes: dict[int, _EventChange] = {}
        self._packed: list[int] = []  # the events with packed participants
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
        for no, event_id, owner, _, forgotten, sealed, revenue, packed in rows:
            if forgotten != counts.get(event_id, 0):
                raise OutdatedCaches("ids of an event were forgotten since the batch was prepared")
            self._owners[no] = owner
            if packed:
                self._packed.append(no)
            if sealed:
                self._sealed[no] = event_id
                self._sealed_revenue[no] = revenue

    # -- registers: the last writer wins

    def settle_registers(self) -> None:
        """Apply plans, statuses and distributions to the stored registers."""
        by_event_no: dict[int, list[tuple[int, RegisterFact]]] = {
            self._no_of[event_id]: facts.registers
            for event_id, facts in self._by_event.others.items()
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
        self._add_to_channels(sorted(moved))

    # -- ledgers: the first counts

    def add_participants(self, *, repeats_expected: bool) -> bool:
        """Count the new participants. Returns whether some were repeats: then the next batch expects repeats too."""
        registrations = self._without_packed(self._by_event.registrations)
        if not len(registrations):
            self._written.new_participants = set()
            return repeats_expected
        new = None if repeats_expected else self._copy_to_ledger(registrations)
        if new is None:
            new = self._insert_into_ledger(registrations)
        self._count_participants(registrations if new.all() else registrations.at(new))
        return not new.all()

    def _without_packed(self, registrations: Registrations) -> Registrations:
        """The registrations of those who are in no segment of the ledger. The others are repeats, which no constraint
        would find. Most events have no segment, and cost nothing here."""
        if not self._packed:
            return registrations
        event_nos = event_numbers(self._keys, registrations)
        places = np.flatnonzero(np.isin(event_nos, self._packed))
        if not len(places):
            return registrations
        found = self._conn.execute(
            SQL["packed_among"],
            {
                "event_nos": int_array(event_nos[places].tolist()),
                "participants": "{" + ",".join(hexadecimal(registrations.participant[places])) + "}",
            },
        ).fetchall()
        if not found:
            return registrations
        unpacked = np.ones(len(registrations), dtype=bool)
        unpacked[places[[place - 1 for (place,) in found]]] = False
        return registrations.at(unpacked)

    def _copy_to_ledger(self, registrations: Registrations) -> Mask | None:
        """Add participants to the ledger, if all of them are new; else nothing is added.

        COPY is the fast path and fails at the first repeat; INSERT ... ON CONFLICT returns who was new. Repeats come in
        runs (a replay, a restart), so a batch takes the path that would have been right for the one before it.
        """
        try:
            with self._conn.transaction():
                for name, rows in self._ledger_rows(registrations).items():
                    with self._conn.cursor().copy(SQL[name]) as copy:
                        copy.write(rows)
        except psycopg.errors.UniqueViolation:
            return None
        self._written.new_participants = (
            None if registrations is self._by_event.registrations else _pairs(registrations)
        )
        return np.ones(len(registrations), dtype=bool)

    def _insert_into_ledger(self, registrations: Registrations) -> Mask:
        """Add those participants that are not in the ledger. Returns which were new."""
        rows = LedgerColumns.of(self._keys, registrations)
        digits = hexadecimal(rows.participant)
        fits = (rows.came >= 0).tolist()
        added = self._conn.execute(
            SQL["add_participants"],
            {
                "event_nos": int_array(rows.event_no.tolist()),
                "participants": "{" + ",".join(digits) + "}",
                "cames": int_array([came if fit else None for came, fit in zip(rows.came.tolist(), fits, strict=True)]),
                "minutes": int_array([None if fit else at for at, fit in zip(rows.minute.tolist(), fits, strict=True)]),
                "channel_nos": int_array(
                    [None if fit else no for no, fit in zip(rows.channel_no.tolist(), fits, strict=True)]
                ),
            },
        ).fetchall()
        found = {(no, participant.hex) for no, participant in added}
        self._written.new_participants = {(self._id_of[no], participant) for no, participant in found}
        new = np.empty(len(digits), dtype=bool)
        new[rows.place] = [pair in found for pair in zip(rows.event_no.tolist(), digits, strict=True)]
        return new

    def _ledger_rows(self, registrations: Registrations) -> Mapping[str, bytes]:
        """The rows for COPY: those that were prepared, if they are of all these registrations and the surrogate keys
        are still the same; else made now."""
        rows = self._prepared_rows if registrations is self._by_event.registrations else None
        if rows is None or rows.times_cleared != self._keys.times_cleared:
            rows = ledger_rows(self._keys, registrations)
            assert rows is not None
        return rows.by_statement

    def _count_participants(self, new: Registrations) -> None:
        """Add the new participants, who are ordered by event, to the totals, the timeline and the channels."""
        if not len(new):
            return
        starts = np.flatnonzero(np.diff(new.event, prepend=-1))
        totals = np.diff(starts, append=len(new))
        unattributed = np.add.reduceat(new.channel == NO_CHANNEL_CODE, starts, dtype=np.int64)
        first_minutes = np.minimum.reduceat(new.minute, starts)
        for event, *of_event in zip(
            new.event[starts].tolist(), totals.tolist(), unattributed.tolist(), first_minutes.tolist(), strict=True
        ):
            change = self._change(self._no_of[new.event_ids[event]])
            total, without_channel, change.first_minute = of_event
            change.participants += total
            change.unattributed += without_channel
        self._add_to_timeline(new)
        self._attribute(new)

    def _add_to_timeline(self, new: Registrations) -> None:
        by_id = sorted(range(len(new.event_ids)), key=new.event_ids.__getitem__)
        rank = np.empty(len(by_id), np.int64)
        rank[by_id] = np.arange(len(by_id))
        ranks, minutes, counts = _counted(rank[new.event], new.minute)
        event_ids = [new.event_ids[by_id[at]] for at in ranks]
        try:
            self._conn.execute(
                SQL["add_timeline_participants"],
                {
                    "event_nos": int_array([self._no_of[event_id] for event_id in event_ids]),
                    "event_ids": text_array(event_ids),
                    "minutes": int_array(minutes),
                    "participants": int_array(counts),
                },
            )
        except psycopg.errors.CheckViolation as error:
            if error.diag.constraint_name is not None:
                raise
            # No constraint of a column: the row has no partition, because its month was detached meanwhile.
            raise OutdatedCaches(f"a month of the timeline is detached: {error.diag.message_primary}") from error

    def _attribute(self, new: Registrations) -> None:
        """Add participants to their channels; those of a channel without a type stay unattributed until it has one."""
        named = new.at(new.channel != NO_CHANNEL_CODE)
        event_nos, channel_nos, counts = _counted(event_numbers(self._keys, named), channel_numbers(self._keys, named))
        rows = {row.no: row for row in [self._channels[channel.key] for channel in named.channels]}
        pairs = list(zip(event_nos, channel_nos, strict=True))
        untyped = self._untyped(pairs, {no for no, row in rows.items() if row.type is None})
        if untyped:
            self._add_untyped({pair: count for pair, count in zip(pairs, counts, strict=True) if pair in untyped})
        typed = [(*pair, count) for pair, count in zip(pairs, counts, strict=True) if pair not in untyped]
        for no, channel_no, _ in typed:
            self._changes[no].channels.add(rows[channel_no].name)
        self._add_to_channels(typed)

    def _untyped(self, pairs: Sequence[EventChannel], may_be_untyped: Set[int]) -> set[EventChannel]:
        """Those pairs whose channel has no type yet, of these channels."""
        unknown = {pair for pair in pairs if pair[1] in may_be_untyped} if may_be_untyped else set()
        if unknown:
            unknown.difference_update(
                self._conn.execute(SQL["typed_channels"], pair_columns(unknown, "event_nos", "channel_nos")).fetchall()
            )
        return unknown

    def _add_untyped(self, counts: Mapping[EventChannel, int]) -> None:
        for (no, _), count in counts.items():
            self._changes[no].unattributed += count
        pairs = pair_columns(counts, "event_nos", "channel_nos")
        self._conn.execute(
            SQL["add_untyped_participants"], pairs | {"participants": [counts[pair] for pair in sorted(counts)]}
        )

    def _add_to_channels(self, counts: Sequence[tuple[int, int, int]]) -> None:
        """Add to channels: an event's number, a channel's number and a count, in the order of
        their pairs: in that of the rows in the table more updates stay heap-only."""
        if not counts:
            return
        event_nos, channel_nos, participants = zip(*counts, strict=True)
        self._conn.execute(
            SQL["add_channel_participants"],
            {
                "event_nos": int_array(event_nos),
                "channel_nos": int_array(channel_nos),
                "participants": int_array(participants),
            },
        )

    def add_sales(self) -> None:
        """Add the new sales to the ledger and to the totals."""
        sales = {
            (self._no_of[event_id], sale_id): sale
            for event_id, facts in self._by_event.others.items()
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


def _pairs(registrations: Registrations) -> set[tuple[str, str]]:
    """The (eventId, participant) of each registration."""
    events, participants = registrations.event.tolist(), hexadecimal(registrations.participant)
    return {(registrations.event_ids[event], who) for event, who in zip(events, participants, strict=True)}


def _counted(events: Numbers, others: Numbers) -> tuple[list[int], list[int], list[int]]:
    """Each pair of an event and another number, in their order, and how often it occurs: three columns.

    Both are at least 0, and the second is below 2^33: the year 9998 in minutes.
    """
    pairs, counts = np.unique(events << 33 | others, return_counts=True)
    return (pairs >> 33).tolist(), (pairs & (1 << 33) - 1).tolist(), counts.tolist()
