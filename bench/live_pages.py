"""`live`: thousands of pages that wait for changes, connected to one `serve`.

    a registration ─► POST ─► commit ─► announced in Redis ─► serve ─► "changed" to each page that watches the event

Half of the pages watch one event. The others watch 1,000 events, and the lists of their merchants. Processes of their
own hold the pages (`bench.live_clients`), so `serve` is measured alone.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psycopg

from bench.client_process import ClientProcess, run_clients
from bench.figures import Figure, percentile
from bench.http_ingestion import HttpClient
from bench.messages import Message, events, registrations, request_bodies, request_body
from bench.process_usage import cpu_s, memory_bytes
from bench.servers import BenchDatabase, ServeProcess, Servers

SEED = 80
EVENTS = 1_000
CLIENTS = 2
WARM_UP_PAGES = 40
SETTLE_S = 3.0
"""So long the memory of `serve` is left to settle after pages were opened."""
_LAST_COMMIT = """
SELECT max(extract(epoch FROM pg_xact_commit_timestamp(p.xmin)))::float8
  FROM hannun.participants p JOIN hannun.events e USING (event_no) WHERE e.event_id = %s
"""


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `live`."""
    return measure(servers, 500, 5, 5.0) if quick else measure(servers, 10_000, 20, 15.0)


def measure(servers: Servers, pages: int, rounds: int, idle_s: float) -> list[Figure]:
    """The figures of so many pages and changes, after `idle_s` seconds without and with pages."""
    database = servers.create_database("bench_live")
    most = max(pages, WARM_UP_PAGES)
    settings = {
        "HANNUN_LIVE_STREAMS_MAX": str(2 * most),
        "HANNUN_LIVE_STREAMS_PER_CALLER_MAX": str(most),  # all pages of the busy event are its merchant's
        "HANNUN_CONNECTIONS_MAX": str(2 * most),
        "HANNUN_ADDRESS_CONNECTIONS_MAX": "0",
        "HANNUN_KEEP_ALIVE_S": "3600",  # the client that sends the changes is idle while the pages are opened
    }
    with ExitStack() as stack:
        stack.callback(servers.drop_database, database)
        serve = stack.enter_context(servers.serve(database, **settings))
        client = HttpClient(serve, servers.admin_token())
        stack.callback(client.close)
        created = events(SEED, EVENTS)
        for body in request_bodies(iter(created), 1_000):
            client.post(body)
        changes = registrations(SEED, events=1, count=rounds + 1)  # of the first event, the busy one
        with _clients(servers, serve, _plan(servers, created, WARM_UP_PAGES)):
            client.post(request_body([next(changes)]))
        idle_before = _idle_cores(serve, idle_s)
        before_bytes = memory_bytes(serve.pid)
        servers.log_progress(f"live: opening {pages:,} pages")
        began = time.monotonic()
        with _clients(servers, serve, _plan(servers, created, pages)) as clients:
            opened_s = time.monotonic() - began
            time.sleep(SETTLE_S)
            page_bytes = (memory_bytes(serve.pid) - before_bytes) / pages
            idle = _idle_cores(serve, idle_s) - idle_before
            waits_s, fan_out_s, frames = [], [], 0.0
            for number in range(rounds):
                servers.log_progress(f"live: change {number + 1} of {rounds}")
                wait_s, used_s, of_round = _change(database, serve, client, clients, next(changes))
                waits_s.append(wait_s)
                fan_out_s.append(used_s)
                frames += of_round
    samples = f"{rounds} changes, {pages:,} pages, half of them of the changed event"
    notified = rounds * (pages // 2)
    return [
        Figure("live", "from the commit until the last page is notified, p50", percentile(waits_s, 50), "s", samples),
        Figure("live", "  worst", max(waits_s), "s (target: 1)", samples),
        Figure("live", "  events received by a page for a change", frames / notified, "events (target: 1)", samples),
        Figure("live", "CPU, serve, for a change, p50", percentile(fan_out_s, 50) * 1e3, "ms", samples),
        Figure("live", "memory, serve, a page", page_bytes / 1e3, "kB (target: 60, later 20)", f"{pages:,} pages"),
        Figure("live", "CPU, serve, while nothing changes", idle, "cores", f"{idle_s:.0f} s, beside no pages"),
        Figure("live", "pages opened a second", pages / opened_s, "pages/s", f"{CLIENTS} processes of clients"),
    ]


@contextmanager
def _clients(servers: Servers, serve: ServeProcess, plan: Sequence[tuple[str, str]]) -> Iterator[list[ClientProcess]]:
    """Processes with these pages open. The pages are closed at the end of the block."""
    with ExitStack() as stack:
        clients = [stack.enter_context(run_clients("bench.live_clients", serve)) for _ in range(CLIENTS)]
        for number, each in enumerate(clients):
            each.send(*map(json.dumps, plan[number::CLIENTS]), "")
        for each in clients:
            each.answer()
        yield clients


def _plan(servers: Servers, created: list[Message], pages: int) -> list[tuple[str, str]]:
    """(path, token) of each page. Each page has a token of its own, as each browser has."""
    owners = [(key.decode(), json.loads(value)["userId"]) for kind, key, value in created if kind == "event-created"]
    busy, owner = owners[0]
    half = pages // 2
    plan = [(f"/api/v1/events/{busy}/live", servers.token(owner, "MERCHANT", number)) for number in range(half)]
    for number in range(pages - half):
        event, owner = owners[1 + number % (len(owners) - 1)]
        path = f"/api/v1/users/{owner}/live" if number % 2 else f"/api/v1/events/{event}/live"
        plan.append((path, servers.token(owner, "MERCHANT", half + number)))
    return plan


def _change(
    database: BenchDatabase, serve: ServeProcess, client: HttpClient, clients: list[ClientProcess], message: Message
) -> tuple[float, float, float]:
    """Commit a change of the busy event. Returns the seconds until its last page was notified, the CPU time of `serve`
    until then, and how many events its pages received."""
    event = message[1].decode()
    for each in clients:
        each.send("forget")
        each.answer()
    before_s = cpu_s(serve.pid)
    client.post(request_body([message]))
    for each in clients:
        each.send(f"wait /api/v1/events/{event}/live")
    answers = [each.answer() for each in clients]
    used_s = cpu_s(serve.pid) - before_s
    time.sleep(1.0)  # a page is notified at most twice a second, and a second event of this change would come now
    for each in clients:
        each.send(f"wait /api/v1/events/{event}/live")
    frames = sum(each.answer()["frames"] for each in clients)
    with psycopg.connect(database.owner_url) as conn:
        row = conn.execute(_LAST_COMMIT, [event]).fetchone()
    assert row is not None
    return max(answer["last"] for answer in answers) - row[0], used_s, frames


def _idle_cores(serve: ServeProcess, seconds: float) -> float:
    """The CPU time of `serve` a second while nothing changes: heartbeats, checks of tokens, background work."""
    before_s = cpu_s(serve.pid)
    time.sleep(seconds)
    return (cpu_s(serve.pid) - before_s) / seconds
