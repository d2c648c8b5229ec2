"""Opens everything, in order, and closes it in reverse, also when the third thing fails to open.

The only module that turns settings into services, and the one that holds the table of timed jobs. Constructors do no
I/O; what can be checked is checked here, so that a process dies early and says why.
"""

import asyncio
import gc
import json
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from anyio import CapacityLimiter
from prometheus_client import start_http_server

from hannun import issuer
from hannun.cache import AnswerCache, Invalidator
from hannun.cache.board import Board
from hannun.cache.marks import Marks
from hannun.domain import keys
from hannun.domain.access import Asker
from hannun.domain.batch import ChangedEvent, Place, Received, Span
from hannun.domain.channels import ChannelTable, load_table
from hannun.domain.messages import Decoder, Kind, Rules
from hannun.domain.quarantine import Limits
from hannun.domain.questions import OfMerchant, UserQuestion
from hannun.errors import OperatorError, Transient
from hannun.flows import checks, count, lag, upkeep
from hannun.flows.access import Access
from hannun.flows.consistency import Consistency
from hannun.flows.count import Counted, Counter, Inspect, Payer, Prepared
from hannun.flows.export import Exports
from hannun.flows.ingest import Ingest
from hannun.flows.intake import Intake
from hannun.flows.live import Live, Topic
from hannun.flows.publish import publish_letters
from hannun.flows.quota import Quotas
from hannun.flows.replay import Replay, Tells
from hannun.flows.report import Reports, Uncached
from hannun.flows.share import Sharing
from hannun.settings import Settings
from hannun.store.batches import participant_key
from hannun.store.database import Database, Reader, connect
from hannun.store.shadow import Shadow
from hannun.stream import Broker, LogReader, Publisher, Stream
from hannun.telemetry import REGISTRY, log, metrics
from hannun.web.auth import Verifier
from hannun.web.jwks import TokenKeys
from hannun.web.limits import RateLimit
from hannun.web.services import Services

OLD_DEBTS_EVERY_S = 0.5  # a dead writer's invalidations are paid within 2 s
LOOK_EVERY_S = 0.5  # how soon a kept answer says that PostgreSQL is away
GAUGES_EVERY_S = 5.0  # oftener than anybody looks


# -- what every writer needs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Writing:
    """The writing side of a process. Each who writes has a connection of its own: `database` opens one more, for which
    PostgreSQL may be told whose it is."""

    database: Callable[..., Database]
    invalidator: Invalidator
    decoder: Decoder
    marks: Marks
    apart_s: float

    def counter(self, door: str, payer: Payer, inspect: Inspect = lambda *_: None) -> "MeasuredCounter":
        return MeasuredCounter(
            Counter(self.database(), self.decoder, self.invalidator, inspect, payer), door, self.marks
        )

    @contextmanager
    def paying(self, cache: AnswerCache | None = None) -> Iterator[Payer]:
        """Pay what the batches of this process owe, as long as the block lasts; where it answers questions as well,
        they hear of what is not paid yet."""
        database = self.database("-payer")
        if cache is None:
            payer = Payer(database, self.invalidator, apart_s=self.apart_s)
        else:
            payer = Payer(database, self.invalidator, apart_s=self.apart_s, owes=cache.owes)
        with beside("pay debts", payer.run, payer.wake):
            yield payer


@contextmanager
def open_writing(settings: Settings, application: str) -> Iterator[Writing]:
    """PostgreSQL and Redis, checked.

    Raises:
        OperatorError: one of them is not there or not as it must be, with what to do.
    """
    url = settings.needed("database_url")
    with connect(url, application=application) as conn:
        checks.check_database(conn)
        key = participant_key(conn)
    with ExitStack() as stack:

        def database(whose: str = "") -> Database:
            opened = Database(url, settings.pool, application=application + whose)
            stack.callback(opened.close)
            return opened

        invalidator = Invalidator(settings.redis)
        stack.callback(invalidator.close)
        invalidator.check()
        marks = Marks(
            settings.redis,
            a_second=settings.processed_marks_a_second,
            lifetime_s=settings.processed_mark_lifetime_s,
        )
        stack.callback(marks.close)
        stack.enter_context(beside("mark messages", marks.run))
        decoder = Decoder(Rules(key, channel_table(settings), settings.naive_zone))
        yield Writing(database, invalidator, decoder, marks, settings.invalidations_apart_s)


