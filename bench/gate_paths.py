"""The CPU time of each path of `bench.gate`, as a ratio to a fixed reference that runs beside it.

    python -m bench.gate_paths NUMBER    prints {path: ratio} as JSON; the environment names PostgreSQL and Redis

Each process of a run has a number of its own, from 0, and writes messages that no other has written.

A round runs the reference, the path and the reference again, some milliseconds each. Its ratio is the path's time by
the mean of its two neighbours, so other load, which lasts longer than a round, affects all three. The result is the
median of the rounds. Only CPU time of this process counts: while it waits for a core or for a server, none passes.

Paths are called through the functions that the service itself calls, so that a change below them needs no change here.
"""

import asyncio
import gc
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Any

import uvloop
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bench import gate_counts
from bench.baselines import hello
from bench.gate_counts import MESSAGES, SEEDS
from bench.messages import AT, Message, batches, registrations
from hannun.cache import opening
from hannun.counting.batch_counter import BatchCounter, CountedBatch
from hannun.counting.refused_rows import BatchPart
from hannun.domain.batch import BatchResult
from hannun.domain.channels import load_table
from hannun.domain.fold import group_by_event
from hannun.domain.granularity import Granularity
from hannun.domain.questions import EventSubject, TimelineQuestion
from hannun.domain.ranges import Range
from hannun.domain.wire_formats import Decoder, Rules
from hannun.flows.report.registry import EVENT_DASHBOARD, EVENT_TIMELINE, AnyView, dashboard_question
from hannun.flows.report.snapshot import Loaded, Snapshot, encoded
from hannun.processes.http_server import connection_limits, served
from hannun.processes.serve import open_serving
from hannun.settings import Settings
from hannun.store.amounts import WITHOUT_KEYS
from hannun.store.batches import participant_key
from hannun.store.database import AsyncConnection, Database, PoolLimits, ReadPool
from hannun.store.ledger_copy import ledger_rows
from hannun.store.surrogate_keys import SurrogateKeys
from hannun.web.bounded_protocol import server_config
from hannun.web.connections import ConnectionTable

FEW_EVENTS, MANY_EVENTS = SEEDS
REFERENCE_MESSAGES = 1_000
BATCH_MESSAGES = 5_000
"""Enough for what handles many messages at once, and about 10 ms."""
MARKS = 500
LEDGERS = 5
"""Times that the rows of a batch are made in a round: once would take less than the reference by far."""
REQUESTS = 200
"""Requests of a round over one connection, about 4 ms."""
ROUNDS = 45
WRITES = 10
"""Rounds of writing. Each writes a batch that was never written: a batch that is written again is another path."""
WARM_UPS = 3
LOOPS_MAX = 3
"""Turns of the event loop within which a locally cached answer is written. One that needs more came from Redis."""
SERVE_ROUNDS_MAX = 20 * ROUNDS

Timed = Callable[[], int]
"""Runs a path once and returns the CPU time of this process in ns, without that of its preparation."""


def measure(url: str, number: int) -> dict[str, float]:
    """The ratio of each path."""
    paths = list(counting_paths(url, number))
    registered = next(
        batches(registrations(SEEDS[FEW_EVENTS], events=FEW_EVENTS, count=BATCH_MESSAGES), BATCH_MESSAGES)
    )
    event_id = json.loads(registered[0].raw)["eventId"]
    reference = reference_path([message.raw for message in registered[:REFERENCE_MESSAGES]])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        paths += runner.run(answer_paths(url, event_id))
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection would belong to the round in which it happens to begin
        ratios = {name: ratio(timed, reference, rounds) for name, timed, rounds in paths}
        ratios["cached answer of serve"] = runner.run(serve_ratio(event_id))
    return ratios


def ratio(timed: Timed, reference: Timed, rounds: int) -> float:
    for _ in range(WARM_UPS):
        reference()
        timed()
    ratios = []
    before = reference()
    for _ in range(rounds):
        took, after = timed(), reference()
        ratios.append(2 * took / (before + after))
        before = after
        gc.collect(0)
    return statistics.median(ratios)


