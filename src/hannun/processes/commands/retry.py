"""What `hannun dead-letters retry` needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from hannun.counting.batch_counter import BatchCounter
from hannun.domain.batch import RecordId
from hannun.domain.wire_formats import Decoder
from hannun.processes.writing import open_writing
from hannun.settings import Settings
from hannun.store.database import Database


@dataclass(frozen=True, slots=True)
class RetryServices:
    """What counts dead letters again."""

    database: Database
    decoder: Decoder
    counter: BatchCounter
    read_record: Callable[[RecordId], bytes | None]


@contextmanager
def open_retry(settings: Settings) -> Iterator[RetryServices]:
    """PostgreSQL and Redis, checked. Kafka is connected to only for a dead letter that came from there."""
    with open_writing(settings, "hannun-retry") as writing:
        yield RetryServices(
            writing.database(), writing.decoder, writing.direct_counter(), partial(read_record, settings)
        )


def read_record(settings: Settings, record: RecordId) -> bytes | None:
    """The value of a record in Kafka; None where the log no longer holds it."""
    from hannun.processes.commands.kafka import open_broker  # only for a dead letter that came from there

    return open_broker(settings).read_record(record)
