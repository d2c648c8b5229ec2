"""Arbitrary JSON and bytes for every decoder that faces a caller: an answer or a refusal, and nothing in the log.

The ten decoders together are fuzzed for about a minute, and with thirty times as many examples in the long tests. Paths
and query parameters come from the OpenAPI document, so a new route is fuzzed as soon as it is there. What comes over
Kafka is decoded by the same code as messages over HTTP; see also `tests/domain/test_wire_formats.py`.
"""

import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from served import SECRET, Site, as_json, in_days
from structlog.testing import capture_logs
from world import OWNER, SPRING

from hannun.domain.questions import encode_cursor

EXAMPLES = 1_200
EXAMPLES_LONG = 30 * EXAMPLES
LIMITS = ("requests", "refreshes", "share_requests", "sign_ins", "stranger_requests", "page_requests")
DECODERS = [
    "bearer token",
    "cookies",
    "if-none-match",
    "cursor",
    "query",
    "path",
    "sign-in",
    "share link",
    "typed totals",
    "messages",
    "other headers",
]

SESSION, MESSAGES = b"/api/v1/session", b"/api/v1/messages"
EVENT, MERCHANT = f"/api/v1/events/{SPRING}".encode(), f"/api/v1/users/{OWNER}".encode()
JSON_BODY = {"content-type": b"application/json"}
HEADER_NAMES = [
    "accept",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "content-encoding",
    "content-type",
    "forwarded",
    "if-match",
    "if-modified-since",
    "origin",
    "prefer",
    "range",
    "sec-fetch-site",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
]
QUERY_VALUES = [b"", b"-1", b"0", b"9" * 400, b"1e999", b"NaN", b"true", b"csv", b"minute", b"2026-01-01", b"*"]
PATH_PARTS = [b"..", b"%2e%2e", b"a%2Fb", b"%00", b"%0a", b"%ff", b"//", b"%"]
NOT_IN_HEADERS = bytes(byte for byte in range(256) if byte < 0x20 or byte == 0x7F)


class Sent(NamedTuple):
    """A request: its target is the path with the query."""

    method: str
    target: bytes
    headers: dict[str, bytes]
    body: bytes = b""
    signed_in: bool = True


def in_header(value: bytes) -> bytes:
    """The bytes that a client can send as the value of a header."""
    return value.translate(None, NOT_IN_HEADERS).strip(b" \t")


def in_url(value: bytes) -> bytes:
    return quote(value, safe="").encode()


