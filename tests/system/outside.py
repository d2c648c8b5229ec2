"""The service as one sees it from outside: its processes, its doors, its database. Nothing of it is imported."""

import base64
import hashlib
import hmac
import itertools
import json
import os
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
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from zlib import crc32

import httpx2
import psycopg
import pytest
import redis
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

DEADLINE_S = 30.0
SAID_LINES = 40
PASSWORD = "secret-of-a-test"
SECRET = "a-secret-of-the-system-tests-that-is-long-enough"
CONNECTION_LOST = (httpx2.NetworkError, httpx2.RemoteProtocolError)
"""What a client sees of a service that dies while it is asked."""

with_both_protocols = pytest.mark.parametrize(
    "protocol", ["classic", pytest.param("consumer", marks=pytest.mark.faults)], indirect=True
)
"""Whether the members of a group share the partitions out, or the broker does (KIP-848): the latter takes longer."""

Message = dict[str, Any]
Database = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")


def wait_for(what: str, found: Callable[[], T], deadline_s: float = DEADLINE_S) -> T:
    """What `found` returns as soon as it is true; a failure that says `what` after the deadline."""
    deadline = time.monotonic() + deadline_s
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {deadline_s} s for {what}"
        time.sleep(0.01)
    return value


def token(subject: str = "the-tests", roles: Sequence[str] = ("ADMIN", "SERVICE"), secret: str = SECRET) -> str:
    """A bearer token, as the platform's user service signs them (HS256)."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"sub": subject, "roles": list(roles), "exp": int(time.time()) + 86_400}
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    signature = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- processes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CompletedCommand:
    """A command that has ended."""

    status: int
    out: str
    err: str


class Process:
    """A process of the service; what it writes is in `log`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: dict[str, str],
        log_file: Path,
        *,
        inherit: Sequence[int] = (),
        user: int | None = None,
    ) -> None:
        self.log_file = log_file
        with log_file.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hannun", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
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
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, words: str) -> None:
        """Wait until it has said this."""
        wait_for(f"{words!r} in\n{self.log}", lambda: words in self.log or not self.is_running)
        assert words in self.log, f"it ended with status {self.wait()} and said:\n{self.log}"

    def kill(self) -> None:
        """kill -9, and no one left behind."""
        self._process.kill()
        self._process.wait()

    def send_signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and do not wait."""
        self._process.send_signal(number)

    def terminate(self) -> int:
        """SIGTERM. Returns the status with which it ends."""
        self.send_signal()
        return self.wait()

    def wait(self) -> int:
        return self._process.wait(DEADLINE_S)


class Service:
    """The service's processes over one database, one Redis and, where there is one, one Kafka.

    Processes run under the same settings unless a test says otherwise; all are killed at the end.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            **{
                name: os.environ[name]
                for name in ("PATH", "HOME", "PYTHONPATH", "XDG_CACHE_HOME")
                if name in os.environ
            },
            "HANNUN_JWT_SECRET": SECRET,
            "HANNUN_REQUESTS_A_MINUTE": "1000000",
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
            # Shown where the test failed, and only there.
            print(f"-- {process.log_file.name}", *process.log.splitlines()[-SAID_LINES:], sep="\n")
        if self._database is not None:
            self._database.close()
        self.http.close()
        self._listener.close()

    # -- processes

    def run(self, *arguments: str, **environment: str | None) -> CompletedCommand:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "hannun", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._with(environment),
            cwd="/",
            check=False,
            timeout=60,
        )
        return CompletedCommand(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, inherit: Sequence[int] = (), **environment: str | None) -> Process:
        """Start a process, and do not wait for it."""
        log = self.folder / f"{next(self._numbers):03}-{arguments[0]}.log"
        self._processes.append(Process(arguments, self._with(environment), log, inherit=inherit))
        return self._processes[-1]

    def launch_serve(self, **environment: str | None) -> Process:
        """Start `serve` on this service's address, and do not wait for it."""
        descriptor = self._listener.fileno()
        return self.start("serve", "--fd", str(descriptor), inherit=[descriptor], **environment)

    def start_serve(self, **environment: str | None) -> Process:
        """Start `serve`, and wait until it answers."""
        process = self.launch_serve(**environment)
        process.wait_for_log("serve runs")
        return process

    def start_ingest(self, **environment: str | None) -> Process:
        """Start `ingest`, and wait until it has joined its group."""
        process = self.start("ingest", **environment)
        process.wait_for_log("ingest runs")
        return process

    def start_schedule(self, **environment: str | None) -> Process:
        process = self.start("schedule", **environment)
        process.wait_for_log("schedule runs")
        return process

    def _with(self, environment: dict[str, str | None]) -> dict[str, str]:
        given = {**self.environment, **environment}
        return {name: value for name, value in given.items() if value is not None}

    # -- doors

    def post(self, messages: object) -> httpx2.Response:
        """Send messages over HTTP."""
        return self.http.post(f"{self.api}/api/v1/messages", json=messages, headers=_headers())

    def post_until_accepted(self, messages: object) -> tuple[Message, list[int]]:
        """Send the same body until it is taken, as a client does. Returns the answer, and the statuses before it."""
        refused: list[int] = []

        def taken() -> httpx2.Response | None:
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

        return wait_for("the messages to be taken", taken).json(), refused

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

    # -- what stands in the database

    @property
    def database(self) -> Database:
        """A connection of the test's own, made anew where it broke."""
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
        """How many invalidations nobody has paid yet."""
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
    """A client that keeps no connection: whoever answers may have been killed since."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.Client(timeout=2 * DEADLINE_S, trust_env=False, verify=False, limits=limits)


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {token()}"}


def with_port(url: str, port: int) -> str:
    """The same address, through a proxy on this port."""
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


# -- figures, and who says what they must be -----------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What is counted of an event."""

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
    """The figures of an event in the tables that others read; the parts add up, in one snapshot."""
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
    """An event: makes its messages, and says by itself what must be counted of those that were taken.

    Deliberately simple-minded: it shares nothing with the service but the specification.
    """

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    title: str = "봄맞이"
    owner: str = "0d1e8a52-0000-4000-8000-00000000000a"
    month: str = "2024-05"
    expected_messages: list[Message] = field(default_factory=list)

    # -- its messages

    @property
    def shop(self) -> str:
        """A channel that no table knows, of this event's own."""
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
        """A message that can only become a dead letter: it lacks a field."""
        return self._message("participant-registered", messageId=str(uuid.uuid4()), registeredAt=self.at(20))

    def first_batch(self) -> list[Message]:
        """A batch that goes down every road: a new event, new channels, a month, ledgers, registers, a dead letter."""
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
        """What comes later: a channel's type, a repeat in the same batch, a new status."""
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
        """These were taken; how often does not matter."""
        self.expected_messages += messages

    @property
    def expected_figures(self) -> Figures | None:
        """What must be counted of what was taken."""
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
        came_by = Counter(_SPELT.get(m.get("channel"), m.get("channel")) for m in first.values())
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
        """How many of those that were taken are dead letters."""
        return len({m["messageId"] for m in self.expected_messages if "messageId" in m})