def channel_table(settings: Settings) -> ChannelTable:
    """The table of channels: the operator's file, or the one that ships.

    Raises:
        OperatorError: the file cannot be used.
    """
    if not settings.channels_file:
        return load_table()
    try:
        return load_table(Path(settings.channels_file).read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"HANNUN_CHANNELS_FILE {settings.channels_file} cannot be used: {error}",
            hint="see src/hannun/domain/channels.toml for its form",
        ) from error


class MeasuredCounter:
    """A counter that tells the metrics, and those who look at marks, what it did."""

    def __init__(self, counter: Counter, door: str, marks: Marks) -> None:
        self._counter = counter
        self._door = door
        self._marks = marks

    def count(self, batch: Sequence[Received], spans: Sequence[Span] = ()) -> Counted:
        return self.write(self.prepare(batch), spans)

    def hang_up(self) -> None:
        self._counter.hang_up()

    def prepare(self, batch: Sequence[Received]) -> Prepared:
        return self._counter.prepare(batch)

    def write(self, prepared: Prepared, spans: Sequence[Span] = ()) -> Counted:
        started = time.perf_counter()
        counted = self._counter.write(prepared, spans)
        size = len(prepared.batch)
        if size:  # spans alone only move a position
            metrics.batch_seconds.observe(time.perf_counter() - started)
        rejected = counted.rejected
        metrics.messages.labels(self._door, "dead-letter").inc(rejected)
        metrics.messages.labels(self._door, "read").inc(size - rejected)
        if self._marks.room():
            self._marks.mark(counted.message_ids(prepared.batch))
        return counted


# -- serve ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_serving(settings: Settings) -> AsyncIterator[Services]:
    """Everything behind the HTTP door, open and checked."""
    async with AsyncExitStack() as beside:
        verifier = await beside.enter_async_context(verifying(settings))
        yield await beside.enter_async_context(_serving(settings, verifier))


