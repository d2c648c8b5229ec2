"""The wire formats of messages and their decoder: bytes of a message -> a fact, or a rejection with its reason.

An unusable message is data, not an exception. `Decoder.decode` is pure: the same bytes with the same receipt time
always give the same result, so a replay decides as the first run did. Times become microseconds since 1970 (UTC),
decimals `Decimal` with two places, participants 32 hexadecimal digits. Nothing else of a message leaves the decoder, so
a name or a telephone number in it is neither stored nor logged.

The wire types below are the contract of `docs/messages.md` and the source of its schemas: a decoder accepts what they
declare. `field_values` decodes instants, decimals and ids, `dead_letter_redaction` makes the rejections.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import lru_cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from hannun.domain.batch import ReceivedMessage
from hannun.domain.channels import Channel, ChannelTable, ChannelType
from hannun.domain.dead_letter_redaction import Redactor
from hannun.domain.decoded_batch import DecodedBatch, DecodedBatchBuilder
from hannun.domain.facts import (
    MINUTE_US,
    Delivery,
    DeliveryState,
    DistributionCompleted,
    EventCreated,
    EventStatus,
    EventStatusChanged,
    Fact,
    Kind,
    ParticipantRegistered,
    Reason,
    Rejected,
    SalesRecorded,
)
from hannun.domain.field_values import (
    COUNT_MAX,
    MONEY_MAX,
    PERCENT_MAX,
    Instant,
    TimeForm,
    UnusableField,
    check_no_nul,
    instant_text,
    ledger_participant,
    ledger_participants,
    means_no_end,
    parse_addressable_id,
    parse_count,
    parse_decimal,
    parse_instant,
    parse_usual_minutes,
    without_byte_order_mark,
)
from hannun.domain.ids import canonical_id

SIZE_MAX_BYTES = 64 * 1024
NESTING_MAX = 100
"""No valid message nests nearly as deeply. The limit is fixed, so that the stack's depth at the call has no effect."""
REGISTERED_FROM_US = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
AHEAD_US_MAX = 24 * 60 * MINUTE_US
"""How far an instant that decides something may lie after the time of receipt."""


# -- the wire ----------------------------------------------------------------------------------------------------

_ABSENT = Raw()
_EventId = Annotated[str, Meta(min_length=1, max_length=36)]
# In an optional field absent, null and "" all mean "not said".
_MessageId = Annotated[str, Meta(max_length=64)]
_ChannelName = Annotated[str, Meta(max_length=50)]
_Title = Annotated[str, Meta(max_length=255)]
_UserId = Annotated[str, Meta(max_length=36)]
_Status = Literal["ACTIVE", "ENDED", "ARCHIVED", ""]
_ChannelType = Literal["TV", "SNS", "VOICE", "CALL", ""]
_DeliveryState = Literal["SUCCESS", "FAILED", ""]
_Money = Annotated[Raw, Meta(extra_json_schema={"type": ["number", "string"], "minimum": 0})]
_Count = Annotated[Raw, Meta(extra_json_schema={"type": "integer", "minimum": 0, "maximum": COUNT_MAX})]


class _Wire(Struct, rename="camel", gc=False):
    event_id: _EventId
    message_id: _MessageId | None = None


class _Channelled(_Wire):
    channel_name: _ChannelName | None = None
    channel: _ChannelName | None = None
    entry_path: _ChannelName | None = None


class _ParticipantWire(_Channelled, kw_only=True):
    participant_id: Annotated[str, Meta(min_length=1, max_length=64)]
    registered_at: Instant


class _CreatedWire(_Wire, kw_only=True):
    created_at: Instant
    event_title: _Title | None = None
    title: _Title | None = None
    user_id: _UserId | None = None
    store_id: _UserId | None = None
    total_investment: _Money = _ABSENT
    expected_revenue: _Money = _ABSENT
    target_roi: _Money = _ABSENT
    baseline_revenue: _Money = _ABSENT
    status: _Status | None = None
    start_date: Instant | None = None
    end_date: Instant | None = None


