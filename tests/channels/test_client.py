"""The client of channels over real sockets: whatever a channel does, a reply in time and in bounded memory."""

import asyncio
import base64
import gzip
import hashlib
import hmac as hmac_module
import json
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels import raw_server
from channels.raw_server import Behaviour, Exchange, Server, once_then, replies, response, serving
from hannun.channels.access import Access
from hannun.channels.client import ChannelClient
from hannun.channels.declaration import Declaration, Limits, shipped
from hannun.channels.reply import Reply
from hannun.domain.channel_totals import ChannelTotals, RefusedTotals

CREDENTIALS = {
    "WooriTV": {"api_key": "key-1"},
    "GenieTV": {"api_key": "key-1", "customer": "7", "secret_key": "s3cr3t"},
    "RingoBiz": {"client_id": "us", "client_secret": "s3cr3t"},
    "Instagram": {"token": "t-1"},
    "NaverBlog": {},
    "KakaoChannel": {"token": "t-1", "ad_account": "55"},
}
PATIENT = Limits(connect_s=20, read_s=20, call_s=60, attempts=3, body_bytes=1_000_000)
"""For calls that succeed, also on a slow machine."""
HASTY = Limits(connect_s=5, read_s=0.2, call_s=2, attempts=2, body_bytes=1_000_000)
"""For calls that wait in vain."""
NOW_S = 1_764_201_600.0
MARGIN_S = 20.0
"""By which a busy machine may miss a deadline."""

GOOD = {"items": [{"id": "e1", "statistics": {"viewCount": "800", "clickCount": "31"}}]}
SYSTEM_TLS = ssl.create_default_context()
VIEWS_800 = ChannelTotals(views=800, clicks=31)


def declared(name: str = "WooriTV", limits: Limits = PATIENT) -> Declaration:
    found = {declaration.name: declaration for declaration in shipped().values()}[name]
    attempts = min(found.limits.attempts, limits.attempts)  # its budget may allow one only
    return msgspec.structs.replace(found, limits=msgspec.structs.replace(limits, attempts=attempts))


def client_of(server: Server, declaration: Declaration, **more: Any) -> ChannelClient:
    access = Access(server.address, CREDENTIALS.get(declaration.name, {}))
    return ChannelClient(declaration, access, **{"private_addresses": True, "tls": SYSTEM_TLS, **more})


def asked(
    behaviour: Behaviour,
    ids: Sequence[str] = ("e1",),
    declaration: Declaration | None = None,
    tls: ssl.SSLContext | None = None,
    **more: Any,
) -> tuple[Reply, Server]:
    """What a client replies about a server that behaves so, and the server."""

    async def fetch() -> tuple[Reply, Server]:
        async with (
            serving(behaviour, tls) as server,
            client_of(server, declaration or declared(), **more) as client,
        ):
            return await client.fetch(ids), server

    return asyncio.run(fetch())


def test_totals_are_measured() -> None:
    reply, server = asked(replies(response(GOOD)))
    assert reply.kind == "measured" and reply.reason == "" and reply.units == 1
    assert reply.totals == {"e1": VIEWS_800}
    assert reply.retry_after_s is None
    query = parse_qs(urlsplit(server.requests[0].target).query)
    assert query == {"part": ["statistics"], "id": ["e1"], "key": ["key-1"]}


