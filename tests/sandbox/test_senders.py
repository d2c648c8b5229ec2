"""Senders deliver all messages despite errors of the service, and the send loop loses none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hannun.errors import Busy, OperatorError, Transient
from hannun.sandbox.platform import Message, Platform
from hannun.sandbox.send_loop import send_until_stopped
from hannun.sandbox.senders import ATTEMPTS_MAX, HttpSender, retry_delay_s, split_into_batches

NOW = datetime(2026, 5, 13, 3, 20, tzinfo=UTC)
CLOSE_CONNECTION = 0  # in a script: close the connection without a response


class Service:
    """A real HTTP server that returns the scripted statuses and then 200, and stores the messages that it accepted."""

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
                status, headers = service.decide(body, self.headers["Authorization"])
                if status == CLOSE_CONNECTION:
                    self.close_connection = True
                    return
                response = json.dumps({"counted": len(items_of(body)), "repeated": 0, "deadLettered": 0}).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(response))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(response)

            def log_message(self, *_: object) -> None:
                """Keep the log of requests out of the test output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.api = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.accepted: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def decide(self, body: bytes, authorization: str) -> tuple[int, dict[str, str]]:
        if self.script:
            return self.script.pop(0)
        if authorization != f"Bearer {self.valid_token}":
            return 401, {}
        items = items_of(body)
        if len(items) > self.items_max or len(body) > 1_000_000:
            return 413, {}
        self.accepted += items
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


def test_a_message_is_posted_with_its_topic_as_type(service: Service, sender: HttpSender) -> None:
    sender.send([Message("sales-recorded", "e", {"eventId": "e", "amount": 5})])
    assert service.accepted == [{"type": "sales-recorded", "eventId": "e", "amount": 5}]
    assert service.headers[0]["Content-Type"] == "application/json"
    assert sender.result_counts["counted"] == 1


def test_messages_are_posted_as_ndjson_if_requested(service: Service) -> None:
    sender = HttpSender(service.api, "right", body_format="ndjson")
    sender.send(numbered_messages(3))
    sender.close()
    assert accepted_numbers(service) == [0, 1, 2]
    assert service.headers[0]["Content-Type"] == "application/x-ndjson"
    assert service.bodies[0].count(b"\n") == 3


def test_after_a_503_the_same_batch_is_posted_again(service: Service, sender: HttpSender, waits: list[float]) -> None:
    service.script = [(503, {"Retry-After": "2"}), (429, {"Retry-After": "1"}), (503, {}), (CLOSE_CONNECTION, {})]
    sender.send(numbered_messages(3))
    assert len(service.bodies) == 5
    assert len(set(service.bodies)) == 1
    assert accepted_numbers(service) == [0, 1, 2]
    assert waits == [2.2, 1.2, pytest.approx(0.8), pytest.approx(1.6)]


def test_after_the_last_attempt_the_error_contains_retry_after(service: Service, sender: HttpSender) -> None:
    service.script = [(429, {"Retry-After": "7"})] * ATTEMPTS_MAX
    with pytest.raises(Busy) as caught:
        sender.send(numbered_messages(3))
    assert caught.value.retry_after_s == 7
    sender.send(numbered_messages(3))
    assert accepted_numbers(service) == [0, 1, 2]


def test_a_refused_connection_is_a_transient_error(waits: list[float]) -> None:
    service = Service()
    service.close()
    sender = HttpSender(service.api, "right", wait=waits.append)
    with pytest.raises(Transient, match="ConnectError"):
        sender.send(numbered_messages(1))
    assert len(waits) == ATTEMPTS_MAX - 1


def test_many_messages_are_posted_in_batches_within_both_limits(service: Service, sender: HttpSender) -> None:
    sender.send(numbered_messages(2_500))
    assert [len(items_of(body)) for body in service.bodies] == [1_000, 1_000, 500]
    sender.send(numbered_messages(100, padding="x" * 30_000))
    assert accepted_numbers(service) == [*range(2_500), *range(100)]
    assert max(map(len, service.bodies)) <= 900_000
    assert len(service.bodies) == 3 + 4


def test_a_service_with_smaller_limits_gets_smaller_batches(service: Service, sender: HttpSender) -> None:
    service.items_max = 3
    sender.send(numbered_messages(10))
    assert accepted_numbers(service) == list(range(10))


def test_a_single_message_that_is_too_large_is_an_operator_error(service: Service, sender: HttpSender) -> None:
    with pytest.raises(OperatorError, match="413"):
        sender.send(numbered_messages(1, padding="x" * 1_000_001))


def test_after_a_401_the_sender_requests_a_new_token(service: Service) -> None:
    tokens = iter(["old", "right"])
    sender = HttpSender(service.api, lambda: next(tokens))
    sender.send(numbered_messages(1))
    sender.close()
    assert accepted_numbers(service) == [0]


@pytest.mark.parametrize("token", ["wrong", lambda: "wrong"])
def test_a_wrong_token_is_an_operator_error(service: Service, token: str | Callable[[], str]) -> None:
    sender = HttpSender(service.api, token)
    with pytest.raises(OperatorError, match="401"):
        sender.send(numbered_messages(1))
    sender.close()
    assert len(service.bodies) <= 2


def test_without_messages_nothing_is_posted(service: Service, sender: HttpSender) -> None:
    sender.send([])
    assert service.bodies == []


