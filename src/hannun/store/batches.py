"""A batch into PostgreSQL, in one transaction. This is the whole of counting once.

    positions ─► hold the events ─► registers ─► ledgers: who is new? ─► aggregates ─► dead letters ─► debt

Every writer holds the events of its batch, in the order of their numbers, before it changes anything of them. From
there on it is alone with them: what it reads stays true, and no two batches can deadlock. Two writers of different
events (the ordinary case: Kafka keeps an event's messages in one partition) never wait for each other.

The caller decides where the transaction begins and ends. Run twice with the same messages, the second changes nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter
from typing import NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from hannun.domain.batch import BatchResult, ChangedEvent, OffsetRange, ReceivedMessage
from hannun.domain.channels import ChannelType
from hannun.domain.facts import Rejected
from hannun.domain.fold import Arrival, Distribution, FactsByEvent, Register, Registers, settle
from hannun.errors import StaleBatch, StoreUnavailable
from hannun.store import registers
from hannun.store.database import ROW_ERRORS, Connection, describe_row_error
from hannun.store.packed_arrivals import packed
from hannun.store.queries import load
from hannun.store.surrogate_keys import SurrogateKeys

SQL = load("batches")
NO_CHANNEL = 0
"""The channel number of a participant or a sale without a channel."""

Place = tuple[int, int]
"""An event's and a channel's number."""


def participant_key(conn: Connection) -> bytes:
    """The key of the hash of participant ids that are not UUIDs (`domain.messages.Rules`)."""
    row = conn.execute(SQL["participant_key"]).fetchone()
    assert row is not None
    return bytes(row[0])


class LedgerText(NamedTuple):
    """The ledger's rows of a batch as COPY reads them, by statement, under the numbers as they were known then."""

    forgotten: int
    by_statement: Mapping[str, bytes]


class BatchWriter:
    """Writes batches. It keeps only what makes the next batch cheaper; all that counts is in the database."""

    def __init__(self, numbers: SurrogateKeys) -> None:
        self._numbers = numbers
        self._repeats_expected = False

    def text_of(self, gathered: FactsByEvent) -> LedgerText | None:
        """What COPY will be told of a batch, made before its turn comes; None where it is not known yet how it will go
        into the ledger. For any thread."""
        if self._repeats_expected:
            return None
        return _ledger_text(self._numbers, gathered)

    def write(
        self,
        conn: Connection,
        batch: Sequence[ReceivedMessage],
        gathered: FactsByEvent,
        spans: Sequence[OffsetRange] = (),
        text: LedgerText | None = None,
    ) -> BatchResult:
        """Write a batch in the caller's transaction. Its events and channels are numbered, its months exist.

        Args:
            text: what `text_of` made of it; made now where there is none, or numbers were forgotten since.

        Raises:
            StaleBatch: a position no longer stands where the batch began, or belongs to another owner. Roll back.
            StoreUnavailable: what we remember of the database is not true of this one; it is forgotten. Do it again.
        """
        advance(conn, spans)
        written = BatchResult(rejected=list(gathered.rejected))
        if gathered.events:
            changes = _Changes(conn, self._numbers, gathered, written, text)
            changes.hold_events()
            changes.settle_registers()
            self._repeats_expected = changes.add_participants(repeats_expected=self._repeats_expected)
            changes.add_sales()
            changes.publish()
        _add_dead_letters(conn, batch, written.rejected)
        if written.events:
            written.debt_no = _owe(conn, written.events)
        return written

    def write_or_refuse(
        self, conn: Connection, batch: Sequence[ReceivedMessage], gathered: FactsByEvent
    ) -> BatchResult | str:
        """Write a part of a batch, or say why PostgreSQL refuses a row of it; the transaction goes on either way."""
        try:
            with conn.transaction():
                return self.write(conn, batch, gathered)
        except ROW_ERRORS as error:
            return describe_row_error(error)

    def hold(self, conn: Connection, gathered: FactsByEvent) -> None:
        """Hold the events of a whole batch, before its parts are written one by one: so parts cannot deadlock."""
        _Changes(conn, self._numbers, gathered, BatchResult()).hold_events()


def advance(conn: Connection, spans: Iterable[OffsetRange]) -> None:
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


