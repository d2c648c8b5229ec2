"""What the platform tells us: bytes of a message -> a fact, or a rejection with its reason.

A message that cannot be used is data, not an exception. `Decoder.decode` is pure: the same bytes, received at the
same time, decide the same way for ever, so a replay decides as the first time did. Times become microseconds since
1970 (UTC) here, decimals `Decimal` with two places, participants 32 hexadecimal digits; nothing else of a message
goes further, so a name or a telephone number in it is neither stored nor logged.

The wire types below are the contract of `docs/messages.md` and the source of its schemas: what a decoder accepts is
what they say. `_reason` only names why one did not.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from itertools import groupby, repeat
from operator import itemgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from hannun.domain.channels import Channel, ChannelTable, ChannelType
from hannun.domain.facts import (
    INSTANT_BEFORE_US,
    INSTANT_FROM_US,
    LEFT_OUT,
    MINUTE_US,
    UNKNOWN_KIND,
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

SIZE_MAX_BYTES = 64 * 1024
NESTING_MAX = 100
"""Deeper than any message of ours by far; a fixed limit, so that it does not depend on the depth of our own stack."""
COUNT_MAX = 2**31 - 1
MONEY_MAX = Decimal("9999999999999.99")  # DECIMAL(15,2)
PERCENT_MAX = Decimal("99999999.99")  # DECIMAL(10,2)
CENT = Decimal("0.01")
REGISTERED_FROM_US = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
REGISTERED_AHEAD_US_MAX = 24 * 60 * MINUTE_US


# -- the wire ----------------------------------------------------------------------------------------------------

_ABSENT = Raw()
_INSTANT_SCHEMA = {"format": "date-time"}
_EventId = Annotated[str, Meta(min_length=1, max_length=36)]
_MessageId = Annotated[str, Meta(min_length=1, max_length=64)]
_ChannelName = Annotated[str, Meta(min_length=1, max_length=50)]
_Instant = Annotated[str, Meta(extra_json_schema=_INSTANT_SCHEMA)]
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
    registered_at: _Instant


class _CreatedWire(_Wire, kw_only=True):
    created_at: _Instant
    event_title: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    title: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    user_id: Annotated[str, Meta(min_length=1, max_length=36)] | None = None
    store_id: Annotated[str, Meta(min_length=1, max_length=36)] | None = None
    total_investment: _Money = _ABSENT
    expected_revenue: _Money = _ABSENT
    target_roi: _Money = _ABSENT
    baseline_revenue: _Money = _ABSENT
    status: Literal["ACTIVE", "ENDED", "ARCHIVED"] | None = None
    start_date: _Instant | None = None
    end_date: _Instant | None = None


class _DeliveryWire(Struct, rename="camel", gc=False):
    channel_name: _ChannelName | None = None
    channel: _ChannelName | None = None
    entry_path: _ChannelName | None = None
    channel_type: Literal["TV", "SNS", "VOICE", "CALL"] | None = None
    status: Literal["SUCCESS", "FAILED"] | None = None
    distribution_cost: _Money = _ABSENT
    expected_views: _Count = _ABSENT


class _DistributionWire(_Wire, kw_only=True):
    completed_at: _Instant
    channels: list[_DeliveryWire] | None = None
    distributed_channels: list[_DeliveryWire] | None = None
    channel_name: _ChannelName | None = None
    channel: _ChannelName | None = None
    entry_path: _ChannelName | None = None
    channel_type: Literal["TV", "SNS", "VOICE", "CALL"] | None = None
    status: Literal["SUCCESS", "FAILED"] | None = None
    distribution_cost: _Money = _ABSENT
    expected_views: _Count = _ABSENT


class _StatusWire(_Wire, kw_only=True):
    status: Literal["ACTIVE", "ENDED", "ARCHIVED"]
    changed_at: _Instant


class _SaleWire(_Channelled, kw_only=True):
    sale_id: Annotated[str, Meta(min_length=1, max_length=64)]
    amount: _Money
    sold_at: _Instant
    refund: bool | None = None


WIRE_TYPES: dict[Kind, type[_Wire]] = {
    Kind.EVENT_CREATED: _CreatedWire,
    Kind.PARTICIPANT_REGISTERED: _ParticipantWire,
    Kind.DISTRIBUTION_COMPLETED: _DistributionWire,
    Kind.EVENT_STATUS_CHANGED: _StatusWire,
    Kind.SALES_RECORDED: _SaleWire,
}


# -- from the wire to a fact -------------------------------------------------------------------------------------


class _Unusable(ValueError):
    """Carries a reason from a field's reader to `decode`; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Rules:
    """What decoding depends on beside the bytes.

    `participant_key` keys the hash of participant ids that are not UUIDs; with another key the same person would be
    another one, so it is made once, with the database. `naive_times_are` is the zone that instants without an offset
    mean; None refuses them.
    """

    participant_key: bytes
    channels: ChannelTable
    naive_times_are: tzinfo | None = None


