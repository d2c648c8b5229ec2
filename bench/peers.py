"""`peers`: Hannun and other stream processors count the same topic, one after the other in one run.

    one topic ─┬─► hannun ingest                         first and last: the drift of the machine shows
               ├─► consuming alone, COPY alone           the limits of the client and of PostgreSQL
               └─► bytewax, Quix Streams, Kafka Streams, ClickHouse, each as its documentation would have it

Each peer is a program of `bench/peer_programs` in an environment of its own. One that cannot be had is skipped with a
word. A rate runs from the first message that is processed to the last one that is counted; that of Hannun from when it
owns its partitions. CPU time is that of the peer and of PostgreSQL for the same span, without the broker. Each peer
must have counted what was sent.

BENCH_PEER_MESSAGES sets the number of messages.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import psycopg
from confluent_kafka import Consumer

from bench.figures import Figure
from bench.kafka_ingestion import produce, wait_until_counted, wait_until_owned
from bench.messages import events, registrations
from bench.process_usage import cpu_s, tree_cpu_s
from bench.servers import BenchDatabase, Servers
from hannun.embedded import java_missing_reason

SEED = 170
EVENTS = 100
COPY_ROWS = 20_000
"""Rows of a transaction of `COPY` alone: as many as a batch of `ingest` over a backlog."""
PROGRAMS = Path(__file__).with_name("peer_programs")
ROOT = PROGRAMS.parents[1]
ENVIRONMENT = ROOT / ".venv-peers" / "bin" / "python"
ENDS_S_MAX = 900.0
_LEDGER = """
CREATE TABLE ledger (
    event_id uuid, participant_id uuid, registered_at timestamptz, channel text, PRIMARY KEY (event_id, participant_id)
);
CREATE TABLE counts (event_id uuid PRIMARY KEY, participants bigint NOT NULL);
CREATE TABLE numbered (event_no int, participant uuid, came int, PRIMARY KEY (event_no, participant));
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that counts the topic. `guarantee` says what a crash may change, and what is kept."""

    name: str
    guarantee: str
    program: str
    variant: str


PEERS = (
    Peer("bytewax, ledger", "at least once; the table drops repeats", "bytewax_flow.py", "ledger"),
    Peer("bytewax, counts only", "at least once; no ledger", "bytewax_flow.py", "counts"),
    Peer("Quix Streams, ledger", "at least once; the table drops repeats", "quixstreams_app.py", "ledger"),
    Peer("Quix Streams, counts only", "at least once; no ledger", "quixstreams_app.py", "counts"),
    Peer("Kafka Streams", "exactly once in Kafka (exactly_once_v2); no ledger", "KafkaStreamsCounts.java", ""),
    Peer(
        "ClickHouse, plain consumer",
        "at least once; repeats are dropped on merge or read; no fsync by default",
        "clickhouse_table.py",
        "consumer",
    ),
    Peer(
        "ClickHouse, its Kafka engine",
        "at least once; repeats are dropped on merge or read; no fsync by default",
        "clickhouse_table.py",
        "engine",
    ),
)
OURS = "once, with a permanent ledger, fsync"


class PeerMissingError(Exception):
    """A peer cannot be had, or cannot count here; the text says why."""


@dataclass(slots=True)
class Span:
    """The elapsed and the CPU time between the first message and the last, and how many were counted in it."""

    counted: int
    elapsed_s: float
    own_cpu_s: float
    postgres_cpu_s: float

    def figures(self, name: str, guarantee: str) -> list[Figure]:
        def figure(what: str, value: float, unit: str) -> Figure:
            return Figure("peers", what, value, unit, f"{self.counted:,} messages; {guarantee}")

        return [
            figure(name, self.counted / self.elapsed_s, "messages/s"),
            figure("  CPU, own", self.own_cpu_s / self.counted * 1e6, "us/message"),
            figure("  CPU, PostgreSQL", self.postgres_cpu_s / self.counted * 1e6, "us/message"),
        ]


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `peers`."""
    messages = int(os.environ.get("BENCH_PEER_MESSAGES") or (20_000 if quick else 1_000_000))
    topics = servers.create_topics("bench_peers")
    bootstrap = servers.kafka().bootstrap
    created = [message for message in events(SEED, EVENTS) if message[0] == "event-created"]
    produce(bootstrap, topics, created)
    servers.log_progress(f"peers: producing {messages:,} messages")
    produce(bootstrap, topics, registrations(SEED, events=EVENTS, count=messages))
    topic = topics["participant-registered"]

    first = _measure_ingest(servers, topics, messages, "bench_peers_first")
    figures = [
        *first.figures("hannun ingest, before the others", OURS),
        *_consume_alone(servers, topic, messages).figures("consuming alone", "nothing is kept"),
        *_copy_alone(servers, messages).figures("COPY of ledger rows alone", "as durable, with nothing else"),
    ]
    for peer in PEERS:
        servers.log_progress(f"peers: {peer.name}")
        try:
            figures += _measure_peer(servers, peer, topic, messages).figures(peer.name, peer.guarantee)
        except PeerMissingError as missing:
            servers.log_progress(f"SKIPPED: {peer.name}: {missing}")
    last = _measure_ingest(servers, topics, messages, "bench_peers_last")
    return figures + last.figures("hannun ingest, after the others", OURS)


