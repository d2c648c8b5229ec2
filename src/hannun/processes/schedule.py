"""Opens and closes the timed jobs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

from hannun.cache import AnswerCache
from hannun.errors import OperatorError
from hannun.flows import maintenance, partitions
from hannun.flows.cache_consistency import ConsistencyChecker
from hannun.flows.dead_letter_publishing import publish_letters
from hannun.flows.report import Reports
from hannun.flows.timeline_rollup import RollUpRounds
from hannun.kafka.publisher import Publisher
from hannun.processes.background import (
    beside,
    running,
    serving_metrics,
)
from hannun.processes.writing import channel_table, open_writing, paying_old_debts, telling_gauges
from hannun.settings import Settings
from hannun.store.database import Database, ReadPool


@contextmanager
def open_schedule(settings: Settings) -> Iterator[None]:
    """The timed jobs, running until the block ends."""
    with open_writing(settings, "hannun-schedule") as writing, ExitStack() as stack:
        months_ahead, kept = settings.months_ahead, writing.database
        # name, seconds between two runs, what is done, each on a connection of its own
        jobs: list[tuple[str, float, Callable[[Database], object]]] = [
            ("settle timelines", 20.0, RollUpRounds().run_once),
            ("attribute typed waiters", 20.0, maintenance.attribute_untyped_participants),
            ("note waiting events", 300.0, maintenance.log_uncreated_events),
            (
                "months ahead",
                3_600.0,
                lambda db: partitions.create_months_ahead(db, _today(), ahead=months_ahead),
            ),
        ]
        if settings.dead_letter_topic:
            jobs.append(("publish dead letters", 5.0, partial(publish_letters, publisher=_publisher(settings))))
        stack.enter_context(paying_old_debts(writing))
        stack.enter_context(telling_gauges(writing))
        stack.enter_context(serving_metrics(settings.schedule_metrics_port))
        for name, every_s, job in jobs:
            stack.enter_context(running(name, every_s, partial(job, kept())))
        if settings.consistency_samples_a_second > 0:
            stack.enter_context(beside("hold the cache against the database", partial(hold_cache, settings)))
        yield


def hold_cache(settings: Settings, stop: threading.Event) -> None:
    """Hold the cache against the database until told to stop."""
    asyncio.run(_hold_cache(settings, stop))


async def _hold_cache(settings: Settings, stop: threading.Event) -> None:
    limits = replace(settings.pool, size_max=2, size_min=1)
    reader = ReadPool(settings.needed("database_url"), limits, application="hannun-schedule-read")
    cache = AnswerCache(settings.redis, lifetime_s=settings.answer_lifetime_s, timeout_s=settings.redis_read_wait_s)
    reports = Reports(reader, cache, lambda: datetime.now(UTC), channel_table(settings))
    consistency = ConsistencyChecker(
        cache.announcements,
        reports.kept,
        reports.rebuilt,
        samples_a_second=settings.consistency_samples_a_second,
    )
    await reader.open()
    await cache.open()
    checking = asyncio.create_task(consistency.run())
    told_to_stop = asyncio.create_task(asyncio.to_thread(stop.wait))
    try:
        await asyncio.wait({checking, told_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            checking.result()  # it has failed
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        await cache.close()
        await reader.close()


def _publisher(settings: Settings) -> Publisher:
    """What publishes dead letters. Kafka may be away: the letters wait in their table.

    Raises:
        OperatorError: they would be read as messages.
    """
    topic = settings.dead_letter_topic
    if topic in settings.topics:
        raise OperatorError(
            f"HANNUN_DEAD_LETTER_TOPIC is {topic}, which holds messages: each letter would become another",
            hint="name a topic of its own",
        )
    return Publisher(settings.needed("kafka_bootstrap_servers"), topic)


def _today() -> date:
    return datetime.now(UTC).date()
