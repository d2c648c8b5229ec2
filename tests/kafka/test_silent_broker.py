"""A broker that is frozen: every call to it ends."""

import time
import uuid

import pytest
from faults import frozen
from polling import wait_for

from hannun.embedded import KafkaServer
from hannun.errors import KafkaUnavailable
from hannun.kafka.address import KafkaAddress
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.publisher import Publisher

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
CALL_S_MAX = 20.0
"""Twenty times the time-out of a call, so that a loaded machine does not matter. Leaving the group takes 5 s."""


@pytest.mark.faults
def test_every_call_to_a_frozen_broker_ends(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("broker", "publisher"):
        monkeypatch.setattr(f"hannun.kafka.{module}.CALL_TIMEOUT_S", 1.0)
    topic = f"silent-{uuid.uuid4()}"
    kafka.create_topics({topic: 1})
    broker, publisher = Broker(KafkaAddress(kafka.bootstrap)), Publisher(KafkaAddress(kafka.bootstrap), topic)
    cooperative = {"partition.assignment.strategy": "cooperative-sticky"}
    member = GroupConsumer(KafkaAddress(kafka.bootstrap), topic, {topic: "sales-recorded"}, cooperative)
    member.open()
    wait_for("the assignment", lambda: member.poll_batch(1, 0.1) and member.assigned_idle)
    wait_for("a message to be published", lambda: publisher.publish([(b"key", b"value")]) == [None])
    assert broker.partitions([topic]) == [(topic, 0)]
    with frozen(kafka):
        member.start_reading((topic, 0), "id", 0, 1)
        began = time.monotonic()
        with pytest.raises(KafkaUnavailable):
            broker.partitions([topic])
        with pytest.raises(KafkaUnavailable):
            broker.partition_logs([(topic, 0)])
        assert publisher.publish([(b"key", b"value")]) != [None]
        member.poll_batch(1, 0.1)
        member.close()
        assert time.monotonic() - began < 4 * CALL_S_MAX
