"""Receives the messages of one queue under peek locks, renews the locks, and settles the messages.

receive ──► locked ─┬─► complete       it is gone
                    ├─► dead_letter    it is in the dead-letter subqueue, with reason and description
                    ├─► abandon        it comes again at once
                    └─► the lock ends  it comes again: the connection was lost, or the process died
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hannun.domain.batch import ReceivedMessage
from hannun.errors import ServiceBusUnavailable
from hannun.service_bus.namespace import Namespace

CALL_S_MAX = 10.0
"""How long Service Bus may take to renew a lock, or to show a message."""
DESCRIPTION_LENGTH_MAX = 1_024


@dataclass(slots=True)
class LockedMessage:
    """A message that this process has locked. `renew_at` is when half of its lock is over."""

    received: ReceivedMessage
    handle: Any
    renew_at: datetime


class PeekedMessage(NamedTuple):
    """What is known of a message that nobody has received. `reason`: why it is in a dead-letter subqueue, or ""."""

    sequence_number: int
    received_us: int
    reason: str


class QueueReceiver:
    """Receives from one queue, or from one subscription of a topic. For one thread.

    After an error, `close` it; the next call connects anew. Messages in hand can still be settled then, while their
    locks last.

    Each method raises:
        OperatorError: the queue does not exist, or this process may not read it.
        ServiceBusUnavailable: Service Bus is away.

    Args:
        name: of the queue or the topic.
        kind: of its messages.
        dead_letters: its dead-letter subqueue instead.
    """

    def __init__(self, namespace: Namespace, name: str, kind: str, *, dead_letters: bool = False) -> None:
        self._namespace = namespace
        self._kind = kind
        self._dead_letters = dead_letters
        self._receiver: Any = None
        self._transport: Any = None
        self.name = name
        self.path = namespace.path(name)

    def receive(self, count_max: int, wait_s: float) -> list[LockedMessage]:
        """Lock up to `count_max` messages; none where none came within `wait_s`."""
        with self._namespace.translated_errors(self.path):
            handles = self._opened().receive_messages(max_message_count=count_max, max_wait_time=wait_s)
            return [LockedMessage(_received(handle, self._kind), handle, _half_time(handle)) for handle in handles]

    def renew_locks(self, messages: Iterable[LockedMessage]) -> None:
        """Renew the locks that are half over. One that is lost stays lost: its message comes again."""
        now = datetime.now(UTC)
        self._for_each((message for message in messages if message.renew_at <= now), self._renew_lock)

    def _renew_lock(self, message: LockedMessage) -> None:
        self._opened().renew_message_lock(message.handle, timeout=CALL_S_MAX)
        message.renew_at = _half_time(message.handle)

    def complete(self, messages: Iterable[LockedMessage]) -> None:
        """Remove messages from the queue. Those whose lock is lost come again."""
        self._for_each(messages, lambda message: self._opened().complete_message(message.handle))

    def dead_letter(self, message: LockedMessage, reason: str, description: str) -> None:
        """Move a message to the dead-letter subqueue. If its lock is lost it comes again."""
        text = description[:DESCRIPTION_LENGTH_MAX]
        self._for_each(
            [message],
            lambda each: self._opened().dead_letter_message(each.handle, reason=reason, error_description=text),
        )

    def abandon(self, messages: Iterable[LockedMessage]) -> None:
        """Give messages back: they are delivered again at once."""
        self._for_each(messages, lambda message: self._opened().abandon_message(message.handle))

    def oldest_waiting_us(self) -> int | None:
        """When the oldest message of the queue arrived, waiting or locked, in microseconds since 1970; None without."""
        peeked = self.peek(1, CALL_S_MAX)
        return peeked[0].received_us if peeked else None

    def peek(self, count_max: int, wait_s_max: float) -> list[PeekedMessage]:
        """The oldest messages, waiting or locked, without locking them."""
        with self._namespace.translated_errors(self.path):
            found = self._opened().peek_messages(count_max, sequence_number=1, timeout=wait_s_max)
            return [
                PeekedMessage(each.sequence_number, _received_at(each), each.dead_letter_reason or "") for each in found
            ]

    def close(self) -> None:
        """Close the connection, if there is one. It may be used again."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            with suppress(ServiceBusUnavailable), self._namespace.translated_errors(self.path):
                receiver.close()
        self._close_transport()

    def _opened(self) -> Any:
        if self._receiver is None:
            receiver = self._namespace.receiver(self.name, dead_letters=self._dead_letters)
            try:
                receiver.__enter__()  # connects; a call that connects by itself has only its own time for that
            except BaseException:
                self._transport = _transport_of(receiver)
                self._close_transport()
                raise
            self._receiver = receiver
        transport = _transport_of(self._receiver)
        if transport is not self._transport:
            self._close_transport()
            self._transport = transport
        return self._receiver

    def _close_transport(self) -> None:
        """Close the socket, which the client leaves open where its connection was cut."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _for_each(self, messages: Iterable[LockedMessage], call: Callable[[LockedMessage], object]) -> None:
        with self._namespace.translated_errors(self.path):
            for message in messages:
                try:
                    call(message)
                except self._namespace.errors.MessageLockLostError:
                    message.renew_at = _NEVER


def _transport_of(receiver: Any) -> Any:
    """The open connection of the client's receiver, or None."""
    return getattr(getattr(receiver._handler, "_connection", None), "_transport", None)


_NEVER = datetime.max.replace(tzinfo=UTC)


def _half_time(handle: Any) -> datetime:
    """When half of a message's lock is over, by this machine's clock."""
    until: datetime | None = handle.locked_until_utc
    if until is None:
        return _NEVER
    now = datetime.now(UTC)
    return now + max(timedelta(0), until - now) / 2


def _received(handle: Any, kind: str) -> ReceivedMessage:
    return ReceivedMessage(kind, _body(handle), _received_at(handle))


def _received_at(handle: Any) -> int:
    """When Service Bus received the message, in microseconds since 1970: the same with each delivery."""
    at: datetime | None = handle.enqueued_time_utc
    return time.time_ns() // 1_000 if at is None else int(at.timestamp() * 1_000_000)


def _body(handle: Any) -> bytes:
    """The bytes of a message: of its data sections, or of the text or binary value that some producers send."""
    body = handle.body
    if isinstance(body, bytes | str):
        return body.encode() if isinstance(body, str) else body
    try:
        return b"".join(body)
    except TypeError:
        return str(body).encode()  # an AMQP value or sequence, which is not JSON: a dead letter
