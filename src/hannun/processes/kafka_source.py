"""Kafka as the source of `ingest`: one worker for registrations, one for all other topics."""

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from hannun.counting.outbox_relay import Delivers
from hannun.domain.facts import Kind
from hannun.flows import consumer_lag
from hannun.flows.kafka_ingestion import IngestionWorker
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.processes import jobs
from hannun.processes.writing import Writing, quarantine_limits
from hannun.scheduler import Job
from hannun.settings import Settings


class KafkaSource:
    """Kafka, checked, with the consumer group joined.

    Args:
        stack: closes the consumers.

    Raises:
        KafkaUnavailable: no broker answers.
        OperatorError: no setting says where Kafka is.
    """

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._settings = settings
        kafka = settings.kafka
        self._broker = Broker(kafka)
        self._broker.check()
        self._consumers = [
            GroupConsumer(kafka, settings.kafka_group, topics, _protocol(settings))
            for topics in _topics_by_worker(settings)
        ]
        for consumer in self._consumers:
            consumer.open()
            stack.callback(consumer.close)

    def workers(self, writing: Writing, delivery: Delivers) -> Sequence[IngestionWorker]:
        """The workers, each with connections of its own."""
        self._workers = [
            IngestionWorker(
                consumer,
                self._broker,
                writing.database(),
                writing.counter("kafka", delivery),
                owner=f"{socket.gethostname()}/{os.getpid()}",
                start_from=self._settings.start_from,
                limits=quarantine_limits(self._settings),
            )
            for consumer in self._consumers
        ]
        return self._workers

    def jobs(self, writing: Writing) -> Sequence[Job]:
        """The timed jobs beside the workers."""
        return [
            jobs.on_database(
                "measure-lag",
                jobs.GAUGES_EVERY_S,
                writing.database("-gauges"),
                lambda database, _: consumer_lag.measure(
                    [worker.positions for worker in self._workers], database, self._broker
                ),
            )
        ]


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
