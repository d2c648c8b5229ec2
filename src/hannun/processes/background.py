"""What runs in the background of a process, and ends with it."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager

from prometheus_client import start_http_server

from hannun.errors import OperatorError, Transient
from hannun.telemetry import REGISTRY, log


@contextmanager
def serving_metrics(port: int | None) -> Iterator[None]:
    """`/metrics` of a process that has no other HTTP door, where an operator wants it.

    Raises:
        OperatorError: the port is taken.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=REGISTRY)
    except OSError as error:
        raise OperatorError(
            f"cannot serve /metrics on 127.0.0.1:{port}: {error.strerror}",
            hint="each process needs a port of its own: HANNUN_METRICS_PORT of ingest, HANNUN_SCHEDULE_METRICS_PORT of "
            "schedule; 0 takes any that is free",
        ) from error
    log.info("metrics are served", port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def with_short_turns() -> None:
    """Python lets a thread that computes run for 5 ms before another gets its turn. Of the two of `ingest` the one that
    writes is the slower; it comes back from PostgreSQL a dozen times a batch, and should not wait so long each time."""
    sys.setswitchinterval(0.001)


def without_long_collections() -> None:
    """What lives as long as the process need not be looked at by every collection: it costs a long tail otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@contextmanager
def beside(
    name: str, work: Callable[[threading.Event], object], wake: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Let `work` run in a thread of its own until the block ends: its event tells it, and it finishes what it has.

    Where it fails, the process ends, loudly.
    """
    stop = threading.Event()

    def run() -> None:
        try:
            work(stop)
        except Exception as error:
            log.critical("what runs beside failed for good", job=name, exc_info=error)
            os._exit(70)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        wake()
        thread.join(timeout=10)


@asynccontextmanager
async def in_this_loop(name: str, work: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """The same in the event loop that runs, as a task that is cancelled when the block ends."""

    def ended(task: asyncio.Task[object]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("what runs beside failed for good", job=name, exc_info=error)
            os._exit(70)

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        # Before Python 3.12, asyncio.wait_for (in the client of Redis) may forget a cancellation: it is not waited for.
        await asyncio.wait([task], timeout=1.0)


@contextmanager
def running(name: str, every_s: float, job: Callable[[], object]) -> Iterator[None]:
    """Run a job now and every `every_s` seconds, in a thread of its own, until the block ends.

    A job survives what passes (one line in the log, next round); anything else ends the process, loudly.
    """
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                job()
            except Transient as error:
                log.warning("a timed job will try again", job=name, error=str(error))
            except Exception as error:
                log.critical("a timed job failed for good", job=name, exc_info=error)
                os._exit(70)
            stop.wait(every_s)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