@asynccontextmanager
async def verifying(settings: Settings) -> AsyncIterator[Verifier]:
    """Who verifies tokens, and beside it what reads the issuer's keys, where it publishes some.

    An issuer that is away at the start is no error: its keys are read as soon as it is back.
    """
    verifier = partial(Verifier, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    if not (settings.jwt_jwks_url or settings.jwt_jwks_file):
        yield verifier(settings.needed("jwt_secret"))
        return
    if settings.jwt_jwks_good_s < settings.jwt_jwks_refresh_s:
        raise OperatorError(
            f"HANNUN_JWT_JWKS_GOOD_S is {settings.jwt_jwks_good_s:g}, so keys would end before they are read again",
            hint=f"HANNUN_JWT_JWKS_REFRESH_S is {settings.jwt_jwks_refresh_s:g}: make it the shorter one",
        )
    async with issuer.source(settings.jwt_jwks_url, settings.jwt_jwks_file) as read:
        keys = TokenKeys(
            read,
            refresh_s=settings.jwt_jwks_refresh_s,
            good_s=settings.jwt_jwks_good_s,
            cooldown_s=settings.jwt_jwks_cooldown_s,
        )
        verifies = verifier(settings.jwt_secret.get_secret_value(), keys)
        async with in_this_loop("read the issuer's keys", keys.run()):
            yield verifies


@asynccontextmanager
async def _serving(settings: Settings, verifier: Verifier) -> AsyncIterator[Services]:
    with open_writing(settings, "hannun-serve") as writing, ExitStack() as stack:
        stack.enter_context(paying_old_debts(writing))
        stack.enter_context(telling_gauges(writing))
        asked_by_health = writing.database("-health")
        reader = Reader(settings.needed("database_url"), settings.pool, application="hannun-serve-read")
        cache = AnswerCache(
            settings.redis,
            lifetime_s=settings.answer_lifetime_s,
            wait_s=settings.redis_read_wait_s,
            copies_bytes_max=settings.copies_bytes_max,
        )
        health = checks.Health(asked_by_health, writing.invalidator)
        stack.enter_context(running("look at PostgreSQL", LOOK_EVERY_S, health.look_at_database))
        payer = stack.enter_context(writing.paying(cache))
        reports = Reports(
            reader, cache, lambda: datetime.now(UTC), channel_table(settings), lambda: health.database_away
        )
        live = Live(cache.announcements, lambda topic: _etag(reports, topic))
        counters = [writing.counter("http", payer) for _ in range(settings.counting_threads)]
        intake = Intake(
            counters,
            messages_max=settings.body_messages_max,
            wait_s_max=settings.pool_wait_s,
            now=lambda: time.time_ns() // 1_000,
        )
        limits = {
            "requests": RateLimit(settings.requests_a_minute),
            "refreshes": RateLimit(settings.refreshes_a_minute),
            "shares": RateLimit(settings.share_requests_a_minute),
            "sign-ins": RateLimit(settings.sign_ins_a_minute),
            "strangers": RateLimit(settings.stranger_requests_a_minute),
        }
        board = Board(settings.redis, keys.TAKEN)
        await reader.open()
        await cache.open()
        without_long_collections()
        try:
            async with in_this_loop("share the limits", Quotas(limits, board.say, board.hear).run()):
                yield Services(
                    access=Access(reader, cache),
                    reports=reports,
                    exports=Exports(settings.exports_at_once),
                    intake=intake,
                    counting=CapacityLimiter(settings.counting_threads),
                    live=live,
                    sharing=Sharing(reader, writing.database("-shares"), lambda: datetime.now(UTC)),
                    verifier=verifier,
                    limit=limits["requests"],
                    refresh_limit=limits["refreshes"],
                    share_limit=limits["shares"],
                    sign_in_limit=limits["sign-ins"],
                    stranger_limit=limits["strangers"],
                    body_bytes_max=settings.body_bytes_max,
                    sign_in_codes=_codes(settings),
                    secure_cookies=settings.secure_cookies,
                    cors_origins=settings.origins,
                    health=health.tell,
                )
        finally:
            await board.close()
            await cache.close()
            await reader.close()


@asynccontextmanager
async def open_exporting(settings: Settings) -> AsyncIterator[tuple[Reports, Exports]]:
    """What it takes to make a file by a command: PostgreSQL, checked, and no cache.

    Raises:
        OperatorError: PostgreSQL is not there or not as it must be, with what to do.
    """
    url = settings.needed("database_url")
    with connect(url, application="hannun-export") as conn:
        checks.check_database(conn)
    reader = Reader(url, replace(settings.pool, size_max=1, size_kept=1), application="hannun-export")
    await reader.open()
    try:
        yield Uncached(reader, lambda: datetime.now(UTC), channel_table(settings)), Exports(at_once=1)
    finally:
        await reader.close()


async def _etag(reports: Reports, topic: Topic) -> str | None:
    """The ETag that a page will find, and with it the answer in the cache."""
    everything = Asker("", frozenset({"ADMIN"}))
    kind, id_ = topic
    if kind == "event":
        answer, _ = await reports.dashboard(everything, id_)
    else:
        answer, _ = await reports.user(everything, UserQuestion(OfMerchant(id_)))
    return answer.etag


def _codes(settings: Settings) -> Mapping[str, str]:
    text = settings.sign_in_codes.get_secret_value()
    codes: dict[str, str] = json.loads(text) if text else {}
    return codes


# -- ingest --------------------------------------------------------------------------------------------------------


@contextmanager
def open_ingesting(settings: Settings) -> Iterator[Sequence[Ingest]]:
    """The Kafka door: Kafka, PostgreSQL and Redis, checked, and the group joined by each lane."""
    bootstrap = settings.needed("kafka_bootstrap_servers")
    with open_writing(settings, "hannun-ingest") as writing, ExitStack() as stack:
        broker = Broker(bootstrap)
        broker.check(settings.topics)
        stack.enter_context(paying_old_debts(writing))
        streams = [Stream(bootstrap, settings.kafka_group, topics, _protocol(settings)) for topics in _lanes(settings)]
        for stream in streams:
            stream.open()
            stack.callback(stream.close)
        stack.enter_context(serving_metrics(settings.metrics_port))
        payer = stack.enter_context(writing.paying())
        without_long_collections()
        with_short_turns()
        lanes = [
            Ingest(
                stream,
                broker,
                writing.database(),
                partial(writing.counter, "kafka", payer),
                owner=f"{socket.gethostname()}/{os.getpid()}",
                start_from=settings.start_from,
                limits=Limits(settings.dead_letters_in_a_row_max, settings.dead_letters_share_max),
            )
            for stream in streams
        ]
        beside = writing.database("-gauges")
        stack.enter_context(running("measure the lag", GAUGES_EVERY_S, lambda: lag.measure(lanes, beside, broker)))
        yield lanes


def _lanes(settings: Settings) -> list[dict[str, str]]:
    """The topics of registrations by themselves, and all others together."""
    busy = {topic: kind for topic, kind in settings.topics.items() if kind == Kind.PARTICIPANT_REGISTERED}
    others = {topic: kind for topic, kind in settings.topics.items() if topic not in busy}
    return [lane for lane in (busy, others) if lane]


def _protocol(settings: Settings) -> dict[str, object]:
    """How the group shares its partitions: by the members (cooperative-sticky), or by the broker (KIP-848)."""
    if settings.kafka_group_protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(settings.kafka_session_timeout_s * 1000),
        "heartbeat.interval.ms": int(settings.kafka_session_timeout_s * 1000 / 10),  # what a rebalance waits for
    }