class Decoder:
    """Decodes messages under one set of rules. Keep it: building one costs more than many messages."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._wires = {kind: msgspec.json.Decoder(wire).decode for kind, wire in WIRE_TYPES.items()}
        self._registration_lines = msgspec.json.Decoder(_ParticipantWire).decode_lines
        # Bounded: a flood of invented names must not become a flood of memory.
        self._channel_named = lru_cache(maxsize=4_096)(rules.channels.named)
        self._read: dict[Kind, Callable[[Any, int], Fact]] = {
            Kind.EVENT_CREATED: self._event_created,
            Kind.PARTICIPANT_REGISTERED: self._participant_registered,
            Kind.DISTRIBUTION_COMPLETED: self._distribution_completed,
            Kind.EVENT_STATUS_CHANGED: self._event_status_changed,
            Kind.SALES_RECORDED: self._sales_recorded,
        }

    def under(self, participant_key: bytes) -> "Decoder":
        """This decoder, or one of the same rules under another database's key."""
        if participant_key == self._rules.participant_key:
            return self
        return Decoder(replace(self._rules, participant_key=participant_key))

    def decode(self, kind: str, raw: bytes, received_at: int) -> Fact | Rejected:
        """The fact that a message states, or why it states none.

        Args:
            kind: the topic's kind, or the `type` of a message over HTTP.
            raw: the message, JSON in UTF-8.
            received_at: the broker's timestamp, over HTTP the time of receipt; microseconds since 1970.
        """
        wire: Any = None
        try:
            _check_bytes(raw)
            read = self._read.get(kind)  # type: ignore[call-overload]
            if read is None:
                _OBJECT.decode(raw)
                raise _Unusable(Reason.UNKNOWN_TYPE, "no kind of message has this type")
            wire = self._wires[kind](raw)  # type: ignore[index]
            if b"\\u0000" in raw:
                _check_no_nul(wire)
            return read(wire, received_at)  # type: ignore[no-any-return]
        except _Unusable as unusable:
            return self.rejected(kind, raw, unusable.reason, unusable.detail)
        except msgspec.ValidationError as error:
            return self.rejected(kind, raw, *_reason(str(error)))
        except UnicodeDecodeError:
            return self.rejected(kind, raw, Reason.BAD_TEXT, "not UTF-8")
        except msgspec.DecodeError as error:
            reason = Reason.BAD_TEXT if _has_half_a_character(raw) else Reason.NOT_JSON
            return self.rejected(kind, raw, reason, str(error))

    def decode_all(self, batch: Sequence[tuple[str, bytes, int, Any, Any]]) -> list[Fact | Rejected]:
        """What `decode` says of each message of a batch: (kind, raw, received_at, and two that do not matter here).

        Registrations are nearly all there is, and nearly all of them are well made: they are read together, each step
        over all of them at once. Where one is not like that, those around it are read one by one, and nothing else
        changes.
        """
        facts: list[Fact | Rejected] = []
        for kind, run in groupby(batch, itemgetter(0)):
            messages = list(run)
            for first in range(0, len(messages), _TOGETHER_MAX):
                some = messages[first : first + _TOGETHER_MAX]
                together = self._registrations(some) if kind == Kind.PARTICIPANT_REGISTERED else None
                facts += together or [self.decode(kind, raw, received_at) for _, raw, received_at, _, _ in some]
        return facts

    def _registrations(self, batch: Sequence[tuple[str, bytes, int, Any, Any]]) -> list[Fact | Rejected] | None:
        """The facts of registrations; None where one of them needs a closer look."""
        raws = list(map(_RAW, batch))
        count = len(raws)
        lines = b"\n".join(raws)
        # One flat object a line: then the lines are the messages, none is too deep, and none can lean on its neighbour.
        if (
            lines[:1] != b"{"
            or lines.count(b"{") != count
            or lines.count(b"\n") != count - 1
            or lines.count(b"\n{") != count - 1
            or b"[" in lines
            or (b"\\" in lines and b"\\u0000" in lines)
            or max(map(len, raws)) > SIZE_MAX_BYTES
        ):
            return None
        try:
            if not lines.isascii():
                lines.decode()  # msgspec does not look into fields that it skips
            wires = self._registration_lines(lines)
            minutes = self._minutes([wire.registered_at for wire in wires], min(map(_RECEIVED_AT, batch)))
            channels = [self._channel_of(wire) for wire in wires]
        except (msgspec.DecodeError, ValueError):  # UnicodeDecodeError and _Unusable among them
            return None
        if len(wires) != count or minutes is None:
            return None
        participants = self._participants_of([wire.participant_id for wire in wires])
        fields = zip([wire.event_id for wire in wires], participants, minutes, channels, strict=True)
        return list(map(_NEW, repeat(ParticipantRegistered), fields))

    def _participants_of(self, ids: list[str]) -> list[str]:
        """`participant_of` of each."""
        lines = "\n".join(ids) + "\n"
        if lines.isascii() and lines.encode().translate(_HEX_AS_H) == _UUID_LINE * len(ids):
            return lines.replace("-", "").lower().split("\n")[:-1]
        return [self.participant_of(id_) for id_ in ids]

    def _minutes(self, texts: list[str], received_at: int) -> list[int] | None:
        """The minute of each instant; None where they are not of one usual form, or one may be out of time."""
        lines = "\n".join(texts) + "\n"
        form = texts[0].encode().translate(_DIGIT_AS_0)
        if (
            form not in _USUAL_FORMS
            or lines.encode().translate(_DIGIT_AS_0) != (form + b"\n") * len(texts)
            or max(lines[_SECONDS_AT :: len(form) + 1]) > "5"
            or "T24" in lines  # midnight or none, depending on the seconds that are cut off here
        ):
            return None
        # Many are of one minute, and of each only that matters; so the calendar is asked once for each.
        zone = _USUAL_FORMS[form]
        told = [text[:_MINUTE_ENDS] + text[zone:] for text in texts]
        minutes = {text: self._instant("registeredAt", text) // MINUTE_US for text in set(told)}
        first, last = min(minutes.values()), max(minutes.values())
        if first * MINUTE_US < REGISTERED_FROM_US or (last + 1) * MINUTE_US > received_at + REGISTERED_AHEAD_US_MAX:
            return None
        return [minutes[text] for text in told]

    def participant_of(self, participant_id: str) -> str:
        """What a participant is kept as, 32 hexadecimal digits: the UUID itself, else a keyed hash."""
        if _UUID.fullmatch(participant_id) is not None:
            return participant_id.replace("-", "").lower()
        digest = hashlib.blake2b(participant_id.encode(), digest_size=16, key=self._rules.participant_key)
        return digest.hexdigest()

    # -- one reader for each kind, in the order of the specification

    def _event_created(self, wire: _CreatedWire, received_at: int) -> EventCreated:
        title = wire.event_title if wire.event_title is not None else wire.title
        user_id = wire.user_id if wire.user_id is not None else wire.store_id
        if title is None:
            raise _Unusable(Reason.MISSING_FIELD, "eventTitle")
        if user_id is None:
            raise _Unusable(Reason.MISSING_FIELD, "userId")
        return EventCreated(
            event_id=wire.event_id,
            created_at=self._instant("createdAt", wire.created_at),
            title=title,
            user_id=user_id,
            total_investment=_decimal("totalInvestment", wire.total_investment, MONEY_MAX) or _ZERO,
            expected_revenue=_decimal("expectedRevenue", wire.expected_revenue, MONEY_MAX) or _ZERO,
            target_roi=_decimal("targetRoi", wire.target_roi, PERCENT_MAX) or _ZERO,
            baseline_revenue=_decimal("baselineRevenue", wire.baseline_revenue, MONEY_MAX),
            status=EventStatus(wire.status or "ACTIVE"),
            starts_at=None if wire.start_date is None else self._instant("startDate", wire.start_date),
            ends_at=None if wire.end_date is None else self._instant("endDate", wire.end_date),
        )

    def _participant_registered(self, wire: _ParticipantWire, received_at: int) -> ParticipantRegistered:
        registered_at = self._instant("registeredAt", wire.registered_at)
        if registered_at < REGISTERED_FROM_US:
            raise _Unusable(Reason.OUT_OF_TIME, "registeredAt is before 2015-01-01")
        if registered_at > received_at + REGISTERED_AHEAD_US_MAX:
            raise _Unusable(Reason.OUT_OF_TIME, "registeredAt is more than 24 h after it was received")
        return ParticipantRegistered(
            wire.event_id, self.participant_of(wire.participant_id), registered_at // MINUTE_US, self._channel_of(wire)
        )

    def _distribution_completed(self, wire: _DistributionWire, received_at: int) -> DistributionCompleted:
        listed = wire.channels if wire.channels is not None else wire.distributed_channels
        deliveries = [wire] if listed is None else listed
        if not deliveries:
            raise _Unusable(Reason.MISSING_FIELD, "channels is empty")
        return DistributionCompleted(
            wire.event_id,
            self._instant("completedAt", wire.completed_at),
            tuple(self._delivery(delivery) for delivery in deliveries),
        )

    def _delivery(self, wire: _DeliveryWire | _DistributionWire) -> Delivery:
        channel = self._channel_of(wire)
        if channel is None:
            raise _Unusable(Reason.MISSING_FIELD, "channelName")
        # A known channel has the type that the table says, whatever the producer believes.
        told = ChannelType.VOICE if wire.channel_type == "CALL" else wire.channel_type
        channel_type = channel.type or told
        if channel_type is None:
            raise _Unusable(Reason.MISSING_FIELD, "channelType of a channel that is not known")
        if wire.status is None:
            raise _Unusable(Reason.MISSING_FIELD, "status")
        cost = _decimal("distributionCost", wire.distribution_cost, MONEY_MAX)
        expected_views = _count("expectedViews", wire.expected_views)
        return Delivery(channel, ChannelType(channel_type), DeliveryState(wire.status), cost or _ZERO, expected_views)

    def _event_status_changed(self, wire: _StatusWire, received_at: int) -> EventStatusChanged:
        return EventStatusChanged(wire.event_id, self._instant("changedAt", wire.changed_at), EventStatus(wire.status))

    def _sales_recorded(self, wire: _SaleWire, received_at: int) -> SalesRecorded:
        amount = _decimal("amount", wire.amount, MONEY_MAX)
        if amount is None:
            raise _Unusable(Reason.MISSING_FIELD, "amount")
        sold_at = self._instant("soldAt", wire.sold_at)
        signed = -amount if wire.refund else amount
        return SalesRecorded(wire.event_id, wire.sale_id, signed, sold_at, self._channel_of(wire))

    # -- fields

    def _channel_of(self, wire: Any) -> Channel | None:
        name = wire.channel_name
        if name is None:
            name = wire.channel
            if name is None:
                name = wire.entry_path
                if name is None:
                    return None
        channel = self._channel_named(name)
        if channel is None:
            raise _Unusable(Reason.OUT_OF_BOUNDS, "a channel's name with nothing in it, or too long")
        return channel

    def _instant(self, field: str, text: str) -> int:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            try:
                moment = datetime.fromisoformat(text.upper())  # RFC 3339 allows a small t and z
            except ValueError:
                raise _Unusable(Reason.WRONG_TYPE, f"{field} is not an ISO 8601 instant") from None
        if moment.tzinfo is None:
            if self._rules.naive_times_are is None:
                raise _Unusable(Reason.NO_OFFSET, field)
            moment = moment.replace(tzinfo=self._rules.naive_times_are)
        since_1970 = (moment - _EPOCH) // _MICROSECOND
        if not INSTANT_FROM_US <= since_1970 < INSTANT_BEFORE_US:
            raise _Unusable(Reason.OUT_OF_TIME, f"{field} is before 1970 or after 9997")
        return since_1970

    # -- rejections

    def rejected(self, kind: str, raw: bytes, reason: Reason, detail: str) -> Rejected:
        """The rejection of a message, with what may be kept of it."""
        fields = self._known_fields(kind, raw) if reason not in _NOT_READABLE else None
        event_id = fields.get("eventId") if fields else None
        known = kind if kind in WIRE_TYPES else UNKNOWN_KIND  # a made-up type may say anything
        return Rejected(known, reason, detail[:200], event_id if isinstance(event_id, str) else None, fields)

    def _known_fields(self, kind: str, raw: bytes) -> dict[str, Any] | None:
        """What a rejected message says in the fields we know, each kept only where it is valid by itself.

        Everything else (unknown fields, what offends) may be personal and is left out; a participant is kept as the
        ledger would keep it. So a repaired rule can take the message up again from here.
        """
        wire = WIRE_TYPES.get(kind)  # type: ignore[call-overload]
        return None if wire is None else self._known(wire, raw)

    def _known(self, wire: type[Struct], raw: bytes) -> dict[str, Any] | None:
        try:
            said = _OBJECT.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        kept: dict[str, Any] = {}
        for field in msgspec.structs.fields(wire):
            value = said.get(field.encode_name)
            if value is None or bytes(value) == b"null":
                continue
            if field.encode_name in ("channels", "distributedChannels"):
                kept[field.encode_name] = self._known_deliveries(value)
                continue
            try:
                usable = msgspec.json.decode(value, type=field.type)
                _check_no_nul(usable)
            except (msgspec.DecodeError, UnicodeDecodeError, _Unusable):
                continue
            if isinstance(usable, Raw):
                if _NUMBER.fullmatch(usable) is not None:
                    kept[field.encode_name] = bytes(usable).decode().strip('"')
            elif field.encode_name == "messageId" and _UUID.fullmatch(usable or "") is None:
                continue  # decides nothing, and may be anything
            elif field.encode_name == "participantId":
                kept["participant"] = self.participant_of(usable)
            elif field.encode_name in _INSTANT_FIELDS and not _is_an_instant(usable):
                continue
            elif isinstance(usable, bool) or (isinstance(usable, str) and len(usable) <= _KEPT_TEXT_MAX):
                kept[field.encode_name] = usable
        # Put together again without them the message might say something else: a refund would be a sale.
        left_out = sorted(
            field.encode_name
            for field in msgspec.structs.fields(wire)
            if field.encode_name not in kept
            and field.encode_name not in ("messageId", "participantId")
            and bytes(said.get(field.encode_name, b"null")) != b"null"
        )
        if "participantId" in said and "participant" not in kept:
            left_out.append("participantId")
        if left_out:
            kept[LEFT_OUT] = left_out
        return kept

    def _known_deliveries(self, raw: bytes) -> list[dict[str, Any]]:
        try:
            listed = msgspec.json.decode(raw, type=list[Raw])
        except msgspec.DecodeError:
            return []
        return [self._known(_DeliveryWire, delivery) or {} for delivery in listed]


_INSTANT_FIELDS = frozenset(
    field.encode_name
    for wire in WIRE_TYPES.values()
    for field in msgspec.structs.fields(wire)
    if field.type in (_Instant, _Instant | None)
)
_ZERO = Decimal("0.00")
_TOGETHER_MAX = (
    500  # registrations that are read together (they stay near the processor), and that an odd one slows down
)
_RAW, _RECEIVED_AT = itemgetter(1), itemgetter(2)
_NEW: Any = tuple.__new__  # what a NamedTuple's own does, without its call
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # half a character, mostly of a pair
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII)
_UUID_LINE = b"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh\n"
_HEX_AS_H = bytes(104 if chr(at) in "0123456789abcdefABCDEF" else at if chr(at) in "-\n" else 0 for at in range(256))
_DIGIT_AS_0 = bytes(48 if 48 <= at <= 57 else at for at in range(256))
_MINUTE_ENDS, _SECONDS_AT = len("0000-00-00T00:00"), len("0000-00-00T00:00:")
# Instants as producers write them, to the place where the zone begins.
_USUAL_FORMS = {
    b"0000-00-00T00:00:00" + fraction + zone: len("0000-00-00T00:00:00") + len(fraction)
    for fraction in (b"", b".000", b".000000")
    for zone in (b"Z", b"+00:00")
}
_NUMBER = re.compile(rb'"?[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE]([+-]?)([0-9]+))?"?')
_EXPONENT_DIGITS_MAX = 5  # beyond it no column holds a number, and none can tell it from 0
_INTEGER = re.compile(rb"-?[0-9]+")
_NOT_READABLE = frozenset({Reason.NOT_JSON, Reason.BAD_TEXT, Reason.TOO_LARGE, Reason.UNKNOWN_TYPE})
_KEPT_TEXT_MAX = 255
_OBJECT = msgspec.json.Decoder(dict[str, Raw])


