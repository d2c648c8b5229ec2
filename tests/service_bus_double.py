"""A double of a Service Bus namespace: queues with peek locks, over a real AMQP 1.0 connection (Apache Qpid Proton).

    azure-servicebus ──AMQP 1.0──► $cbs                   put-token: 202, or 401 where tokens are refused
                                   NAME                   a peek lock is an unsettled delivery
                                   NAME/$management       renew-lock, peek-message, update-disposition
                                   NAME/$deadletterqueue  what was rejected, or delivered too often

It speaks without TLS; the connection string says so (`UseDevelopmentEmulator=true`). NAME may be a queue, or
`TOPIC/Subscriptions/NAME`. What it cannot show: Azure's limits, throttling, TLS and tokens, the time that it takes,
and every rule of Azure that nobody has written down.
"""

import logging
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from proton import UNDESCRIBED, Array, Condition, Data, Delivery, Event, Link, Message, symbol, timestamp
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector

logging.getLogger("proton").setLevel(logging.CRITICAL)  # it reports each connection that ends
TICK_S = 0.02
"""How often locks are checked for their end."""
DEAD = "/$deadletterqueue"
MANAGEMENT = "/$management"
LOCK_LOST = "com.microsoft:message-lock-lost"


@dataclass(eq=False)
class StoredMessage:
    """A message in a queue or in its dead-letter subqueue."""

    body: bytes
    sequence_number: int
    enqueued_ms: int
    delivery_count: int = 0
    reason: str | None = None
    description: str | None = None


@dataclass(eq=False)
class Lock:
    message: StoredMessage
    until_s: float
    delivery: Delivery


@dataclass
class Queue:
    """A queue: what waits, what is locked by its lock token, and the links that have asked for messages."""

    waiting: list[StoredMessage] = field(default_factory=list)
    locks: dict[uuid.UUID, Lock] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)

    def messages(self) -> list[StoredMessage]:
        """All messages, waiting or locked, the oldest first."""
        return sorted(
            [*self.waiting, *(lock.message for lock in self.locks.values())], key=lambda each: each.sequence_number
        )

    def put_back(self, message: StoredMessage) -> None:
        self.waiting.append(message)
        self.waiting.sort(key=lambda each: each.sequence_number)