@contextmanager
def serving_metrics(port: int | None) -> Iterator[None]:
    """`/metrics` of a process that has no other HTTP door, where an operator wants it.

    Raises:
        OperatorError: the port is taken.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=REGISTRY)
    except OSError as error:
        raise OperatorError(
            f"cannot serve /metrics on 127.0.0.1:{port}: {error.strerror}",
            hint="each process needs a port of its own: HANNUN_METRICS_PORT of ingest, HANNUN_SCHEDULE_METRICS_PORT of "
            "schedule; 0 takes any that is free",
        ) from error
    log.info("metrics are served", port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def with_short_turns() -> None:
    """Python lets a thread that computes run for 5 ms before another gets its turn. Of the two of `ingest` the one that
    writes is the slower; it comes back from PostgreSQL a dozen times a batch, and should not wait so long each time."""
    sys.setswitchinterval(0.001)


def without_long_collections() -> None:
    """What lives as long as the process need not be looked at by every collection: it costs a long tail otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@dataclass(frozen=True, slots=True)
class Retrying:
    """What it takes to take dead letters up again."""

    database: Database
    decoder: Decoder
    counter: Counter
    read_again: Callable[[Place], bytes | None]


@contextmanager
def open_retrying(settings: Settings) -> Iterator[Retrying]:
    """PostgreSQL and Redis, checked; Kafka only when a letter came from there."""
    with open_writing(settings, "hannun-retry") as writing:

        def read_again(place: Place) -> bytes | None:
            broker = Broker(settings.needed("kafka_bootstrap_servers"))
            broker.check([])
            return broker.read(place)

        counter = Counter(writing.database(), writing.decoder, writing.invalidator)
        yield Retrying(writing.database(), writing.decoder, counter, read_again)


class Replaying(NamedTuple):
    """What it takes to count again what the logs hold."""

    database: Database
    counter: Counter
    replay: Replay
    shadow: Shadow
    count_shadow: Callable[[], tuple[Database, Counter]]
    pay_debts: Callable[[], object]


@contextmanager
def open_replaying(settings: Settings, tells: Tells, stop: threading.Event, by: str) -> Iterator[Replaying]:
    """PostgreSQL, Redis and Kafka, checked."""
    bootstrap = settings.needed("kafka_bootstrap_servers")
    with open_writing(settings, "hannun-replay") as writing, ExitStack() as stack:
        broker = Broker(bootstrap)
        broker.check(settings.topics)
        shadow = open_shadow(settings)

        def count_shadow() -> tuple[Database, Counter]:
            database = Database(shadow.url, settings.pool, application="hannun-replay")
            stack.callback(database.close)
            return database, Counter(database, writing.decoder, Unread())

        database = writing.database()
        without_long_collections()
        yield Replaying(
            database,
            Counter(writing.database(), writing.decoder, writing.invalidator),
            Replay(
                broker,
                partial(LogReader, bootstrap, settings.topics),
                tells,
                stop,
                by,
                count_max=settings.batch_messages_max,
                wait_s=settings.batch_wait_s,
            ),
            shadow,
            count_shadow,
            lambda: count.pay_old_debts(database, writing.invalidator, older_than_s=0),
        )


def open_shadow(settings: Settings) -> Shadow:
    """The database beside the live one, whether it is there or not."""
    service = settings.needed("database_url")
    return Shadow(settings.owner_database_url.get_secret_value() or service, service)


class Unread:
    """Nobody reads the shadow through a cache: there is nothing to tell."""

    def invalidate(self, events: Sequence[ChangedEvent]) -> bool:
        return True


# -- timed jobs ----------------------------------------------------------------------------------------------------


