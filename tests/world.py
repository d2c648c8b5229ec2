"""`World`: the counting side of the service on real servers, with defaults for everything that a test does not name.

Its methods make messages, count them, and read what the database then holds.
"""

import itertools
import json
import math
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import psycopg
from polling import wait_for
from prometheus_client import generate_latest
from psycopg.rows import dict_row

from hannun.cache import RedisAddress, opening
from hannun.counting.batch_counter import BatchCounter
from hannun.counting.measurement_counter import MeasurementCounter
from hannun.counting.outbox_relay import DirectDelivery, Invalidates, deliver_pending
from hannun.domain.batch import MessageOutcome, OffsetRange, ReceivedMessage, RecordId
from hannun.domain.channel_totals import checked
from hannun.domain.channels import folded, load_table
from hannun.domain.measurements import Measurement, MeasurementResult, PieceResult
from hannun.domain.rounds import WorkToken
from hannun.domain.wire_formats import Decoder, Rules
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import Transient
from hannun.flows.reconcile import reconcile
from hannun.flows.timeline_rollup import RollUpRounds
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.batches import participant_key
from hannun.store.database import Connection, Database, PoolLimits, connect
from hannun.store.migrate import migrate
from hannun.store.reconciliation import Drift
from hannun.store.roles import ROLES
from hannun.telemetry import REGISTRY