class _DeliveryWire(Struct, rename="camel", gc=False):
    channel_name: _ChannelName | None = None
    channel: _ChannelName | None = None
    entry_path: _ChannelName | None = None
    channel_type: _ChannelType | None = None
    status: _DeliveryState | None = None
    distribution_cost: _Money = _ABSENT
    expected_views: _Count = _ABSENT


class _DistributionWire(_Wire, kw_only=True):
    completed_at: Instant
    channels: list[_DeliveryWire] | Literal[""] | None = None
    distributed_channels: list[_DeliveryWire] | Literal[""] | None = None
    channel_name: _ChannelName | None = None
    channel: _ChannelName | None = None
    entry_path: _ChannelName | None = None
    channel_type: _ChannelType | None = None
    status: _DeliveryState | None = None
    distribution_cost: _Money = _ABSENT
    expected_views: _Count = _ABSENT


class _StatusWire(_Wire, kw_only=True):
    status: Literal["ACTIVE", "ENDED", "ARCHIVED"]
    changed_at: Instant


class _SaleWire(_Channelled, kw_only=True):
    sale_id: Annotated[str, Meta(min_length=1, max_length=64)]
    amount: _Money
    sold_at: Instant
    refund: bool | Literal[""] | None = None


WIRE_TYPES: dict[Kind, type[_Wire]] = {
    Kind.EVENT_CREATED: _CreatedWire,
    Kind.PARTICIPANT_REGISTERED: _ParticipantWire,
    Kind.DISTRIBUTION_COMPLETED: _DistributionWire,
    Kind.EVENT_STATUS_CHANGED: _StatusWire,
    Kind.SALES_RECORDED: _SaleWire,
}