def test_batches_contain_all_items_in_order_within_both_limits() -> None:
    items = [b"x" * size for size in (4, 4, 4, 50, 1, 1, 1, 1)]
    batches = list(split_into_batches(items, count_max=3, bytes_max=12))
    assert [item for batch in batches for item in batch] == items
    assert all(len(b"[" + b",".join(batch) + b"]") <= 12 for batch in batches if len(batch) > 1)
    assert [len(batch) for batch in batches] == [2, 1, 1, 3, 1]


def test_retry_delays_grow_up_to_a_limit() -> None:
    assert [retry_delay_s(attempts, None, jitter=1) for attempts in (1, 2, 3, 9)] == [0.2, 0.4, 0.8, 5.0]
    assert retry_delay_s(9, None, jitter=0) == 2.5
    assert retry_delay_s(1, 3_600, jitter=1) == pytest.approx(30.2)


# The send loop


class FakeClock:
    """A clock that advances only when `stop.wait` is called. After `waits_max` waits, `stop` is set."""

    def __init__(self, waits_max: int) -> None:
        self.now = NOW
        self.waits_left = waits_max
        fake_clock = self

        class Stop(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                fake_clock.now += timedelta(seconds=timeout or 0)
                fake_clock.waits_left -= 1
                if fake_clock.waits_left <= 0:
                    self.set()
                return self.is_set()

        self.stop = Stop()


class FlakySender:
    """A sender that accepts only half of a batch in every `fails_every`-th call, and then raises."""

    def __init__(self, fails_every: int = 0) -> None:
        self.fails_every = fails_every
        self.calls = 0
        self.accepted: list[Message] = []

    def send(self, messages: Sequence[Message]) -> None:
        self.calls += 1
        if self.fails_every and self.calls % self.fails_every == 0:
            self.accepted += messages[: len(messages) // 2]
            raise Transient("the service restarts")
        self.accepted += messages

    def close(self) -> None: ...


def run_send_loop(
    platform: Platform, sender: FlakySender, fake_clock: FakeClock, **options: Any
) -> tuple[list[str], list[datetime]]:
    lines: list[str] = []
    sent_until: list[datetime] = []
    send_until_stopped(
        platform,
        sender,
        stop=fake_clock.stop,
        clock=lambda: fake_clock.now,
        pace=1.0,
        progress=lines.append,
        on_sent=sent_until.append,
        **options,
    )
    return lines, sent_until


def test_the_loop_sends_the_history_and_then_live_messages() -> None:
    platform, sender, fake_clock = Platform(7, NOW), FlakySender(), FakeClock(waits_max=20)
    lines, sent_until = run_send_loop(platform, sender, fake_clock)
    expected = [*platform.history(NOW), *platform.live(NOW, sent_until[-1])]
    assert sender.accepted == expected
    assert sent_until[0] == NOW
    assert sent_until[-1] == NOW + timedelta(seconds=9.5)
    assert any("messages sent" in line for line in lines)


def test_a_restart_of_the_service_loses_no_message() -> None:
    platform, sender, fake_clock = Platform(7, NOW), FlakySender(fails_every=3), FakeClock(waits_max=60)
    lines, sent_until = run_send_loop(platform, sender, fake_clock)
    expected = [*platform.history(NOW), *platform.live(NOW, sent_until[-1])]
    assert {json.dumps(m) for m in expected} <= {json.dumps(m) for m in sender.accepted}
    assert any("unavailable" in line for line in lines)


def test_a_second_run_fills_the_gap_with_the_base_traffic() -> None:
    platform, sender, fake_clock = Platform(7, NOW - timedelta(days=2)), FlakySender(), FakeClock(waits_max=4)
    since = NOW - timedelta(hours=30)
    _, sent_until = run_send_loop(platform, sender, fake_clock, since=since)
    assert sender.accepted == [*platform.history(NOW, since=since), *platform.live(NOW, sent_until[-1])]


def test_without_history_only_live_messages_are_sent() -> None:
    platform, sender, fake_clock = Platform(7, NOW), FlakySender(), FakeClock(waits_max=10)
    _, sent_until = run_send_loop(platform, sender, fake_clock, history=False)
    assert sender.accepted == platform.live(NOW, sent_until[-1])


def test_the_loop_stops_while_the_service_is_unavailable() -> None:
    sender, fake_clock = FlakySender(fails_every=1), FakeClock(waits_max=5)
    _, sent_until = run_send_loop(Platform(7, NOW), sender, fake_clock)
    assert sent_until == []
    assert sender.calls == 5


def test_after_a_long_sleep_only_the_base_traffic_is_sent() -> None:
    platform, sender, fake_clock = Platform(7, NOW), FlakySender(), FakeClock(waits_max=3)
    morning = NOW + timedelta(hours=9)
    times = iter([NOW, NOW, morning, morning])
    send_until_stopped(
        platform,
        sender,
        stop=fake_clock.stop,
        clock=lambda: next(times),
        pace=1.0,
        progress=lambda _: None,
        history=False,
    )
    assert sender.accepted == list(platform.history(morning, since=NOW))


def numbered_messages(count: int, padding: str = "") -> list[Message]:
    return [Message("participant-registered", "e", {"eventId": "e", "n": n, "padding": padding}) for n in range(count)]


def items_of(body: bytes) -> list[dict[str, object]]:
    if body.startswith(b"["):
        items: list[dict[str, object]] = json.loads(body)
        return items
    return [json.loads(line) for line in body.splitlines()]


def accepted_numbers(service: Service) -> list[object]:
    return [item["n"] for item in service.accepted]
