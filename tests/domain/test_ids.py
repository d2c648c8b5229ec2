"""Ids: a UUID has one form, any other id stays as it is, and an id without an address is refused."""

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_samples import DECODER, RECEIVED_AT, decoded, raw_of, reason

from hannun.domain.batch import ReceivedMessage
from hannun.domain.facts import Kind, Reason
from hannun.domain.ids import addressable_id, canonical_id

quick = settings(derandomize=True, deadline=None, max_examples=100, database=None)
UUID = "5b0c2f64-ab00-4000-8000-00000000000f"
SPELLINGS = [
    lambda id_: id_,
    str.upper,
    str.title,
]


@quick
@given(st.uuids(), st.sampled_from(SPELLINGS))
def test_a_uuid_is_one_id_in_every_spelling(id_: uuid.UUID, spell: Any) -> None:
    assert canonical_id(spell(str(id_))) == str(id_)


@quick
@given(st.text(max_size=40))
def test_an_id_that_is_no_uuid_stays_as_it_is(text: str) -> None:
    assert canonical_id(text) == text
    assert canonical_id(canonical_id(text)) == canonical_id(text)


@pytest.mark.parametrize(
    "text", [UUID.replace("-", ""), f"{{{UUID}}}", f"{UUID} ", UUID[:-1], f"{UUID}\n", UUID.replace("b", "ｂ")]
)
def test_a_text_that_only_resembles_a_uuid_is_opaque(text: str) -> None:
    assert canonical_id(text) == text


@pytest.mark.parametrize("refused", ["/", "a/b", ".", "..", "a\nb", "\x7f", "\x85", "\x1f"])
def test_an_id_that_no_address_could_hold_is_refused_for_events_and_merchants(refused: str) -> None:
    assert addressable_id(refused) is None
    for kind in Kind:
        assert reason(kind, eventId=refused) is Reason.OUT_OF_BOUNDS, kind
    assert reason(Kind.EVENT_CREATED, userId=refused) is Reason.OUT_OF_BOUNDS
    assert reason(Kind.EVENT_CREATED, userId=..., storeId=refused) is Reason.OUT_OF_BOUNDS


def test_events_merchants_participants_and_sales_are_the_same_in_every_spelling() -> None:
    for spell in SPELLINGS:
        for kind in Kind:
            assert decoded(kind, eventId=spell(UUID)).event_id == UUID, kind
        assert decoded(Kind.EVENT_CREATED, userId=spell(UUID)).user_id == UUID
        assert decoded(Kind.SALES_RECORDED, saleId=spell(UUID)).sale_id == UUID
        assert decoded(Kind.PARTICIPANT_REGISTERED, participantId=spell(UUID)).participant == UUID.replace("-", "")


@quick
@given(
    st.lists(
        st.sampled_from([UUID, UUID.upper(), "e-1", "E-1", "a/b", "..", "\x7f"]),
        min_size=1,
        max_size=6,
    )
)
def test_registrations_decoded_together_have_the_same_events_as_one_by_one(event_ids: list[str]) -> None:
    raws = [raw_of(Kind.PARTICIPANT_REGISTERED, eventId=id_) for id_ in event_ids]
    batch = [ReceivedMessage(Kind.PARTICIPANT_REGISTERED, raw, RECEIVED_AT) for raw in raws]
    assert DECODER.decode_all(batch) == [DECODER.decode(*each[:3]) for each in batch]


def test_a_dead_letter_names_the_event_in_its_canonical_form() -> None:
    rejected = DECODER.decode(
        Kind.SALES_RECORDED, raw_of(Kind.SALES_RECORDED, eventId=UUID.upper(), amount=-1), RECEIVED_AT
    )
    assert rejected.event_id == UUID