# -- from the wire to a fact -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """What decoding depends on besides the bytes.

    `participant_key` keys the hash of participant ids that are not UUIDs. Under another key the same person would be
    another participant, so the key is created once, with the database. `time_forms` are the forms of instants that are
    accepted besides ISO 8601. `naive_times_are` is the zone of instants
    without an offset; None refuses them.
    """

    participant_key: bytes
    channels: ChannelTable
    naive_times_are: tzinfo | None = None
    time_forms: frozenset[TimeForm] = frozenset()


class Decoder:
    """Decodes messages under one set of rules. Reuse it: building one costs more than decoding many messages."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._wires = {kind: msgspec.json.Decoder(wire).decode for kind, wire in WIRE_TYPES.items()}
        self._registration_lines = msgspec.json.Decoder(_ParticipantWire).decode_lines
        self.participant_of = partial(ledger_participant, key=rules.participant_key)
        self.reject = Redactor(WIRE_TYPES, self.participant_of).reject
        self._event_ids = _CanonicalEventIds()
        # Bounded, so that a producer that invents names cannot fill the memory.
        self._channel_named = lru_cache(maxsize=4_096)(rules.channels.named)
        self._convert: dict[Kind, Callable[[Any, int], Fact]] = {
            Kind.EVENT_CREATED: self._event_created,
            Kind.PARTICIPANT_REGISTERED: self._participant_registered,
            Kind.DISTRIBUTION_COMPLETED: self._distribution_completed,
            Kind.EVENT_STATUS_CHANGED: self._event_status_changed,
            Kind.SALES_RECORDED: self._sales_recorded,
        }

    def with_participant_key(self, participant_key: bytes) -> "Decoder":
        """This decoder, or one with the same rules and another database's key."""
        if participant_key == self._rules.participant_key:
            return self
        return Decoder(replace(self._rules, participant_key=participant_key))

    def decode(self, kind: str, raw: bytes, received_at: int) -> Fact | Rejected:
        """The fact that a message states, or why the message is unusable.

        Args:
            kind: the topic's kind, or the `type` of a message over HTTP.
            raw: the message, JSON in UTF-8.
            received_at: the broker's timestamp, over HTTP the time of receipt; microseconds since 1970.
        """
        wire: Any = None
        try:
            _check_bytes(raw)
            raw = without_byte_order_mark(raw)
            convert = self._convert.get(kind)  # type: ignore[call-overload]
            if convert is None:
                _OBJECT.decode(raw)
                raise UnusableField(Reason.UNKNOWN_TYPE, "the type is none of the known kinds")
            wire = self._wires[kind](raw)  # type: ignore[index]
            if b"\\u0000" in raw:
                check_no_nul(wire)
            wire.event_id = parse_addressable_id("eventId", wire.event_id)
            return convert(wire, received_at)  # type: ignore[no-any-return]
        except UnusableField as unusable:
            return self.reject(kind, raw, unusable.reason, unusable.detail)
        except msgspec.ValidationError as error:
            return self.reject(kind, raw, *_reason_of(str(error)))
        except UnicodeDecodeError:
            return self.reject(kind, raw, Reason.BAD_TEXT, "not UTF-8")
        except msgspec.DecodeError as error:
            reason = Reason.BAD_TEXT if _has_lone_surrogate(raw) else Reason.NOT_JSON
            return self.reject(kind, raw, reason, str(error))

    def decode_all(self, batch: Sequence[ReceivedMessage]) -> DecodedBatch:
        """The result of `decode` for each message of a batch."""
        builder = DecodedBatchBuilder()
        self.decode_into(builder, batch)
        return builder.build()

    def decode_into(self, builder: DecodedBatchBuilder, batch: Sequence[ReceivedMessage]) -> None:
        """Add the result of `decode` for each of these messages.

        Nearly all messages are registrations, and nearly all of those are in a usual form. They are decoded in chunks,
        each step over a whole chunk at once. A chunk with an unusual message is decoded one message at a time, with the
        same results.
        """
        for kind, run in groupby(batch, itemgetter(0)):
            messages = list(run)
            for first in range(0, len(messages), _CHUNK_COUNT_MAX):
                chunk = messages[first : first + _CHUNK_COUNT_MAX]
                if kind != Kind.PARTICIPANT_REGISTERED or not self._add_usual_registrations(builder, chunk):
                    builder.add([self.decode(kind, raw, received_at) for _, raw, received_at, _, _ in chunk])

    def _add_usual_registrations(self, builder: DecodedBatchBuilder, batch: Sequence[ReceivedMessage]) -> bool:
        """Add what registrations state. Returns False, and adds nothing, where `decode` has to look at one of them."""
        raws = list(map(_RAW, batch))
        count = len(raws)
        lines = b"\n".join(raws)
        # One flat object on each line. Then each line is one message, and no message nests too deeply.
        if (
            not all(raws)
            or set(map(_FIRST_BYTE, raws)) != _OBJECT_BEGINS
            or lines.count(b"{") != count
            or lines.count(b"\n") != count - 1
            or b"[" in lines
            or (b"\\" in lines and b"\\u0000" in lines)
            or max(map(len, raws)) > SIZE_MAX_BYTES
        ):
            return False
        try:
            if not lines.isascii():
                lines.decode()  # msgspec does not check fields that it skips
            wires = self._registration_lines(lines)
            registered_ats: list[Any] = [wire.registered_at for wire in wires]
            minutes = parse_usual_minutes(
                "registeredAt",
                registered_ats,  # a TypeError where one is no text
                REGISTERED_FROM_US,
                min(map(_RECEIVED_AT, batch)) + AHEAD_US_MAX,
            )
            event_ids = list(map(self._event_ids.__getitem__, [wire.event_id for wire in wires]))
            names = [wire.channel_name or wire.channel or wire.entry_path for wire in wires]
            channels = {
                name: self._channel_named_or_none(name) for name in dict.fromkeys(names)
            }  # the first name first
        except (msgspec.DecodeError, TypeError, ValueError):  # UnicodeDecodeError, UnusableField are ValueErrors
            return False
        if len(wires) != count or minutes is None:
            return False
        participants = ledger_participants([wire.participant_id for wire in wires], self._rules.participant_key)
        codes = {name: builder.registrations.channel_code(channel) for name, channel in channels.items()}
        builder.add_registrations(event_ids, participants, minutes, list(map(codes.__getitem__, names)))
        return True

    # -- one conversion for each kind, in the order of the specification

    def _event_created(self, wire: _CreatedWire, received_at: int) -> EventCreated:
        title = wire.event_title or wire.title
        user_id = wire.user_id or wire.store_id
        if not title:
            raise UnusableField(Reason.MISSING_FIELD, "eventTitle")
        if not user_id:
            raise UnusableField(Reason.MISSING_FIELD, "userId")
        user_id = parse_addressable_id("userId", user_id)
        return EventCreated(
            event_id=wire.event_id,
            created_at=self._deciding_instant("createdAt", wire.created_at, received_at),
            title=title,
            user_id=user_id,
            total_investment=parse_decimal("totalInvestment", wire.total_investment, MONEY_MAX),
            expected_revenue=parse_decimal("expectedRevenue", wire.expected_revenue, MONEY_MAX),
            target_roi=parse_decimal("targetRoi", wire.target_roi, PERCENT_MAX),
            baseline_revenue=parse_decimal("baselineRevenue", wire.baseline_revenue, MONEY_MAX),
            status=EventStatus(wire.status) if wire.status else None,
            starts_at=None if wire.start_date in _NO_INSTANT else self._instant("startDate", wire.start_date),
            ends_at=None if wire.end_date in _NO_INSTANT else self._end("endDate", wire.end_date),
        )

    def _participant_registered(self, wire: _ParticipantWire, received_at: int) -> ParticipantRegistered:
        registered_at = self._deciding_instant("registeredAt", wire.registered_at, received_at)
        if registered_at < REGISTERED_FROM_US:
            raise UnusableField(Reason.OUT_OF_TIME, "registeredAt is before 2015-01-01")
        return ParticipantRegistered(
            wire.event_id,
            self.participant_of(wire.participant_id),
            registered_at // MINUTE_US,
            self._channel_of(wire),
        )

    def _distribution_completed(self, wire: _DistributionWire, received_at: int) -> DistributionCompleted:
        listed = wire.channels if isinstance(wire.channels, list) else wire.distributed_channels
        deliveries = listed if isinstance(listed, list) else [wire]
        if not deliveries:
            raise UnusableField(Reason.MISSING_FIELD, "channels is empty")
        return DistributionCompleted(
            wire.event_id,
            self._deciding_instant("completedAt", wire.completed_at, received_at),
            tuple(self._delivery(delivery) for delivery in deliveries),
        )

    def _delivery(self, wire: _DeliveryWire | _DistributionWire) -> Delivery:
        channel = self._channel_of(wire)
        if channel is None:
            raise UnusableField(Reason.MISSING_FIELD, "channelName")
        # The table's type of a known channel overrides the producer's.
        sent = ChannelType.VOICE if wire.channel_type == "CALL" else wire.channel_type
        channel_type = channel.type or sent
        if not channel_type:
            raise UnusableField(Reason.MISSING_FIELD, "channelType of an unknown channel")
        if not wire.status:
            raise UnusableField(Reason.MISSING_FIELD, "status")
        cost = parse_decimal("distributionCost", wire.distribution_cost, MONEY_MAX)
        expected_views = parse_count("expectedViews", wire.expected_views)
        return Delivery(channel, ChannelType(channel_type), DeliveryState(wire.status), cost, expected_views)

    def _event_status_changed(self, wire: _StatusWire, received_at: int) -> EventStatusChanged:
        changed_at = self._deciding_instant("changedAt", wire.changed_at, received_at)
        return EventStatusChanged(wire.event_id, changed_at, EventStatus(wire.status))

    def _sales_recorded(self, wire: _SaleWire, received_at: int) -> SalesRecorded:
        amount = parse_decimal("amount", wire.amount, MONEY_MAX)
        if amount is None:
            raise UnusableField(Reason.MISSING_FIELD, "amount")
        sold_at = self._deciding_instant("soldAt", wire.sold_at, received_at)
        signed = -amount if wire.refund else amount
        return SalesRecorded(wire.event_id, canonical_id(wire.sale_id), signed, sold_at, self._channel_of(wire))

    # -- fields

    def _channel_of(self, wire: _Channelled | _DeliveryWire | _DistributionWire) -> Channel | None:
        return self._channel_named_or_none(wire.channel_name or wire.channel or wire.entry_path)

    def _channel_named_or_none(self, name: str | None) -> Channel | None:
        """The channel of this name; None where the message says no name."""
        if not name:
            return None
        channel = self._channel_named(name)
        if channel is None:
            raise UnusableField(Reason.OUT_OF_BOUNDS, "a channel's name is blank, too long, or has a comma")
        return channel

    def _deciding_instant(self, field: str, value: str | int | list[int], received_at: int) -> int:
        """An instant that decides what counts or which message is newer. One far ahead would win for years."""
        instant = self._instant(field, value)
        if instant > received_at + AHEAD_US_MAX:
            raise UnusableField(Reason.OUT_OF_TIME, f"{field} is more than 24 h after it was received")
        return instant

    def _end(self, field: str, value: str | int | list[int]) -> int | None:
        text = instant_text(field, value, self._rules.time_forms)
        return None if means_no_end(text) else self._instant(field, text)

    def _instant(self, field: str, value: str | int | list[int]) -> int:
        text = instant_text(field, value, self._rules.time_forms)
        return parse_instant(field, text, self._rules.naive_times_are)