class ServiceBusDouble:
    """A namespace with these queues. A context manager: it listens until the block ends.

    Args:
        lock_s: how long a peek lock lasts.
        deliveries_max: after so many deliveries a message goes to the dead-letter subqueue.
    """

    def __init__(self, *names: str, lock_s: float = 60.0, deliveries_max: int = 10) -> None:
        self.lock_s = lock_s
        self.deliveries_max = deliveries_max
        self.refuses_tokens = False
        self.requests: Counter[str] = Counter()
        """How often each operation of a management node was requested."""
        self._queues = {path: Queue() for name in names for path in (name.lower(), name.lower() + DEAD)}
        self._numbers = 0
        self._state = threading.RLock()
        self._listens = threading.Event()
        self._broker = _Broker(self)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="service bus double", daemon=True)
        self._thread.start()
        assert self._listens.wait(60), "the double does not listen"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._broker.call(self._broker.stop)
        self._thread.join(10)

    def _run(self) -> None:
        Container(self._broker).run()

    def connection_string(self, port: int | None = None) -> str:
        """For a client; `port` is that of a proxy before the double."""
        return (
            f"Endpoint=sb://127.0.0.1:{port or self.port};SharedAccessKeyName=listen;SharedAccessKey=a-key-of-tests;"
            "UseDevelopmentEmulator=true"
        )

    # -- for tests

    def send(self, name: str, *bodies: bytes, enqueued_ms: int | None = None) -> None:
        """Put messages into a queue, as producers do."""
        with self._state:
            for body in bodies:
                self._numbers += 1
                at = int(time.time() * 1000) if enqueued_ms is None else enqueued_ms
                self._queues[name.lower()].waiting.append(StoredMessage(body, self._numbers, at))
        self._broker.call(self.dispatch)

    def messages(self, name: str) -> list[StoredMessage]:
        """What a queue holds, waiting or locked."""
        with self._state:
            return self._queues[name.lower()].messages()

    def waiting(self, name: str) -> list[StoredMessage]:
        """What a queue holds and nobody has locked."""
        with self._state:
            return list(self._queues[name.lower()].waiting)

    def dead_letters(self, name: str) -> list[StoredMessage]:
        return self.messages(name + DEAD)

    @property
    def receiver_count(self) -> int:
        """How many receivers it knows. It learns of the death of one a moment later, and delivers to it until then."""
        with self._state:
            return sum(len(queue.links) for queue in self._queues.values())

    def expire_locks(self) -> None:
        """End every peek lock now: whoever holds a message has lost it."""
        with self._state:
            for queue in self._queues.values():
                for lock in queue.locks.values():
                    lock.until_s = 0.0
            self.end_locks()
        self._broker.call(self.dispatch)

    # -- what the broker does, in its thread

    def queue(self, path: str) -> Queue | None:
        return self._queues.get(path)

    def end_locks(self) -> None:
        """Put back what is locked for too long; what was delivered too often is dead."""
        with self._state:
            now_s = time.monotonic()
            for path, queue in self._queues.items():
                for token in [token for token, lock in queue.locks.items() if lock.until_s <= now_s]:
                    self._return(path, queue.locks.pop(token).message, failed=True)

    def dispatch(self) -> None:
        """Deliver what waits to the links that have credit."""
        with self._state:
            for queue in self._queues.values():
                for link in queue.links:
                    while queue.waiting and link.credit > 0:
                        self._deliver(queue, link, queue.waiting.pop(0))

    def _deliver(self, queue: Queue, link: Link, message: StoredMessage) -> None:
        token = uuid.uuid4()
        delivery = link.delivery(token.bytes_le)
        link.stream(self._encoded(message, time.time() + self.lock_s))
        link.advance()
        queue.locks[token] = Lock(message, time.monotonic() + self.lock_s, delivery)

    def _encoded(self, message: StoredMessage, locked_until_s: float) -> bytes:
        encoded = Message(body=message.body, inferred=True, delivery_count=message.delivery_count)
        encoded.annotations = {
            symbol("x-opt-sequence-number"): message.sequence_number,
            symbol("x-opt-enqueued-time"): timestamp(message.enqueued_ms),
            symbol("x-opt-locked-until"): timestamp(int(locked_until_s * 1000)),
        }
        if message.reason is not None:
            encoded.properties = {
                "DeadLetterReason": message.reason,
                "DeadLetterErrorDescription": message.description or "",
            }
        data: bytes = encoded.encode()
        return data

    def settle(self, delivery: Delivery) -> None:
        """A receiver has given a message an outcome, over its link."""
        with self._state:
            for path, queue in self._queues.items():
                for token, lock in list(queue.locks.items()):
                    if lock.delivery == delivery:
                        del queue.locks[token]
                        self._apply(path, lock.message, delivery)
                        return
        self._refuse_settlement(delivery)

    def _apply(self, path: str, message: StoredMessage, delivery: Delivery) -> None:
        outcome = delivery.remote_state
        if outcome == Delivery.REJECTED:
            info = getattr(delivery.remote.condition, "info", None) or {}
            self._bury(path, message, info.get("DeadLetterReason"), info.get("DeadLetterErrorDescription"))
        elif outcome != Delivery.ACCEPTED:
            self._return(path, message, failed=outcome == Delivery.MODIFIED)
        delivery.update(outcome)

    def _refuse_settlement(self, delivery: Delivery) -> None:
        delivery.local.condition = Condition(LOCK_LOST, "the lock has expired")
        delivery.update(Delivery.REJECTED)

    def _return(self, path: str, message: StoredMessage, *, failed: bool) -> None:
        message.delivery_count += failed
        if message.delivery_count >= self.deliveries_max and not path.endswith(DEAD):
            self._bury(path, message, "MaxDeliveryCountExceeded", "it was delivered too often")
        else:
            self._queues[path].put_back(message)

    def _bury(self, path: str, message: StoredMessage, reason: str | None, description: str | None) -> None:
        message.reason, message.description = reason, description
        self._queues[path + DEAD].put_back(message)

    def answer(self, path: str, operation: str, request: Any) -> tuple[int, str, Any]:
        """The answer of a management node: status code, error condition, body."""
        with self._state:
            self.requests[operation] += 1
            queue = self._queues.get(path)
            if queue is None:
                return 404, "amqp:not-found", None
            if operation == "com.microsoft:renew-lock":
                return self._renew(queue, request["lock-tokens"])
            if operation == "com.microsoft:peek-message":
                return self._peek(queue, request["from-sequence-number"], request["message-count"])
            if operation == "com.microsoft:update-disposition":
                return self._update(path, queue, request)
        return 501, "amqp:not-implemented", None

    def _renew(self, queue: Queue, tokens: Sequence[uuid.UUID]) -> tuple[int, str, Any]:
        locks = [queue.locks.get(token) for token in tokens]
        if None in locks:
            return 410, LOCK_LOST, None
        for lock in locks:
            assert lock is not None
            lock.until_s = time.monotonic() + self.lock_s
        until = timestamp(int((time.time() + self.lock_s) * 1000))
        return 200, "", {"expirations": Array(UNDESCRIBED, Data.TIMESTAMP, *[until] * len(locks))}

    def _peek(self, queue: Queue, first: int, count: int) -> tuple[int, str, Any]:
        found = [each for each in queue.messages() if each.sequence_number >= first][:count]
        if not found:
            return 204, "", None
        return 200, "", {"messages": [{"message": self._encoded(each, 0)} for each in found]}

    def _update(self, path: str, queue: Queue, request: Any) -> tuple[int, str, Any]:
        for token in request["lock-tokens"]:
            lock = queue.locks.pop(token, None)
            if lock is None:
                return 410, LOCK_LOST, None
            if request["disposition-status"] == "suspended":
                self._bury(path, lock.message, request.get("deadletter-reason"), request.get("deadletter-description"))
            elif request["disposition-status"] != "completed":
                self._return(path, lock.message, failed=True)
        return 200, "", {}