FAILURES: dict[str, tuple[Behaviour, str]] = {
    "404": (replies(response({}, 404)), "status-404"),
    "500": (replies(response("<html>", 500)), "status-500"),
    "599": (replies(response("", 599)), "status-599"),
    "204": (replies(b"HTTP/1.1 204 None\r\n\r\n"), "not-json"),
    "redirect": (replies(response("", 302, Location="http://169.254.169.254/")), "redirect"),
    "not modified": (replies(b"HTTP/1.1 304 Same\r\n\r\n"), "redirect"),
    "html": (replies(response("<html><body>Wartung</body></html>")), "not-json"),
    "nothing": (replies(response("")), "not-json"),
    "half": (replies(response('{"items": [')), "not-json"),
    "deep": (replies(response("[" * 500_000)), "not-json"),
    "a list": (replies(response([])), "wrong-shape"),
    "items of another kind": (replies(response({"items": [1, "e1", None]})), "wrong-shape"),
    "no http": (replies(b"\x00\x01SSH-2.0 nothing of yours\r\n\r\n"), "protocol"),
    "wrong length": (replies(b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n{}"), "protocol"),
    "gzip bomb": (replies(response(raw_server.GZIP_BOMB, Content_Encoding="gzip")), "too-large"),
    "half gzip": (replies(response(gzip.compress(b"{}")[:-3], Content_Encoding="gzip")), "encoding"),
    "no gzip": (replies(response("{}", Content_Encoding="gzip")), "encoding"),
    "brotli": (replies(response("{}", Content_Encoding="br")), "encoding"),
    "gzip twice": (replies(response("{}", Content_Encoding="gzip, gzip")), "encoding"),
    "100 MB": (raw_server.sends_100_mb, "too-large"),
    "100 MB in chunks": (raw_server.sends_100_mb_in_chunks, "too-large"),
    "100 MB of an error": (raw_server.sends_a_huge_error, "status-503"),
    "endless head": (raw_server.sends_an_endless_head, "protocol"),
    "cut": (raw_server.cuts, "protocol"),
    "cut in the body": (raw_server.cuts_in_the_body, "protocol"),
    "closed in the body": (raw_server.closes_in_the_body, "protocol"),
}
WAITS: dict[str, Behaviour] = {
    "hangs": raw_server.hangs,
    "hangs in the body": raw_server.hangs_in_the_body,
    "trickles": raw_server.trickles,
    "trickles the head": raw_server.trickles_the_head,
    "responds 103 for ever": raw_server.sends_early_hints_for_ever,
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_has_its_reason_and_costs_little_memory(case: str) -> None:
    behaviour, reason = FAILURES[case]
    tracemalloc.start()
    try:
        reply, server = asked(behaviour, declaration=declared(limits=msgspec.structs.replace(PATIENT, attempts=1)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (reply.kind, reply.reason, reply.totals) == ("failed", reason, {})
    assert reply.units == len(server.requests) == 1
    assert peak < 40_000_000


@pytest.mark.parametrize("case", WAITS)
def test_a_channel_that_keeps_us_waiting_ends_with_the_deadline(case: str) -> None:
    limits = msgspec.structs.replace(HASTY, call_s=0.6)
    reply, _ = asked(WAITS[case], declaration=declared(limits=limits))
    assert (reply.kind, reply.reason) == ("failed", "timeout")
    assert reply.seconds < limits.call_s + MARGIN_S


def test_a_refused_connection_fails() -> None:
    with socket.socket() as bound:  # nothing listens on it, and nobody else can take its port
        bound.bind(("127.0.0.1", 0))
        reply = asyncio.run(_one(Server(bound.getsockname()[1], "http"), declared()))
    assert (reply.kind, reply.reason) == ("failed", "connect")


async def _one(server: Server, declaration: Declaration, **more: Any) -> Reply:
    async with client_of(server, declaration, **more) as client:
        return await client.fetch(["e1"])


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_a_server_is_verified_by_its_name_although_its_address_is_called(authority: trustme.CA) -> None:
    async def fetch(name: str) -> Reply:
        async with serving(replies(response(GOOD)), server_tls(authority, "api.example.com")) as server:
            access = Access(f"https://{name}:{server.port}", CREDENTIALS["WooriTV"])
            client = ChannelClient(
                declared(), access, private_addresses=True, tls=trusting(authority), look_up=lambda *_: ["127.0.0.1"]
            )
            async with client:
                return await client.fetch(["e1"])

    assert asyncio.run(fetch("api.example.com")).totals == {"e1": VIEWS_800}
    wrong = asyncio.run(fetch("other.example.com"))
    assert (wrong.kind, wrong.reason) == ("failed", "tls")


def test_a_certificate_of_nobody_we_trust_is_refused(authority: trustme.CA) -> None:
    reply, server = asked(replies(response(GOOD)), tls=server_tls(authority, "127.0.0.1"))
    assert (reply.kind, reply.reason) == ("failed", "tls")
    assert server.requests == []


@pytest.mark.parametrize("behaviour", [raw_server.cuts, raw_server.cuts_in_the_body])
def test_tls_that_is_cut_fails(authority: trustme.CA, behaviour: Behaviour) -> None:
    async def fetch() -> Reply:
        async with serving(behaviour, server_tls(authority, "127.0.0.1")) as server:
            return await _one(server, declared(), tls=trusting(authority))

    reply = asyncio.run(fetch())
    assert (reply.kind, reply.reason, reply.units) == ("failed", "protocol", 3)


async def cuts_the_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


def test_a_handshake_that_is_cut_fails() -> None:
    async def fetch() -> Reply:
        listener = await asyncio.start_server(cuts_the_handshake, "127.0.0.1", 0)
        async with listener:
            server = Server(listener.sockets[0].getsockname()[1], "https")
            return await _one(server, declared(limits=msgspec.structs.replace(PATIENT, attempts=1)))

    reply = asyncio.run(fetch())
    assert reply.kind == "failed" and reply.reason in ("connect", "tls")


# Addresses


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%lo", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "0.0.0.0"],
)
def test_an_address_inside_our_network_is_refused(address: str) -> None:
    def look_up(*_: object) -> Sequence[str]:
        return ["93.184.215.14", address]

    async def fetch() -> tuple[Reply, Server]:
        async with serving(replies(response(GOOD))) as server:
            return await _one(server, declared(), private_addresses=False, look_up=look_up), server

    reply, server = asyncio.run(fetch())
    assert (reply.kind, reply.reason, reply.units) == ("failed", "address-refused", 0)
    assert server.connections == 0


def test_a_name_that_is_not_looked_up_ends_with_the_time_to_connect() -> None:
    never = threading.Event()
    lookups = []

    def look_up(*_: object) -> Sequence[str]:
        lookups.append(1)
        never.wait()
        return []

    async def fetch() -> list[Reply]:
        limits = msgspec.structs.replace(HASTY, connect_s=0.1, attempts=1)
        server = Server(1, "http")
        async with client_of(server, declared(limits=limits), look_up=look_up) as client:
            return await asyncio.gather(*(client.fetch([f"e{n}"]) for n in range(8)))

    replies_ = asyncio.run(fetch())
    never.set()
    assert {(reply.kind, reply.reason) for reply in replies_} == {("failed", "name")}
    assert max(reply.seconds for reply in replies_) < MARGIN_S
    assert len(lookups) == 1


def test_an_unknown_name_fails() -> None:
    def look_up(*_: object) -> Sequence[str]:
        raise socket.gaierror("no such name")

    reply = asyncio.run(_one(Server(1, "http"), declared(), look_up=look_up))
    assert (reply.kind, reply.reason) == ("failed", "name")


def test_a_second_address_is_tried_where_the_first_refuses() -> None:
    async def fetch() -> Reply:
        async with serving(replies(response(GOOD))) as server:
            return await _one(server, declared(), look_up=lambda *_: ["127.0.0.2", "127.0.0.1"])

    reply = asyncio.run(fetch())
    assert reply.kind == "measured"


# Retries


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_read_is_repeated_after_a_passing_failure(status: int) -> None:
    reply, server = asked(replies(response("", status), response(GOOD)))
    assert (reply.kind, reply.units, len(server.requests)) == ("measured", 2, 2)


@pytest.mark.parametrize("first", [raw_server.cuts, raw_server.cuts_in_the_body])
def test_a_read_is_repeated_after_a_lost_connection(first: Any) -> None:
    reply, server = asked(once_then(first, replies(response(GOOD))), calls_at_once=1)
    assert (reply.kind, reply.units, len(server.requests)) == ("measured", 2, 2)


def test_attempts_have_an_end() -> None:
    reply, server = asked(replies(response("", 503)))
    assert (reply.kind, reply.reason, reply.units) == ("failed", "status-503", 3)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501])
def test_what_no_repeat_can_mend_is_not_repeated(status: int) -> None:
    reply, server = asked(replies(response("", status)))
    assert (reply.reason, len(server.requests)) == (f"status-{status}", 1)


def test_a_call_that_may_change_something_is_not_repeated() -> None:
    declaration = declared("RingoBiz")
    assert declaration.request is not None
    request = msgspec.structs.replace(declaration.request, only_reads=None)

    async def behave(exchange: Exchange) -> None:
        await exchange.write(response(TOKEN) if exchange.seen.target == "/oauth/token" else response("", 503))

    reply, server = asked(behave, declaration=msgspec.structs.replace(declaration, request=request))
    assert (reply.reason, reply.units, len(server.requests)) == ("status-503", 1, 2)


def test_retry_after_is_obeyed_within_the_deadline() -> None:
    reply, server = asked(replies(response("", 503, Retry_After="1"), response(GOOD)))
    assert (reply.kind, len(server.requests)) == ("measured", 2)
    assert reply.seconds >= 1


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [("3600", 3_600), (formatdate(NOW_S + 3_600, usegmt=True), 3_600), ("9" * 50, 86_400)],
)
def test_a_longer_retry_after_ends_the_call_and_is_passed_on(value: str, wait_s: float) -> None:
    reply, server = asked(replies(response("", 503, Retry_After=value), response(GOOD)), now_s=lambda: NOW_S)
    assert (reply.kind, reply.reason, len(server.requests)) == ("failed", "status-503", 1)
    assert reply.retry_after_s == wait_s


@pytest.mark.parametrize("value", ["soon", "-5", "", "1e9", "99999999999999999999999999999999999999 GMT", "٣"])
def test_a_retry_after_that_is_none_is_ignored(value: str) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.write(response("", 429).replace(b"\r\n\r\n", f"\r\nRetry-After: {value}\r\n\r\n".encode()))

    reply, _ = asked(behave)
    assert (reply.kind, reply.retry_after_s) == ("over-quota", None)


# Over quota


def test_over_quota_is_no_failure_and_is_not_repeated() -> None:
    reply, server = asked(replies(response("", 429, Retry_After="17"), response(GOOD)))
    assert (reply.kind, reply.reason, reply.retry_after_s) == ("over-quota", "", 17)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "status", "body", "kind"),
    [
        ("WooriTV", 403, {"error": {"errors": [{"reason": "quotaExceeded"}]}}, "over-quota"),
        ("WooriTV", 403, {"error": {"errors": [{"reason": "forbidden"}]}}, "failed"),
        ("KakaoChannel", 400, {"code": -10}, "over-quota"),
        ("KakaoChannel", 400, {"code": "-10"}, "over-quota"),
        ("KakaoChannel", 400, {"code": -813}, "failed"),
        ("KakaoChannel", 400, {"code": True}, "failed"),
        ("KakaoChannel", 500, {"code": -10}, "failed"),
        ("Instagram", 400, {"error": {"code": 80002}}, "over-quota"),
        ("Instagram", 400, {"error": {"code": 100}}, "failed"),
        ("Instagram", 404, {"error": {"code": 24}}, "measured"),
    ],
)
def test_codes_of_a_body_say_over_quota_or_unknown(name: str, status: int, body: object, kind: str) -> None:
    reply, _ = asked(replies(response(body, status)), declaration=declared(name))
    assert (reply.kind, reply.totals) == (kind, {})