def _has_half_a_character(raw: bytes) -> bool:
    """Whether this is JSON by its grammar, and holds an escape that no text can."""
    if _SURROGATE.search(raw) is None:
        return False
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _check_bytes(raw: bytes) -> None:
    if len(raw) > SIZE_MAX_BYTES:
        raise _Unusable(Reason.TOO_LARGE, f"{len(raw)} bytes; at most {SIZE_MAX_BYTES}")
    raw.decode()  # msgspec does not look into fields that it skips
    if raw.count(b"[") + raw.count(b"{") > NESTING_MAX and _nesting(raw) > NESTING_MAX:
        raise _Unusable(Reason.NOT_JSON, f"nested deeper than {NESTING_MAX}")


def _nesting(raw: bytes) -> int:
    """How deep brackets nest, strings left out; -1 counts nothing, so broken JSON is left to the decoder."""
    deepest = depth = 0
    for bracket in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", raw):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in b"]}":
            depth -= 1
    return deepest


def _check_no_nul(value: Any) -> None:
    """PostgreSQL cannot hold a NUL in a text."""
    if isinstance(value, str):
        if "\0" in value:
            raise _Unusable(Reason.BAD_TEXT, "a NUL in a text")
    elif isinstance(value, list):
        for item in value:
            _check_no_nul(item)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            _check_no_nul(getattr(value, name))


