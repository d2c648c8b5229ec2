"""Service Bus ingestion: counts what queues hold, and settles each message after the commit of its count.

    receive ──► count ─┬─► committed ──► complete; what cannot be used goes to the dead-letter subqueue
                       └─► PostgreSQL is away ──► keep the locks, count the same batch again, until it works

There are no positions. The ledgers make each message count once, so a message may come again at any time: after a crash
between commit and settlement, after a lost lock or connection. It is then a repeat. Nor does the order matter: ledgers
are sets and registers are maxima, so sessions are not needed.

A batch that cannot be counted is kept, not given back: each delivery counts, and Service Bus moves a message that was
delivered too often to the dead-letter subqueue, uncounted. An outage must not use up its deliveries.
"""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from hannun import tracing
from hannun.counting.batch_counter import BatchCounter, CountedBatch
from hannun.domain.facts import Rejected
from hannun.domain.quarantine import QuarantineLimits, RejectionTally
from hannun.errors import OperatorError, ServiceBusUnavailable, StoreUnavailable
from hannun.service_bus.receiver import LockedMessage, QueueReceiver
from hannun.telemetry import log, metrics

BATCH_MESSAGES_MAX = 500
"""The largest batch: few enough that all of its locks can be renewed, one by one, in half of the time they last."""
RECEIVE_S = 1.0
"""How long it waits for the first message. The client returns 0.2 s after that one, or with a whole batch."""
RENEWAL_CHECK_S = 0.25
"""How often locks are checked while a batch is counted."""
MEASURE_EVERY_S = 15.0
"""How often the oldest message is looked at. It also detects a connection that is silent."""
BACK_OFF_S = 0.5
BACK_OFF_S_MAX = 15.0
STOP_S_MAX = 5.0
"""How long a stopping worker waits for a PostgreSQL that does not answer."""


