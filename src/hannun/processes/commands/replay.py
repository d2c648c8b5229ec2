"""What `hannun replay` needs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from hannun.counting import outbox_relay
from hannun.counting.batch_counter import BatchCounter
from hannun.counting.outbox_relay import DirectDelivery
from hannun.domain.batch import ChangedEvent
from hannun.domain.quarantine import Quarantine
from hannun.domain.replay import Progress
from hannun.flows.replay.live import LiveReplay
from hannun.flows.replay.recount import Recount
from hannun.flows.replay.shadow import ShadowReplay, check_shadow
from hannun.kafka.log_reader import LogReader
from hannun.processes.amounts import amounts
from hannun.processes.background import freeze_garbage_collector
from hannun.processes.commands.database import owner_url
from hannun.processes.commands.kafka import open_broker
from hannun.processes.writing import Writing, open_writing, quarantine_limits
from hannun.settings import Settings
from hannun.store.database import Database
from hannun.store.shadow import Shadow

REPLAY = "hannun-replay"
"""The application name of a replay in `pg_stat_activity`."""


@contextmanager
def open_live_replay(
    settings: Settings, progress: Callable[[Progress], None], stop: threading.Event, by: str
) -> Iterator[LiveReplay]:
    """A replay into the live tables, with PostgreSQL, Redis and Kafka checked."""
    with open_writing(settings, REPLAY) as writing:
        recount = _recount(settings, progress, stop, by)
        freeze_garbage_collector()
        quarantine = Quarantine(quarantine_limits(settings))
        yield LiveReplay(recount, writing.database(), writing.direct_counter(), quarantine)


@dataclass(frozen=True, slots=True)
class ShadowServices:
    """A replay into the shadow, and what delivers the pending invalidations of the live database."""

    replay: ShadowReplay
    deliver_pending: Callable[[], object]


@contextmanager
def open_shadow_replay(
    settings: Settings,
    progress: Callable[[Progress], None],
    stop: threading.Event,
    by: str,
    *,
    must_exist: bool = False,
) -> Iterator[ShadowServices]:
    """A replay into the shadow, with PostgreSQL, Redis and Kafka checked.

    Args:
        must_exist: refuse where there is no shadow that can be compared.
    """
    shadow = shadow_of(settings)
    if must_exist:
        check_shadow(shadow)
    with open_writing(settings, REPLAY) as writing, ExitStack() as stack:
        recount = _recount(settings, progress, stop, by)
        database = Database(shadow.url, settings.pool, application=REPLAY, amounts=amounts(settings))
        stack.callback(database.close)
        delivery = DirectDelivery(database, NoCache())
        counter = BatchCounter(database, writing.decoder, delivery, key_ring=writing.key_ring)
        live = writing.database()
        freeze_garbage_collector()
        yield ShadowServices(
            ShadowReplay(recount, shadow, database, counter, list(settings.topics)),
            partial(_deliver_all_pending, writing, live),
        )


def shadow_of(settings: Settings) -> Shadow:
    """The shadow of the live database, whether it exists or not."""
    return Shadow(owner_url(settings), settings.service_url, amounts(settings))


def _recount(settings: Settings, progress: Callable[[Progress], None], stop: threading.Event, by: str) -> Recount:
    return Recount(
        open_broker(settings),
        partial(LogReader, settings.kafka, settings.topics),
        progress,
        stop,
        by,
        count_max=settings.batch_messages_max,
        wait_s=settings.batch_wait_s,
    )


def _deliver_all_pending(writing: Writing, database: Database) -> int:
    return outbox_relay.deliver_pending(database, writing.invalidator, older_than_s=0)


class NoCache:
    """The invalidator of the shadow: no cached answer is made of it."""

    def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
        return True