def _decimal(field: str, raw: Raw, highest: Decimal) -> Decimal | None:
    """A decimal from its JSON text, so that no digit is lost to a float; two places, half even; None where absent."""
    text = bytes(raw)
    if text in (b"", b"null"):
        return None
    number = _NUMBER.fullmatch(text)
    if number is None or text.startswith(b'"') is not text.endswith(b'"'):
        raise _Unusable(Reason.WRONG_TYPE, f"{field} is not a decimal")
    sign, exponent = number.groups()
    if exponent is not None and len(exponent) > _EXPONENT_DIGITS_MAX:
        if sign == b"-":
            return _ZERO
        raise _Unusable(Reason.OUT_OF_BOUNDS, f"{field} is above {highest}")
    value = Decimal(text.decode().strip('"'))
    if value < 0:
        raise _Unusable(Reason.OUT_OF_BOUNDS, f"{field} is below 0")
    if value > highest + 1:  # before rounding: 1e9999 has no two decimal places
        raise _Unusable(Reason.OUT_OF_BOUNDS, f"{field} is above {highest}")
    try:
        value = value.quantize(CENT, ROUND_HALF_EVEN)
    except InvalidOperation:
        value = _ZERO  # more digits than a Decimal's context holds, all of them behind the point: 1e-9999
    if value > highest:
        raise _Unusable(Reason.OUT_OF_BOUNDS, f"{field} is above {highest}")
    return abs(value)


