"""The service from outside: its processes, its HTTP API, its database and its topics. Imports nothing of it."""

import base64
import hashlib
import hmac
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from zlib import crc32

import httpx2
import psycopg
import pytest
import redis
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from fork_server import ForkedProcess, base_environment, fork_hannun
from polling import wait_for

DEADLINE_S = 60.0
LOG_TAIL_LINES = 40
PASSWORD = "secret-of-a-test"
VARIANTS = str(Path(__file__).parents[1] / "variants.py")
SECRET = "a-secret-of-the-system-tests-that-is-long-enough"
CONNECTION_LOST = (httpx2.NetworkError, httpx2.RemoteProtocolError)
"""What a client's request raises when the service dies meanwhile."""

with_both_protocols = pytest.mark.parametrize(
    "protocol", ["classic", pytest.param("consumer", marks=pytest.mark.faults)], indirect=True
)
"""Run a test with both group protocols. With "consumer" the broker assigns partitions (KIP-848), which takes longer."""

Message = dict[str, Any]
Database = psycopg.Connection[tuple[Any, ...]]


def token(subject: str = "the-tests", roles: Sequence[str] = ("ADMIN", "SERVICE"), secret: str = SECRET) -> str:
    """A bearer token, as the platform's user service signs them (HS256)."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"sub": subject, "roles": list(roles), "exp": int(time.time()) + 86_400}
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    signature = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def free_port() -> int:
    """A port on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- processes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CompletedCommand:
    """What a command that has ended wrote, and its exit status."""

    status: int
    out: str
    err: str


class Process:
    """A process of the service. Its output and errors go to `log_file`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: dict[str, str],
        log_file: Path,
        *,
        inherit: Sequence[int] = (),
        forked: bool = False,
        variant: str | None = None,
        user: int | None = None,
    ) -> None:
        """Start it.

        Args:
            inherit: file descriptors that it has under the same numbers.
            forked: from the fork server, which saves Python's imports; else as `python -m hannun`.
            variant: a change of the code, of `variants.py`, with which it runs.
            user: the id of the user that runs it.
        """
        self.log_file = log_file
        self._process: ForkedProcess | subprocess.Popen[bytes]
        with log_file.open("ab") as log:
            if forked and variant is None:
                file = log.fileno()
                self._process = fork_hannun(arguments, environment, stdout=file, stderr=file, inherit=inherit)
                return
            self._process = subprocess.Popen(
                [sys.executable, *(["-m", "hannun"] if variant is None else [VARIANTS, variant]), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                pass_fds=inherit,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """Everything that it has written so far."""
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Wait until its log contains this text."""
        wait_for(f"{text!r} in\n{self.log}", lambda: text in self.log or not self.is_running)
        assert text in self.log, f"it ended with status {self.wait()} and this log:\n{self.log}"

    def kill(self) -> None:
        """Kill it with SIGKILL, and reap it."""
        self._process.kill()
        self._process.wait()

    def send_signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and do not wait."""
        self._process.send_signal(number)

    def terminate(self) -> int:
        """Send SIGTERM and wait until it ends. Returns its exit status."""
        self.send_signal()
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends. Returns its exit status."""
        return self._process.wait(DEADLINE_S)