# -- Hannun, and the limits -------------------------------------------------------------------------------------------


def _measure_ingest(servers: Servers, topics: dict[str, str], messages: int, name: str) -> Span:
    servers.log_progress("peers: hannun ingest")
    database = servers.create_database(name)
    postgres, topic = servers.postgres.pid or 0, topics["participant-registered"]
    with servers.ingest(database, topics) as pid:
        wait_until_owned(database, topic, 1)  # from here on it reads
        own_s, postgres_s, started = cpu_s(pid), tree_cpu_s(postgres), time.perf_counter()
        _, ended = wait_until_counted(database, topic, messages)
        own_s, postgres_s = cpu_s(pid) - own_s, tree_cpu_s(postgres) - postgres_s
    with psycopg.connect(database.url) as conn:
        row = conn.execute("SELECT sum(participants) FROM hannun.events").fetchone()
    assert row is not None and row[0] == messages, f"{row} of {messages} participants were counted"
    servers.drop_database(database)
    return Span(messages, ended - started, own_s, postgres_s)


def _consume_alone(servers: Servers, topic: str, messages: int) -> Span:
    """A client that only takes the messages out of librdkafka."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers.kafka().bootstrap,
            "group.id": f"{topic}-alone",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    read = len(consumer.consume(1, timeout=60.0))
    with _own_span(servers, messages - read) as span:
        while read < messages:
            read += len(consumer.consume(10_000, timeout=1.0))
    consumer.close()
    return span


def _copy_alone(servers: Servers, messages: int) -> Span:
    """`COPY` of a ledger's rows, a transaction a batch, sorted by the primary key."""
    numbers: dict[str, int] = {}
    rows = []
    for _, _, value in registrations(SEED, events=EVENTS, count=messages):
        message = json.loads(value)
        number = numbers.setdefault(message["eventId"], len(numbers) + 1)
        minute = int(datetime.fromisoformat(message["registeredAt"]).timestamp()) // 60
        rows.append((number, message["participantId"], minute))
    ordered = iter(rows)
    batches = []
    while batch := sorted(islice(ordered, COPY_ROWS)):
        batches.append("".join([f"{number}\t{participant}\t{minute}\n" for number, participant, minute in batch]))
    with (
        _database(servers) as database,
        psycopg.connect(database.owner_url, autocommit=True) as conn,
        _own_span(servers, messages) as span,
    ):
        for text in batches:
            with conn.transaction(), conn.cursor().copy("COPY numbered FROM STDIN") as copy:
                copy.write(text)
    return span


@contextmanager
def _own_span(servers: Servers, counted: int) -> Iterator[Span]:
    """The time of a block of this process. It is known when the block has ended."""
    span = Span(counted, 0.0, 0.0, 0.0)
    postgres = servers.postgres.pid or 0
    postgres_s, own_s, started = tree_cpu_s(postgres), time.process_time(), time.perf_counter()
    yield span
    span.elapsed_s, span.own_cpu_s = time.perf_counter() - started, time.process_time() - own_s
    span.postgres_cpu_s = tree_cpu_s(postgres) - postgres_s


# -- the peers --------------------------------------------------------------------------------------------------------


