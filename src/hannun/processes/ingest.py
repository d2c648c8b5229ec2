"""The process `ingest`: the workers of Kafka ingestion, and their timed jobs."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from hannun.domain.facts import Kind
from hannun.flows import consumer_lag
from hannun.flows.kafka_ingestion import IngestionWorker, run_workers
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.processes import jobs
from hannun.processes.background import (
    TRANSACTIONS_STOP_S_MAX,
    freeze_garbage_collector,
    run_jobs,
    shorten_thread_switch_interval,
)
from hannun.processes.metrics_endpoint import metrics_endpoint
from hannun.processes.signals import stop_on_signal
from hannun.processes.tracing import tracing_to_collector
from hannun.processes.writing import open_writing, quarantine_limits
from hannun.settings import Settings
from hannun.telemetry import log


def run(settings: Settings) -> None:
    """Count what the topics hold, as a member of the group, until a signal stops the process.

    Raises:
        KafkaUnavailable: the Kafka client of a worker has failed for good.
    """
    with tracing_to_collector(settings, "hannun-ingest"):
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    with stop_on_signal() as stop:
        async with open_ingesting(settings) as workers:
            log.info("ingest runs", topics=sorted(settings.topics))
            await asyncio.to_thread(
                run_workers, workers, stop, count_max=settings.batch_messages_max, wait_s=settings.batch_wait_s
            )
    log.info("ingest ended well")


@asynccontextmanager
async def open_ingesting(settings: Settings) -> AsyncIterator[Sequence[IngestionWorker]]:
    """The workers of this process, with Kafka, PostgreSQL and Redis checked and the consumer group joined.

    Raises:
        Transient: one of them cannot be reached now.
        OperatorError: one of them is not as it must be, with what to do.
    """
    bootstrap = settings.needed("kafka_bootstrap_servers")
    async with AsyncExitStack() as stack:
        writing = stack.enter_context(open_writing(settings, "hannun-ingest"))
        broker = Broker(bootstrap)
        broker.check()
        consumers = [
            GroupConsumer(bootstrap, settings.kafka_group, topics, _protocol(settings))
            for topics in _topics_by_worker(settings)
        ]
        for consumer in consumers:
            consumer.open()
            stack.callback(consumer.close)
        await stack.enter_async_context(metrics_endpoint(settings.metrics_port, settings.page_requests_a_minute))
        relay = stack.enter_context(writing.relaying())
        freeze_garbage_collector()
        shorten_thread_switch_interval()
        workers = [
            IngestionWorker(
                consumer,
                broker,
                writing.database(),
                writing.counter("kafka", relay),
                owner=f"{socket.gethostname()}/{os.getpid()}",
                start_from=settings.start_from,
                limits=quarantine_limits(settings),
            )
            for consumer in consumers
        ]
        measure_lag = jobs.on_database(
            "measure-lag",
            jobs.GAUGES_EVERY_S,
            writing.database("-gauges"),
            lambda database, _: consumer_lag.measure([worker.positions for worker in workers], database, broker),
        )
        await stack.enter_async_context(run_jobs(jobs.deliver_pending_invalidations(writing), measure_lag))
        stack.callback(writing.end_transactions_after, TRANSACTIONS_STOP_S_MAX)
        yield workers


def _topics_by_worker(settings: Settings) -> list[dict[str, str]]:
    """The topics of registrations for one worker, and all others for another."""
    busy = {topic: kind for topic, kind in settings.topics.items() if kind == Kind.PARTICIPANT_REGISTERED}
    others = {topic: kind for topic, kind in settings.topics.items() if topic not in busy}
    return [topics for topics in (busy, others) if topics]


def _protocol(settings: Settings) -> dict[str, object]:
    """The client's settings for the rebalance protocol: assignment by the members (cooperative-sticky), or by the
    broker (KIP-848)."""
    if settings.kafka_group_protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(settings.kafka_session_timeout_s * 1000),
        # Members learn of a rebalance with a heartbeat, so its interval is how long a rebalance waits for them.
        "heartbeat.interval.ms": int(settings.kafka_session_timeout_s * 1000 / 10),
    }