class ServiceBusWorker:
    """Counts the messages of one queue.

    Args:
        limits: how many messages may be unusable before the queue is not read further.
    """

    def __init__(self, receiver: QueueReceiver, counter: BatchCounter, limits: QuarantineLimits) -> None:
        self._receiver = receiver
        self._counter = counter
        self._limits = limits
        self._tally = RejectionTally()
        self._newest_us = 0
        self._measure_at = 0.0
        self._failures = 0

    def run(self, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
        """Count until `stop` is set. A batch in hand is finished first, or given back where PostgreSQL is away.

        Args:
            count_max: the largest batch; never more than `BATCH_MESSAGES_MAX`.
            wait_s: unused: how long the client waits for more messages is fixed.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="writer") as writer:
            try:
                while not stop.is_set():
                    try:
                        self._run_once(writer, stop, min(count_max, BATCH_MESSAGES_MAX))
                    except (ServiceBusUnavailable, OperatorError) as error:
                        self._reconnect_later(error, stop)
            finally:
                self._receiver.close()
                metrics.oldest_waiting.remove(self._receiver.name)

    def _run_once(self, writer: ThreadPoolExecutor, stop: threading.Event, count_max: int) -> None:
        messages = self._receiver.receive(count_max, RECEIVE_S)
        if messages:
            counted = self._count(writer, messages, stop)
            if counted is None:
                self._receiver.abandon(messages)
                return
            self._record(messages, counted)
            self._settle(messages, counted)
        if time.monotonic() >= self._measure_at:
            self._measure_oldest()
        if self._failures:
            log.info("Service Bus is available again", queue=self._receiver.path)
            self._failures = 0
        if violation := self._tally.violation(self._limits):
            self._wait_for_operator(violation, stop)

    # -- count

    def _count(
        self, writer: ThreadPoolExecutor, messages: Sequence[LockedMessage], stop: threading.Event
    ) -> CountedBatch | None:
        """Count a batch, again and again while PostgreSQL is away. None where it is told to stop before."""
        batch = [message.received for message in messages]
        failures = 0
        while True:
            with tracing.batch(len(batch), ()):
                counting = writer.submit(self._counter.count, batch)
                self._renew_locks_until_done(counting, messages, stop)
            try:
                counted = counting.result()
            except StoreUnavailable as error:
                if not failures:
                    log.warning("PostgreSQL is unavailable; messages wait", error=str(error), hint=error.hint)
                failures += 1
            else:
                if failures:
                    log.info("PostgreSQL is available again")
                return counted
            if self._wait_with_locks(_back_off_s(failures), messages, stop):
                return None

    def _renew_locks_until_done(
        self, counting: Future[CountedBatch], messages: Sequence[LockedMessage], stop: threading.Event
    ) -> None:
        """Wait until a batch is counted. At a stop, end the transaction that gets no answer from PostgreSQL."""
        abort_at: float | None = None
        while wait([counting], timeout=RENEWAL_CHECK_S).not_done:
            self._renew_locks(messages)
            if abort_at is None and stop.is_set():
                abort_at = time.monotonic() + STOP_S_MAX
            if abort_at is not None and time.monotonic() > abort_at:
                self._counter.abort()

    def _wait_with_locks(self, seconds: float, messages: Sequence[LockedMessage], stop: threading.Event) -> bool:
        """Wait so long, and keep the locks meanwhile. Returns whether it must stop."""
        ends_at = time.monotonic() + seconds
        while (left_s := ends_at - time.monotonic()) > 0:
            if stop.wait(min(left_s, RENEWAL_CHECK_S)):
                return True
            self._renew_locks(messages)
        return stop.is_set()

    def _renew_locks(self, messages: Sequence[LockedMessage]) -> None:
        try:
            self._receiver.renew_locks(messages)
        except (ServiceBusUnavailable, OperatorError) as error:
            # What is not renewed in time comes again, and is a repeat then.
            log.warning("locks cannot be renewed", queue=self._receiver.path, error=str(error))
            self._receiver.close()

    # -- settle

    def _settle(self, messages: Sequence[LockedMessage], counted: CountedBatch) -> None:
        """Settle a batch that is committed."""
        by_message = list(zip(messages, counted.final_facts, strict=True))
        self._receiver.complete(message for message, fact in by_message if not isinstance(fact, Rejected))
        for message, fact in by_message:
            if isinstance(fact, Rejected):
                self._receiver.dead_letter(message, fact.reason, fact.detail)

    def _record(self, messages: Sequence[LockedMessage], counted: CountedBatch) -> None:
        self._tally = self._tally.after(counted.final_facts, self._limits)
        newest_us = max(message.received.received_at for message in messages)
        self._newest_us = max(self._newest_us, min(newest_us, time.time_ns() // 1_000))
        metrics.newest_counted.labels(self._receiver.name).set(self._newest_us / 1_000_000)

    # -- the queue

    def _measure_oldest(self) -> None:
        """Set the gauge of the oldest message.

        Raises:
            ServiceBusUnavailable: the connection is silent.
        """
        self._measure_at = time.monotonic() + MEASURE_EVERY_S
        oldest_us = self._receiver.oldest_waiting_us()
        if oldest_us is None:
            metrics.oldest_waiting.remove(self._receiver.name)
        else:
            metrics.oldest_waiting.labels(self._receiver.name).set(oldest_us / 1_000_000)

    def _reconnect_later(self, error: ServiceBusUnavailable | OperatorError, stop: threading.Event) -> None:
        if not self._failures:
            log.warning("Service Bus is unavailable", queue=self._receiver.path, error=str(error), hint=error.hint)
            metrics.oldest_waiting.remove(self._receiver.name)
        self._failures += 1
        self._receiver.close()
        self._measure_at = 0.0
        stop.wait(_back_off_s(self._failures))

    def _wait_for_operator(self, violation: str, stop: threading.Event) -> None:
        """Read nothing more: a whole wrong queue must not become dead letters."""
        log.error(
            "queue stopped",
            queue=self._receiver.path,
            why=violation,
            found=self._tally.reason,
            hint="correct what sends to it, then start this process again; what was unusable is in the dead letters",
        )
        self._receiver.close()
        stop.wait()


def _back_off_s(failures: int) -> float:
    """How long to wait after so many failures in a row; apart from others that failed at the same time."""
    longest_s: float = min(BACK_OFF_S_MAX, BACK_OFF_S * 2 ** min(failures - 1, 10))
    return longest_s * random.uniform(0.5, 1.0)