def in_token(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


TEXT = st.text(st.characters(codec=None), max_size=40)
BYTES = st.binary(max_size=80) | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass"))
HEADER = BYTES.map(in_header)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def odd(usual: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The usual object with some of its fields replaced by arbitrary JSON, or left out."""
    names = st.sampled_from(sorted(usual))
    return st.builds(
        lambda changed, absent: {name: value for name, value in (usual | changed).items() if name not in absent},
        st.dictionaries(names, JSON, max_size=3),
        st.sets(names, max_size=2),
    )


def bodies(usual: dict[str, Any]) -> st.SearchStrategy[bytes]:
    return odd(usual).map(dumps) | JSON.map(dumps) | BYTES


@st.composite
def tokens(draw: st.DrawFn) -> bytes:
    """A token of arbitrary JSON with a valid signature, or with arbitrary bytes in its parts."""
    header = draw(JSON | odd({"alg": "HS256", "kid": "k", "typ": "JWT", "crit": ["exp"], "jku": "", "b64": True}))
    claims = draw(JSON | odd({"sub": OWNER, "roles": ["MERCHANT"], "exp": int(time.time()) + 60, "aud": "a"}))
    parts = [in_token(draw(st.just(dumps(part)) | BYTES)) for part in (header, claims)]
    signature = hmac.digest(SECRET.encode(), b".".join(parts), hashlib.sha256)
    return b".".join([*parts, in_token(draw(st.just(signature) | BYTES))])


def requests_by_decoder(site: Site) -> dict[str, st.SearchStrategy[Sent]]:
    document = site.anonymous.get("/openapi.json").json()
    reading = {
        path.encode(): operations["get"].get("parameters", [])
        for path, operations in document["paths"].items()
        if "get" in operations and not path.endswith("/live")
    }
    parameters = sorted(
        {each["name"].encode() for given in reading.values() for each in given if each["in"] == "query"}
    )
    paths = [path.replace(b"{eventId}", SPRING.encode()).replace(b"{userId}", OWNER.encode()) for path in reading]
    world = site.world
    message = st.sampled_from([as_json(each) for each in (world.registered("p1"), world.created(), world.sold(900))])
    odd_message = message.flatmap(odd)
    credential = tokens().map(in_header) | HEADER
    etag = st.builds(b'"%b-%b"'.__mod__, st.tuples(st.sampled_from([b"0", b"6", b"f" * 32]), HEADER))
    return {
        "bearer token": st.builds(
            lambda scheme, token, path: Sent(
                "GET", path, {"authorization": in_header(scheme + token)}, signed_in=False
            ),
            st.sampled_from([b"Bearer ", b"bearer ", b"Basic ", b""]),
            credential,
            st.sampled_from([SESSION, EVENT + b"/analytics"]),
        ),
        "cookies": st.builds(
            lambda name, value, path: Sent("GET", path, {"cookie": name + b"=" + value}, signed_in=False),
            st.sampled_from(
                [b"hannun_session", b"hannun_share", b"a=b; hannun_share", b"hannun_share=;hannun_session"]
            ),
            credential,
            st.sampled_from([SESSION, EVENT + b"/analytics", EVENT + b"/session"]),
        ),
        "if-none-match": st.builds(
            lambda path, value: Sent("GET", path, {"if-none-match": value}),
            st.sampled_from(paths),
            HEADER | etag | st.lists(etag, max_size=4).map(b", ".join),
        ),
        "cursor": st.builds(
            lambda cursor: Sent("GET", MERCHANT + b"/analytics?cursor=" + in_url(cursor), {}),
            BYTES
            | (BYTES | JSON.map(dumps)).map(base64.urlsafe_b64encode)
            | st.builds(encode_cursor, st.datetimes(), st.integers(-(2**65), 2**65)).map(str.encode),
        ),
        "query": st.builds(
            lambda path, pairs, raw: Sent(
                "GET", path + b"?" + b"&".join([*(name + b"=" + in_url(value) for name, value in pairs), *raw]), {}
            ),
            st.sampled_from(paths),
            st.lists(st.tuples(st.sampled_from(parameters), BYTES | st.sampled_from(QUERY_VALUES)), max_size=4),
            st.lists(BYTES.map(in_url), max_size=1),
        ),
        "path": st.builds(
            lambda path, id_: Sent("GET", path.replace(b"{eventId}", id_).replace(b"{userId}", id_), {}),
            st.sampled_from([*(path for path in reading if b"{" in path), b"/{eventId}", b"/static/{eventId}"]),
            BYTES.map(in_url) | st.sampled_from(PATH_PARTS),
        ),
        "sign-in": st.builds(
            lambda path, body: Sent("POST", path, JSON_BODY, body, signed_in=False),
            st.sampled_from([SESSION, EVENT + b"/session"]),
            bodies({"token": "a.b.c", "code": "code", "share": "secret"}),
        ),
        "share link": st.builds(
            lambda body: Sent("POST", EVENT + b"/shares", JSON_BODY, body),
            bodies({"until": in_days(7), "label": "for the team"}),
        ),
        "typed totals": st.builds(
            lambda name, body: Sent("POST", EVENT + b"/channels/" + name + b"/totals", JSON_BODY, body),
            BYTES.map(in_url) | st.sampled_from([b"NAVER", b"KAKAO", *PATH_PARTS]),
            bodies({"views": 5, "totalCalls": 2, "averageDuration": 1.5, "measuredAt": "2026-11-22T00:00:00Z"}),
        ),
        "messages": st.builds(
            lambda body, packed, kind: (
                Sent("POST", MESSAGES, {**kind, "content-encoding": b"gzip"}, gzip.compress(body))
                if packed
                else Sent("POST", MESSAGES, kind, body)
            ),
            st.lists(odd_message | JSON, max_size=3).map(dumps)
            | st.lists(odd_message.map(dumps) | BYTES, max_size=3).map(b"\n".join),
            st.booleans(),
            st.sampled_from([JSON_BODY, {"content-type": b"application/x-ndjson"}, {}]),
        ),
        "other headers": st.builds(
            Sent,
            st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PUT", "QUERY"]),
            st.sampled_from([*paths, b"/", b"/health", b"/metrics", b"/nothing", b"/static/nothing"]),
            st.dictionaries(st.sampled_from(HEADER_NAMES), HEADER, max_size=4),
        ),
    }


WITHOUT_LIMITS = {f"{limit}_a_minute": 0 for limit in LIMITS}
PATIENT = {"request_s": 60.0, "pool_wait_s": 60.0}
"""On a loaded machine a request may wait longer than usual, and 503 would be no error of a decoder."""


def fuzz(site: Site, decoder: str, examples: int) -> None:
    """Send so many requests to one decoder."""
    site.send(site.world.created(), site.world.registered("p1"))
    requests = requests_by_decoder(site)
    assert list(requests) == DECODERS

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests[decoder])
    def send(sent: Sent) -> None:
        client = site.service if decoder == "messages" else site.admin if sent.signed_in else site.anonymous
        url = httpx2.URL(site.address).copy_with(raw_path=sent.target)
        headers: Any = httpx2.Headers([(name.encode(), value) for name, value in sent.headers.items()])
        answer = client.request(sent.method, url, headers=headers, content=sent.body)
        assert answer.status_code < 500, (sent, answer.text)
        if answer.status_code >= 400 and sent.method != "HEAD" and sent.target.startswith(b"/api/"):
            assert answer.headers["content-type"] == "application/problem+json", (sent, answer.text)

    with capture_logs() as logs:
        send()
    assert logs == []


@pytest.mark.parametrize("decoder", DECODERS)
def test_no_request_causes_an_error_of_the_server(site_with: Callable[..., Site], decoder: str) -> None:
    fuzz(site_with(**WITHOUT_LIMITS, **PATIENT), decoder, EXAMPLES)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("decoder", DECODERS)
def test_no_request_causes_an_error_of_the_server_for_long(site_with: Callable[..., Site], decoder: str) -> None:
    fuzz(site_with(**WITHOUT_LIMITS, **PATIENT), decoder, EXAMPLES_LONG)
