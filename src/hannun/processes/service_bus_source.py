"""Service Bus as the source of `ingest`: one worker for each queue, so that rare messages do not wait behind many."""

from collections.abc import Sequence

from hannun.counting.outbox_relay import Delivers
from hannun.errors import SettingMissing
from hannun.flows.service_bus_ingestion import ServiceBusWorker
from hannun.processes.writing import Writing, quarantine_limits
from hannun.scheduler import Job
from hannun.service_bus.namespace import Namespace
from hannun.service_bus.receiver import QueueReceiver
from hannun.settings import Settings


class ServiceBusSource:
    """Service Bus, with each queue checked.

    Raises:
        ServiceBusUnavailable: it does not answer.
        OperatorError: no setting says where it is, the client is not installed, or a queue cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings.service_bus is None:
            raise SettingMissing(
                "neither HANNUN_SERVICE_BUS_CONNECTION_STRING nor HANNUN_SERVICE_BUS_NAMESPACE is set",
                hint="export HANNUN_SERVICE_BUS_NAMESPACE=NAME.servicebus.windows.net, or the connection string",
                hint_with_home="`hannun up` runs without Service Bus",
            )
        namespace = Namespace(settings.service_bus)
        self._receivers = [QueueReceiver(namespace, name, kind) for name, kind in settings.topics.items()]
        for receiver in self._receivers:
            try:
                receiver.oldest_waiting_us()
            finally:
                receiver.close()  # its worker opens it again, in the thread that uses it

    def workers(self, writing: Writing, delivery: Delivers) -> Sequence[ServiceBusWorker]:
        """The workers, each with connections of its own."""
        limits = quarantine_limits(self._settings)
        return [
            ServiceBusWorker(receiver, writing.counter("servicebus", delivery), limits) for receiver in self._receivers
        ]

    def jobs(self, writing: Writing) -> Sequence[Job]:
        """None: each worker looks at its own queue."""
        return []
