"""The one helper of the tests: verbs in, values out. A test shows what it is about; the rest has defaults."""

import itertools
import json
import math
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import psycopg
from prometheus_client import generate_latest
from psycopg.rows import dict_row

from hannun.cache import Invalidator, RedisAddress
from hannun.counting.batch_counter import BatchCounter
from hannun.counting.outbox_relay import DirectDelivery, Invalidates, deliver_pending
from hannun.domain.batch import MessageOutcome, OffsetRange, ReceivedMessage, RecordId
from hannun.domain.channels import load_table
from hannun.domain.wire_formats import Decoder, Rules
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import Transient
from hannun.flows.reconcile import reconcile
from hannun.flows.timeline_rollup import RollUpRounds
from hannun.store.batches import participant_key
from hannun.store.database import Connection, Database, PoolLimits, connect
from hannun.store.migrate import ROLES, migrate
from hannun.store.reconciliation import Drift
from hannun.telemetry import REGISTRY

PASSWORD = "secret-of-a-test"
SPRING = "5b0c2f64-0000-4000-8000-000000000001"
OWNER = "0d1e8a52-0000-4000-8000-00000000000a"
NOW = "2026-11-23T12:00:00+09:00"
NOW_US = 1_795_402_800_000_000
NOTHING_PENDING = datetime(9999, 1, 1)
"""Of a timeline: its cumulative column and its quarters are settled."""
DATABASE_OWNER = "hannun_owner"
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def make_owner(server: PostgresServer) -> None:
    with psycopg.connect(server.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {DATABASE_OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")


def make_database(server: PostgresServer, name: str) -> str:
    """A new, migrated database. Returns the URL of its owner."""
    with psycopg.connect(server.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} OWNER {DATABASE_OWNER}")
    url = server.url(name, DATABASE_OWNER, PASSWORD)
    migrate(url, load_table(), dict.fromkeys(ROLES, PASSWORD))
    return url


def gauges(name: str) -> dict[str, float]:
    """The series of a gauge, by their labels as they are written."""
    lines = [line for line in generate_latest(REGISTRY).decode().splitlines() if line.startswith(name)]
    return {line.removeprefix(name).rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@dataclass(frozen=True)
class Row:
    """A row of a table, its columns as attributes."""

    columns: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.columns[name]


class World:
    """The counting side of the service on a real PostgreSQL and a real Valkey, in this process."""

    def __init__(self, postgres: PostgresServer, valkey: ValkeyServer, database: str) -> None:
        self.postgres = postgres
        self.valkey = valkey
        self.name = database
        self.url = postgres.url(database, "analytics_readwrite", PASSWORD)
        self.owner_url = postgres.url(database, "hannun_owner", PASSWORD)
        self.readonly_url = postgres.url(database, "analytics_readonly", PASSWORD)
        self.redis = RedisAddress(valkey.host, valkey.port, valkey.password)
        self._ids = itertools.count(1)
        self._others: list[Database] = []
        self._shared_connection: psycopg.Connection[dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        self.database = Database(self.url, PoolLimits(wait_s=5), application="test")
        self.invalidator = Invalidator(self.redis)
        with self.database.transaction() as conn:
            self.use_decoder_for(conn)
        self.counter = self.counter_on(self.database)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.invalidator.close()
        for other in self._others:
            other.close()
        self.database.close()

    # -- messages

    def message(self, kind: str, event: str = SPRING, *, at_us: int = NOW_US, **fields: Any) -> ReceivedMessage:
        return ReceivedMessage(kind, json.dumps({"eventId": event, **fields}, ensure_ascii=False).encode(), at_us)

    def created(
        self, event: str = SPRING, *, owner: str = OWNER, at: str = "2026-11-01T09:00:00+09:00", **plan: Any
    ) -> ReceivedMessage:
        return self.message(
            "event-created", event, **{"eventTitle": "봄맞이", "userId": owner, "createdAt": at, **plan}
        )

    def registered(
        self, who: str | None = None, event: str = SPRING, *, at: str = "2026-11-20T10:00:30+09:00", **fields: Any
    ) -> ReceivedMessage:
        return self.message(
            "participant-registered", event, participantId=who or str(uuid.uuid4()), registeredAt=at, **fields
        )

    def distributed(
        self, event: str = SPRING, *, at: str = "2026-11-02T09:00:00+09:00", status: str = "SUCCESS", **fields: Any
    ) -> ReceivedMessage:
        return self.message("distribution-completed", event, completedAt=at, status=status, **fields)

    def sold(self, amount: Any, sale: str | None = None, event: str = SPRING, **fields: Any) -> ReceivedMessage:
        return self.message(
            "sales-recorded",
            event,
            **{"saleId": sale or f"sale-{next(self._ids)}", "amount": amount, "soldAt": NOW, **fields},
        )

    def status_changed(self, status: str, at: str, event: str = SPRING) -> ReceivedMessage:
        return self.message("event-status-changed", event, status=status, changedAt=at)

    # -- verbs

    def count(self, *messages: ReceivedMessage) -> list[MessageOutcome]:
        """Count messages as one batch, as over HTTP."""
        return self.counter.count(messages).outcomes()

    def count_with_retries(self, *messages: ReceivedMessage, rounds: int = 3) -> list[MessageOutcome]:
        """Count messages as a loop does that survives what passes: the same batch again, a few times."""
        for _ in range(rounds - 1):
            try:
                return self.count(*messages)
            except Transient:
                continue
        return self.count(*messages)

    def roll_up(self) -> int:
        """What is made of timelines is brought up to date, as far as it takes. Returns the rows that were wrong."""
        return RollUpRounds(round_s=math.inf).run_once(self.database)

    def count_range(self, messages: Sequence[ReceivedMessage], span: OffsetRange) -> list[MessageOutcome]:
        """Count messages of a Kafka partition."""
        return self.counter.count(messages, [span]).outcomes()

    def at_offset(
        self, message: ReceivedMessage, offset: int, topic: str = "participant-registered", partition: int = 0
    ) -> ReceivedMessage:
        """The message as it stands in a log."""
        return message._replace(record_id=RecordId(topic, "topic-id", partition, offset))

    def record_measurement(self, event: str, channel: str, minute: str, counts: dict[str, int]) -> None:
        """What a channel has told, as it lands: the increment and all that follows from it."""
        names, values = list(counts), list(counts.values())
        self.rows(
            f"INSERT INTO hannun.increments (event_no, channel_no, minute, {', '.join(names)}) "
            f"SELECT event_no, channel_no, %s, {', '.join(map(str, values))} FROM hannun.events, hannun.channels "
            "WHERE event_id = %s AND name = %s",
            minute,
            event,
            channel,
        )
        sums = ", ".join(f"{name} = {name} + {value}" for name, value in counts.items())
        self.rows(f"UPDATE public.channel_stats SET {sums} WHERE event_id = %s AND channel_name = %s", event, channel)
        engagement = sum(counts.get(name, 0) for name in ("likes", "comments", "shares", "clicks"))
        self.rows(
            "INSERT INTO public.timeline_data AS t (event_id, timestamp, views, engagement, conversions) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (event_id, timestamp) DO UPDATE SET "
            "views = t.views + excluded.views, engagement = t.engagement + excluded.engagement, "
            "conversions = t.conversions + excluded.conversions",
            event,
            minute,
            counts.get("views", 0),
            engagement,
            counts.get("conversions", 0),
        )
        self.rows(
            "UPDATE hannun.events SET cumulative_owed_from = least(cumulative_owed_from, %s) WHERE event_id = %s",
            minute,
            event,
        )
        self.sum_views(event)

    def sum_views(self, event: str) -> None:
        """An event's views are the sum of its channels'."""
        self.rows(
            "UPDATE public.event_stats s SET total_views = "
            "(SELECT sum(views) FROM public.channel_stats c WHERE c.event_id = s.event_id) WHERE event_id = %s",
            event,
        )

    def restart(self) -> None:
        """Forget all that the counting side remembers."""
        self.counter = self.counter_on(self.database)

    def use_decoder_for(self, conn: Connection) -> None:
        """From here on messages are decoded under the key of the database behind this connection."""
        self.decoder = Decoder(Rules(participant_key(conn), load_table()))

    def another_database(self) -> Database:
        """A second connection to write on, for a second thread."""
        self._others.append(Database(self.url, PoolLimits(wait_s=5), application="test-other"))
        return self._others[-1]

    def another_counter(self) -> BatchCounter:
        """A second counter on a connection of its own, for a second thread."""
        return self.counter_on(self.another_database())

    def counter_on(self, database: Database, invalidator: Invalidates | None = None) -> BatchCounter:
        """A counter that delivers each invalidation at once, to this world's Redis or to another `invalidator`."""
        return BatchCounter(database, self.decoder, DirectDelivery(database, invalidator or self.invalidator))

    def next_number(self) -> int:
        """A number that was not given before."""
        return next(self._ids)

    def delivers_pending(self) -> int:
        return deliver_pending(self.database, self.invalidator, older_than_s=0)

    # -- values

    def drift(self) -> list[Drift]:
        """What reconcile finds: nothing, if all is well."""
        with connect(self.url, application="test-reconcile") as conn:
            return list(reconcile(conn, lambda _: None))

    def rows(self, query: str, *arguments: Any) -> list[Row]:
        """Rows as the owner sees them; also runs statements that tamper."""
        with self.shared_connection() as conn:
            cursor = conn.execute(query, arguments or None)  # type: ignore[arg-type]
            return [Row(row) for row in cursor.fetchall()] if cursor.description else []

    @contextmanager
    def shared_connection(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """A connection of the owner's; inside the block all looking goes over this one, for tests that look often."""
        if self._shared_connection is not None:
            yield self._shared_connection
            return
        with psycopg.connect(self.owner_url, autocommit=True, row_factory=dict_row) as conn:
            self._shared_connection = conn
            try:
                yield conn
            finally:
                self._shared_connection = None

    def event_stats(self, event: str = SPRING) -> Row | None:
        """The row of event_stats."""
        rows = self.rows("SELECT * FROM public.event_stats WHERE event_id = %s", event)
        return rows[0] if rows else None

    def channel_stats(self, event: str = SPRING) -> dict[str, Row]:
        """The rows of channel_stats by channel."""
        rows = self.rows("SELECT * FROM public.channel_stats WHERE event_id = %s", event)
        return {row.channel_name: row for row in rows}

    def timeline(self, event: str = SPRING) -> list[Row]:
        return self.rows("SELECT * FROM public.timeline_data WHERE event_id = %s ORDER BY timestamp", event)

    def event_row(self, event: str = SPRING) -> Row:
        """The row of hannun.events."""
        return self.rows("SELECT * FROM hannun.events WHERE event_id = %s", event)[0]

    def dead_letters(self) -> list[Row]:
        return self.rows("SELECT * FROM hannun.dead_letters ORDER BY dead_letter_no")

    def wait_for(self, what: str, found: Any, deadline_s: float = 20.0) -> Any:
        """What `found` returns as soon as it is true; a failure that says `what` after the deadline."""
        deadline = time.monotonic() + deadline_s
        while not (value := found()):
            assert time.monotonic() < deadline, f"waited {deadline_s} s for {what}"
            time.sleep(0.01)
        return value