def usage(**percent: object) -> str:
    return json.dumps({"178": [{"type": "instagram", **percent}]})


@pytest.mark.parametrize(
    ("header", "pause_s"),
    [
        (usage(call_count=12, total_time=30, total_cputime=7), None),
        (usage(call_count=96, estimated_time_to_regain_access=12), 720),
        (usage(call_count=100, estimated_time_to_regain_access=0), 300),
        (usage(call_count="97"), 300),
        (usage(call_count=-5), None),
        (usage(call_count=True), None),
        ('{"178": [{"call_count": 1e400}]}', None),
        ("[" * 5_000, None),
        ("nothing", None),
    ],
)
def test_a_usage_header_near_the_quota_pauses_the_calls(header: str, pause_s: float | None) -> None:
    body = {"data": [{"name": "views", "values": [{"value": 4321}]}]}
    answer = response(body).replace(b"\r\n\r\n", f"\r\nX-Business-Use-Case-Usage: {header}\r\n\r\n".encode(), 1)
    reply, _ = asked(replies(answer), declaration=declared("Instagram"))
    assert reply.kind == "measured" and reply.totals == {"e1": ChannelTotals(views=4321)}
    assert reply.retry_after_s == pause_s


# Shapes


def test_an_empty_set_is_unknown_and_not_0() -> None:
    reply, _ = asked(replies(response({"data": []})), declaration=declared("Instagram"))
    assert isinstance(reply.totals["e1"], RefusedTotals) and reply.totals["e1"].reason == "empty"


