"""Tokens whose parts are of unexpected types: they are 401, whoever signed them, and disturb nothing."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import SECRET, Site
from structlog.testing import capture_logs
from world import OWNER

from hannun.web.auth import SUBJECT_LENGTH_MAX

SESSION = "/api/v1/session"
NAN, INFINITY = float("nan"), float("inf")


def signed(header: object, claims: object) -> str:
    """A token with any JSON as its header and claims, with a valid HS256 signature."""
    parts = [encode_part(json.dumps(part).encode()) for part in (header, claims)]
    return b".".join([*parts, encode_part(hmac.digest(SECRET.encode(), b".".join(parts), hashlib.sha256))]).decode()


def encode_part(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def claims_with(**others: Any) -> dict[str, Any]:
    return {"sub": OWNER, "roles": ["MERCHANT"], "exp": int(time.time()) + 60, **others}


HEADERS: list[object] = [
    {"alg": ["HS256"]},
    {"alg": {"HS256": 1}},
    {"alg": 256},
    {"alg": None},
    {"alg": True},
    {"alg": "HS256", "kid": ["k"]},
    {"alg": "HS256", "kid": {"k": 1}},
    {"alg": "HS256", "crit": 7},
    {"alg": "HS256", "crit": [["exp"]]},
    {"alg": "HS256", "b64": False},
    {"alg": "\ud800"},
    ["alg", "HS256"],
    "HS256",
    7,
    None,
]
CLAIMS: list[dict[str, Any]] = [
    {"sub": "\ud800"},
    {"sub": f"{OWNER}\udfff"},
    {"sub": "a\0b"},
    {"sub": "a\nb"},
    {"sub": "a\x85b"},
    {"sub": ""},
    {"sub": "x" * (SUBJECT_LENGTH_MAX + 1)},
    {"sub": [OWNER]},
    {"sub": {"id": OWNER}},
    {"sub": 7},
    {"sub": True},
    {"sub": None},
    {"exp": "9999999999"},
    {"exp": True},
    {"exp": [9_999_999_999]},
    {"exp": {}},
    {"exp": None},
    {"exp": NAN},
    {"exp": INFINITY},
    {"nbf": [1]},
    {"nbf": {}},
    {"iat": [1]},
    {"iat": "yesterday"},
    {"roles": [["ADMIN"]]},
    {"roles": [{"ADMIN": 1}]},
    {"roles": ["MERCHANT", 7]},
    {"roles": {"ADMIN": True}},
    {"roles": 7},
    {"roles": None},
    {"aud": {}},
    {"aud": {"hannun": 1}},
    {"aud": [7]},
    {"aud": False},
    {"aud": 0},
    {"iss": ["a"], "aud": 7},
]


def statuses(site: Site, token: str) -> set[int]:
    """The status of a token by each way in which a token comes in."""
    bearer = {"Authorization": f"Bearer {token}"}
    cookie = {"Cookie": f"hannun_session={token}"}
    analytics = f"/api/v1/users/{OWNER}/analytics"
    answers = [
        *(site.anonymous.get(path, headers=headers) for path in (SESSION, analytics) for headers in (bearer, cookie)),
        site.anonymous.post(SESSION, json={"token": token}),
        site.anonymous.post("/api/v1/messages", headers=bearer, json=[]),
    ]
    return {answer.status_code for answer in answers}


def test_a_token_with_an_odd_header_or_claim_is_401_and_not_logged(site_with: Callable[..., Site]) -> None:
    site = site_with(sign_ins_a_minute=0, stranger_requests_a_minute=0)
    with capture_logs() as logs:
        for header in HEADERS:
            allowed = (
                {401} if header not in HEADERS[5:7] else {200, 204, 401, 403, 404}
            )  # a kid is unused with a secret
            assert statuses(site, signed(header, claims_with())) <= allowed, header
        for changed in CLAIMS:
            assert statuses(site, signed({"alg": "HS256"}, claims_with(**changed))) == {401}, changed
        for claims in ([], "sub", 7, None, {}, [["sub", OWNER]]):
            assert statuses(site, signed({"alg": "HS256"}, claims)) == {401}, claims
    assert logs == []
    assert site.anonymous.get(SESSION, headers={"Authorization": f"Bearer {site.token(OWNER)}"}).status_code == 200


def test_a_token_of_deeply_nested_json_is_401(site: Site) -> None:
    deep = b'{"alg":' + b"[" * 2_500 + b"]" * 2_500 + b"}"
    token = b".".join([encode_part(deep), b"e30", b"AA"]).decode()
    assert statuses(site, token) == {401}


def test_odd_tokens_take_from_the_limit_of_their_address(site_with: Callable[..., Site]) -> None:
    site = site_with(stranger_requests_a_minute=2)
    site.services.anonymous_limit._clock = lambda: 0.0
    odd = {"Authorization": f"Bearer {signed({'alg': ['HS256']}, claims_with())}"}
    assert [site.anonymous.get(SESSION, headers=odd).status_code for _ in range(4)] == [401, 401, 429, 429]


def test_a_subject_that_cannot_be_encoded_reaches_no_limit(site_with: Callable[..., Site]) -> None:
    """The limits of a process are published with their subjects once a second: none may be one that cannot be sent."""
    site = site_with(requests_a_minute=600)
    token = signed({"alg": "HS256"}, claims_with(sub="\ud800"))
    assert statuses(site, token) == {401}
    assert "\ud800" not in site.services.request_limit._buckets


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ("alg", "kid", "typ", "crit", "b64", "jku")
_CLAIMS = ("sub", "exp", "iat", "nbf", "roles", "aud", "iss", "jti")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    header=JSON_VALUES
    | st.dictionaries(st.sampled_from(_FIELDS), JSON_VALUES).map(lambda odd: {"alg": "HS256", **odd}),
    odd_claims=JSON_VALUES | st.dictionaries(st.sampled_from(_CLAIMS), JSON_VALUES).map(lambda odd: claims_with(**odd)),
    raw=st.binary(max_size=60),
)
def test_no_token_causes_an_error_of_the_server(site: Site, header: object, odd_claims: object, raw: bytes) -> None:
    site.services.anonymous_limit._buckets.clear()
    tokens = [signed(header, odd_claims), encode_part(raw).decode() + ".e30.AA", raw.decode("latin-1")]
    for token in tokens:
        for name, value in (("Authorization", f"Bearer {token}"), ("Cookie", f"hannun_session={token}")):
            encoded = bytes(byte for byte in value.encode("latin-1") if byte >= 0x20 and byte != 0x7F).strip(b" ")
            headers: Any = httpx2.Headers([(name.encode(), encoded)])
            status = site.anonymous.get(SESSION, headers=headers).status_code
            assert status < 500 or status == 503, token


@pytest.mark.parametrize("subject", [OWNER, "가게", "a b", "x" * SUBJECT_LENGTH_MAX, "👩‍👧"])
def test_a_subject_of_printable_text_is_taken(site: Site, subject: str) -> None:
    answer = site.with_token(signed({"alg": "HS256"}, claims_with(sub=subject))).get(SESSION)
    assert (answer.status_code, answer.json()["userId"]) == (200, subject)
