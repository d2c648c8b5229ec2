"""Publishes messages to one topic."""

from collections.abc import Sequence
from functools import partial

from confluent_kafka import (
    KafkaError,
    Message,
    Producer,
)

from hannun.kafka.records import (
    CALL_TIMEOUT_S,
    client_logger,
)


class Publisher:
    """Publishes messages to one topic and waits for the broker's acknowledgements."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._options = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # implies acks=all: every in-sync replica acknowledges
            "linger.ms": 5,
            "delivery.timeout.ms": int(CALL_TIMEOUT_S * 1000),
        }
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[tuple[bytes, bytes]]) -> list[str | None]:
        """Publish keys and values. Returns for each why the broker did not acknowledge it, or None where it did."""
        producer = self._producer = self._producer or Producer(self._options, logger=client_logger())
        failures: list[str | None] = ["the broker did not answer"] * len(messages)

        def record_delivery(index: int, error: KafkaError | None, _: Message) -> None:
            failures[index] = None if error is None else error.str()

        for index, (key, value) in enumerate(messages):
            producer.produce(self._topic, value, key, on_delivery=partial(record_delivery, index))
        producer.flush(2 * CALL_TIMEOUT_S)
        return failures
