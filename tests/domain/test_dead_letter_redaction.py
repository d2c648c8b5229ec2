"""A dead letter keeps only known, valid fields of its message, and never personal data."""

import json
from typing import Any

import pytest
from message_samples import (
    CHOICES,
    DECIMALS,
    DECODER,
    EVERY_FIELD,
    INSTANTS,
    LISTS,
    RECEIVED_AT,
    REQUIRED,
    UUID,
    WHOLE,
    decoded,
    raw_of,
    wire_fields,
)

from hannun.domain.dead_letter_redaction import rebuild_message
from hannun.domain.facts import Kind, Reason, Rejected

PHONE, NAME, STREET = "010-1234-5678", "홍길동", "세종대로 110"
PERSONAL = {
    "phone": PHONE,
    "name": NAME,
    "user": {"name": NAME, "phone": [PHONE, {"street": STREET}]},
    "Event_Id": NAME,
    PHONE: PHONE,
}


def text_of(rejected: Any) -> str:
    """Everything that a rejection holds, as a text."""
    assert isinstance(rejected, Rejected)
    return repr(rejected) + json.dumps(rejected.fields, ensure_ascii=False)


def test_unknown_fields_are_never_kept() -> None:
    for kind in Kind:
        found = decoded(kind, **PERSONAL, **{REQUIRED[kind][-1]: ...})
        text = text_of(found)
        for secret in (PHONE, NAME, STREET):
            assert secret not in text, (kind, secret)
        assert found.event_id == "e-1", kind
        assert set(found.fields) <= {*wire_fields(kind), "participant", "leftOut"}, kind


def test_personal_data_in_the_place_of_a_known_field_is_never_kept() -> None:
    """The invalid values are dropped: a text that is too long, an object, an invalid time, an unlisted choice."""
    for kind, field in EVERY_FIELD:
        for value in ({"name": NAME}, [PHONE], [{"name": NAME}], f"{NAME} {PHONE} " * 30):
            found = decoded(kind, **{field: value})
            text = text_of(found)
            assert NAME not in text and PHONE not in text, (kind, field, value)
            assert field not in (found.fields or {}) or field in LISTS, (kind, field, value)


def test_an_invalid_value_is_not_kept() -> None:
    checked = INSTANTS | DECIMALS | CHOICES | {"expectedViews"}
    for kind, field in EVERY_FIELD:
        if field in checked:
            text = text_of(decoded(kind, **{field: f"{NAME} {PHONE}"}))
            assert NAME not in text and PHONE not in text, (kind, field)


def test_a_choice_outside_its_list_is_out_of_bounds_and_is_not_repeated() -> None:
    for kind, field in EVERY_FIELD:
        if field in CHOICES:
            found = decoded(kind, **{field: f"{NAME} {PHONE}"})
            assert found.reason is Reason.OUT_OF_BOUNDS, (kind, field)
            assert NAME not in repr(found), (kind, field)


def test_personal_data_in_a_listed_channel_is_never_kept() -> None:
    listed = [{"channelName": "NAVER", "status": "LATER", **PERSONAL}, NAME, [PHONE], None]
    found = decoded(Kind.DISTRIBUTION_COMPLETED, channels=listed)
    text = text_of(found)
    for secret in (PHONE, NAME, STREET):
        assert secret not in text
    assert found.fields["channels"] == [{"channelName": "NAVER", "leftOut": ["status"]}, {}, {}, {}]


def test_known_fields_are_kept_so_that_the_message_can_be_retried() -> None:
    found = decoded(Kind.EVENT_CREATED, createdAt="2026-11-20T10:00:00")
    assert found.reason is Reason.NO_OFFSET
    assert found.fields == {
        **{name: str(value) for name, value in WHOLE[Kind.EVENT_CREATED].items() if name != "messageId"},
        "createdAt": "2026-11-20T10:00:00",
    }


def test_an_instant_with_a_zone_in_brackets_is_kept_without_the_zone() -> None:
    for kind, field in EVERY_FIELD:
        if field in INSTANTS:
            required = next(name for name in REQUIRED[kind] if name not in ("eventId", field))
            found = decoded(kind, **{field: "2026-11-20T19:00:00+09:00[Asia/Seoul]", required: ...})
            assert found.fields[field] == "2026-11-20T19:00:00+09:00", (kind, field)
            assert "leftOut" not in found.fields, (kind, field)


def test_an_instant_with_another_text_in_brackets_is_left_out() -> None:
    for kind, field in EVERY_FIELD:
        if field in INSTANTS:
            found = decoded(kind, **{field: "2026-11-20T19:00:00+09:00[010-1234-5678]"})
            assert found.fields["leftOut"] == [field], (kind, field)


def test_an_instant_with_a_zone_and_no_offset_is_not_kept() -> None:
    """A retry without its zone might take it for an instant of another zone."""
    found = decoded(Kind.EVENT_CREATED, createdAt="2026-11-20T10:00:00[Europe/Berlin]")
    assert "createdAt" not in found.fields
    assert found.fields["leftOut"] == ["createdAt"]


def test_an_empty_text_in_an_optional_field_does_not_prevent_a_retry() -> None:
    for kind, field in EVERY_FIELD:
        if field not in REQUIRED[kind]:
            found = decoded(kind, **{field: "", REQUIRED[kind][-1]: ...})
            assert field not in found.fields and "leftOut" not in found.fields, (kind, field)


def test_fields_that_are_not_kept_are_named_so_that_the_message_is_not_rebuilt_without_them() -> None:
    found = decoded(Kind.SALES_RECORDED, refund="true")
    assert found.fields["leftOut"] == ["refund"]


def test_a_participant_is_kept_only_as_the_ledger_stores_it() -> None:
    for participant_id in (UUID, PHONE, NAME):
        found = decoded(Kind.PARTICIPANT_REGISTERED, participantId=participant_id, registeredAt=...)
        assert found.fields["participant"] == DECODER.participant_of(participant_id), participant_id
        assert "participantId" not in found.fields, participant_id
        assert participant_id not in text_of(found), participant_id


def test_the_detail_and_the_kind_of_a_rejection_are_short() -> None:
    found = DECODER.decode("x" * 1_000, b"{}", RECEIVED_AT)
    assert isinstance(found, Rejected)
    assert len(found.kind) <= 64 and len(found.detail) <= 200


@pytest.mark.parametrize("views", [0, 5, 2**31 - 1, 2**31, 10**30])
def test_a_count_is_rebuilt_as_the_number_that_it_was(views: int) -> None:
    """Also in a list of channels, and also where it is out of bounds."""
    item = {"channel": "NAVER", "status": "SUCCESS", "expectedViews": views}
    for fields in ({"expectedViews": views}, {"channels": [item]}, {"distributedChannels": [item]}):
        raw = raw_of(Kind.DISTRIBUTION_COMPLETED, completedAt="2099-01-01T00:00:00Z", **fields)
        rejected = DECODER.decode(Kind.DISTRIBUTION_COMPLETED, raw, RECEIVED_AT)
        assert isinstance(rejected, Rejected) and rejected.fields is not None
        again = rebuild_message(rejected.fields)
        assert again is not None
        later = 4_102_444_800_000_000  # 2100
        found, expected = (DECODER.decode(Kind.DISTRIBUTION_COMPLETED, each, later) for each in (again, raw))
        assert isinstance(found, Rejected) == isinstance(expected, Rejected)
        if not isinstance(expected, Rejected):
            assert found == expected
