"""Senders take everything there, whatever the service says on the way; the driver loses nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hannun.errors import Busy, OperatorError, Transient
from hannun.sandbox.drive import simulate
from hannun.sandbox.platform import Message, Platform
from hannun.sandbox.senders import TRIES_MAX, HttpSender, batches, pause_s

NOW = datetime(2026, 5, 13, 3, 20, tzinfo=UTC)
HANGS_UP = 0


class Service:
    """A small real HTTP server: answers by a script, then 200, and keeps what it took."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.headers: list[Any] = []
        self.items_max = 1_000
        self.valid_token = "right"
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/api/v1/messages"
                service.headers.append(self.headers)
                service.bodies.append(body)
                status, headers = service.verdict(body, self.headers["Authorization"])
                if status == HANGS_UP:
                    self.close_connection = True
                    return
                answer = json.dumps({"counted": len(items_of(body)), "repeated": 0, "deadLettered": 0}).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Not into the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.api = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.taken: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def verdict(self, body: bytes, authorization: str) -> tuple[int, dict[str, str]]:
        if self.script:
            return self.script.pop(0)
        if authorization != f"Bearer {self.valid_token}":
            return 401, {}
        items = items_of(body)
        if len(items) > self.items_max or len(body) > 1_000_000:
            return 413, {}
        self.taken += items
        return 200, {}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def sender(service: Service, waits: list[float]) -> Iterator[HttpSender]:
    sender = HttpSender(service.api, "right", wait=waits.append, jitter=lambda: 1.0)
    yield sender
    sender.close()


def test_a_message_arrives_with_its_topic_as_type(service: Service, sender: HttpSender) -> None:
    sender.send([Message("sales-recorded", "e", {"eventId": "e", "amount": 5})])
    assert service.taken == [{"type": "sales-recorded", "eventId": "e", "amount": 5}]
    assert service.headers[0]["Content-Type"] == "application/json"
    assert sender.answered["counted"] == 1


def test_ndjson_carries_the_same(service: Service) -> None:
    sender = HttpSender(service.api, "right", form="ndjson")
    sender.send(some(3))
    sender.close()
    assert numbers(service) == [0, 1, 2]
    assert service.headers[0]["Content-Type"] == "application/x-ndjson"
    assert service.bodies[0].count(b"\n") == 3


def test_after_503_the_same_batch_is_sent_again(service: Service, sender: HttpSender, waits: list[float]) -> None:
    service.script = [(503, {"Retry-After": "2"}), (429, {"Retry-After": "1"}), (503, {}), (HANGS_UP, {})]
    sender.send(some(3))
    assert len(service.bodies) == 5
    assert len(set(service.bodies)) == 1
    assert numbers(service) == [0, 1, 2]
    assert waits == [2.2, 1.2, pytest.approx(0.8), pytest.approx(1.6)]


def test_after_a_try_too_many_the_caller_hears_when_to_come_back(service: Service, sender: HttpSender) -> None:
    service.script = [(429, {"Retry-After": "7"})] * TRIES_MAX
    with pytest.raises(Busy) as caught:
        sender.send(some(3))
    assert caught.value.retry_after_s == 7
    sender.send(some(3))
    assert numbers(service) == [0, 1, 2]


def test_nobody_at_the_address_is_transient(waits: list[float]) -> None:
    service = Service()
    service.close()
    sender = HttpSender(service.api, "right", wait=waits.append)
    with pytest.raises(Transient, match="ConnectError"):
        sender.send(some(1))
    assert len(waits) == TRIES_MAX - 1


def test_many_messages_go_in_batches_within_both_limits(service: Service, sender: HttpSender) -> None:
    sender.send(some(2_500))
    assert [len(items_of(body)) for body in service.bodies] == [1_000, 1_000, 500]
    sender.send(some(100, filling="x" * 30_000))
    assert numbers(service) == [*range(2_500), *range(100)]
    assert max(map(len, service.bodies)) <= 900_000
    assert len(service.bodies) == 3 + 4


def test_a_service_with_smaller_limits_gets_smaller_batches(service: Service, sender: HttpSender) -> None:
    service.items_max = 3
    sender.send(some(10))
    assert numbers(service) == list(range(10))


def test_a_single_message_too_large_is_the_operators(service: Service, sender: HttpSender) -> None:
    with pytest.raises(OperatorError, match="413"):
        sender.send(some(1, filling="x" * 1_000_001))


def test_an_expired_token_is_asked_for_anew(service: Service) -> None:
    tokens = iter(["old", "right"])
    sender = HttpSender(service.api, lambda: next(tokens))
    sender.send(some(1))
    sender.close()
    assert numbers(service) == [0]


@pytest.mark.parametrize("token", ["wrong", lambda: "wrong"])
def test_a_wrong_token_is_the_operators(service: Service, token: str | Callable[[], str]) -> None:
    sender = HttpSender(service.api, token)
    with pytest.raises(OperatorError, match="401"):
        sender.send(some(1))
    sender.close()
    assert len(service.bodies) <= 2


