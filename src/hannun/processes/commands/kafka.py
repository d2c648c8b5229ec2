"""The broker, for commands."""

from hannun.kafka.broker import Broker
from hannun.settings import Settings


def open_broker(settings: Settings) -> Broker:
    """A broker that answers.

    Raises:
        KafkaUnavailable: it does not.
        OperatorError: no setting says where it is.
    """
    broker = Broker(settings.kafka)
    broker.check()
    return broker