def test_what_a_channel_lies_about_is_refused_for_that_event_only() -> None:
    items = [{"id": "e1", "statistics": {"viewCount": -1}}, {"id": "e2", "statistics": {"viewCount": "7"}}]
    reply, _ = asked(replies(response({"items": items})), ids=["e1", "e2", "e3"])
    assert reply.totals["e1"] == RefusedTotals(reply.totals["e1"].reason, "views")
    assert reply.totals["e2"] == ChannelTotals(views=7)
    assert "e3" not in reply.totals


def test_an_error_body_with_a_good_status_is_a_failure() -> None:
    async def behave(exchange: Exchange) -> None:
        body = TOKEN if exchange.seen.target == "/oauth/token" else {"result": {"code": "5000"}}
        await exchange.write(response(body))

    reply, _ = asked(behave, declaration=declared("RingoBiz"))
    assert (reply.kind, reply.reason) == ("failed", "error-body")


# Pages


def page_of(exchange: Exchange, name: str) -> str:
    return parse_qs(urlsplit(exchange.seen.target).query).get(name, [""])[0]


def test_numbered_pages_are_read_to_the_last_and_the_newest_mention_counts() -> None:
    pages = {"1": [("e1", 1), ("e2", 2)], "2": [("e2", 3), ("e4", 4)], "3": []}

    async def behave(exchange: Exchange) -> None:
        items = [{"id": id_, "viewCnt": views} for id_, views in pages[page_of(exchange, "page")]]
        await exchange.write(response({"data": items, "totalPages": 3}))

    reply, server = asked(behave, ids=["e1", "e2", "e3", "e4"], declaration=declared("GenieTV"))
    assert {id_: totals.views for id_, totals in reply.totals.items()} == {"e1": 1, "e2": 3, "e4": 4}
    assert reply.units == len(server.requests) == 3