class _Broker(MessagingHandler):
    """The AMQP side of the double."""

    def __init__(self, double: ServiceBusDouble) -> None:
        super().__init__(prefetch=100, auto_accept=True, auto_settle=True)
        self._double = double
        self._injector = EventInjector()
        self._responses: list[Link] = []

    def call(self, work: Callable[[], None]) -> None:
        """Do this in the broker's thread. For any thread."""
        self._injector.trigger(ApplicationEvent("call", subject=work))

    def on_call(self, event: Event) -> None:
        event.subject()

    def on_start(self, event: Event) -> None:
        self._container = event.container
        self._container.selectable(self._injector)
        self._acceptor = self._container.listen(f"127.0.0.1:{self._double.port}")
        self._container.schedule(TICK_S, self)
        self._double._listens.set()

    def stop(self) -> None:
        self._acceptor.close()
        self._injector.close()
        self._container.stop()

    def on_timer_task(self, event: Event) -> None:
        self._double.end_locks()
        self._double.dispatch()
        self._container.schedule(TICK_S, self)

    def on_link_opening(self, event: Event) -> None:
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        path = _path(link.remote_source.address if link.is_sender else link.remote_target.address)
        if path == "$cbs" or path.endswith(MANAGEMENT):
            if link.is_sender:
                self._responses.append(link)
        elif (queue := self._double.queue(path)) is None:
            link.condition = Condition("amqp:not-found", f"The messaging entity '{path}' could not be found.")
            self.call(link.close)  # after this event, which opens the link
        elif link.is_sender:
            queue.links.append(link)

    def on_link_flow(self, event: Event) -> None:
        self._double.dispatch()
        if event.link.is_sender and event.link.drain_mode:
            event.link.drained()

    def on_delivery(self, event: Event) -> None:
        delivery = event.delivery
        if delivery.link.is_sender and delivery.updated and delivery.remote_state and not delivery.local_state:
            if _path(delivery.link.source.address) in self._double._queues:
                self._double.settle(delivery)
            delivery.settle()
            self._double.dispatch()

    def on_message(self, event: Event) -> None:
        path = _path(event.link.target.address)
        request = event.message
        properties = request.properties or {}
        if path == "$cbs":
            status, condition, body = (401, "amqp:unauthorized-access", None) if self._refuses() else (202, "", None)
        else:
            status, condition, body = self._double.answer(
                path.removesuffix(MANAGEMENT), str(properties.get("operation")), request.body
            )
        answer = Message(body=body, correlation_id=request.id)
        answer.properties = {"status-code": status, "status-description": condition or "OK", "statusCode": status}
        if condition:
            answer.properties |= {"errorCondition": symbol(condition), "statusDescription": condition}
        self._response_link(event.link).send(answer)

    def _response_link(self, requests: Link) -> Link:
        """The link for answers to the requests of this one: of the same client, from the same node."""
        path = _path(requests.target.address)
        return next(
            link
            for link in self._responses
            if link.connection == requests.connection and _path(link.source.address) == path
        )

    def _refuses(self) -> bool:
        return self._double.refuses_tokens

    def on_link_closing(self, event: Event) -> None:
        self._forget([event.link])

    def on_disconnected(self, event: Event) -> None:
        known = [*self._responses, *(link for queue in self._double._queues.values() for link in queue.links)]
        self._forget([link for link in known if link.connection == event.connection])

    def _forget(self, links: Sequence[Link]) -> None:
        """Deliver nothing more over these links. What they have locked stays locked, until its lock ends."""
        self._responses = [link for link in self._responses if link not in links]
        for queue in self._double._queues.values():
            queue.links = [link for link in queue.links if link not in links]


def _path(address: str | None) -> str:
    """The path of an address, which may be a whole URL."""
    text = address or ""
    return (urlsplit(text).path if "://" in text else text).strip("/").lower()
