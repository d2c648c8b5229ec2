"""Publishes messages to one topic."""

from collections.abc import Sequence
from functools import partial

from confluent_kafka import (
    KafkaError,
    Message,
    Producer,
)

from hannun.kafka.address import KafkaAddress, PasswordUpdate
from hannun.kafka.records import (
    CALL_TIMEOUT_S,
    client_logger,
)


class Publisher:
    """Publishes messages to one topic and waits for the broker's acknowledgements.

    A message may be published twice, as after a connection that broke before the acknowledgement: Azure Event Hubs
    refuses the idempotent producers that would prevent it.
    """

    def __init__(self, address: KafkaAddress, topic: str) -> None:
        self._topic = topic
        self._address = address
        self._password = PasswordUpdate(address)
        self._options = {
            "acks": "all",  # every in-sync replica acknowledges
            "linger.ms": 5,
            "delivery.timeout.ms": int(CALL_TIMEOUT_S * 1000),
        }
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[tuple[bytes, bytes]]) -> list[str | None]:
        """Publish keys and values. Returns for each why the broker did not acknowledge it, or None where it did."""
        producer = self._producer = self._producer or self._create_producer()
        self._password.apply(producer)
        failures: list[str | None] = ["the broker did not answer"] * len(messages)

        def record_delivery(index: int, error: KafkaError | None, _: Message) -> None:
            failures[index] = None if error is None else error.str()

        for index, (key, value) in enumerate(messages):
            producer.produce(self._topic, value, key, on_delivery=partial(record_delivery, index))
        producer.flush(2 * CALL_TIMEOUT_S)
        return failures

    def _create_producer(self) -> Producer:
        return Producer({**self._address.options(), **self._options}, logger=client_logger())