def cpu_ns(work: Callable[[], object]) -> int:
    """The CPU time that some work takes in this process, in all its threads."""
    before = time.process_time_ns()
    work()
    return time.process_time_ns() - before


def reference_path(values: list[bytes]) -> Timed:
    """The reference: decode messages with Python's json, count them in dicts, write the counts as text."""

    def work() -> bytes:
        counted: dict[str, dict[str, int]] = {}
        seen = set()
        for value in values:
            message = json.loads(value)
            event, participant = message["eventId"], message["participantId"]
            if (event, participant) not in seen:
                seen.add((event, participant))
                minutes = counted.setdefault(event, {})
                minute = message["registeredAt"][:16]
                minutes[minute] = minutes.get(minute, 0) + 1
        lines = [f"{event}\t{minute}\t{n}\n" for event, minutes in counted.items() for minute, n in minutes.items()]
        return "".join(sorted(lines)).encode()

    return lambda: cpu_ns(work)


# -- counting ---------------------------------------------------------------------------------------------------------


def counting_paths(url: str, number: int) -> Iterable[tuple[str, Timed, int]]:
    """The steps of a batch of registrations, on a database in which the events exist."""
    database = Database(url, PoolLimits(), application="gate", amounts=WITHOUT_KEYS)
    with database.transaction() as conn:
        decoder = Decoder(Rules(participant_key(conn), load_table()))
    batch = next(batches(registrations(SEEDS[FEW_EVENTS], events=FEW_EVENTS, count=BATCH_MESSAGES), BATCH_MESSAGES))
    unusual = [message._replace(raw=b" " + message.raw) for message in batch]

    # A counter without surrogate keys makes no rows of the ledger: only decoding and grouping are left of `prepare`.
    decoding = BatchCounter(database, decoder, None)
    yield "decode and group", lambda: cpu_ns(lambda: decoding.prepare(batch)), ROUNDS
    yield "decode and group, unusual messages", lambda: cpu_ns(lambda: decoding.prepare(unusual)), ROUNDS // 2

    keys, facts = SurrogateKeys(), decoder.decode_all(batch)
    by_event = group_by_event(facts)
    with database.transaction() as conn:
        keys.load_or_assign(conn, by_event)
    yield (
        "rows of the ledger",
        lambda: cpu_ns(lambda: [ledger_rows(keys, by_event.registrations) for _ in range(LEDGERS)]),
        ROUNDS,
    )

    load = batches(_unwritten(number), BATCH_MESSAGES)
    writing = BatchCounter(database, decoder, None)

    def write() -> int:
        prepared = writing.prepare(next(load))
        return cpu_ns(lambda: writing.write(prepared))

    yield "write, without PostgreSQL's part", write, WRITES

    clock = itertools.count()  # each call comes in a new second, so that a batch has its marks
    markers = opening.processed_markers(
        Settings().redis, per_second_max=MARKS, lifetime_s=60.0, now=lambda: float(next(clock))
    )
    counted = CountedBatch([BatchPart(facts, BatchResult())])
    ended = threading.Event()
    ended.set()

    def mark() -> None:
        markers.enqueue(counted.counted_message_ids(batch))
        markers.run(ended)  # writes what waits, and returns

    yield "processed marks", lambda: cpu_ns(mark), ROUNDS


def _unwritten(number: int) -> Iterator[Message]:
    """The messages that only the process of this number writes."""
    size = BATCH_MESSAGES * (WARM_UPS + WRITES)
    first = MESSAGES[MANY_EVENTS] * (gate_counts.WARM_UPS + gate_counts.MEASURED) + number * size
    return islice(registrations(SEEDS[MANY_EVENTS], events=MANY_EVENTS, count=first + size), first, None)


# -- answers ----------------------------------------------------------------------------------------------------------