def test_an_endless_row_of_pages_has_an_end() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.write(response({**GOOD, "nextPageToken": f"t{exchange.number}"}))

    reply, server = asked(behave)
    assert (reply.kind, reply.reason, len(server.requests)) == ("failed", "paging", 20)


@pytest.mark.parametrize("token", ["same", {"a": 1}, "x" * 5_000, True, "a\r\nb"])
def test_a_next_page_that_leads_nowhere_fails(token: object) -> None:
    reply, server = asked(replies(response({**GOOD, "nextPageToken": token})))
    assert (reply.kind, reply.reason) == ("failed", "paging")
    assert len(server.requests) <= 2


def test_an_address_as_next_page_is_only_a_parameter() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.write(
            response({**GOOD, "nextPageToken": "http://169.254.169.254/"} if exchange.number == 1 else GOOD)
        )

    reply, server = asked(behave)
    assert reply.kind == "measured"
    assert page_of(Exchange(server.requests[1], 2, None, None), "pageToken") == "http://169.254.169.254/"  # type: ignore[arg-type]


# Authentication

TOKEN = {"access_token": "tok-1", "token_type": "bearer", "expires_in": 3600}
REPORT = {
    "result": {"code": "0000"},
    "columns": [{"name": n} for n in ("campaign", "dialed", "answered", "transferred", "averageSeconds", "orders")],
    "rows": [["e1", 300, 170, 12, 41.4, 6]],
    "hasMore": False,
}


class RingoBiz:
    """A channel with OAuth2: only its newest token is valid."""

    def __init__(self, lifetime_s: float = 3_600) -> None:
        self.tokens = 0
        self.lifetime_s = lifetime_s
        self.valid = ""

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.seen.target == "/oauth/token":
            self.tokens += 1
            self.valid = f"tok-{self.tokens}"
            await exchange.write(response({"access_token": self.valid, "expires_in": self.lifetime_s}))
        elif exchange.seen.headers["authorization"] == f"Bearer {self.valid}":
            await exchange.write(response(REPORT))
        else:
            await exchange.write(response("", 401))