PASSWORD = "secret-of-a-test"
SPRING = "5b0c2f64-0000-4000-8000-000000000001"
OWNER = "0d1e8a52-0000-4000-8000-00000000000a"
NOW = "2026-11-23T12:00:00+09:00"
NOW_US = 1_795_402_800_000_000
NOTHING_PENDING = datetime(9999, 1, 1)
"""The roll-up watermark of an event without a pending roll-up."""
DATABASE_OWNER = "hannun_owner"
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def make_owner(server: PostgresServer) -> None:
    """Create the role that owns the databases of the tests."""
    with psycopg.connect(server.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {DATABASE_OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")


def make_database(server: PostgresServer, name: str) -> str:
    """Create a database and migrate it. Returns the owner's URL."""
    with psycopg.connect(server.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} OWNER {DATABASE_OWNER}")
    url = server.url(name, DATABASE_OWNER, PASSWORD)
    migrate(url, load_table(), dict.fromkeys(ROLES, PASSWORD))
    return url


def gauges(name: str) -> dict[str, float]:
    """The series of a gauge, by their labels in the text format."""
    lines = [line for line in generate_latest(REGISTRY).decode().splitlines() if line.startswith(name)]
    return {line.removeprefix(name).rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@dataclass(frozen=True)
class Row:
    """A row of a table, with its columns as attributes."""

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
        self.amounts = WITHOUT_KEYS
        self._ids = itertools.count(1)
        self._others: list[Database] = []
        self._owner_connection: psycopg.Connection[dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        self.database = Database(self.url, PoolLimits(wait_s=5), application="test", amounts=self.amounts)
        self.invalidator = opening.invalidator(self.redis)
        with self.database.transaction() as conn:
            self.use_decoder_for(conn)
        self.counter = self.counter_on(self.database)
        self.measurement_counter = self.measurement_counter_on(self.database)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.invalidator.close()
        for other in self._others:
            other.close()
        self.database.close()
        if self._owner_connection is not None:
            self._owner_connection.close()

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
        self,
        participant: str | None = None,
        event: str = SPRING,
        *,
        at: str = "2026-11-20T10:00:30+09:00",
        **fields: Any,
    ) -> ReceivedMessage:
        return self.message(
            "participant-registered", event, participantId=participant or str(uuid.uuid4()), registeredAt=at, **fields
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

    # -- counting

    def count(self, *messages: ReceivedMessage) -> list[MessageOutcome]:
        """Count messages as one batch, as over HTTP."""
        return self.counter.count(messages).outcomes()

    def count_with_retries(self, *messages: ReceivedMessage, rounds: int = 3) -> list[MessageOutcome]:
        """Count messages as the consumer does, which retries the same batch after a transient error."""
        for _ in range(rounds - 1):
            try:
                return self.count(*messages)
            except Transient:
                continue
        return self.count(*messages)

    def roll_up(self) -> int:
        """Write all pending roll-ups. Returns the number of rows that changed."""
        return RollUpRounds(round_s=math.inf).run_once(self.database)

    def count_range(self, messages: Sequence[ReceivedMessage], span: OffsetRange) -> list[MessageOutcome]:
        """Count messages that cover this range of offsets of a Kafka partition."""
        return self.counter.count(messages, [span]).outcomes()

    def at_offset(
        self, message: ReceivedMessage, offset: int, topic: str = "participant-registered", partition: int = 0
    ) -> ReceivedMessage:
        """The message as a record with this offset."""
        return message._replace(record_id=RecordId(topic, "topic-id", partition, offset))

    def record_measurement(self, event: str, channel: str, minute: str, counts: dict[str, int]) -> None:
        """Write the increments that a channel reported, and every aggregate that follows from them."""
        self.rows("SELECT hannun.make_timeline_month(%s::date)", minute)
        names, values = list(counts), list(counts.values())
        self.rows(
            f"INSERT INTO hannun.increments (event_no, channel_no, minute, {', '.join(names)}) "
            f"SELECT event_no, channel_no, %s, {', '.join(map(str, values))} FROM hannun.events, hannun.channels "
            "WHERE event_id = %s AND name = %s",
            minute,
            event,
            channel,
        )
        self._add_to_totals(event, channel, minute, counts)
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
            "INSERT INTO hannun.timeline_months (event_no, month) SELECT event_no, date_trunc('month', %s::timestamp) "
            "FROM hannun.events WHERE event_id = %s ON CONFLICT DO NOTHING",
            minute,
            event,
        )
        self.rows(
            "UPDATE hannun.events SET cumulative_owed_from = least(cumulative_owed_from, %s) WHERE event_id = %s",
            minute,
            event,
        )
        self.sum_views(event)

    def _add_to_totals(self, event: str, channel: str, measured_at: str, counts: dict[str, int]) -> None:
        """Add counts to the totals that a channel has measured."""
        sums = ", ".join(f"{name} = coalesce(m.{name}, 0) + excluded.{name}" for name in counts)
        self.rows(
            f"INSERT INTO hannun.channel_measurements AS m (event_no, channel_no, measured_at, polled_at, "
            f"{', '.join(counts)}) SELECT event_no, channel_no, %s, %s, {', '.join(map(str, counts.values()))} "
            "FROM hannun.events, hannun.channels WHERE event_id = %s AND name = %s "
            f"ON CONFLICT (event_no, channel_no) DO UPDATE SET {sums}, "
            "measured_at = greatest(m.measured_at, excluded.measured_at), "
            "polled_at = greatest(m.polled_at, excluded.polled_at)",
            measured_at,
            measured_at,
            event,
            channel,
        )

    def sum_views(self, event: str) -> None:
        """Set an event's views to the sum of its channels' views."""
        self.rows(
            "UPDATE public.event_stats s SET total_views = "
            "(SELECT sum(views) FROM public.channel_stats c WHERE c.event_id = s.event_id) WHERE event_id = %s",
            event,
        )

    def measurement(
        self, channel: str = "NaverBlog", event: str = SPRING, *, at: str = "2026-11-20 10:00", **counts: Any
    ) -> Measurement:
        """What a channel says of an event: counts by name, or `failed` with the reason of a failed attempt.
        `imported`: people gave them."""
        failed, imported = counts.pop("failed", None), counts.pop("imported", False)
        return Measurement(event, folded(channel), failed or checked(counts), datetime.fromisoformat(at), imported)

    def measure(self, *measurements: Measurement, work: WorkToken | None = None) -> list[MeasurementResult]:
        """Record measurements in one transaction. Returns the result of each."""
        (results,) = self.measurement_counter.record([PieceResult(work, measurements)]).results
        assert results is not None, "another process has taken the piece"
        return list(results)

    def measured(self, channel: str = "NaverBlog", event: str = SPRING) -> Row:
        """The row of hannun.channel_measurements."""
        return self.rows(
            "SELECT m.* FROM hannun.channel_measurements m JOIN hannun.events USING (event_no) "
            "JOIN hannun.channels c USING (channel_no) WHERE event_id = %s AND c.name = %s",
            event,
            channel,
        )[0]

    def use_amounts(self, amounts: Amounts) -> None:
        """Read and write amounts with these keys from now on, as a process that was restarted with them."""
        self.amounts = amounts
        self._others.append(self.database)
        self.database = Database(self.url, PoolLimits(wait_s=5), application="test", amounts=amounts)
        self.counter = self.counter_on(self.database)
        self.measurement_counter = self.measurement_counter_on(self.database)

    def restart(self) -> None:
        """Replace the counter by a new one, whose caches are empty."""
        self.counter = self.counter_on(self.database)

    def use_decoder_for(self, conn: Connection) -> None:
        """Decode messages with the participant key of the database behind this connection from now on."""
        self.decoder = Decoder(Rules(participant_key(conn), load_table()))

    def another_database(self) -> Database:
        """Another connection pool for writing, for a second thread."""
        other = Database(self.url, PoolLimits(wait_s=5), application="test-other", amounts=self.amounts)
        self._others.append(other)
        return self._others[-1]

    def another_counter(self) -> BatchCounter:
        """Another counter with its own connections, for a second thread."""
        return self.counter_on(self.another_database())

    def counter_on(self, database: Database, invalidator: Invalidates | None = None) -> BatchCounter:
        """A counter that delivers each invalidation at once, to this world's Redis or to another `invalidator`."""
        return BatchCounter(database, self.decoder, DirectDelivery(database, invalidator or self.invalidator))

    def measurement_counter_on(self, database: Database) -> MeasurementCounter:
        """A counter of measurements that delivers each invalidation at once."""
        return MeasurementCounter(database, DirectDelivery(database, self.invalidator))

    def next_number(self) -> int:
        """A number that this method has not returned before."""
        return next(self._ids)

    def deliver_pending(self) -> int:
        """Deliver all pending invalidations. Returns their number."""
        return deliver_pending(self.database, self.invalidator, older_than_s=0)

    # -- what the database holds

    def drift(self) -> list[Drift]:
        """What reconcile finds. Empty if every figure is right."""
        with connect(self.url, application="test-reconcile", amounts=self.amounts) as conn:
            return list(reconcile(conn, lambda _: None))

    def rows(self, query: str, *arguments: Any) -> list[Row]:
        """Run a statement as the owner, and return its rows. It may also change or falsify data."""
        cursor = self._as_owner().execute(query, arguments or None)  # type: ignore[arg-type]
        return [Row(row) for row in cursor.fetchall()] if cursor.description is not None else []

    @contextmanager
    def owner_connection(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """The owner's connection, which stays open after the block."""
        yield self._as_owner()

    def _as_owner(self) -> psycopg.Connection[dict[str, Any]]:
        """The owner's connection, opened again where a test has ended it."""
        conn = self._owner_connection
        if conn is not None:
            try:
                conn.execute("SELECT 1")
            except psycopg.OperationalError:
                conn.close()
            else:
                return conn
        # Without prepared statements: a test may change the columns of a table between two equal queries.
        self._owner_connection = psycopg.connect(
            self.owner_url, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )
        return self._owner_connection

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

    wait_for = staticmethod(wait_for)