async def answer_paths(url: str, event_id: str) -> list[tuple[str, Timed, int]]:
    """From the figures of an event, which are read once, to the bytes of an answer."""
    now = AT.replace(tzinfo=None)
    day = Range(now - timedelta(days=1), now)
    questions: list[tuple[AnyView, Any, int]] = [
        (EVENT_DASHBOARD, dashboard_question(("event", event_id)), 40),
        (EVENT_TIMELINE, TimelineQuestion(EventSubject(event_id), day, Granularity.MINUTE), 2),
    ]
    pool = ReadPool(url, PoolLimits(), application="gate", amounts=WITHOUT_KEYS)
    await pool.open()
    try:
        paths = []
        for view, question, times in questions:
            loaded = await pool.read(_loader(view, question))
            assert loaded is not None, f"event {event_id} has no {view.name}"
            paths.append((f"encode a {view.name}", _answer_path(view, question, loaded, times), ROUNDS))
        return paths
    finally:
        await pool.close()


def _loader(view: AnyView, question: Any) -> Callable[[AsyncConnection], Awaitable[Loaded[Any] | None]]:
    async def load(conn: AsyncConnection) -> Loaded[Any] | None:
        async with conn.transaction():
            return await view.load(Snapshot(conn, AT.replace(tzinfo=None), load_table(), timedelta(hours=2)), question)

    return load


def _answer_path(view: AnyView, question: Any, loaded: Loaded[Any], times: int) -> Timed:
    return lambda: cpu_ns(lambda: [encoded(view.build(question, loaded.figures), loaded) for _ in range(times)])


# -- serve ------------------------------------------------------------------------------------------------------------


async def serve_ratio(event_id: str) -> float:
    """An answer from the local cache of `serve`, from the bytes of the request to those of the response, compared with
    uvicorn alone, which returns the same body. There is no socket: what the kernel does is not ours."""
    settings = Settings()
    async with open_serving(settings) as services:
        live = asyncio.create_task(services.live_updates.run())  # without announcements nothing is cached locally
        try:
            answer = await services.reports.from_database(dashboard_question(("event", event_id)))
            assert answer is not None
            path = f"/api/v1/events/{event_id}/analytics"
            token = services.issue_token(answer.owner, ["MERCHANT"], 3_600.0)
            request = f"GET {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            table = ConnectionTable(connection_limits(settings))
            client = Client(server_config(served(services, ""), table), request)
            while b"x-data-source: cache" not in await client.get():  # noqa: ASYNC110  # each look is a request
                await asyncio.sleep(0.01)
            alone = Config(
                hello(answer.body),
                interface="asgi3",
                http=HttpToolsProtocol,
                loop="none",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
            )
            return await _ratio_of_clients(client, Client(alone, request))
        finally:
            live.cancel()
            with suppress(asyncio.CancelledError):
                await live


async def _ratio_of_clients(client: "Client", alone: "Client") -> float:
    ratios: list[float] = []
    before = await alone.requests()
    for _ in range(SERVE_ROUNDS_MAX):
        took, after = await client.requests(), await alone.requests()
        if took is not None and before is not None and after is not None:
            ratios.append(2 * took / (before + after))
        if len(ratios) == WARM_UPS + ROUNDS:
            return statistics.median(ratios[WARM_UPS:])
        before = after
        gc.collect(0)
    raise TimeoutError(f"in {SERVE_ROUNDS_MAX} rounds only {len(ratios)} were answered from the local cache alone")


class Client:
    """A connection over which one request is sent again and again, without a socket."""

    def __init__(self, config: Config, request: bytes) -> None:
        config.load()
        self._transport = _Transport()
        self._protocol: Any = config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn calls it
            config=config, server_state=ServerState(), app_state={}
        )
        self._protocol.connection_made(self._transport)
        self._request = request
        self._loops = 0

    async def get(self) -> bytes:
        """The bytes of a response."""
        self._transport.written = b""
        self._protocol.data_received(self._request)
        while not self._transport.written:
            self._loops += 1
            await asyncio.sleep(0)
        return self._transport.written

    async def requests(self) -> int | None:
        """The CPU time of `REQUESTS` requests in ns; None where one of them had to wait for Redis."""
        await self.get()  # an entry of the local cache lives for a second: this one may wait
        before = time.thread_time_ns()
        self._loops = 0
        for _ in range(REQUESTS):
            await self.get()
        took = time.thread_time_ns() - before
        return took if self._loops <= LOOPS_MAX * REQUESTS else None


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.written += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return False


if __name__ == "__main__":
    print(json.dumps(measure(Settings().database_url.get_secret_value(), int(sys.argv[1]))))