@contextmanager
def open_schedule(settings: Settings) -> Iterator[None]:
    """The timed jobs, running until the block ends."""
    with open_writing(settings, "hannun-schedule") as writing, ExitStack() as stack:
        months_ahead, kept = settings.months_ahead, writing.database
        # name, seconds between two runs, what is done, each on a connection of its own
        jobs: list[tuple[str, float, Callable[[Database], object]]] = [
            ("settle timelines", 20.0, upkeep.SettlingRounds().settle),
            ("attribute typed waiters", 20.0, upkeep.attribute_typed_waiters),
            ("note waiting events", 300.0, upkeep.note_waiting_events),
            ("months ahead", 3_600.0, lambda db: upkeep.keep_partitions(db, _today(), ahead=months_ahead)),
        ]
        if settings.dead_letter_topic:
            jobs.append(("publish dead letters", 5.0, partial(publish_letters, publisher=_publisher(settings))))
        stack.enter_context(paying_old_debts(writing))
        stack.enter_context(telling_gauges(writing))
        stack.enter_context(serving_metrics(settings.schedule_metrics_port))
        for name, every_s, job in jobs:
            stack.enter_context(running(name, every_s, partial(job, kept())))
        if settings.consistency_samples_a_second > 0:
            stack.enter_context(beside("hold the cache against the database", partial(hold_cache, settings)))
        yield


def hold_cache(settings: Settings, stop: threading.Event) -> None:
    """Hold the cache against the database until told to stop."""
    asyncio.run(_hold_cache(settings, stop))


async def _hold_cache(settings: Settings, stop: threading.Event) -> None:
    limits = replace(settings.pool, size_max=2, size_kept=1)
    reader = Reader(settings.needed("database_url"), limits, application="hannun-schedule-read")
    cache = AnswerCache(settings.redis, lifetime_s=settings.answer_lifetime_s, wait_s=settings.redis_read_wait_s)
    reports = Reports(reader, cache, lambda: datetime.now(UTC), channel_table(settings))
    consistency = Consistency(
        cache.announcements,
        reports.kept,
        reports.rebuilt,
        samples_a_second=settings.consistency_samples_a_second,
    )
    await reader.open()
    await cache.open()
    checking = asyncio.create_task(consistency.run())
    told_to_stop = asyncio.create_task(asyncio.to_thread(stop.wait))
    try:
        await asyncio.wait({checking, told_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            checking.result()  # it has failed
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        await cache.close()
        await reader.close()


def _publisher(settings: Settings) -> Publisher:
    """What publishes dead letters. Kafka may be away: the letters wait in their table.

    Raises:
        OperatorError: they would be read as messages.
    """
    topic = settings.dead_letter_topic
    if topic in settings.topics:
        raise OperatorError(
            f"HANNUN_DEAD_LETTER_TOPIC is {topic}, which holds messages: each letter would become another",
            hint="name a topic of its own",
        )
    return Publisher(settings.needed("kafka_bootstrap_servers"), topic)


def _today() -> date:
    return datetime.now(UTC).date()


def paying_old_debts(writing: Writing) -> AbstractContextManager[None]:
    """Pay what dead writers owe the cache, as long as the block lasts: whoever finds a debt pays it."""
    database = writing.database()
    return running("pay old debts", OLD_DEBTS_EVERY_S, lambda: count.pay_old_debts(database, writing.invalidator))


def telling_gauges(writing: Writing) -> AbstractContextManager[None]:
    """Keep the gauges of what waits in the database true, as long as the block lasts."""
    database = writing.database("-gauges")
    return running("tell the gauges", GAUGES_EVERY_S, lambda: upkeep.tell_gauges(database))


@contextmanager
def beside(
    name: str, work: Callable[[threading.Event], object], wake: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Let `work` run in a thread of its own until the block ends: its event tells it, and it finishes what it has.

    Where it fails, the process ends, loudly.
    """
    stop = threading.Event()

    def run() -> None:
        try:
            work(stop)
        except Exception as error:
            log.critical("what runs beside failed for good", job=name, exc_info=error)
            os._exit(70)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        wake()
        thread.join(timeout=10)


@asynccontextmanager
async def in_this_loop(name: str, work: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """The same in the event loop that runs, as a task that is cancelled when the block ends."""

    def ended(task: asyncio.Task[object]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("what runs beside failed for good", job=name, exc_info=error)
            os._exit(70)

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        # Before Python 3.12, asyncio.wait_for (in the client of Redis) may forget a cancellation: it is not waited for.
        await asyncio.wait([task], timeout=1.0)


@contextmanager
def running(name: str, every_s: float, job: Callable[[], object]) -> Iterator[None]:
    """Run a job now and every `every_s` seconds, in a thread of its own, until the block ends.

    A job survives what passes (one line in the log, next round); anything else ends the process, loudly.
    """
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                job()
            except Transient as error:
                log.warning("a timed job will try again", job=name, error=str(error))
            except Exception as error:
                log.critical("a timed job failed for good", job=name, exc_info=error)
                os._exit(70)
            stop.wait(every_s)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
