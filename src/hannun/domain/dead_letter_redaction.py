"""Decides what a dead letter keeps of an unusable message, and rebuilds the message from that.

    bytes ──► known fields ──► valid by itself? ──┬─ yes ──► kept (a participant as its ledger hash)
                                                  └─ no ───► dropped; its name goes into `leftOut`

Everything else may be personal data and is dropped: unknown fields, and the invalid values themselves. The kept fields
are enough to count the message after a rule was corrected, unless `leftOut` names a field.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from hannun.domain.facts import Kind, Reason, Rejected
from hannun.domain.field_values import COUNT_MAX, NOT_SAID, NUMBER, Instant, UnusableField, check_no_nul, redact_instant
from hannun.domain.ids import UUID, canonical_id

LEFT_OUT = "leftOut"
"""Among the kept fields: the names of the message's fields that were not kept."""

UNKNOWN_KIND = "unknown"
"""The kind of a dead letter whose message names none of the known kinds."""

AMOUNTS = frozenset({"totalInvestment", "expectedRevenue", "baselineRevenue", "distributionCost", "amount"})
"""The fields of messages that hold amounts of money. A target ROI is a percentage."""

_LISTS = ("channels", "distributedChannels")
_DETAIL_LENGTH_MAX = 200
_KEPT_TEXT_LENGTH_MAX = 255
_UNREADABLE = frozenset({Reason.NOT_JSON, Reason.BAD_TEXT, Reason.TOO_LARGE, Reason.UNKNOWN_TYPE})
_OBJECT = msgspec.json.Decoder(dict[str, Raw])


class Redactor:
    """Makes rejections that hold no personal data.

    Args:
        wire_types: the struct whose fields are the known fields of each kind.
        participant_of: a participant id as the ledger stores it.
    """

    def __init__(self, wire_types: Mapping[Kind, type[Struct]], participant_of: Callable[[str], str]) -> None:
        self._wire_types: dict[str, type[Struct]] = {str(kind): wire for kind, wire in wire_types.items()}
        self._participant_of = participant_of

    def reject(self, kind: str, raw: bytes, reason: Reason, detail: str) -> Rejected:
        """The rejection of a message, with the fields that may be kept of it."""
        wire = self._wire_types.get(kind)
        fields = None if wire is None or reason in _UNREADABLE else self._kept_fields(wire, raw)
        event_id = fields.get("eventId") if fields else None
        return Rejected(
            UNKNOWN_KIND if wire is None else kind,  # an unknown type may be any text
            reason,
            detail[:_DETAIL_LENGTH_MAX],
            canonical_id(event_id) if isinstance(event_id, str) else None,
            fields,
        )

    def _kept_fields(self, wire: type[Struct], raw: bytes) -> dict[str, Any] | None:
        """The known fields that are valid by themselves; None where the message is no JSON object."""
        try:
            values = _OBJECT.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        present = [
            (field.encode_name, field.type, value)
            for field in msgspec.structs.fields(wire)
            if (value := values.get(field.encode_name)) is not None
            and bytes(value) not in ((b"null",) if field.required else NOT_SAID)
        ]
        kept: dict[str, Any] = {}
        for name, type_, value in present:
            listed = _listed_struct(type_)
            if listed is not None:
                kept[name] = self._kept_items(listed, value)
                continue
            try:
                usable = msgspec.json.decode(value, type=type_)
                check_no_nul(usable)
            except (msgspec.DecodeError, UnicodeDecodeError, UnusableField):
                continue
            if isinstance(usable, Raw):
                if NUMBER.fullmatch(usable) is not None:
                    kept[name] = bytes(usable).decode().strip('"')
            elif name == "messageId" and UUID.fullmatch(usable or "") is None:
                continue  # no decision needs it, and any other text may be personal data
            elif name == "participantId":
                kept["participant"] = self._participant_of(usable)
            elif type_ in (Instant, Instant | None):
                instant = redact_instant(usable)
                if instant is not None and len(str(instant)) <= _KEPT_TEXT_LENGTH_MAX:
                    kept[name] = instant
            elif isinstance(usable, bool) or (isinstance(usable, str) and len(usable) <= _KEPT_TEXT_LENGTH_MAX):
                kept[name] = usable
        # Without these fields a rebuilt message might mean something else: a refund would become a sale.
        left_out = sorted(
            name for name, _, _ in present if name not in kept and name not in ("messageId", "participantId")
        )
        if "participantId" in values and "participant" not in kept:
            left_out.append("participantId")
        if left_out:
            kept[LEFT_OUT] = left_out
        return kept

    def _kept_items(self, wire: type[Struct], raw: Raw) -> list[dict[str, Any]]:
        try:
            items = msgspec.json.decode(raw, type=list[Raw])
        except msgspec.DecodeError:
            return []
        return [self._kept_fields(wire, item) or {} for item in items]


def _listed_struct(type_: Any) -> type[Struct] | None:
    """The struct of a field of type `list[struct] | None`; None for a field of another type."""
    for alternative in get_args(type_):
        if get_origin(alternative) is list:
            (listed,) = get_args(alternative)
            assert isinstance(listed, type) and issubclass(listed, Struct)
            return listed
    return None


def rebuild_message(fields: Mapping[str, Any]) -> bytes | None:
    """The JSON of a message from its kept fields; None where a field of it was left out."""
    items = [item for name in _LISTS for item in fields.get(name, ())]
    if LEFT_OUT in fields or any(LEFT_OUT in item for item in items):
        return None
    rebuilt = _with_counts(fields)
    for name in _LISTS:
        if name in rebuilt:
            rebuilt[name] = [_with_counts(item) for item in rebuilt[name]]
    if "participant" in rebuilt:  # the ledger stores a UUID as itself, so the 16 bytes as a UUID are the participant
        rebuilt["participantId"] = str(uuid.UUID(rebuilt.pop("participant")))
    return msgspec.json.encode(rebuilt)


def split_amounts(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Kept fields in two parts: without amounts, and the amounts alone. The second is empty where there is none."""
    rest, amounts = {}, {}
    for name, value in fields.items():
        if name in AMOUNTS:
            amounts[name] = value
        elif name in _LISTS:
            parts = [split_amounts(item) for item in value]
            rest[name] = [without for without, _ in parts]
            if any(of_item for _, of_item in parts):
                amounts[name] = [of_item for _, of_item in parts]
        else:
            rest[name] = value
    return rest, amounts


def join_amounts(rest: Mapping[str, Any], amounts: Mapping[str, Any]) -> dict[str, Any]:
    """The kept fields from the two parts of `split_amounts`."""
    lists = {name: amounts[name] for name in _LISTS if name in amounts}
    joined = {
        name: [join_amounts(*pair) for pair in zip(rest[name], of_items, strict=True)]
        for name, of_items in lists.items()
    }
    return {**rest, **amounts, **joined}


def _with_counts(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with a count as the number that it was: numbers are kept as texts, and a count must not be one."""
    views = fields.get("expectedViews")
    if isinstance(views, str) and views.isdecimal() and len(views) <= len(str(COUNT_MAX)):
        return {**fields, "expectedViews": int(views)}
    return dict(fields)