def test_nothing_to_send_asks_nobody(service: Service, sender: HttpSender) -> None:
    sender.send([])
    assert service.bodies == []


def test_batches_hold_everything_in_order_within_both_limits() -> None:
    items = [b"x" * size for size in (4, 4, 4, 50, 1, 1, 1, 1)]
    cut = list(batches(items, count_max=3, bytes_max=12))
    assert [item for batch in cut for item in batch] == items
    assert all(len(b"[" + b",".join(batch) + b"]") <= 12 for batch in cut if len(batch) > 1)
    assert [len(batch) for batch in cut] == [2, 1, 1, 3, 1]


def test_pauses_grow_and_have_an_end() -> None:
    assert [pause_s(tried, None, jitter=1) for tried in (1, 2, 3, 9)] == [0.2, 0.4, 0.8, 5.0]
    assert pause_s(9, None, jitter=0) == 2.5
    assert pause_s(1, 3_600, jitter=1) == pytest.approx(30.2)


# The driver


class Day:
    """A present that moves only when somebody waits, and ends the run after so many waits."""

    def __init__(self, waits_max: int) -> None:
        self.now = NOW
        self.waits_left = waits_max
        day = self

        class Stop(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                day.now += timedelta(seconds=timeout or 0)
                day.waits_left -= 1
                if day.waits_left <= 0:
                    self.set()
                return self.is_set()

        self.stop = Stop()


class Flaky:
    """A sender that takes half of a batch and fails, each so-manieth time."""

    def __init__(self, fails_every: int = 0) -> None:
        self.fails_every = fails_every
        self.calls = 0
        self.taken: list[Message] = []

    def send(self, messages: Sequence[Message]) -> None:
        self.calls += 1
        if self.fails_every and self.calls % self.fails_every == 0:
            self.taken += messages[: len(messages) // 2]
            raise Transient("the service restarts")
        self.taken += messages

    def close(self) -> None: ...


def drive(platform: Platform, sender: Flaky, day: Day, **options: Any) -> tuple[list[str], list[datetime]]:
    lines: list[str] = []
    reached: list[datetime] = []
    simulate(
        platform,
        sender,
        stop=day.stop,
        clock=lambda: day.now,
        pace=1.0,
        progress=lines.append,
        reached=reached.append,
        **options,
    )
    return lines, reached


def test_the_driver_sends_the_past_and_then_the_present() -> None:
    platform, sender, day = Platform(7, NOW), Flaky(), Day(waits_max=20)
    lines, reached = drive(platform, sender, day)
    expected = [*platform.history(NOW), *platform.live(NOW, reached[-1])]
    assert sender.taken == expected
    assert reached[0] == NOW
    assert reached[-1] == NOW + timedelta(seconds=9.5)
    assert any("messages sent" in line for line in lines)


def test_a_service_that_restarts_costs_no_message() -> None:
    platform, sender, day = Platform(7, NOW), Flaky(fails_every=3), Day(waits_max=60)
    lines, reached = drive(platform, sender, day)
    expected = [*platform.history(NOW), *platform.live(NOW, reached[-1])]
    assert {json.dumps(m) for m in expected} <= {json.dumps(m) for m in sender.taken}
    assert any("away" in line for line in lines)


def test_a_second_run_fills_the_gap() -> None:
    platform, sender, day = Platform(7, NOW - timedelta(days=2)), Flaky(), Day(waits_max=4)
    since = NOW - timedelta(hours=30)
    _, reached = drive(platform, sender, day, since=since)
    assert sender.taken == [*platform.history(NOW, since=since), *platform.live(NOW, reached[-1])]


def test_without_the_past_only_the_present_is_sent() -> None:
    platform, sender, day = Platform(7, NOW), Flaky(), Day(waits_max=10)
    _, reached = drive(platform, sender, day, history=False)
    assert sender.taken == platform.live(NOW, reached[-1])


def test_told_to_stop_while_the_service_is_away_it_stops() -> None:
    sender, day = Flaky(fails_every=1), Day(waits_max=5)
    _, reached = drive(Platform(7, NOW), sender, day)
    assert reached == []
    assert sender.calls == 5


def test_a_laptop_that_slept_sends_the_ordinary_course_of_the_night_only() -> None:
    platform, sender, day = Platform(7, NOW), Flaky(), Day(waits_max=3)
    morning = NOW + timedelta(hours=9)
    moments = iter([NOW, NOW, morning, morning])
    simulate(
        platform,
        sender,
        stop=day.stop,
        clock=lambda: next(moments),
        pace=1.0,
        progress=lambda _: None,
        history=False,
    )
    assert sender.taken == list(platform.history(morning, since=NOW))


def some(count: int, filling: str = "") -> list[Message]:
    return [Message("participant-registered", "e", {"eventId": "e", "n": n, "filling": filling}) for n in range(count)]


def items_of(body: bytes) -> list[dict[str, object]]:
    if body.startswith(b"["):
        items: list[dict[str, object]] = json.loads(body)
        return items
    return [json.loads(line) for line in body.splitlines()]


def numbers(service: Service) -> list[object]:
    return [item["n"] for item in service.taken]
