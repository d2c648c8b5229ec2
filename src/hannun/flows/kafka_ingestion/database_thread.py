"""One thread that makes every call to PostgreSQL, while the worker's own thread keeps polling Kafka.

A PostgreSQL that refuses connections answers with an error. One that hangs does not answer at all, and a member of a
consumer group that stops polling delays every rebalance and is finally removed. So the worker waits for PostgreSQL at
most `SILENT_S`; then it releases its partitions and polls without reading until the answer comes.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar, cast

from hannun.counting.batch_counter import BatchCounter
from hannun.errors import StoreUnavailable
from hannun.flows.kafka_ingestion.progress import IngestionProgress
from hannun.kafka.consumer import GroupConsumer
from hannun.store.database import Connection, Database
from hannun.telemetry import log

POLL_S = 0.25
"""How long one poll without reading takes: so often the worker checks whether PostgreSQL answers again."""
SILENT_S = 4.0
"""How long PostgreSQL may take for one call before nothing more is fetched and only group membership is kept."""
STOP_S_MAX = 5.0
"""How long a stopping worker waits for a PostgreSQL that does not answer."""

T = TypeVar("T")


class DatabaseThread:
    """Runs calls to PostgreSQL one after the other. A context manager: leaving it ends the thread.

    Args:
        database: for queries of partitions; `counter` has a connection of its own.
        stop: the worker is told to stop; a call without an answer is aborted `STOP_S_MAX` later.
    """

    def __init__(
        self,
        database: Database,
        counter: BatchCounter,
        consumer: GroupConsumer,
        progress: IngestionProgress,
        stop: threading.Event,
    ) -> None:
        self._database = database
        self._counter = counter
        self._consumer = consumer
        self._progress = progress
        self._stop = stop
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._unfinished: list[Future[object]] = []
        self._available = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the thread after the call that runs, which is aborted if it gets no answer within `STOP_S_MAX`."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        running = [call for call in self._unfinished if not call.cancelled()]
        if wait(running, timeout=STOP_S_MAX).not_done:
            self._abort()
        self._executor.shutdown()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run a call after the ones before it; its future raises StoreUnavailable where PostgreSQL is unavailable."""
        future = self._executor.submit(call)
        self._unfinished = [cast(Future[object], future), *(one for one in self._unfinished if not one.done())]
        return future

    def submit_query(self, query: Callable[[Connection], T]) -> Future[T]:
        """The same for a query in a transaction of its own."""

        def run() -> T:
            with self._database.transaction() as conn:
                return query(conn)

        return self.submit(run)

    def run(self, query: Callable[[Connection], T]) -> T:
        """The result of a query in a transaction of its own.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable.
        """
        future = self.submit_query(query)
        self.wait(future)
        result = future.result()
        if not self._available:
            log.info("PostgreSQL is available again")
            self._available = True
        return result

    def wait(self, future: Future[T]) -> bool:
        """Wait for a call, and keep the group membership meanwhile. Returns whether it ended in time.

        If not, all partitions were released: what was read behind the call must be read again.
        """
        wait([future], timeout=SILENT_S)
        if future.done():
            return True
        self.record_unavailable("it does not answer")
        abort_at: float | None = None
        while not future.done():
            self.keep_group_membership()
            if abort_at is None and self._stop.is_set():
                abort_at = time.monotonic() + STOP_S_MAX
            if abort_at is not None and time.monotonic() > abort_at:
                self._abort()
        return False

    def record_unavailable(self, error: str, hint: str = StoreUnavailable.hint) -> None:
        """PostgreSQL is unavailable; logged once until it is available again."""
        if self._available:
            log.warning("PostgreSQL is unavailable; partitions wait", error=error, hint=hint)
        self._available = False

    def keep_group_membership(self) -> None:
        """Release all partitions, so that nothing piles up in memory, and poll once without reading."""
        self._consumer.release(self._consumer.reading)
        self._consumer.poll_batch(1, POLL_S)
        self._progress.set_assigned(self._consumer.assigned_idle | self._consumer.reading)

    def _abort(self) -> None:
        self._counter.abort()
        self._database.abort()
