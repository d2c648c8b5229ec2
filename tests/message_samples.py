"""Whole messages of every kind, with chosen fields changed, and a decoder for them."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from hannun.domain.channels import load_table
from hannun.domain.facts import Kind, Reason, Rejected
from hannun.domain.wire_formats import WIRE_TYPES, Decoder, Rules

RECEIVED_AT = 1_795_402_800_000_000
RECEIVED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
UUID = "5b0c2f64-ab00-4000-8000-000000000001"
TABLE = load_table()
KEY = b"a key of these tests"
DECODER = Decoder(Rules(KEY, TABLE))

WHOLE: dict[Kind, dict[str, Any]] = {
    Kind.EVENT_CREATED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "eventTitle": "봄맞이",
        "userId": "merchant-1",
        "createdAt": "2026-11-20T10:00:00Z",
        "totalInvestment": "1000.50",
        "expectedRevenue": 2000,
        "targetRoi": 12.5,
        "baselineRevenue": 300,
        "status": "ACTIVE",
        "startDate": "2026-11-21T00:00:00+09:00",
        "endDate": "2026-12-21T00:00:00+09:00",
    },
    Kind.PARTICIPANT_REGISTERED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "participantId": UUID,
        "registeredAt": "2026-11-20T10:00:59Z",
        "channelName": "NAVER",
    },
    Kind.DISTRIBUTION_COMPLETED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "completedAt": "2026-11-20T10:00:00Z",
        "channelName": "NAVER",
        "channelType": "SNS",
        "status": "SUCCESS",
        "distributionCost": 100,
        "expectedViews": 5,
    },
    Kind.EVENT_STATUS_CHANGED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "status": "ENDED",
        "changedAt": "2026-11-20T10:00:00Z",
    },
    Kind.SALES_RECORDED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "saleId": "s-1",
        "amount": 100,
        "soldAt": "2026-11-20T10:00:00Z",
        "refund": False,
        "channelName": "NAVER",
    },
}
REQUIRED = {
    Kind.EVENT_CREATED: ("eventId", "eventTitle", "userId", "createdAt"),
    Kind.PARTICIPANT_REGISTERED: ("eventId", "participantId", "registeredAt"),
    Kind.DISTRIBUTION_COMPLETED: ("eventId", "completedAt", "channelName", "status"),
    Kind.EVENT_STATUS_CHANGED: ("eventId", "status", "changedAt"),
    Kind.SALES_RECORDED: ("eventId", "saleId", "amount", "soldAt"),
}
LENGTHS_MAX = {
    "eventId": 36,
    "messageId": 64,
    "eventTitle": 255,
    "title": 255,
    "userId": 36,
    "storeId": 36,
    "participantId": 64,
    "saleId": 64,
    "channelName": 50,
    "channel": 50,
    "entryPath": 50,
}
INSTANTS = {"createdAt", "startDate", "endDate", "registeredAt", "completedAt", "changedAt", "soldAt"}
DECIMALS = {"totalInvestment", "expectedRevenue", "targetRoi", "baselineRevenue", "distributionCost", "amount"}
CHOICES = {"status", "channelType"}
LISTS = {"channels", "distributedChannels"}


def wire_fields(kind: Kind) -> Iterator[str]:
    return (field.encode_name for field in msgspec.structs.fields(WIRE_TYPES[kind]))


EVERY_FIELD = [(kind, name) for kind in Kind for name in wire_fields(kind)]
EVERY_REQUIRED = [(kind, name) for kind, names in REQUIRED.items() for name in names]


def raw_of(kind: Kind, **fields: Any) -> bytes:
    """A whole message of this kind with these fields replaced; a field that is `...` is left out."""
    message = {name: value for name, value in (WHOLE[kind] | fields).items() if value is not ...}
    return json.dumps(message, ensure_ascii=False).encode()


def with_text(kind: Kind, field: str, json_text: str) -> bytes:
    """A whole message whose field has exactly this JSON text."""
    rest = raw_of(kind, **{field: ...})
    return rest[:-1] + f', "{field}": {json_text}}}'.encode()


def decoded(kind: Kind, **fields: Any) -> Any:
    return DECODER.decode(kind, raw_of(kind, **fields), RECEIVED_AT)


def reason(kind: Kind, **fields: Any) -> Reason | None:
    """Why the message is unusable; None if it is usable."""
    return reason_of(kind, raw_of(kind, **fields))


def reason_of(kind: str, raw: bytes) -> Reason | None:
    found = DECODER.decode(kind, raw, RECEIVED_AT)
    return found.reason if isinstance(found, Rejected) else None


def differences(cases: Iterable[tuple[Any, Any, Any]]) -> dict[str, str]:
    """The cases, given as (name, found, expected), in which `found` is not `expected`. A test asserts that none is."""
    checked = list(cases)
    assert checked, "there is no case to check"
    return {
        repr(name)[:200]: f"found {str(found)[:200]}, expected {expected}"
        for name, found, expected in checked
        if found != expected
    }