def _is_an_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True


def _count(field: str, raw: Raw) -> int | None:
    text = bytes(raw)
    if text in (b"", b"null"):
        return None
    if _INTEGER.fullmatch(text) is None:
        raise _Unusable(Reason.WRONG_TYPE, f"{field} is not a whole number")
    if len(text) > 20 or not 0 <= int(text) <= COUNT_MAX:
        raise _Unusable(Reason.OUT_OF_BOUNDS, f"{field} is not between 0 and {COUNT_MAX}")
    return int(text)


def _reason(error: str) -> tuple[Reason, str]:
    """The reason behind what msgspec found. A test walks every wire field through it."""
    if error.startswith("Object missing required field") or "got `null` - at " in error:
        return Reason.MISSING_FIELD, error
    if error.startswith("Invalid enum value"):  # without the value: it may be anything, a name too
        return Reason.OUT_OF_BOUNDS, "not one of the allowed values" + error[error.rfind(" - at ") :]
    if " of length " in error or "out of range" in error:
        return Reason.OUT_OF_BOUNDS, error
    return Reason.WRONG_TYPE, error


class _Identified(Struct):
    messageId: str | None = None


_IDENTIFIED = msgspec.json.Decoder(_Identified)


def message_id(raw: bytes) -> str | None:
    """The id that a message gives itself, 1 to 64 characters; it decides nothing."""
    try:
        id_ = _IDENTIFIED.decode(raw).messageId
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return id_ if id_ is not None and 1 <= len(id_) <= 64 else None
