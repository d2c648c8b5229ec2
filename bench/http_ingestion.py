"""`http`: messages sent to `POST /api/v1/messages` of a real `hannun serve`.

Four clients send bodies of 1,000 messages over persistent connections. The bodies are built before the measurement, so
that the clients take little CPU time from the service.
"""

import http.client
import threading
import time
from collections.abc import Sequence

from bench.figures import Figure
from bench.messages import events, registrations, request_bodies, request_body
from bench.process_usage import cpu_s, tree_cpu_s
from bench.servers import ServeProcess, Servers

CLIENTS = 4
BODY_MESSAGES = 1_000
WARM_UP_BODIES = 8


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `http`."""
    body_count = 30 if quick else 200
    load = registrations(10, events=100, count=BODY_MESSAGES * (WARM_UP_BODIES + body_count))
    bodies = list(request_bodies(load, BODY_MESSAGES))
    database = servers.create_database("bench_http")
    with servers.serve(database) as serve:
        client = HttpClient(serve, servers.admin_token())
        client.post(request_body(events(10, 100)))
        client.close()
        _post_all(serve, servers.admin_token(), bodies[:WARM_UP_BODIES])
        serve_before_s, postgres_before_s = cpu_s(serve.pid), tree_cpu_s(servers.postgres.pid or 0)
        started = time.perf_counter()
        counted = _post_all(serve, servers.admin_token(), bodies[WARM_UP_BODIES:])
        took_s = time.perf_counter() - started
        serve_s = cpu_s(serve.pid) - serve_before_s
        postgres_s = tree_cpu_s(servers.postgres.pid or 0) - postgres_before_s
    servers.drop_database(database)
    messages = BODY_MESSAGES * body_count
    assert counted == messages, f"{counted} of {messages} messages were counted"
    samples = f"{messages:,} messages, {body_count} bodies, {CLIENTS} clients"
    return [
        Figure("http", "rate", messages / took_s, "messages/s", samples),
        Figure("http", "CPU, serve", serve_s / messages * 1e6, "us/message", samples),
        Figure("http", "CPU, PostgreSQL", postgres_s / messages * 1e6, "us/message", samples),
    ]


class HttpClient:
    """A client of `serve` with one persistent connection."""

    def __init__(self, serve: ServeProcess, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", serve.port, timeout=60)
        self._authorization = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self._connection.close()

    def post(self, body: bytes) -> bytes:
        """Send messages. Returns the body of the response, which holds a result for each."""
        headers = self._authorization | {"Content-Type": "application/json"}
        self._connection.request("POST", "/api/v1/messages", body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status == 200, f"{response.status}: {answer[:500]!r}"
        return answer

    def get(self, path: str, etag: str | None) -> tuple[str | None, bytes | None]:
        """(ETag, body) of the response; (the same ETag, None) for a 304; (None, None) for a 404."""
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


def _post_all(serve: ServeProcess, token: str, bodies: Sequence[bytes]) -> int:
    """Send the bodies from all clients concurrently. Returns how many messages were counted."""
    counted: list[int] = []
    failed: list[BaseException] = []

    def post(share: Sequence[bytes]) -> None:
        client = HttpClient(serve, token)
        try:
            for body in share:
                counted.append(client.post(body).count(b'"result":"counted"'))
        except BaseException as error:
            failed.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=post, args=(bodies[number::CLIENTS],)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return sum(counted)
