"""Opens and closes Kafka ingestion."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from hannun.domain.facts import Kind
from hannun.domain.quarantine import QuarantineLimits
from hannun.flows import consumer_lag
from hannun.flows.ingest import Ingest
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.processes.background import running, serving_metrics, with_short_turns, without_long_collections
from hannun.processes.writing import GAUGES_EVERY_S, open_writing, paying_old_debts
from hannun.settings import Settings


@contextmanager
def open_ingesting(settings: Settings) -> Iterator[Sequence[Ingest]]:
    """The Kafka door: Kafka, PostgreSQL and Redis, checked, and the group joined by each lane."""
    bootstrap = settings.needed("kafka_bootstrap_servers")
    with open_writing(settings, "hannun-ingest") as writing, ExitStack() as stack:
        broker = Broker(bootstrap)
        broker.check(settings.topics)
        stack.enter_context(paying_old_debts(writing))
        streams = [
            GroupConsumer(bootstrap, settings.kafka_group, topics, _protocol(settings)) for topics in _lanes(settings)
        ]
        for stream in streams:
            stream.open()
            stack.callback(stream.close)
        stack.enter_context(serving_metrics(settings.metrics_port))
        payer = stack.enter_context(writing.paying())
        without_long_collections()
        with_short_turns()
        lanes = [
            Ingest(
                stream,
                broker,
                writing.database(),
                partial(writing.counter, "kafka", payer),
                owner=f"{socket.gethostname()}/{os.getpid()}",
                start_from=settings.start_from,
                limits=QuarantineLimits(settings.dead_letters_in_a_row_max, settings.dead_letters_share_max),
            )
            for stream in streams
        ]
        beside = writing.database("-gauges")
        stack.enter_context(
            running("measure the lag", GAUGES_EVERY_S, lambda: consumer_lag.measure(lanes, beside, broker))
        )
        yield lanes


def _lanes(settings: Settings) -> list[dict[str, str]]:
    """The topics of registrations by themselves, and all others together."""
    busy = {topic: kind for topic, kind in settings.topics.items() if kind == Kind.PARTICIPANT_REGISTERED}
    others = {topic: kind for topic, kind in settings.topics.items() if topic not in busy}
    return [lane for lane in (busy, others) if lane]


def _protocol(settings: Settings) -> dict[str, object]:
    """How the group shares its partitions: by the members (cooperative-sticky), or by the broker (KIP-848)."""
    if settings.kafka_group_protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(settings.kafka_session_timeout_s * 1000),
        "heartbeat.interval.ms": int(settings.kafka_session_timeout_s * 1000 / 10),  # what a rebalance waits for
    }
