"""Reads what `hannun watch` shows, again and again, each server in a thread of its own: one that hangs holds up neither
the others nor a key."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from hannun import deadlines
from hannun.cache.server_statistics import ServerInspector
from hannun.domain.positions import Partition
from hannun.errors import HannunError, OperatorError
from hannun.flows.channel_status import Watched, watched
from hannun.flows.server_watch import DatabaseView, RedisView, read_database, read_lag, read_redis
from hannun.kafka.broker import Broker
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
    """Reads at intervals, from `start` on. `latest` is what it knows."""

    def __init__(self, name: str, read: Callable[[], T], every_s: float) -> None:
        self._name = name
        self._read = read
        self._every_s = every_s
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
            with deadlines.within(READ_S_MAX):
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
def open_readers(settings: Settings) -> Iterator[Readers]:
    """The readers, which need not reach a server yet.

    Raises:
        OperatorError: a setting is missing, or cannot be used.
    """
    url, bootstrap = settings.needed("database_url"), settings.kafka_bootstrap_servers

    def open_database(stack: ExitStack, application: str) -> Database:
        database = Database(url, settings.pool, application=application)
        stack.callback(database.close)
        stack.callback(database.end)  # first: a read that hangs ends, and none begins
        return database

    def read_postgres(conn: Connection) -> InPostgres:
        check_version(conn)
        return InPostgres(watched(conn, settings.stale_after), read_database(conn))

    with ExitStack() as stack:
        inspector = ServerInspector(settings.redis)
        stack.callback(inspector.close)
        database = open_database(stack, "hannun-watch")
        lag: Reader[Mapping[Partition, int]] | None = None
        if bootstrap:
            of_lag = open_database(stack, "hannun-watch-lag")
            lag = Reader("Kafka", partial(_lag, of_lag, bootstrap), LAG_EVERY_S)
        readers = Readers(
            Reader("PostgreSQL", lambda: database.run(read_postgres), EVERY_S),
            Reader("Redis", lambda: read_redis(inspector), EVERY_S),
            lag,
        )
        for reader in readers.all():
            stack.callback(reader.end)
        yield readers


def _lag(database: Database, bootstrap: str) -> Mapping[Partition, int]:
    return read_lag(database, Broker(bootstrap))
