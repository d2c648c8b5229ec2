"""The process `ingest`: the workers of a source, Kafka or Service Bus, and their timed jobs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Protocol

from hannun.counting.outbox_relay import Delivers
from hannun.counting.sources import SourceWorker, run_workers
from hannun.processes import jobs
from hannun.processes.background import (
    TRANSACTIONS_STOP_S_MAX,
    freeze_garbage_collector,
    run_jobs,
    shorten_thread_switch_interval,
)
from hannun.processes.kafka_source import KafkaSource
from hannun.processes.metrics_endpoint import metrics_endpoint
from hannun.processes.service_bus_source import ServiceBusSource
from hannun.processes.signals import stop_on_signal
from hannun.processes.tracing import tracing_to_collector
from hannun.processes.writing import Writing, open_writing
from hannun.scheduler import Job
from hannun.settings import Settings
from hannun.telemetry import log


class Source(Protocol):
    """Where messages come from, opened and checked."""

    def workers(self, writing: Writing, delivery: Delivers) -> Sequence[SourceWorker]:
        """What receives and counts, each with connections of its own."""

    def jobs(self, writing: Writing) -> Sequence[Job]:
        """The timed jobs beside the workers."""


def run(settings: Settings) -> None:
    """Count what the source holds until a signal stops the process.

    Raises:
        Transient: the source's client has failed for good.
    """
    with tracing_to_collector(settings, "hannun-ingest"):
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    with stop_on_signal() as stop:
        async with open_ingesting(settings) as workers:
            log.info("ingest runs", source=settings.ingest_source, topics=sorted(settings.topics))
            await asyncio.to_thread(
                run_workers, workers, stop, count_max=settings.batch_messages_max, wait_s=settings.batch_wait_s
            )
    log.info("ingest ended well")


@asynccontextmanager
async def open_ingesting(settings: Settings) -> AsyncIterator[Sequence[SourceWorker]]:
    """The workers of this process, with the source, PostgreSQL and Redis checked.

    Raises:
        Transient: one of them cannot be reached now.
        OperatorError: one of them is not as it must be, with what to do.
    """
    async with AsyncExitStack() as stack:
        writing = stack.enter_context(open_writing(settings, "hannun-ingest"))
        source = _open_source(settings, stack.enter_context(ExitStack()))
        await stack.enter_async_context(
            metrics_endpoint(settings.metrics_port, settings.page_requests_a_minute, host=settings.metrics_host)
        )
        relay = stack.enter_context(writing.relaying())
        freeze_garbage_collector()
        shorten_thread_switch_interval()
        workers = source.workers(writing, relay)
        await stack.enter_async_context(run_jobs(jobs.deliver_pending_invalidations(writing), *source.jobs(writing)))
        stack.callback(writing.end_transactions_after, TRANSACTIONS_STOP_S_MAX)
        yield workers


def _open_source(settings: Settings, stack: ExitStack) -> Source:
    if settings.ingest_source == "servicebus":
        return ServiceBusSource(settings)
    return KafkaSource(settings, stack)