class _CanonicalEventIds(dict[str, str]):
    """The canonical form of event ids, as they were sent. Many messages are about few events, so a text is parsed once.

    Bounded, so that a producer that invents ids cannot fill the memory.
    """

    def __missing__(self, text: str) -> str:
        canonical = parse_addressable_id("eventId", text)
        if len(self) >= _EVENT_IDS_MAX:
            self.clear()
        self[text] = canonical
        return canonical


_EVENT_IDS_MAX = 100_000
_NO_INSTANT = (None, "")
_CHUNK_COUNT_MAX = (
    1_000  # registrations: few enough for the processor's cache, and that one unusual message costs little
)
_RAW, _RECEIVED_AT = itemgetter(1), itemgetter(2)
_FIRST_BYTE, _OBJECT_BEGINS = itemgetter(0), {ord("{")}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # half of a surrogate pair
_OBJECT = msgspec.json.Decoder(dict[str, Raw])


def _has_lone_surrogate(raw: bytes) -> bool:
    """Whether this is JSON by its grammar, with an escape that is half of a surrogate pair."""
    if _SURROGATE.search(raw) is None:
        return False
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _check_bytes(raw: bytes) -> None:
    if len(raw) > SIZE_MAX_BYTES:
        raise UnusableField(Reason.TOO_LARGE, f"{len(raw)} bytes; at most {SIZE_MAX_BYTES}")
    raw.decode()  # msgspec does not check fields that it skips
    if raw.count(b"[") + raw.count(b"{") > NESTING_MAX and _nesting(raw) > NESTING_MAX:
        raise UnusableField(Reason.NOT_JSON, f"nested deeper than {NESTING_MAX}")