@contextmanager
def _database(servers: Servers) -> Iterator[BenchDatabase]:
    """A database with the tables that peers write."""
    database = servers.create_database("bench_peers")
    try:
        with psycopg.connect(database.owner_url) as conn:
            conn.execute("CREATE SCHEMA IF NOT EXISTS public")
            conn.execute(_LEDGER)
        yield database
    finally:
        servers.drop_database(database)


def _measure_peer(servers: Servers, peer: Peer, topic: str, messages: int) -> Span:
    """Run a peer until it has counted all messages.

    Raises:
        PeerMissingError: it cannot be had here, or has ended before.
    """
    streams = peer.program.endswith(".java")
    home = servers.home / "peer"
    home.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        command = _java_command() if streams else [str(_python())]
        database = stack.enter_context(_database(servers))
        result = f"{topic}-counts"
        if streams:
            servers.kafka().create_topics({result: 1})
        arguments = [servers.kafka().bootstrap, topic, str(home), database.owner_url, str(messages)]
        log = stack.enter_context((home / "log").open("w+b"))
        process = subprocess.Popen(
            [*command, str(PROGRAMS / peer.program), *arguments, result if streams else peer.variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        stack.callback(_end, process)
        postgres = servers.postgres.pid or 0
        _read_line(process, log.name)
        started, own_s, postgres_s = time.perf_counter(), tree_cpu_s(process.pid), tree_cpu_s(postgres)
        counted = (
            _wait_for_counts(servers, result, messages) if streams else int(_read_line(process, log.name).split()[1])
        )
        span = Span(
            messages,
            time.perf_counter() - started,
            tree_cpu_s(process.pid) - own_s,
            tree_cpu_s(postgres) - postgres_s,
        )
    assert counted == messages, f"{peer.name} counted {counted} of {messages} messages"
    return span


def _python() -> Path:
    if not ENVIRONMENT.exists():
        raise PeerMissingError("there is no .venv-peers; `make peers` makes it")
    return ENVIRONMENT


def _java_command() -> list[str]:
    """How Java runs a source file with the jars of Kafka Streams, which Maven fetches once for each user."""
    if reason := java_missing_reason():
        raise PeerMissingError(reason)
    pom = PROGRAMS / "kafka-streams-pom.xml"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "hannun" / f"kafka-streams-{hashlib.sha256(pom.read_bytes()).hexdigest()[:8]}"
    if not folder.is_dir():
        if shutil.which("mvn") is None:
            raise PeerMissingError("there is no mvn (Maven) to fetch its jars")
        new = folder.with_name(f".{folder.name}.{os.getpid()}")
        done = subprocess.run(
            [
                *("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom)),
                *("dependency:copy-dependencies", f"-DoutputDirectory={new}", "-DincludeScope=runtime"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise PeerMissingError(f"Maven cannot fetch its jars: {done.stdout[-500:]}")
        new.rename(folder)
    return ["java", "-Xmx1g", "-cp", f"{folder}/*"]


def _read_line(process: "subprocess.Popen[str]", log: str) -> str:
    """The next line of a peer's report.

    Raises:
        PeerMissingError: it has ended.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    while line and line.split()[0] not in ("first", "counted"):  # a library may print too
        line = process.stdout.readline()
    if not line:
        process.wait()
        lines = Path(log).read_text(errors="replace").splitlines() or ["it wrote nothing"]
        raise PeerMissingError(f"it ended with status {process.returncode}: {lines[-1][:300]}")
    return line


def _wait_for_counts(servers: Servers, topic: str, messages: int) -> int:
    """Read the committed counts of Kafka Streams until they add up to so many messages, and return their sum."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers.kafka().bootstrap,
            "group.id": f"{topic}-reader",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    counts: dict[bytes, int] = {}
    deadline = time.monotonic() + ENDS_S_MAX
    while sum(counts.values()) < messages and time.monotonic() < deadline:
        for message in consumer.consume(1_000, timeout=0.1):
            counts[message.key()] = int.from_bytes(message.value(), "big")
    consumer.close()
    return sum(counts.values())


def _end(process: "subprocess.Popen[str]") -> None:
    """Let a peer end by itself, and stop it where it does not."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
