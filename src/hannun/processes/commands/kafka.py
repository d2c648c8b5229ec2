"""The broker, for commands."""

from collections.abc import Collection

from hannun.kafka.broker import Broker
from hannun.settings import Settings


def open_broker(settings: Settings, topics: Collection[str] = ()) -> Broker:
    """A broker that answers and has these topics.

    Raises:
        OperatorError: it does not, or has not.
    """
    broker = Broker(settings.needed("kafka_bootstrap_servers"))
    broker.check(topics)
    return broker
