"""Each behaviour of the channel sandbox does over a real socket what its name says, and only where it was told to."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from channel_calls import CHANNELS, Api, read, running_api, trusting, without_budgets

from hannun.sandbox.channels.behaviours import BEHAVIOURS
from hannun.sandbox.channels.shape import load_all

WAIT_S = 20.0
SHORT_S = 0.3
"""How long a test waits for what must not come."""
every_channel = pytest.mark.parametrize("channel", CHANNELS)


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with running_api(without_budgets(load_all()), tls=True) as api:
        yield api


def connect(api: Api) -> socket.socket:
    parts = urlsplit(api.address)
    return socket.create_connection((parts.hostname, parts.port), timeout=WAIT_S)


def send(sock: socket.socket, request: httpx2.Request) -> None:
    """Send a request as it is."""
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + request.read())


def read_to_end(sock: socket.socket) -> bytes:
    received = b""
    while part := sock.recv(65_536):
        received += part
    return received


def values(api: Api, channel: str, event_id: str = "e1") -> list[Any]:
    """The numbers of one event."""
    return list(api.numbers(channel, event_id)[event_id].values())


# No response, or not all of it


@every_channel
def test_refuse_resets_the_connection(api: Api, channel: str) -> None:
    api.tell(channel, "refuse")
    with connect(api) as sock:
        send(sock, api.request(channel, "e1"))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    with pytest.raises(httpx2.ReadError):
        api.call(channel, "e1")


@every_channel
def test_hang_never_answers_and_costs_no_other_channel_anything(api: Api, channel: str) -> None:
    api.tell(channel, "hang")
    with connect(api) as sock:
        send(sock, api.request(channel, "e1"))
        sock.settimeout(SHORT_S)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        for other in set(CHANNELS) - {channel}:
            assert api.call(other, "e1").status_code == 200
    api.forget(channel)
    assert api.call(channel, "e1").status_code == 200


def test_slow_answers_late(api: Api) -> None:
    api.tell("Instagram", "slow", options={"delay_s": 0.2})
    began_at = time.monotonic()
    assert api.call("Instagram", "e1").status_code == 200
    assert time.monotonic() - began_at > 0.15


def test_many_slow_calls_wait_together(api: Api) -> None:
    api.tell("Instagram", "slow", options={"delay_s": 0.5})
    began_at = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: api.call("Instagram", f"e{n}"), range(32)))
    assert {answer.status_code for answer in answers} == {200}
    assert time.monotonic() - began_at < 32 * 0.5 / 2, "one after the other they take 16 s"


def test_trickle_sends_headers_at_once_and_the_body_in_drops(api: Api) -> None:
    api.tell("Instagram", "trickle", options={"bytes_per_s": 200})
    request = api.request("Instagram", "e1")
    with api.http.stream("GET", request.url, headers=request.headers) as got:
        began_at = time.monotonic()
        body = got.read()
    assert time.monotonic() - began_at > 0.5 * len(body) / 200, "the headers came before"
    assert read("Instagram", json.loads(body), "e1")["e1"]["views"] > 0


@every_channel
def test_cut_ends_in_the_middle_of_the_body(api: Api, channel: str) -> None:
    api.tell(channel, "cut")
    with connect(api) as sock:
        send(sock, api.request(channel, "e1"))
        received = read_to_end(sock)
    head, _, body = received.partition(b"\r\n\r\n")
    announced = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < announced
    with pytest.raises(httpx2.RemoteProtocolError):
        api.call(channel, "e1")


def test_a_body_of_100_mb_never_says_how_long_it_is(api: Api) -> None:
    api.tell("WooriTV", "oversized")
    request = api.request("WooriTV", "e1")
    with api.http.stream("GET", request.url) as got:
        assert "content-length" not in got.headers
        sizes = (len(piece) for piece in got.iter_raw())
        received = 0
        while received < 3_000_000:  # a client that goes away costs the server nothing more
            received += next(sizes)
    api.tell("WooriTV", "oversized", options={"bytes": 3_000_000})
    whole = api.http.send(request)
    assert (len(whole.content), whole.json()) == (3_000_000, [])


@every_channel
def test_cut_tls_refuses_the_handshake_of_its_channel_alone(api: Api, channel: str) -> None:
    context = trusting(api.http.get(f"{api.address}/_control").json()["certificate"])
    addresses = {name: api.state(name)["tlsAddress"] for name in CHANNELS}
    with httpx2.Client(verify=context, timeout=WAIT_S) as over_tls:
        assert over_tls.send(api.request(channel, "e1", at=addresses[channel])).status_code == 200
    api.tell(channel, "cut-tls", calls=1)
    with httpx2.Client(verify=context, timeout=WAIT_S) as over_tls:
        with pytest.raises(httpx2.ConnectError):
            over_tls.send(api.request(channel, "e1", at=addresses[channel]))
        for name, address in addresses.items():  # of this channel the next handshake
            assert over_tls.send(api.request(name, "e1", at=address)).status_code == 200


def test_cut_over_tls_ends_without_the_closing_alert(api: Api) -> None:
    context = trusting(api.http.get(f"{api.address}/_control").json()["certificate"])
    address = api.state("WooriTV")["tlsAddress"]
    api.tell("WooriTV", "cut")
    parts = urlsplit(address)
    context.check_hostname = False
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=WAIT_S) as plain,
        context.wrap_socket(plain, suppress_ragged_eofs=False) as sock,
    ):
        send(sock, api.request("WooriTV", "e1", at=address))
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            read_to_end(sock)


# Another response


@every_channel
@pytest.mark.parametrize("status", [204, 400, 404, 429, 500, 503, 599])
def test_status_is_any_status(api: Api, channel: str, status: int) -> None:
    api.tell(channel, "status", options={"status": status, "retry_after_s": 7})
    answer = api.call(channel, "e1")
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    api.tell(channel, "status", options={"status": status})
    assert "Retry-After" not in api.call(channel, "e1").headers


@every_channel
def test_quota_and_error_body_speak_the_language_of_the_channel(api: Api, channel: str) -> None:
    codes = {"KakaoChannel": -10, "Instagram": 80002, "WooriTV": "quotaExceeded", "GenieTV": 1016, "RingoBiz": "4290"}
    statuses = {"KakaoChannel": 400, "Instagram": 400, "WooriTV": 403, "RingoBiz": 200}
    api.tell(channel, "quota")
    answer = api.call(channel, "e1")
    assert answer.status_code == statuses.get(channel, 429)
    assert str(codes.get(channel, "")) in answer.text
    assert api.state(channel)["budgetViolations"] == 0, "it is told, and no budget was exceeded"
    api.forget(channel)
    good = api.call(channel, "e1").json()
    api.tell(channel, "error-body")
    wrong = api.call(channel, "e1")
    assert wrong.status_code == 200
    assert wrong.json() != good


def test_usage_climbs_to_100_percent_and_then_the_quota_is_used_up(api: Api) -> None:
    api.tell("Instagram", "usage", options={"from_percent": 50, "step_percent": 20})
    answers = [api.call("Instagram", "e1") for _ in range(5)]
    headers = [json.loads(answer.headers["X-Business-Use-Case-Usage"]) for answer in answers]
    assert [header["17841400000000000"][0]["call_count"] for header in headers] == [50, 70, 90, 100, 100]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400, 400]


@every_channel
def test_html_and_redirect_are_no_json(api: Api, channel: str) -> None:
    api.tell(channel, "html")
    page = api.call(channel, "e1")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        page.json()
    api.forget(channel)
    api.tell(channel, "redirect", options={"to": "http://169.254.169.254/latest"})
    away = api.call(channel, "e1")
    assert (away.status_code, away.headers["Location"]) == (302, "http://169.254.169.254/latest")


# Other numbers


@every_channel
def test_empty_knows_no_event(api: Api, channel: str) -> None:
    api.tell(channel, "empty")
    assert api.numbers(channel, "e1") == {}


@every_channel
def test_strings_are_the_same_numbers(api: Api, channel: str) -> None:
    before = values(api, channel)
    api.tell(channel, "strings")
    after = values(api, channel)
    assert all(isinstance(value, str) for value in after)
    assert [int(value) for value in after] == [int(value) for value in before]


@every_channel
def test_removed_takes_away_one_count_and_no_other(api: Api, channel: str) -> None:
    metric = "total_calls" if channel == "RingoBiz" else "views"
    before = api.call(channel, "e1").text
    api.tell(channel, "removed", options={"metric": metric})
    body = api.call(channel, "e1").json()
    if channel == "RingoBiz":
        assert len(body["rows"][0]) == len(body["columns"]) - 1, "a column that is still in the header"
        return
    names = {"views", "viewCount", "viewCnt", "msg_open", "visits"}
    assert any(f'"{name}"' in before for name in names)
    assert not any(f'"{name}"' in json.dumps(body) for name in names)
    assert len(next(iter(read(channel, body, "e1").values()))) >= 3


def test_shift_repeats_events_or_leaves_them_out(api: Api) -> None:
    ids = [f"e{n}" for n in range(100)]
    first = list(api.numbers("GenieTV", *ids))
    api.tell("GenieTV", "shift", options={"by": 2})
    repeated = first + list(api.numbers("GenieTV", *ids, page="2"))
    assert repeated[50:52] == ["e48", "e49"]
    api.tell("GenieTV", "shift", options={"by": -2})
    left_out = first + list(api.numbers("GenieTV", *ids, page="2"))
    assert set(ids) - set(left_out) == {"e50", "e51"}


@every_channel
def test_totals_fall_once_or_for_ever(api: Api, channel: str) -> None:
    before = [int(value) for value in values(api, channel)]
    api.tell(channel, "fall", calls=1, options={"by": 0.25})
    fallen = [int(value) for value in values(api, channel)]
    assert all(low <= high for low, high in zip(fallen, before, strict=True))
    assert 0.7 * sum(before) < sum(fallen) < 0.8 * sum(before)
    assert [int(value) for value in values(api, channel)] == before, "once"
    api.tell(channel, "fall")
    api.set_clock(moveS=3_600, stopped=True)
    for _ in range(3):
        assert sum(int(value) for value in values(api, channel)) < sum(before)


@every_channel
def test_negative_huge_and_wrong_types(api: Api, channel: str) -> None:
    api.tell(channel, "negative")
    assert all(int(value) < 0 for value in values(api, channel))
    api.forget(channel)
    api.tell(channel, "huge")
    found = api.call(channel, "e1").text
    assert str(2**63) in found or all(str(part) in found for part in (2**63 // 3, 2**63 - 2**63 // 3))
    api.forget(channel)
    api.tell(channel, "wrong-type")
    assert any(isinstance(value, dict | list | bool) for value in values(api, channel))


def test_more_calls_are_completed_than_were_made(api: Api) -> None:
    api.tell("all", "more-completed")
    found = api.numbers("RingoBiz", "e1")["e1"]
    assert found["answered"] + found["transferred"] > found["dialed"] > 0
    assert values(api, "Instagram")[0] > 0, "a channel without calls has nothing to lie about"


def test_wrong_types_are_json_where_numbers_are_strings(api: Api) -> None:
    api.tell("WooriTV", "wrong-type")
    assert api.call("WooriTV", "e1").json()["items"][0]["id"] == "e1"


# To which calls


def test_a_share_of_the_calls_is_chosen_by_the_seed(api: Api) -> None:
    def failed(seed: int) -> list[tuple[str, int]]:
        api.http.delete(f"{api.address}/_control")
        api.tell("NaverBlog", "status", share=0.3, seed=seed)
        answers = [(f"e{n % 20}", n // 20) for n in range(100)]
        return [(id_, turn) for id_, turn in answers if api.call("NaverBlog", id_).status_code == 503]

    first = failed(seed=1)
    assert 15 < len(first) < 45
    assert failed(seed=1) == first
    assert failed(seed=2) != first


def test_the_chosen_calls_do_not_depend_on_the_order_of_the_events(api: Api) -> None:
    def failed(ids: list[str]) -> set[str]:
        api.reset()
        api.tell("NaverBlog", "status", share=0.5, seed=3)
        return {id_ for id_ in ids if api.call("NaverBlog", id_).status_code == 503}

    ids = [f"e{n}" for n in range(40)]
    assert failed(ids) == failed(ids[::-1])


def test_a_behaviour_ends_after_its_calls_or_its_seconds(api: Api) -> None:
    api.tell("Instagram", "status", calls=2, afterCalls=1)
    assert [api.call("Instagram", "e1").status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert api.state("Instagram")["behaviours"] == []
    api.tell("Instagram", "status", seconds=60)
    api.set_clock(moveS=59, stopped=True)
    assert api.call("Instagram", "e1").status_code == 503
    api.set_clock(moveS=1, stopped=True)
    assert api.call("Instagram", "e1").status_code == 200


def test_a_behaviour_of_chosen_events_leaves_others_alone(api: Api) -> None:
    before = api.numbers("WooriTV", "e1", "e2")
    api.tell("WooriTV", "negative", events=["e1"])
    after = api.numbers("WooriTV", "e1", "e2")
    assert int(after["e1"]["viewCount"]) < 0
    assert after["e2"] == before["e2"]
    api.tell("WooriTV", "status", events=["e3"])
    assert api.call("WooriTV", "e1", "e2").status_code == 200
    assert api.call("WooriTV", "e1", "e3").status_code == 503, "the call is one"


def test_several_behaviours_act_together(api: Api) -> None:
    api.tell("RingoBiz", "slow", options={"delay_s": 0.1})
    api.tell("RingoBiz", "fall")
    api.tell("RingoBiz", "more-completed")
    api.tell("RingoBiz", "strings")
    api.tell("RingoBiz", "trickle", options={"bytes_per_s": 100_000})
    began_at = time.monotonic()
    found = api.numbers("RingoBiz", "e1")["e1"]
    assert time.monotonic() - began_at > 0.05
    assert int(found["answered"]) + int(found["transferred"]) > int(found["dialed"])
    assert {type(value) for value in found.values()} == {str}
    told = api.state("RingoBiz")["behaviours"]
    assert {(each["behaviour"], each["applied"]) for each in told} == {
        (name, 1) for name in ("slow", "fall", "more-completed", "strings", "trickle")
    }


@every_channel
def test_every_behaviour_is_understood_by_every_channel_and_none_breaks_the_server(api: Api, channel: str) -> None:
    for name in BEHAVIOURS:
        api.forget(channel)
        options = {"delay_s": 0.01} if name == "slow" else {"bytes": 1_000} if name == "oversized" else {}
        api.tell(channel, name, options={"bytes_per_s": 100_000} if name == "trickle" else options)
        if name not in ("hang", "refuse", "cut"):
            assert api.call(channel, "e1").status_code in (200, 302, 400, 403, 429, 503)
    api.forget(channel)
    assert api.call(channel, "e1").status_code == 200
