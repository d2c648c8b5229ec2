"""Reads queues without receiving from them: their oldest messages, and their dead-letter subqueues.

How many messages a queue holds only the right Manage may read, which Hannun does not get. So messages are peeked.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeVar

from hannun.errors import OperatorError, ServiceBusUnavailable
from hannun.service_bus.namespace import Namespace, ServiceBusAddress
from hannun.service_bus.receiver import QueueReceiver

DEAD_PEEKED_MAX = 100
"""How many messages of a dead-letter subqueue are read."""

Failure = OperatorError | ServiceBusUnavailable
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OldestMessage:
    """The oldest message of a queue, waiting or locked."""

    sequence_number: int
    received_at: datetime


class QueueInspector:
    """Reads the queues of one namespace, all of them at the same time.

    Args:
        names: of the queues or topics.
        wait_s_max: how long one connection, and one reading, may take.
    """

    def __init__(self, address: ServiceBusAddress, names: Collection[str], wait_s_max: float) -> None:
        self._address = address
        self._names = names
        self._wait_s_max = wait_s_max

    @cached_property
    def _namespace(self) -> Namespace:
        """One for all readings: an identity keeps its token."""
        return Namespace(self._address, self._wait_s_max)

    def oldest(self) -> Mapping[str, OldestMessage | Failure | None]:
        """The oldest message of each queue; None where it is empty; why it cannot be read."""

        def oldest_of(receiver: QueueReceiver) -> OldestMessage | None:
            found = receiver.peek(1, self._wait_s_max)
            if not found:
                return None
            at = datetime.fromtimestamp(found[0].received_us / 1_000_000, UTC)
            return OldestMessage(found[0].sequence_number, at)

        return self._read_each(oldest_of, dead_letters=False)

    def dead_letters(self) -> Mapping[str, Counter[str] | Failure]:
        """The reasons of the first `DEAD_PEEKED_MAX` messages of each dead-letter subqueue, with their numbers."""

        def reasons_of(receiver: QueueReceiver) -> Counter[str]:
            return Counter(each.reason for each in receiver.peek(DEAD_PEEKED_MAX, self._wait_s_max))

        return self._read_each(reasons_of, dead_letters=True)

    def _read_each(self, read: Callable[[QueueReceiver], T], *, dead_letters: bool) -> Mapping[str, T | Failure]:
        try:
            namespace = self._namespace
        except OperatorError as failure:
            return dict.fromkeys(self._names, failure)

        def read_or_failure(name: str) -> T | Failure:
            receiver = QueueReceiver(namespace, name, "", dead_letters=dead_letters)
            try:
                return read(receiver)
            except (OperatorError, ServiceBusUnavailable) as failure:
                return failure
            finally:
                receiver.close()

        with ThreadPoolExecutor(max_workers=len(self._names) or 1, thread_name_prefix="service-bus") as threads:
            return dict(zip(self._names, threads.map(read_or_failure, self._names), strict=True))