def test_a_token_is_got_once_for_all_calls() -> None:
    channel = RingoBiz()

    async def fetch() -> tuple[list[Reply], Server]:
        async with serving(channel) as server, client_of(server, declared("RingoBiz")) as client:
            return await asyncio.gather(*(client.fetch(["e1"]) for _ in range(20))), server

    found, server = asyncio.run(fetch())
    expected = ChannelTotals(total_calls=300, completed_calls=182, average_duration=41, conversions=6)
    assert [reply.totals for reply in found] == [{"e1": expected}] * 20
    assert channel.tokens == 1
    first = server.requests[0]
    assert first.headers["authorization"] == "Basic " + base64.b64encode(b"us:s3cr3t").decode()
    assert first.body == b"grant_type=client_credentials&scope=report"
    assert json.loads(server.requests[-1].body)["campaigns"] == ["e1"]
    assert "cursor" not in json.loads(server.requests[-1].body)


def test_credentials_are_rotated_between_two_calls() -> None:
    """Also of a channel whose token was got with the credentials of before."""
    accesses: list[Access] = []

    async def fetch() -> tuple[list[Reply], Server]:
        channel = RingoBiz()
        async with (
            serving(channel) as server,
            client_of(server, declared("RingoBiz"), present_access=lambda known: (accesses or [known])[-1]) as client,
        ):
            found = [await client.fetch(["e1"])]
            accesses.append(Access(server.address, {"client_id": "us", "client_secret": "rotated"}))
            channel.valid = ""  # the channel has ended what the secret of before got
            return [*found, await client.fetch(["e1"]), await client.fetch(["e1"])], server

    found, server = asyncio.run(fetch())
    assert {reply.kind for reply in found} == {"measured"}
    identities = [request.headers["authorization"] for request in server.requests if request.target == "/oauth/token"]
    assert identities == ["Basic " + base64.b64encode(pair).decode() for pair in (b"us:s3cr3t", b"us:rotated")]


def test_a_token_that_the_channel_refuses_is_renewed_once() -> None:
    channel = RingoBiz()

    async def fetch() -> list[Reply]:
        async with serving(channel) as server, client_of(server, declared("RingoBiz")) as client:
            found = [await client.fetch(["e1"])]
            channel.valid = "of somebody else"
            found += await asyncio.gather(*(client.fetch(["e1"]) for _ in range(5)))
            return found

    assert {reply.kind for reply in asyncio.run(fetch())} == {"measured"}
    assert channel.tokens == 2


def test_a_channel_that_refuses_every_token_fails() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.write(response(TOKEN) if exchange.seen.target == "/oauth/token" else response("", 401))

    reply, server = asked(behave, declaration=declared("RingoBiz"))
    assert (reply.reason, reply.units, len(server.requests)) == ("status-401", 2, 4)


def test_a_token_is_renewed_before_it_ends() -> None:
    channel = RingoBiz(lifetime_s=0)

    async def fetch() -> list[Reply]:
        async with serving(channel) as server, client_of(server, declared("RingoBiz")) as client:
            return [await client.fetch(["e1"]) for _ in range(3)]

    assert {reply.kind for reply in asyncio.run(fetch())} == {"measured"}
    assert channel.tokens == 3


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (response({}, 400), "token"),
        (response({"access_token": ""}), "token"),
        (response({"access_token": "a\nb"}), "token"),
        (response({"access_token": 5}), "token"),
        (response("<html>"), "token"),
        (response("", 302, Location="http://127.0.0.1/"), "token"),
        (b"nothing\r\n\r\n", "protocol"),
    ],
)
def test_without_a_token_no_call_is_made(token: bytes, reason: str) -> None:
    reply, server = asked(replies(token), declaration=declared("RingoBiz"))
    assert (reply.kind, reply.reason, reply.units) == ("failed", reason, 0)
    assert {seen.target for seen in server.requests} == {"/oauth/token"}


