"""What the checks examine: the servers, and what the settings say that the system should be like."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from hannun.cache.server_statistics import ServerInspector
from hannun.domain.findings import Finding
from hannun.service_bus.inspection import QueueInspector
from hannun.store.database import Connection, Database

if TYPE_CHECKING:
    from hannun.kafka.broker import Broker

CHECK_S_MAX: Final = 2.0
"""How long one check may take."""

Group = Literal["postgresql", "pages", "redis", "kafka", "service-bus", "replica"]
"""Checks of one group run one after the other, in a thread of their own: a server that hangs delays no other group."""


class Skipped(Exception):
    """What a check examines is not set up here; the text says why, with names in braces for `values`."""

    def __init__(self, reason: str, **values: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.values = values


@dataclass(frozen=True, slots=True)
class Expected:
    """What the settings say that the system should be like, and from when on something counts as trouble.

    Args:
        pool_size_max: connections of the pool of one `serve`; its readers are busy after `busy_s`.
        folders: what the folders are for whose disks the doctor watches, and their paths.
        database_bytes_max: the room for the database; 0 where nobody has said.
        backups: the kinds of backups that `schedule` makes, as `backup-logical`.
        call_limits: seconds for the next piece of a response, and for a whole call, by a channel's key.
        changed_rows_min: so many changed rows of a table, and 30 % of it, make its statistics stale.
    """

    months_ahead: int = 3
    pool_size_max: int = 20
    busy_s: float = 1.0
    lock_waited_s: float = 2.0
    folders: Mapping[str, str] = field(default_factory=dict)
    database_bytes_max: int = 0
    slot_bytes_max: int = 1_000_000_000
    changed_rows_min: int = 10_000
    dead_letters_an_hour_max: int = 100
    invalidation_late_s: float = 60.0
    backups: Collection[str] = ()
    answer_lifetime_s: float = 3_600.0
    refresh_period_s: float = 300.0
    topics: Collection[str] = ()
    lag_s_max: float = 120.0
    call_limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def stale_after(self) -> timedelta:
        """How long a measurement is good: two periods of the refresh."""
        return timedelta(seconds=2 * self.refresh_period_s)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are.

    Args:
        database: opens the database of a group: one connection, whose statements end after `CHECK_S_MAX`.
        connect: opens one connection and closes it. It raises what an operator can correct.
        broker: opens the broker; None where no setting says where it is.
        queues: looks at the queues of Service Bus; None where no setting says where it is.
        reads_kafka: Kafka is a source.
        check_replica: raises why the replica cannot be read, given a connection to the primary; None where no setting
            says where it is.
    """

    database: Callable[[], Database]
    connect: Callable[[], None]
    redis: ServerInspector
    broker: "Callable[[], Broker] | None"
    queues: QueueInspector | None = None
    reads_kafka: bool = True
    check_replica: Callable[[Connection], None] | None = None


@dataclass
class Examined:
    """What one check sees.

    Args:
        database: of its group. `conn` is a transaction on it.
        now: this machine's clock.
        watched_since: since when a process watches: it counts as the end of a round of the refresh.
    """

    servers: Servers
    expected: Expected
    database: Database
    stack: ExitStack
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    watched_since: datetime | None = None

    @cached_property
    def conn(self) -> Connection:
        """A read-only transaction, of the service's role.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        conn = self.stack.enter_context(self.database.transaction())
        conn.execute("SET TRANSACTION READ ONLY")
        return conn

    @property
    def redis(self) -> ServerInspector:
        return self.servers.redis

    @cached_property
    def broker(self) -> "Broker":
        """
        Raises:
            Skipped: no setting says where Kafka is, or another source is counted.
        """
        if not self.servers.reads_kafka:
            raise Skipped("HANNUN_INGEST_SOURCE is servicebus, so nothing is counted from Kafka")
        if self.servers.broker is None:
            raise Skipped("KAFKA_BOOTSTRAP_SERVERS is not set")
        return self.servers.broker()

    @property
    def queues(self) -> QueueInspector:
        """
        Raises:
            Skipped: no setting says where Service Bus is.
        """
        if self.servers.queues is None:
            raise Skipped("neither HANNUN_SERVICE_BUS_CONNECTION_STRING nor HANNUN_SERVICE_BUS_NAMESPACE is set")
        return self.servers.queues


@dataclass(frozen=True, slots=True)
class Check:
    """A named check.

    Args:
        in_health: `serve` runs it every 10 s for its health report, so it takes some milliseconds.
    """

    name: str
    group: Group
    run: Callable[[Examined], Iterable[Finding]]
    in_health: bool = False
