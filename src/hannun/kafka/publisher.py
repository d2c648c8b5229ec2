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
    """Sends messages to one topic, and waits until the broker has them."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._options = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # and so acknowledged by all replicas that are in sync
            "linger.ms": 5,
            "delivery.timeout.ms": int(CALL_TIMEOUT_S * 1000),
        }
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[tuple[bytes, bytes]]) -> list[str | None]:
        """Send keys and values. For each why the broker did not acknowledge it; None where it did."""
        producer = self._producer = self._producer or Producer(self._options, logger=client_logger())
        became: list[str | None] = ["the broker did not answer"] * len(messages)

        def heard(index: int, error: KafkaError | None, _: Message) -> None:
            became[index] = None if error is None else error.str()

        for index, (key, value) in enumerate(messages):
            producer.produce(self._topic, value, key, on_delivery=partial(heard, index))
        producer.flush(2 * CALL_TIMEOUT_S)
        return became
