"""What looks like personal data is found, and what only resembles it is not."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.domain.personal_data import PATTERNS, Matcher, with_id

PERSONAL = {
    "telephone number": [
        "010-1234-5678",
        "01012345678",
        "010 1234 5678",
        "+82 10-1234-5678",
        "+821012345678",
        "02-123-4567",
        "031-1234-5678",
        "011-123-4567",
    ],
    "resident registration number": ["900101-1234567", "051231-4123456"],
    "e-mail address": ["kim@example.com", "kim.lee+shop@mail.example.co.kr", "KIM@EXAMPLE.COM"],
}
HARMLESS = [
    "2026-11-27T10:12:30.123456+09:00",
    "1795402800000",
    "1795402800.123456",
    "192.168.0.101",
    "20261127-1234567",
    "participant-registered[3]@123456789",
    "kim@host",
    "v1.2.3-010",
    "900101-9234567",
    "9" * 20,
    "0.0101234567",
    "analytics:dashboard:5b0c2f64-0101-2345-6789-010123456789",
    "sha256:" + "0101234567" * 6,
]


@pytest.mark.parametrize("kind", PERSONAL)
@pytest.mark.parametrize("around", ["{}", "call {} now", '{{"title": "{}"}}', "가게({})입니다", "a,{},b"])
def test_personal_data_is_found_in_any_surrounding(kind: str, around: str) -> None:
    for text in PERSONAL[kind]:
        assert [found for found, _ in Matcher(PATTERNS).find(around.format(text))] == [kind], text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_resembles_it_is_not(text: str) -> None:
    assert list(Matcher(PATTERNS).find(text)) == []


@given(st.uuids(), st.integers(0, 2**63), st.decimals(0, 10**12, places=2), st.datetimes(), st.binary(max_size=32))
def test_no_id_number_instant_or_hash_is_taken_for_it(
    id_: uuid.UUID, number: int, amount: object, at: object, hash_: bytes
) -> None:
    text = json.dumps(
        {"id": str(id_), "hex": id_.hex, "at": str(at), "hash": hash_.hex(), "row": f"{id_}\t{amount}\t{number}"}
    )
    assert list(Matcher(PATTERNS).find(text)) == []


def test_a_given_id_is_found_in_every_form() -> None:
    id_ = "5b0c2f64-0000-4000-8000-000000000001"
    matcher = Matcher(with_id(id_))
    for text in (id_, id_.upper(), id_.replace("-", ""), f"analytics:user:{id_}"):
        assert [kind for kind, _ in matcher.find(text)] == ["the given id"]
    assert list(matcher.find(f"{id_}0")) == []
