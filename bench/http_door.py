"""`http`: messages through `POST /api/v1/messages` of a real `hannun serve`.

Four clients, a body of a thousand messages each, sent again and again over connections that stay open. The bodies are
made before, so that the clients take little of the processor that the service needs too.
"""

import http.client
import threading
import time
from collections.abc import Sequence

from bench.figures import Figure
from bench.messages import bodies, body_of, events, registrations
from bench.processor import used_s, used_with_children_s
from bench.servers import Ground, Serving

CLIENTS = 4
BODY_MESSAGES = 1_000


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `http`."""
    body_count = 30 if quick else 200
    warm_up = 8
    load = registrations(10, events=100, count=BODY_MESSAGES * (warm_up + body_count))
    made = list(bodies(load, BODY_MESSAGES))
    site = ground.site("bench_http")
    with ground.serve(site) as serving:
        client = Client(serving, ground.token())
        client.post(body_of(events(10, 100)))
        client.close()
        _send(serving, ground.token(), made[:warm_up])
        ours, theirs = used_s(serving.pid), used_with_children_s(ground.postgres.pid or 0)
        started = time.perf_counter()
        counted = _send(serving, ground.token(), made[warm_up:])
        took_s = time.perf_counter() - started
        ours, theirs = used_s(serving.pid) - ours, used_with_children_s(ground.postgres.pid or 0) - theirs
    ground.drop(site)
    messages = BODY_MESSAGES * body_count
    assert counted == messages, f"{counted} of {messages} were counted"
    samples = f"{messages:,} messages, {body_count} bodies, {CLIENTS} clients"
    return [
        Figure("http", "rate", messages / took_s, "messages/s", samples),
        Figure("http", "processor, serve", ours / messages * 1e6, "us/message", samples),
        Figure("http", "processor, PostgreSQL", theirs / messages * 1e6, "us/message", samples),
    ]


class Client:
    """One connection to `serve` that stays open."""

    def __init__(self, serving: Serving, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
        self._authorization = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self._connection.close()

    def post(self, body: bytes) -> bytes:
        """Send messages; the answer says what became of each."""
        headers = self._authorization | {"Content-Type": "application/json"}
        self._connection.request("POST", "/api/v1/messages", body, headers)
        response = self._connection.getresponse()
        told = response.read()
        assert response.status == 200, f"{response.status}: {told[:500]!r}"
        return told

    def get(self, path: str, etag: str | None) -> tuple[str | None, bytes | None]:
        """(ETag, body) of an answer; (the same ETag, None) where nothing has changed; (None, None) for nothing yet."""
        headers = self._authorization if etag is None else self._authorization | {"If-None-Match": etag}
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status == 304:
            return etag, None
        if response.status == 404:
            return None, None
        assert response.status == 200, f"{response.status}: {body[:500]!r}"
        return response.headers["ETag"], body


def _send(serving: Serving, token: str, made: Sequence[bytes]) -> int:
    """Send bodies from all clients at once. Returns how many messages were counted."""
    counted: list[int] = []
    failed: list[BaseException] = []

    def send(share: Sequence[bytes]) -> None:
        client = Client(serving, token)
        try:
            for body in share:
                counted.append(client.post(body).count(b'"result":"counted"'))
        except BaseException as error:
            failed.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=send, args=(made[number::CLIENTS],)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return sum(counted)