def _nesting(raw: bytes) -> int:
    """How deeply brackets nest outside strings. Brackets that do not match are left to the decoder."""
    deepest = depth = 0
    for bracket in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", raw):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in b"]}":
            depth -= 1
    return deepest


_BESIDES_EMPTY_TEXTS = tuple(f" - at `$.{field}`" for field in ("refund", "channels", "distributedChannels"))
"""The ends of errors of fields that are no texts, and are "not said" as an empty one."""


def _reason_of(error: str) -> tuple[Reason, str]:
    """The reason and detail for the text of a msgspec.ValidationError. A test covers every wire field."""
    if error.startswith("Object missing required field") or "got `null` - at " in error:
        return Reason.MISSING_FIELD, error
    if error.endswith(_BESIDES_EMPTY_TEXTS):
        return Reason.WRONG_TYPE, "no text is allowed" + error[error.rfind(" - at ") :]
    if error.startswith("Invalid enum value"):  # without the value, which may be personal data
        return Reason.OUT_OF_BOUNDS, "not one of the allowed values" + error[error.rfind(" - at ") :]
    if " of length " in error or "out of range" in error:
        return Reason.OUT_OF_BOUNDS, error
    return Reason.WRONG_TYPE, error


class _Identified(Struct):
    messageId: str | None = None


_IDENTIFIED = msgspec.json.Decoder(_Identified)


def message_id(raw: bytes) -> str | None:
    """The message's own id, 1 to 64 characters, if it has a valid one. Counting does not depend on it."""
    try:
        id_ = _IDENTIFIED.decode(without_byte_order_mark(raw)).messageId
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return id_ if id_ is not None and 1 <= len(id_) <= 64 else None
