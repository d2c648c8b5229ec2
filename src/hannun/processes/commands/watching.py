"""Reads what `hannun watch` shows, again and again, each server in a thread of its own: one that hangs holds up neither
the others nor a key."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from hannun import deadlines
from hannun.cache import opening
from hannun.domain.positions import Partition
from hannun.errors import HannunError, OperatorError, StoreUnavailable
from hannun.flows.channel_status import Watched, watched
from hannun.flows.server_watch import DatabaseView, OperationsNow, RedisView, read_database, read_lag, read_redis
from hannun.kafka.address import KafkaAddress
from hannun.settings import Settings
from hannun.store.database import Connection, Database
from hannun.store.missing_right import missing_right
from hannun.store.version import check_version

EVERY_S = 1.0
LAG_EVERY_S = 5.0
READ_S_MAX = 5.0

T = TypeVar("T")


class InPostgres(NamedTuple):
    """What PostgreSQL holds: the refresh with its channels, and everything else."""

    refresh: Watched
    servers: DatabaseView


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """The newest result, None before the first; the one before it; and why the newest attempt failed, else None."""

    found: T | None = None
    before: T | None = None
    error: HannunError | None = None


class Reader(Generic[T]):
    """Reads at intervals, from `start` on. `latest` is what it knows. A read may take `read_s_max`."""

    def __init__(self, name: str, read: Callable[[], T], every_s: float, read_s_max: float = READ_S_MAX) -> None:
        self._name = name
        self._read = read
        self._every_s = every_s
        self._read_s_max = read_s_max
        self._ended = threading.Event()
        self.latest: Reading[T] = Reading()

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"watch {self._name}", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def read(self) -> Reading[T]:
        """Read now."""
        before = self.latest.found
        try:
            with deadlines.within(self._read_s_max):
                self.latest = Reading(self._read(), before)
        except HannunError as error:
            self.latest = Reading(before, None, error)
        except Exception as error:  # otherwise the thread would end, and the screen would stand still
            self.latest = Reading(before, None, missing_right(error) or _defect(self._name, error))
        return self.latest

    def _run(self) -> None:
        while not self._ended.is_set():
            self.read()
            self._ended.wait(self._every_s)


def _defect(name: str, error: Exception) -> OperatorError:
    return OperatorError(f"cannot read {name}: {type(error).__name__}: {error}", hint="report this")


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of all servers; `lag` is None where no setting says where Kafka is."""

    postgres: Reader[InPostgres]
    redis: Reader[RedisView]
    lag: Reader[Mapping[Partition, int]] | None

    def all(self) -> "list[Reader[InPostgres] | Reader[RedisView] | Reader[Mapping[Partition, int]]]":
        return [self.postgres, self.redis, *([] if self.lag is None else [self.lag])]

    def start(self) -> None:
        """Read at intervals from now on."""
        for reader in self.all():
            reader.start()

    def read(self) -> None:
        """Read all of them once, at the same time."""
        threads = [threading.Thread(target=reader.read, daemon=True) for reader in self.all()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@contextmanager
def open_readers(settings: Settings, read_s_max: float = READ_S_MAX) -> Iterator[Readers]:
    """The readers, which need not reach a server yet. A read may take `read_s_max`.

    Raises:
        OperatorError: a setting is missing, or cannot be used.
    """
    url = settings.service_url
    kafka = settings.kafka if settings.kafka_bootstrap_servers else None

    def open_database(stack: ExitStack, application: str) -> Database:
        database = Database(url, settings.pool, application=application)
        stack.callback(database.close)
        stack.callback(database.end)  # first: a read that hangs ends, and none begins
        return database

    def read_postgres(conn: Connection) -> InPostgres:
        check_version(conn)
        return InPostgres(watched(conn, settings.stale_after), read_database(conn))

    with ExitStack() as stack:
        inspector = opening.server_inspector(settings.redis)
        stack.callback(inspector.close)
        database = open_database(stack, "hannun-watch")
        lag: Reader[Mapping[Partition, int]] | None = None
        if kafka is not None:
            of_lag = open_database(stack, "hannun-watch-lag")
            lag = Reader("Kafka", partial(_lag, of_lag, kafka), LAG_EVERY_S, read_s_max)
        readers = Readers(
            Reader("PostgreSQL", lambda: database.run(read_postgres), EVERY_S, read_s_max),
            Reader("Redis", lambda: read_redis(inspector), EVERY_S, read_s_max),
            lag,
        )
        for reader in readers.all():
            stack.callback(reader.end)
        yield readers


def _lag(database: Database, kafka: KafkaAddress) -> Mapping[Partition, int]:
    from hannun.kafka.broker import Broker  # only where Kafka is read

    return read_lag(database, Broker(kafka))


def operations_now(readers: Readers) -> OperationsNow:
    """Read everything now.

    Raises:
        HannunError: PostgreSQL cannot be read. What is not read of Redis and Kafka is left out.
    """
    readers.read()
    postgres, redis, lag = (
        readers.postgres.latest,
        readers.redis.latest,
        None if readers.lag is None else readers.lag.latest,
    )
    if postgres.found is None or postgres.error is not None:
        raise postgres.error or StoreUnavailable("PostgreSQL was not read")
    others = {"redis": redis.error, "kafka": lag.error if lag else None}
    return OperationsNow(
        postgres.found.refresh.status,
        postgres.found.servers,
        None if postgres.before is None else postgres.before.servers,
        None if redis.error else redis.found,
        None if redis.error else redis.before,
        None if lag is None or lag.error else lag.found,
        {name: str(error.args[0]) for name, error in others.items() if error is not None},
    )