class Service:
    """The service's processes over one database, one Redis and, where a test has one, one Kafka.

    All processes run with the same settings, except for those that a test passes. All are killed at the end.
    """

    def __init__(self, folder: Path, *, source: Path | None = None, **environment: str) -> None:
        """Use it as a context manager. `source` is the folder of another version's code, which all processes run."""
        self.folder = folder
        self._source = source
        self.environment = {
            **base_environment(),
            **({} if source is None else {"PYTHONPATH": str(source)}),
            "HANNUN_JWT_SECRET": SECRET,
            "HANNUN_REQUESTS_A_MINUTE": "1000000",
            # Longer than a loaded machine stands still: an answer that waits longer for Redis is not cached.
            "HANNUN_REDIS_READ_WAIT_S": "1.5",
            **environment,
        }
        self._processes: list[Process] = []
        self._numbers = itertools.count(1)
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self.api = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.http = client()
        self._database: Database | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
            # pytest shows this only where the test failed.
            print(f"-- {process.log_file.name}", *process.log.splitlines()[-LOG_TAIL_LINES:], sep="\n")
        if self._database is not None:
            self._database.close()
        self.http.close()
        self._listener.close()

    # -- processes

    def run(self, *arguments: str, **environment: str | None) -> CompletedCommand:
        """Run a command to its end."""
        if self._source is not None:
            command = self.start(*arguments, **environment)
            return CompletedCommand(command.wait(), command.log, "")
        out, err = (self._new_file(arguments[0], ending) for ending in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = fork_hannun(arguments, self._with(environment), stdout=stdout.fileno(), stderr=stderr.fileno())
        try:
            status = process.wait(60)
        finally:
            process.kill()
        return CompletedCommand(status, out.read_text(), err.read_text())

    def start(
        self, *arguments: str, inherit: Sequence[int] = (), variant: str | None = None, **environment: str | None
    ) -> Process:
        """Start a process, and do not wait for it."""
        log_file = self._new_file(arguments[0], "log")
        forked = self._source is None
        process = Process(arguments, self._with(environment), log_file, inherit=inherit, forked=forked, variant=variant)
        self._processes.append(process)
        return process

    def launch_serve(self, **environment: str | None) -> Process:
        """Start `serve` on this service's address, and do not wait for it."""
        descriptor = self._listener.fileno()
        return self.start("serve", "--fd", str(descriptor), inherit=[descriptor], **environment)

    def start_serve(self, **environment: str | None) -> Process:
        """Start `serve`, and wait until it answers."""
        process = self.launch_serve(**environment)
        process.wait_for_log("serve runs")
        return process

    def start_ingest(self, *, variant: str | None = None, **environment: str | None) -> Process:
        """Start `ingest`, and wait until it has joined its group."""
        process = self.start("ingest", variant=variant, **environment)
        process.wait_for_log("ingest runs")
        return process

    def start_schedule(self, **environment: str | None) -> Process:
        """Start `schedule`, and wait until it runs its jobs."""
        process = self.start("schedule", **environment)
        process.wait_for_log("schedule runs")
        return process

    def _new_file(self, verb: str, ending: str) -> Path:
        return self.folder / f"{next(self._numbers):03}-{verb}.{ending}"

    def _with(self, environment: dict[str, str | None]) -> dict[str, str]:
        given = {**self.environment, **environment}
        return {name: value for name, value in given.items() if value is not None}

    # -- over HTTP

    def post(self, messages: object) -> httpx2.Response:
        """Send messages over HTTP."""
        return self.http.post(f"{self.api}/api/v1/messages", json=messages, headers=_headers())

    def post_until_accepted(self, messages: object) -> tuple[Message, list[int]]:
        """Send the same body until it is accepted, as a client does. Returns the answer, and the statuses before it."""
        refused: list[int] = []

        def accepted() -> httpx2.Response | None:
            try:
                response = self.post(messages)
            except CONNECTION_LOST:
                refused.append(0)
                return None
            if response.status_code == 200:
                return response
            assert response.status_code == 503, response.text
            assert int(response.headers["Retry-After"]) >= 1
            refused.append(503)
            return None

        return wait_for("the messages to be accepted", accepted).json(), refused

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(self.api + path, headers=_headers())

    def dashboard(self, event: str) -> "Figures | None":
        """The figures of the dashboard; None where there is none."""
        response = self.get(f"/api/v1/events/{event}/analytics")
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        return figures_of_dashboard(response.json())

    def health(self) -> Message:
        answer: Message = self.get("/health/ready").json()
        return answer

    # -- in the database

    @property
    def database(self) -> Database:
        """A connection of the test's own, opened again where it broke."""
        if self._database is None or not _answers(self._database):
            self._database = psycopg.connect(self.environment["DATABASE_URL"], autocommit=True)
            self._database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return self._database

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        return self.database.execute(query, arguments or None).fetchall()  # type: ignore[arg-type]

    def figures(self, event: str) -> "Figures | None":
        """The figures of an event in PostgreSQL; None where nothing of it is counted."""
        return figures_in(self.database, event)

    def pending_invalidations(self) -> int:
        """How many outbox entries are not delivered yet."""
        return int(self.rows("SELECT count(*) FROM hannun.owed_invalidations")[0][0])

    def dead_letter_count(self, event: str) -> int:
        """How many dead letters there are of an event."""
        return int(self.rows("SELECT count(*) FROM hannun.dead_letters WHERE event_id = %s", event)[0][0])

    def assert_no_drift(self) -> None:
        """`hannun reconcile` finds no drift."""
        ran = self.run("reconcile")
        assert ran.status == 0, ran.out + ran.err
        assert "drift: 0" in ran.out


def _answers(conn: Database) -> bool:
    try:
        conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


Superuser = psycopg.Connection[tuple[object, ...]]
StartService = Callable[..., Service]


def client() -> httpx2.Client:
    """A client that keeps no connection, since a test may kill the server between two requests."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.Client(timeout=DEADLINE_S, trust_env=False, verify=False, limits=limits)


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {token()}"}


def with_port(url: str, port: int) -> str:
    """The same URL with another port, usually that of a proxy."""
    return urlsplit(url)._replace(netloc=f"{urlsplit(url).netloc.rpartition(':')[0]}:{port}").geturl()


def redis_environment(url: str) -> dict[str, str]:
    """The settings by which the service finds this Redis."""
    found = urlsplit(url)
    return {
        "REDIS_HOST": found.hostname or "",
        "REDIS_PORT": str(found.port),
        "REDIS_PASSWORD": found.password or "",
    }


def cached_figures(url: str, event: str) -> "Figures | None":
    """The dashboard that Redis holds for an event; None where it holds none."""
    with redis.Redis.from_url(url, protocol=3) as conn:
        value = conn.get(f"analytics:dashboard:{event}")
    return None if value is None else figures_of_dashboard(json.loads(value))


# -- figures, and what they must be --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What is counted for an event."""

    title: str
    status: str
    participants: int
    unattributed: int
    channels: dict[str, int]
    revenue: Decimal | None


def figures_of_dashboard(answer: Message) -> Figures:
    recorded = answer["roi"]["revenue"]["recorded"]
    channels = {line["channelName"]: line["participants"] for line in answer["channelPerformance"]}
    summary = answer["summary"]
    assert sum(channels.values()) + summary["unattributedParticipants"] == summary["totalParticipants"]
    return Figures(
        answer["eventTitle"],
        answer["status"],
        summary["totalParticipants"],
        summary["unattributedParticipants"],
        channels,
        None if recorded is None else Decimal(str(recorded)).quantize(Decimal("0.01")),
    )


def figures_in(conn: Database, event: str) -> Figures | None:
    """The figures of an event in the public tables, in one snapshot. Asserts that the parts add up."""
    with conn.transaction():
        found = conn.execute(
            "SELECT s.event_title, s.status, s.total_participants, e.unattributed, e.sales, e.recorded_revenue "
            "FROM public.event_stats s JOIN hannun.events e USING (event_id) WHERE event_id = %s",
            [event],
        ).fetchone()
        if found is None:
            return None
        channels: dict[str, int] = dict(
            conn.execute(
                "SELECT channel_name, participants FROM public.channel_stats WHERE event_id = %s", [event]
            ).fetchall()
        )
        timeline = conn.execute(
            "SELECT coalesce(sum(participants), 0) FROM public.timeline_data WHERE event_id = %s", [event]
        ).fetchone()
    title, status, participants, unattributed, sales, revenue = found
    assert timeline is not None and timeline[0] == participants, f"{timeline} beside {found}"
    assert sum(channels.values()) + unattributed == participants, f"{channels} beside {found}"
    return Figures(title, status, participants, unattributed, channels, revenue if sales else None)


KNOWN_CHANNELS = {"WooriTV", "GenieTV", "RingoBiz", "Instagram", "NaverBlog", "KakaoChannel"}


@dataclass
class Event:
    """An event: makes its messages, and computes what must be counted of those that were accepted.

    It is simple on purpose, and shares nothing with the service but the specification.
    """

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    title: str = "봄맞이"
    owner: str = "0d1e8a52-0000-4000-8000-00000000000a"
    month: str = "2024-05"
    expected_messages: list[Message] = field(default_factory=list)

    # -- its messages

    @property
    def shop(self) -> str:
        """An unknown channel, which only this event has."""
        return f"Shop {self.id[:8]}"

    def at(self, day: int, time: str = "10:00:30") -> str:
        return f"{self.month}-{day:02}T{time}+09:00"

    def created(self) -> Message:
        return self._message(
            "event-created", eventTitle=self.title, userId=self.owner, createdAt=self.at(1), totalInvestment=1_000_000
        )

    def registered(self, channel: str | None = None, at: str | None = None) -> Message:
        named = {} if channel is None else {"channel": channel}
        who = str(uuid.uuid4())
        return self._message("participant-registered", participantId=who, registeredAt=at or self.at(20), **named)

    def distributed(self, channel: str, kind: str = "SNS", day: int = 2) -> Message:
        return self._message(
            "distribution-completed", completedAt=self.at(day), channel=channel, channelType=kind, status="SUCCESS",
            distributionCost=50_000,
        )  # fmt: skip

    def sold(self, amount: int) -> Message:
        return self._message("sales-recorded", saleId=str(uuid.uuid4()), amount=amount, soldAt=self.at(21))

    def status_changed(self, status: str) -> Message:
        return self._message("event-status-changed", status=status, changedAt=self.at(22))

    def unusable(self) -> Message:
        """A message that can only become a dead letter: it lacks participantId."""
        return self._message("participant-registered", messageId=str(uuid.uuid4()), registeredAt=self.at(20))

    def first_batch(self) -> list[Message]:
        """A batch that takes every path: a new event, new channels, a new month, ledgers, registers, a dead letter."""
        return [
            self.created(),
            *(self.registered() for _ in range(2)),
            *(self.registered("Instagram") for _ in range(3)),
            self.registered("지니TV", at=self.at(19, "23:59:59")),
            self.registered(self.shop),
            self.unusable(),
            self.distributed("Instagram"),
            self.sold(12_000),
        ]

    def later_batch(self) -> list[Message]:
        """A batch for the same event: a channel's type, a repeat in the same batch, a new status."""
        once_more = self.registered("Instagram")
        return [
            *(self.registered("Instagram") for _ in range(4)),
            once_more,
            once_more,
            self.registered("KAKAO", at=self.at(20, "10:01:30")),
            self.distributed(self.shop, "TV"),
            self.status_changed("ENDED"),
            self.sold(8_000),
            self.unusable(),
        ]

    def _message(self, kind: str, **fields: object) -> Message:
        return {"type": kind, "eventId": self.id, **fields}

    # -- what must be counted

    def expect(self, messages: Sequence[Message]) -> None:
        """Expect these messages to be counted. Repeats change nothing."""
        self.expected_messages += messages

    @property
    def expected_figures(self) -> Figures | None:
        """What must be counted of the expected messages."""
        of = {
            kind: [m for m in self.expected_messages if m["type"] == kind]
            for kind in {m["type"] for m in self.expected_messages}
        }
        if "event-created" not in of:
            return None
        first: dict[str, Message] = {}
        for message in of.get("participant-registered", []):
            if "participantId" in message:
                first.setdefault(message["participantId"], message)
        typed = KNOWN_CHANNELS | {message["channel"] for message in of.get("distribution-completed", [])}
        came_by = Counter(_CANONICAL_NAMES.get(m.get("channel"), m.get("channel")) for m in first.values())
        channels = {name: count for name, count in came_by.items() if name in typed}
        for message in of.get("distribution-completed", []):
            channels.setdefault(message["channel"], 0)
        sales = {message["saleId"]: message["amount"] for message in of.get("sales-recorded", [])}
        statuses = [message["status"] for message in of.get("event-status-changed", [])]
        return Figures(
            self.title,
            statuses[-1] if statuses else "ACTIVE",
            len(first),
            len(first) - sum(channels.values()),
            channels,
            Decimal(sum(sales.values())).quantize(Decimal("0.01")) if sales else None,
        )

    @property
    def expected_dead_letters(self) -> int:
        """How many of the expected messages are dead letters."""
        return len({m["messageId"] for m in self.expected_messages if "messageId" in m})


def event_for_partition(partition: int, of: int, month: str = "2024-05") -> Event:
    """An event whose messages land in partition `partition` of `of`, as Kafka's clients choose it by the key."""
    return next(event for event in iter(lambda: Event(month=month), None) if crc32(event.id.encode()) % of == partition)


_CANONICAL_NAMES = {"KAKAO": "KakaoChannel", "지니TV": "GenieTV"}


# -- Kafka ---------------------------------------------------------------------------------------------------------

KINDS = ("event-created", "participant-registered", "distribution-completed", "event-status-changed", "sales-recorded")
Partition = tuple[str, int]


class Topics:
    """The five topics of one test on a shared broker. Remembers what was delivered, with its partition and offset."""

    def __init__(self, bootstrap: str, *, default_names: bool = False) -> None:
        self.bootstrap = bootstrap
        suffix = "" if default_names else f"-{uuid.uuid4().hex[:8]}"
        self.names = {kind: kind + suffix for kind in KINDS}
        self.kinds = {name: kind for kind, name in self.names.items()}
        self.delivered: list[tuple[Partition, int, str, Message | bytes]] = []
        """(partition, offset, kind, message) of every record that must be counted."""
        self.lost: list[tuple[Partition, int, str, Message | bytes]] = []
        """The same for records that no log holds any more: the topic was deleted, or the broker removed them."""
        self._groups = itertools.count(1)
        self._transactions: Producer | None = None

    def environment(self) -> dict[str, str]:
        """The settings of `ingest`, in a group of its own: the old one waits 30 s for a member that was killed."""
        return {
            **{f"HANNUN_TOPIC_{kind.upper().replace('-', '_')}": name for kind, name in self.names.items()},
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "HANNUN_KAFKA_GROUP": f"{self.names['event-created']}-{next(self._groups)}",
            "HANNUN_START_FROM": "earliest",
        }

    def send(self, messages: Sequence[Message], *, sent_at: datetime | None = None, **options: str) -> None:
        """Send messages, each to the topic of its kind.

        Args:
            sent_at: the records' timestamp, now by default. Kafka's retention removes records older than a week.
            options: options of the producer, with _ for the dot.
        """
        given = {name.replace("_", "."): value for name, value in options.items()}
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "acks": "all", "linger.ms": 1, "log_level": 0} | given
        )
        at = {} if sent_at is None else {"timestamp": int(sent_at.timestamp() * 1_000)}
        for message in messages:
            self._produce(producer, message, **at)
        assert producer.flush(DEADLINE_S) == 0

    def send_to_partition(self, partition: int, messages: Sequence[Message], *, began_ms: int) -> None:
        """Send messages to one partition, with timestamps one second apart."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all"})
        for number, message in enumerate(messages):
            self._produce(producer, message, partition=partition, timestamp=began_ms + 1_000 * number)
        assert producer.flush(DEADLINE_S) == 0

    def send_raw(self, kind: str, value: bytes | None, *, key: str | None = None) -> None:
        """Send bytes that need be no message, up to the broker's maximum size. One key goes to one partition."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "message.max.bytes": 2_000_000})
        producer.produce(self.names[kind], value, key, on_delivery=self._remember(kind, value or b""))
        assert producer.flush(DEADLINE_S) == 0

    def send_in_transaction(self, messages: Sequence[Message], *, after: Sequence[Message] = ()) -> None:
        """Send messages in one transaction, after an aborted one with the messages `after`, which must not count."""
        if after:
            self.send_aborted(after)
        producer = self._transactional()
        producer.begin_transaction()
        for message in messages:
            self._produce(producer, message)
        producer.commit_transaction(DEADLINE_S)

    def send_aborted(self, messages: Sequence[Message]) -> None:
        """Send messages in a transaction that is aborted: they must not count."""
        producer = self._transactional()
        producer.begin_transaction()
        for message in messages:
            producer.produce(self.names[message["type"]], _bytes_of(message), key=message["eventId"])
        producer.flush(DEADLINE_S)
        producer.abort_transaction(DEADLINE_S)

    def _transactional(self) -> Producer:
        if self._transactions is None:
            self._transactions = Producer(
                {"bootstrap.servers": self.bootstrap, "transactional.id": self.names["event-created"]}
            )
            self._transactions.init_transactions(DEADLINE_S)
        return self._transactions

    def forget(self, lost: Callable[[Partition, int], bool]) -> None:
        """Move the records at these partitions and offsets to `lost`: no log holds them any more."""
        self.lost += [entry for entry in self.delivered if lost(*entry[:2])]
        self.delivered = [entry for entry in self.delivered if not lost(*entry[:2])]

    def ends(self) -> dict[Partition, int]:
        """The offset behind the last delivered record of each partition."""
        ends: dict[Partition, int] = {}
        for partition, offset, _, _ in self.delivered:
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        return ends

    def are_counted(self, service: Service, ends: dict[Partition, int] | None = None) -> bool:
        """Whether the positions have reached these ends, by default those of all delivered records.

        A position may be higher: it also moves over the control records of transactions.
        """
        found = positions(service.database)
        return all(found.get(partition, 0) >= end for partition, end in (ends or self.ends()).items())

    def high_watermarks(self) -> dict[Partition, int]:
        """The end of each partition's log, as the broker reports it: behind all messages and control records."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted: dict[TopicPartition, OffsetSpec] = {
            TopicPartition(name, number): OffsetSpec.latest()
            for name, topic in admin.list_topics(timeout=DEADLINE_S).topics.items()
            if name in self.kinds
            for number in topic.partitions
        }
        found = {part: future.result().offset for part, future in admin.list_offsets(wanted).items()}
        return {(part.topic, part.partition): offset for part, offset in found.items()}

    def delete_all_records(self) -> None:
        """Make the broker remove all records, as its retention does."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        ends = [TopicPartition(topic, number, end) for (topic, number), end in self.high_watermarks().items()]
        for future in admin.delete_records(ends).values():
            future.result()

    def messages_before(self, found: dict[Partition, int], event: str) -> list[Message]:
        """The delivered messages of an event that lie before these positions."""
        return [
            {**message, "type": kind}
            for partition, offset, kind, message in self.delivered
            if isinstance(message, dict) and message["eventId"] == event and offset < found.get(partition, 0)
        ]

    def send_traced(self, message: Message, traceparent: str) -> None:
        """Send a message of a producer that traces."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all"})
        self._produce(producer, message, headers=[("traceparent", traceparent.encode())])
        assert producer.flush(DEADLINE_S) == 0

    def _produce(self, producer: Producer, message: Message, **where: Any) -> None:
        kind = message["type"]
        remember = self._remember(kind, message)
        producer.produce(self.names[kind], _bytes_of(message), key=message["eventId"], on_delivery=remember, **where)
        producer.poll(0)

    def _remember(self, kind: str, message: Message | bytes) -> Callable[[Any, Any], None]:
        def on_delivery(error: Any, record: Any) -> None:
            assert error is None, error
            self.delivered.append(((record.topic(), record.partition()), record.offset(), kind, message))

        return on_delivery


class BackgroundLoop:
    """Calls a function again and again in a thread, while the block runs."""

    def __init__(self, run_once: Callable[[], None], pause_s: float = 0.0) -> None:
        self._run_once = run_once
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """False after `run_once` has raised."""
        return self._thread.is_alive()

    def wait_until(self, what: str, found: Callable[[], bool]) -> None:
        """Wait until `found` returns true. Fails if the loop ends before."""
        wait_for(what, lambda: found() or not self.is_running)
        assert self.is_running, "the loop has failed; its exception is in pytest's output"

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            self._run_once()


class Load(BackgroundLoop):
    """Sends messages without a pause while the block runs, for one event after the other."""

    def __init__(self, topics: Topics, events: Sequence[Event]) -> None:
        super().__init__(self._send_some)
        self._topics = topics
        self._events = itertools.cycle(events)
        self._sent_count = 0

    def wait_for_more(self, messages: int = 20) -> None:
        """Wait until this many more messages are sent."""
        wanted = self._sent_count + messages
        self.wait_until(f"{messages} more messages to be sent", lambda: self._sent_count >= wanted)

    def _send_some(self) -> None:
        event = next(self._events)
        messages = [event.registered("Instagram"), event.registered(), event.sold(500)]
        self._topics.send(messages)
        event.expect(messages)
        self._sent_count += len(messages)


def positions(conn: Database) -> dict[Partition, int]:
    """How far each partition is counted."""
    found = conn.execute("SELECT topic, partition, next_offset FROM hannun.positions").fetchall()
    return {(topic, partition): offset for topic, partition, offset in found}


def _bytes_of(message: Message) -> bytes:
    return json.dumps({name: value for name, value in message.items() if name != "type"}, ensure_ascii=False).encode()


# -- metrics -------------------------------------------------------------------------------------------------------


def metric_series(process: Process, name: str) -> dict[tuple[str, ...], float]:
    """The series of a metric of `ingest` or `schedule`, by the values of their labels."""
    process.wait_for_log("metrics are served")
    (port,) = re.findall(r'"port": (\d+), "event": "metrics are served"', process.log)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S) as answer:
        text = answer.read().decode()
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {tuple(re.findall(r'"([^"]*)"', labels)): float(value) for labels, value in found}


def consumer_lags(process: Process) -> dict[Partition, int]:
    """The lag, in messages, of each partition that an `ingest` reports."""
    return {
        (topic, int(number)): int(lag) for (number, topic), lag in metric_series(process, "hannun_lag_messages").items()
    }
