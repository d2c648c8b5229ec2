"""`metrics`: the time of `/metrics` with 10,000 events. `tracing`: what traces cost counting and answering.

Traces go to a collector of this process that reads and drops them. Counting with traces and without run in turns, and
the CPU time of the service's process is compared: on shared cores it says more than a rate.
"""

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.answers import run_in_all_clients
from bench.figures import Figure, percentile
from bench.http_ingestion import HttpClient
from bench.kafka_ingestion import produce, suspended, wait_until_counted, wait_until_owned
from bench.messages import events, registrations, request_bodies, request_body
from bench.process_usage import cpu_s
from bench.servers import ServeProcess, Servers, wait_for

TURNS = 6
CLIENTS = 4
TRACEPARENT = {"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def run_metrics(servers: Servers, *, quick: bool) -> list[Figure]:
    """The time of `/metrics`, of `serve` and of `schedule`."""
    event_count, reads = (1_000, 20) if quick else (10_000, 100)
    database = servers.create_database("bench_metrics")
    port = _free_port()
    with ExitStack() as stack:
        stack.callback(servers.drop_database, database)
        serve = stack.enter_context(servers.serve(database))
        client = HttpClient(serve, servers.admin_token())
        stack.callback(client.close)
        created = events(70, event_count)
        for body in request_bodies(iter(created), 1_000):
            client.post(body)
        for body in request_bodies(registrations(70, events=event_count, count=2 * event_count), 1_000):
            client.post(body)
        ids = [key.decode() for kind, key, _ in created if kind == "event-created"]
        for view in ("analytics", "channels", "timeline", "roi"):
            for id_ in ids[:: max(1, len(ids) // 200)]:
                client.get(f"/api/v1/events/{id_}/analytics{'' if view == 'analytics' else f'/{view}'}", None)
        stack.enter_context(servers.schedule(database, HANNUN_SCHEDULE_METRICS_PORT=str(port)))
        wait_for(lambda: b"hannun_database_bytes" in _read_or_nothing(port), "schedule serves /metrics")
        return [
            figure
            for name, at in (("serve", serve.port), ("schedule", port))
            for figure in _metrics_figures(name, at, reads, event_count)
        ]


def _metrics_figures(name: str, port: int, reads: int, event_count: int) -> list[Figure]:
    took_s, size = [], 0
    for _ in range(reads):
        started = time.perf_counter()
        size = len(_read_metrics(port))
        took_s.append(time.perf_counter() - started)
    samples = f"{reads} requests, {event_count:,} events, {size:,} bytes"
    return [
        Figure("metrics", f"{name}, median", percentile(took_s, 50) * 1e3, "ms (target: 50)", samples),
        Figure("metrics", f"{name}, p95", percentile(took_s, 95) * 1e3, "ms", samples),
    ]


def _read_metrics(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return bytes(response.read())


def _read_or_nothing(port: int) -> bytes:
    try:
        return _read_metrics(port)
    except OSError:
        return b""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run_tracing(servers: Servers, *, quick: bool) -> list[Figure]:
    """What traces cost `ingest` and `serve`."""
    with _collector() as endpoint:
        traced = {"HANNUN_TRACES_ENDPOINT": endpoint}
        return [
            *_cost_of_counting(servers, 20_000 if quick else 100_000, traced),
            *_cost_of_answering(servers, 400 if quick else 2_000, traced),
        ]


@contextmanager
def _collector() -> Iterator[str]:
    """The address of a collector that reads what it gets, and drops it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        finally:
            server.shutdown()
            thread.join()


def _cost_of_counting(servers: Servers, messages: int, traced: dict[str, str]) -> list[Figure]:
    used_us: tuple[list[float], list[float]] = ([], [])
    kinds = [("plain", {}, used_us[0]), ("traced", traced, used_us[1])]
    for turn in range(TURNS):
        servers.log_progress(f"tracing: counting, turn {turn + 1} of {TURNS}")
        for name, settings, of_kind in kinds if turn % 2 else kinds[::-1]:
            of_kind.append(_cpu_of_counting(servers, f"bench_{name}_{turn}", messages, settings))
    samples = f"{TURNS} backlogs of {messages:,} messages each, in turns"
    return _compared("ingest", *used_us, "us/message", samples)


def _cpu_of_counting(servers: Servers, name: str, messages: int, settings: dict[str, str]) -> float:
    """CPU time of `ingest` in microseconds a message, over a backlog."""
    database = servers.create_database(name)
    topics = servers.create_topics(name)
    bootstrap, topic = servers.kafka().bootstrap, topics["participant-registered"]
    created = [message for message in events(20, 100) if message[0] == "event-created"]
    produce(bootstrap, topics, created)
    with servers.ingest(database, topics, **settings) as pid:
        wait_until_owned(database, topic, 1)
        wait_until_counted(database, topics["event-created"], len(created))
        with suspended([pid]):
            produce(bootstrap, topics, registrations(20, events=100, count=messages), TRACEPARENT)
        before_s = cpu_s(pid)
        wait_until_counted(database, topic, messages)
        used_s = cpu_s(pid) - before_s
    servers.drop_database(database)
    return used_s / messages * 1e6


def _cost_of_answering(servers: Servers, requests: int, traced: dict[str, str]) -> list[Figure]:
    """The timeline: the framework answers it, from Redis, so every request could be traced."""
    database = servers.create_database("bench_traced_answers")
    with ExitStack() as stack:
        stack.callback(servers.drop_database, database)
        token = servers.admin_token()
        serves = [stack.enter_context(servers.serve(database, **settings)) for settings in ({}, traced)]
        created = events(71, 1)
        client = HttpClient(serves[0], token)
        stack.callback(client.close)
        client.post(request_body(created))
        client.post(request_body(list(registrations(71, events=1, count=500))))
        path = f"/api/v1/events/{created[0][1].decode()}/analytics/timeline"
        used_us: tuple[list[float], list[float]] = ([], [])
        for turn in range(TURNS + 1):
            servers.log_progress(f"tracing: answering, turn {turn} of {TURNS}")
            pairs = list(zip(serves, used_us, strict=True))
            for serve, of_serve in pairs if turn % 2 else pairs[::-1]:
                took_us = _cpu_of_answering(serve, token, path, requests)
                if turn:  # the first one warms up
                    of_serve.append(took_us)
    samples = f"{TURNS} times {requests:,} requests each, in turns, {CLIENTS} connections, a share of 0.01"
    return _compared("serve", *used_us, "us/request", samples)


def _cpu_of_answering(serve: ServeProcess, token: str, path: str, requests: int) -> float:
    def send() -> None:
        client = HttpClient(serve, token)
        try:
            for _ in range(requests // CLIENTS):
                client.get(path, None)
        finally:
            client.close()

    before_s = cpu_s(serve.pid)
    run_in_all_clients(send)
    return (cpu_s(serve.pid) - before_s) / (requests // CLIENTS * CLIENTS) * 1e6


def _compared(name: str, plain: list[float], traced: list[float], unit: str, samples: str) -> list[Figure]:
    """The least of all turns: what else runs on the machine only adds to the CPU time of a message."""
    return [
        Figure("tracing", f"CPU, {name}, without traces", min(plain), unit, samples),
        Figure("tracing", f"CPU, {name}, with traces", min(traced), unit, samples),
        Figure("tracing", "  with / without", min(traced) / min(plain), "ratio (target: at most 1.05)", samples),
    ]
