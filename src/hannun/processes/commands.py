"""Opens everything, in order, and closes it in reverse, also when the third thing fails to open.

The only module that turns settings into services, and the one that holds the table of timed jobs. Constructors do no
I/O; what can be checked is checked here, so that a process dies early and says why.
"""

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from hannun.counting import outbox_relay
from hannun.counting.batch_counter import BatchCounter
from hannun.counting.outbox_relay import DirectDelivery
from hannun.domain.batch import ChangedEvent, RecordId
from hannun.domain.wire_formats import Decoder
from hannun.flows import health_checks
from hannun.flows.export import Exports
from hannun.flows.replay.recount import Replay, Tells
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import DirectReader
from hannun.kafka.broker import Broker
from hannun.kafka.log_reader import LogReader
from hannun.processes.background import freeze_garbage_collector
from hannun.processes.writing import channel_table, open_writing
from hannun.settings import Settings
from hannun.store.database import Database, ReadPool, connect
from hannun.store.shadow import Shadow

# -- what every writer needs ---------------------------------------------------------------------------------------


# -- serve ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_exporting(settings: Settings) -> AsyncIterator[tuple[Reports, Exports]]:
    """What it takes to make a file by a command: PostgreSQL, checked, and no cache.

    Raises:
        OperatorError: PostgreSQL is not there or not as it must be, with what to do.
    """
    url = settings.needed("database_url")
    with connect(url, application="hannun-export") as conn:
        health_checks.check_database(conn)
    reader = ReadPool(url, replace(settings.pool, size_max=1, size_min=1), application="hannun-export")
    await reader.open()
    try:
        reports = Reports(reader, DirectReader(), lambda: datetime.now(UTC), channel_table(settings))
        yield reports, Exports(at_once=1)
    finally:
        await reader.close()


# -- ingest --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retrying:
    """What it takes to take dead letters up again."""

    database: Database
    decoder: Decoder
    counter: BatchCounter
    read_again: Callable[[RecordId], bytes | None]


@contextmanager
def open_retrying(settings: Settings) -> Iterator[Retrying]:
    """PostgreSQL and Redis, checked; Kafka only when a letter came from there."""
    with open_writing(settings, "hannun-retry") as writing:

        def read_again(place: RecordId) -> bytes | None:
            broker = Broker(settings.needed("kafka_bootstrap_servers"))
            broker.check([])
            return broker.read_record(place)

        counter = writing.direct_counter()
        yield Retrying(writing.database(), writing.decoder, counter, read_again)


class Replaying(NamedTuple):
    """What it takes to count again what the logs hold."""

    database: Database
    counter: BatchCounter
    replay: Replay
    shadow: Shadow
    count_shadow: Callable[[], tuple[Database, BatchCounter]]
    pay_debts: Callable[[], object]


@contextmanager
def open_replaying(settings: Settings, tells: Tells, stop: threading.Event, by: str) -> Iterator[Replaying]:
    """PostgreSQL, Redis and Kafka, checked."""
    bootstrap = settings.needed("kafka_bootstrap_servers")
    with open_writing(settings, "hannun-replay") as writing, ExitStack() as stack:
        broker = Broker(bootstrap)
        broker.check(settings.topics)
        shadow = open_shadow(settings)

        def count_shadow() -> tuple[Database, BatchCounter]:
            database = Database(shadow.url, settings.pool, application="hannun-replay")
            stack.callback(database.close)
            return database, BatchCounter(database, writing.decoder, DirectDelivery(database, NoCache()))

        database = writing.database()
        freeze_garbage_collector()
        yield Replaying(
            database,
            writing.direct_counter(),
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
            lambda: outbox_relay.deliver_pending(database, writing.invalidator, older_than_s=0),
        )


def open_shadow(settings: Settings) -> Shadow:
    """The database beside the live one, whether it is there or not."""
    service = settings.needed("database_url")
    return Shadow(settings.owner_database_url.get_secret_value() or service, service)


class NoCache:
    """Nobody reads the shadow through a cache: there is nothing to tell."""

    def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
        return True


# -- timed jobs ----------------------------------------------------------------------------------------------------