class _Changes:
    """One batch on its way into the database. The methods stand in the order in which they are called."""

    def __init__(
        self,
        conn: Connection,
        numbers: SurrogateKeys,
        gathered: FactsByEvent,
        written: BatchResult,
        text: LedgerText | None = None,
    ) -> None:
        self._conn = conn
        self._text = text
        self._channels = numbers.channels
        self._numbers = numbers
        self._gathered = gathered
        self._written = written
        self._no_of = {event_id: numbers.events[event_id] for event_id in gathered.events}
        self._id_of = {no: event_id for event_id, no in self._no_of.items()}
        self._owners: dict[int, str | None] = {}
        self._changes: dict[int, _Change] = {}

    def hold_events(self) -> None:
        """Hold the batch's events until its end, and see that they and its channels are the ones we think."""
        keys = list(self._gathered.channels)
        known = {"channel_keys": keys, "channel_nos": [self._channels[key].no for key in keys]}
        rows = self._conn.execute(SQL["lock_events"], {"event_nos": _ints(self._id_of), **known}).fetchall()
        if {no: event_id for no, event_id, *_ in rows} != self._id_of or any(row[3] != len(keys) for row in rows):
            self._numbers.clear()
            raise StoreUnavailable("the database numbers otherwise than before: it was restored, or exchanged")
        self._owners = {no: owner for no, _, owner, _ in rows}

    # -- registers: the newest wins

    def settle_registers(self) -> None:
        told: dict[int, list[tuple[int, Register]]] = {
            self._no_of[event_id]: told.registers for event_id, told in self._gathered.events.items() if told.registers
        }
        if not told:
            return
        before = registers.read(self._conn, list(told))
        events: dict[int, Registers] = {}
        distributions: dict[Place, Distribution] = {}
        for no, messages in told.items():
            settled = settle(before[no], messages)
            self._written.changed |= settled.changed
            self._written.rejected += settled.rejected
            if not settled.changed:
                continue
            change = self._change(no)
            change.whole = True
            events[no] = settled.registers
            if settled.registers.plan is not None:
                self._owners[no] = settled.registers.plan.user_id
            for key, distribution in settled.registers.distributions.items():
                if before[no].distributions.get(key) != distribution:
                    distributions[no, self._channels[key].no] = distribution
                    change.channels.add(self._channels[key].name)
        if events:
            registers.save(self._conn, events)
        if distributions:
            registers.save_distributions(self._conn, distributions)
            self._attribute_those_who_waited(distributions)

    def _attribute_those_who_waited(self, typed: Mapping[Place, Distribution]) -> None:
        """A channel's type has come: who was unattributed for want of it moves to the channel."""
        moved = self._conn.execute(SQL["take_untyped"], _columns(typed, "event_nos", "channel_nos")).fetchall()
        for no, _, participants in moved:
            self._change(no).unattributed -= participants
        self._add_to_channels({(no, channel): (count, typed[no, channel].channel_type) for no, channel, count in moved})

    # -- ledgers: the first counts

    def add_participants(self, *, repeats_expected: bool) -> bool:
        """Count who is new. Returns whether some were not: then the next batch expects repeats too."""
        self._written.new_participants, repeats = self._add_to_ledger(repeats_expected)
        by_minute: dict[tuple[str, int], int] = {}
        by_channel: dict[tuple[int, str], int] = {}
        for event_id, told in self._gathered.events.items():
            new = told.participants
            if self._written.new_participants is not None:
                new = {who: how for who, how in new.items() if (event_id, who) in self._written.new_participants}
            if not new:
                continue
            no = self._no_of[event_id]
            change = self._change(no)
            change.participants += len(new)
            # Few of an event are counted one by one: a Counter costs as much as ten of them.
            arrivals = Counter(new.values()).items() if len(new) > 10 else [(how, 1) for how in new.values()]
            for (minute, channel), count in arrivals:
                place = (event_id, minute)
                by_minute[place] = by_minute.get(place, 0) + count
                if channel is None:
                    change.unattributed += count
                else:
                    where = (no, channel)
                    by_channel[where] = by_channel.get(where, 0) + count
                if change.first_minute is None or minute < change.first_minute:
                    change.first_minute = minute
        self._add_to_timeline(by_minute)
        self._attribute(by_channel)
        return repeats

    def _add_to_ledger(self, repeats_expected: bool) -> tuple[set[tuple[str, str]] | None, bool]:
        """Put the batch's participants into the ledger. Returns who was new (None: all), and whether some were not.

        `COPY` is the fast road and fails on the first repeat; the sure road says who was new. Repeats come in runs
        (a replay, a restart), so a batch takes the road that would have been right for the one before it.
        """
        if not any(told.participants for told in self._gathered.events.values()):
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
        channel_nos = _channel_nos(self._numbers, self._gathered)
        rows = [
            (no, who, *_columns_of(minute, channel_nos[channel]))
            for event_id, no in sorted(self._no_of.items(), key=itemgetter(1))
            for who, (minute, channel) in sorted(self._gathered.events[event_id].participants.items())
        ]
        nos, who, cames, minutes, channels = zip(*rows, strict=True)
        added = self._conn.execute(
            SQL["add_participants"],
            {
                "event_nos": _ints(nos),
                "participants": list(who),
                "cames": _ints(cames),
                "minutes": _ints(minutes),
                "channel_nos": _ints(channels),
            },
        ).fetchall()
        return {(self._id_of[no], participant.hex) for no, participant in added}, len(added) < len(rows)

    def _ledger_text(self) -> Mapping[str, bytes]:
        """What COPY is told: as it was made before our turn, if that was under the numbers that are held by now."""
        text = self._text
        if text is None or text.forgotten != self._numbers.times_cleared:
            text = _ledger_text(self._numbers, self._gathered)
            assert text is not None
        return text.by_statement

    def _add_to_timeline(self, counts: Mapping[tuple[str, int], int]) -> None:
        if counts:
            ordered = sorted(counts)
            try:
                self._conn.execute(
                    SQL["add_timeline_participants"],
                    {
                        "event_ids": _texts([event_id for event_id, _ in ordered]),
                        "minutes": _ints([minute for _, minute in ordered]),
                        "participants": _ints([counts[place] for place in ordered]),
                    },
                )
            except psycopg.errors.CheckViolation as error:  # its month was let go meanwhile
                raise StoreUnavailable(f"a month of the timeline is gone: {error.diag.message_primary}") from error

    def _attribute(self, by_channel: Mapping[tuple[int, str], int]) -> None:
        """Give participants to their channels; those of a channel without a type wait, as unattributed."""
        unknown = {(no, self._channels[key].no) for no, key in by_channel if self._channels[key].type is None}
        typed: dict[Place, ChannelType] = {}
        if unknown:
            rows = self._conn.execute(SQL["typed_channels"], _columns(unknown, "event_nos", "channel_nos")).fetchall()
            typed = {(no, channel_no): ChannelType(type_) for no, channel_no, type_ in rows}
        attributed: dict[Place, tuple[int, ChannelType]] = {}
        waiting: dict[Place, int] = {}
        for (no, key), count in by_channel.items():
            channel = self._channels[key]
            channel_type = channel.type or typed.get((no, channel.no))
            if channel_type is None:
                waiting[no, channel.no] = count
                self._change(no).unattributed += count
            else:
                attributed[no, channel.no] = (count, channel_type)
                self._change(no).channels.add(channel.name)
        self._add_to_channels(attributed)
        if waiting:
            places = _columns(waiting, "event_nos", "channel_nos")
            self._conn.execute(
                SQL["add_untyped"], places | {"participants": [waiting[place] for place in sorted(waiting)]}
            )

    def _add_to_channels(self, counts: Mapping[Place, tuple[int, ChannelType]]) -> None:
        if not counts:
            return
        places = sorted(counts)
        self._conn.execute(
            SQL["add_channel_participants"],
            {
                "event_nos": _ints([no for no, _ in places]),
                "channel_nos": _ints([channel for _, channel in places]),
                "types": _texts([counts[place][1] for place in places]),
                "participants": _ints([counts[place][0] for place in places]),
            },
        )

    def add_sales(self) -> None:
        """Count the sales that are new."""
        sales = {
            (self._no_of[event_id], sale_id): sale
            for event_id, told in self._gathered.events.items()
            for sale_id, sale in told.sales.items()
        }
        if not sales:
            return
        ordered = [sales[key] for key in sorted(sales)]
        added = self._conn.execute(
            SQL["add_sales"],
            _columns(sales, "event_nos", "sale_ids")
            | {
                "amounts": [sale.amount for sale in ordered],
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
            change.whole = True

    # -- what others see

    def publish(self) -> None:
        """Bring the totals to what the batch made true, and note whose answers that makes false."""
        if not self._changes:
            return
        versions = self._add_to_events()
        whole = sorted(no for no, change in self._changes.items() if change.whole)
        counted = sorted(no for no, change in self._changes.items() if not change.whole and change.participants)
        if whole:
            self._conn.execute(SQL["publish_events"], {"event_nos": whole})
        if counted:
            self._conn.execute(
                SQL["publish_participants"],
                {
                    "event_ids": _texts([self._id_of[no] for no in counted]),
                    "participants": _ints([self._changes[no].participants for no in counted]),
                },
            )
        self._written.events = [
            ChangedEvent(self._id_of[no], self._owners[no], versions[no], tuple(sorted(change.channels)))
            for no, change in sorted(self._changes.items())
        ]

    def _add_to_events(self) -> dict[int, int]:
        """Add to the totals of events. Returns their new versions."""
        nos = sorted(self._changes)
        changes = [self._changes[no] for no in nos]
        rows = self._conn.execute(
            SQL["add_to_events"],
            {
                "event_nos": _ints(nos),
                "participants": _ints([change.participants for change in changes]),
                "unattributed": _ints([change.unattributed for change in changes]),
                "sales": _ints([change.sales for change in changes]),
                "revenues": "{" + ",".join([str(change.revenue) for change in changes]) + "}",
                "minutes": _ints([change.first_minute for change in changes]),
            },
        ).fetchall()
        return dict(rows)

    def _change(self, no: int) -> _Change:
        change = self._changes.get(no)
        if change is None:
            change = self._changes[no] = _Change()
        return change


def _columns_of(minute: int, channel_no: int) -> tuple[int | None, int | None, int | None]:
    """The ledger's columns of an arrival: (came, minute, channel_no)."""
    came = packed(minute, channel_no)
    return (None, minute, channel_no) if came is None else (came, None, None)


def _ledger_text(numbers: SurrogateKeys, gathered: FactsByEvent) -> LedgerText | None:
    """The ledger's rows in the order of its index, so that neighbours come together; None where a number is missing.

    Participants have 32 digits each, so the order of an event's lines is theirs. All that came in one minute through
    one channel end in the same word, which is written once.
    """
    forgotten = numbers.times_cleared
    try:
        channel_nos = _channel_nos(numbers, gathered)
        events = sorted((numbers.events[event_id], told.participants) for event_id, told in gathered.events.items())
    except KeyError:
        return None
    ends: dict[Arrival, str] = {}  # empty where minute and channel do not fit into one number
    lines: list[str] = []
    wide: list[str] = []
    for no, participants in events:
        of_event: list[str] = []
        for who, how in participants.items():
            end = ends.get(how)
            if end is None:
                came = packed(how.minute, channel_nos[how.channel])
                end = ends[how] = "" if came is None else f"\t{came}\n"
            if end:
                of_event.append(f"{no}\t{who}{end}")
            else:
                wide.append(f"{no}\t{who}\t{how.minute}\t{channel_nos[how.channel]}\n")
        of_event.sort()
        lines += of_event
    texts = {"copy_participants": lines, "copy_wide_participants": sorted(wide)}
    return LedgerText(forgotten, {name: "".join(told).encode() for name, told in texts.items() if told})


def _channel_nos(numbers: SurrogateKeys, gathered: FactsByEvent) -> dict[str | None, int]:
    """The numbers of a batch's channels by their keys.

    Raises:
        KeyError: one has none yet.
    """
    nos: dict[str | None, int] = {key: numbers.channels[key].no for key in gathered.channels}
    nos[None] = NO_CHANNEL
    return nos


def _ints(values: Iterable[int | None]) -> str:
    """An array of whole numbers as PostgreSQL reads it: the driver looks at each value three times, this does once."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _texts(values: Iterable[str]) -> str:
    """An array of texts as PostgreSQL reads it."""
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def _columns(places: Iterable[tuple[object, object]], first: str, second: str) -> dict[str, list[object]]:
    """Pairs as two arrays, sorted: every writer touches rows in one order."""
    ordered = sorted(places)
    return {first: [one for one, _ in ordered], second: [other for _, other in ordered]}


def _add_dead_letters(
    conn: Connection, batch: Sequence[ReceivedMessage], rejected: Sequence[tuple[int, Rejected]]
) -> None:
    if not rejected:
        return
    rows = []
    for index, letter in rejected:
        message = batch[index]
        topic, topic_id, partition, offset = message.place or (None, None, None, None)
        rows.append(
            {
                "kind": letter.kind,
                "reason": letter.reason,
                "detail": letter.detail,
                "event_id": letter.event_id,
                "topic": topic,
                "partition": partition,
                "topic_id": topic_id,
                "offset": offset,
                "received_at": registers.timestamp(message.received_at),
                "size_bytes": len(message.raw),
                "hash": message.hash or hashlib.sha256(message.kind.encode() + b"\0" + message.raw).digest(),
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