def test_a_request_is_signed() -> None:
    async def fetch() -> Server:
        async with serving(replies(response({"data": []}))) as server:
            await _one(server, declared("GenieTV"), now_s=lambda: NOW_S)
            return server

    headers = asyncio.run(fetch()).requests[0].headers
    assert headers["x-timestamp"] == "1764201600000"
    assert (headers["x-api-key"], headers["x-customer"]) == ("key-1", "7")
    signature = hmac_module.digest(b"s3cr3t", b"1764201600000.GET./stats", hashlib.sha256)
    assert base64.b64decode(headers["x-signature"]) == signature


def test_ids_are_encoded_and_none_is_taken_for_two() -> None:
    _, server = asked(replies(response({"items": []})), ids=["a b&c=d", "x,y", "봄"])
    assert parse_qs(urlsplit(server.requests[0].target).query)["id"] == ["a b&c=d,봄"]
    _, server = asked(replies(response({"data": []})), ids=["a/../b?c#d"], declaration=declared("Instagram"))
    assert server.requests[0].target.startswith("/v27.0/a%2F..%2Fb%3Fc%23d/insights?metric=")
    assert server.requests[0].headers["authorization"] == "Bearer t-1"


# Limits, and no exception whatever happens


def test_no_more_calls_are_under_way_than_the_limit() -> None:
    under_way, most = 0, 0

    async def behave(exchange: Exchange) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        await exchange.write(response(GOOD))
        under_way -= 1

    async def fetch() -> list[Reply]:
        async with serving(behave) as server, client_of(server, declared(), calls_at_once=3) as client:
            return await asyncio.gather(*(client.fetch(["e1"]) for _ in range(30)))

    assert {reply.kind for reply in asyncio.run(fetch())} == {"measured"}
    assert most <= 3


def test_a_cancelled_call_leaves_its_place_to_others() -> None:
    async def fetch() -> Reply:
        asked_once = asyncio.Event()

        async def hangs(exchange: Exchange) -> None:
            asked_once.set()
            await raw_server.hangs(exchange)

        behaviour = once_then(hangs, replies(response(GOOD)))
        async with serving(behaviour) as server, client_of(server, declared(), calls_at_once=1) as client:
            first = asyncio.create_task(client.fetch(["e1"]))
            await asked_once.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await client.fetch(["e1"])

    assert asyncio.run(fetch()).kind == "measured"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    reply, _ = asked(replies(response(GOOD)))
    assert reply.kind == "measured"


def test_cookies_of_a_channel_are_not_sent_back() -> None:
    async def fetch() -> Server:
        async with (
            serving(replies(response(GOOD, Set_Cookie="id=1; Path=/"))) as server,
            client_of(server, declared()) as client,
        ):
            for _ in range(2):
                await client.fetch(["e1"])
            return server

    server = asyncio.run(fetch())
    assert ["cookie" in seen.headers for seen in server.requests] == [False, False]
    assert server.connections == 1


def test_nothing_that_was_unforeseen_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("key-1")

    monkeypatch.setattr("hannun.channels.client.classify", broken)
    reply, _ = asked(replies(response(GOOD)))
    assert (reply.kind, reply.reason) == ("failed", "unexpected")
    written = capsys.readouterr().err + capsys.readouterr().out
    assert "key-1" not in written


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(list(CREDENTIALS)),
    st.one_of(
        st.lists(st.binary(max_size=200), max_size=4),
        st.builds(
            lambda status, head, body: [b"HTTP/1.1 %d X\r\n%b\r\n\r\n" % (status, head), body],
            st.integers(100, 599),
            st.sampled_from([b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"X: \xff"]),
            st.binary(max_size=50),
        ),
    ),
)
def test_no_bytes_of_a_channel_raise(name: str, parts: list[bytes]) -> None:
    async def behave(exchange: Exchange) -> None:
        if name == "RingoBiz" and exchange.seen.target == "/oauth/token":
            await exchange.write(response(TOKEN))
            return
        await exchange.write(*parts)
        exchange.writer.close()

    limits = msgspec.structs.replace(HASTY, attempts=1, read_s=5, call_s=10)
    reply, _ = asked(behave, declaration=declared(name, limits))
    assert reply.kind in ("measured", "over-quota", "failed")
    assert reply.reason != "unexpected"