def event_for_partition(partition: int, of: int, month: str = "2024-05") -> Event:
    """An event whose messages land in this partition of so many, as Kafka's clients choose it by the key."""
    return next(event for event in iter(lambda: Event(month=month), None) if crc32(event.id.encode()) % of == partition)


_SPELT = {"KAKAO": "KakaoChannel", "지니TV": "GenieTV"}


# -- Kafka ---------------------------------------------------------------------------------------------------------

KINDS = ("event-created", "participant-registered", "distribution-completed", "event-status-changed", "sales-recorded")
Partition = tuple[str, int]


class Topics:
    """The five topics of one test on a shared broker. What is sent is remembered with the place where it landed."""

    def __init__(self, bootstrap: str, *, default_names: bool = False) -> None:
        self.bootstrap = bootstrap
        suffix = "" if default_names else f"-{uuid.uuid4().hex[:8]}"
        self.names = {kind: kind + suffix for kind in KINDS}
        self.kinds = {name: kind for kind, name in self.names.items()}
        self.delivered: list[tuple[Partition, int, str, Message | bytes]] = []
        """(partition, offset, kind, message) of all that is to be counted."""
        self.lost: list[tuple[Partition, int, str, Message | bytes]] = []
        """The same of what no log holds any more: its topic was deleted, or it was removed."""
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
        """Send messages, each to the topic of its kind; options are the producer's, with _ for the dot.

        Args:
            sent_at: the time that the records bear; now without it. Kafka forgets what bears one of last week.
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
        """Send messages to one partition, a second apart by the producer's clock."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all"})
        for number, message in enumerate(messages):
            self._produce(producer, message, partition=partition, timestamp=began_ms + 1_000 * number)
        assert producer.flush(DEADLINE_S) == 0

    def send_raw(self, kind: str, value: bytes | None, *, key: str | None = None) -> None:
        """Send bytes that may be no message at all, and may be as many as the broker takes. One key, one partition."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "message.max.bytes": 2_000_000})
        producer.produce(self.names[kind], value, key, on_delivery=self._remember(kind, value or b""))
        assert producer.flush(DEADLINE_S) == 0

    def send_in_transaction(self, messages: Sequence[Message], *, after: Sequence[Message] = ()) -> None:
        """Send messages in one transaction, after another one with `after` that is given up: nobody may count those."""
        if after:
            self.send_aborted(after)
        producer = self._transactional()
        producer.begin_transaction()
        for message in messages:
            self._produce(producer, message)
        producer.commit_transaction(DEADLINE_S)

    def send_aborted(self, messages: Sequence[Message]) -> None:
        """Send messages in a transaction that is given up: nobody may count them."""
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
        """What lay at these partitions and offsets is in no log any more."""
        self.lost += [entry for entry in self.delivered if lost(*entry[:2])]
        self.delivered = [entry for entry in self.delivered if not lost(*entry[:2])]

    def ends(self) -> dict[Partition, int]:
        """The position behind the last message of each partition."""
        ends: dict[Partition, int] = {}
        for partition, offset, _, _ in self.delivered:
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        return ends

    def are_counted(self, service: Service, ends: dict[Partition, int] | None = None) -> bool:
        """Whether the positions stand behind all that was sent (up to these ends), or behind the marks of its
        transactions."""
        found = positions(service.database)
        return all(found.get(partition, 0) >= end for partition, end in (ends or self.ends()).items())

    def high_watermarks(self) -> dict[Partition, int]:
        """The end of each partition's log as the broker has it: behind all messages and marks of transactions."""
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
        """The broker removes all that the logs hold, as its retention does."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        ends = [TopicPartition(topic, number, end) for (topic, number), end in self.high_watermarks().items()]
        for future in admin.delete_records(ends).values():
            future.result()

    def messages_before(self, found: dict[Partition, int], event: str) -> list[Message]:
        """The messages of an event that lie before these positions."""
        return [
            {**message, "type": kind}
            for partition, offset, kind, message in self.delivered
            if isinstance(message, dict) and message["eventId"] == event and offset < found.get(partition, 0)
        ]

    def _produce(self, producer: Producer, message: Message, **where: int) -> None:
        kind = message["type"]
        remember = self._remember(kind, message)
        producer.produce(self.names[kind], _bytes_of(message), key=message["eventId"], on_delivery=remember, **where)
        producer.poll(0)

    def _remember(self, kind: str, message: Message | bytes) -> Callable[[Any, Any], None]:
        def landed(error: Any, record: Any) -> None:
            assert error is None, error
            self.delivered.append(((record.topic(), record.partition()), record.offset(), kind, message))

        return landed


class Load:
    """Messages that come all the time, of one event after the other, from a thread of its own."""

    def __init__(self, topics: Topics, events: Sequence[Event]) -> None:
        self._topics = topics
        self._events = events
        self._enough = threading.Event()
        self._sent = 0
        self._thread = threading.Thread(target=self._sends)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._enough.set()
        self._thread.join()

    def wait_for_more(self, messages: int = 20) -> None:
        wanted = self._sent + messages
        wait_for("more messages to be sent", lambda: self._sent >= wanted or not self._thread.is_alive())
        assert self._thread.is_alive()

    def _sends(self) -> None:
        for event in itertools.cycle(self._events):
            if self._enough.is_set():
                return
            messages = [event.registered("Instagram"), event.registered(), event.sold(500)]
            self._topics.send(messages)
            event.expect(messages)
            self._sent += len(messages)


def positions(conn: Database) -> dict[Partition, int]:
    """How far each partition is counted."""
    found = conn.execute("SELECT topic, partition, next_offset FROM hannun.positions").fetchall()
    return {(topic, partition): offset for topic, partition, offset in found}


def _bytes_of(message: Message) -> bytes:
    return json.dumps({name: value for name, value in message.items() if name != "type"}, ensure_ascii=False).encode()


# -- gauges --------------------------------------------------------------------------------------------------------


def metric_series(process: Process, name: str) -> dict[tuple[str, ...], float]:
    """The series of a metric of a process that has no other HTTP door, by what its labels say."""
    process.wait_for_log("metrics are served")
    (port,) = re.findall(r'"port": (\d+), "event": "metrics are served"', process.log)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {tuple(re.findall(r'"([^"]*)"', labels)): float(value) for labels, value in found}


def consumer_lags(process: Process) -> dict[Partition, int]:
    return {
        (topic, int(number)): int(lag) for (number, topic), lag in metric_series(process, "hannun_lag_messages").items()
    }
