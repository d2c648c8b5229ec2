"""Background work of a process: threads, tasks and timed jobs, each ended when its block ends."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn

from hannun.imports import COLLECTED_AFTER
from hannun.scheduler import STOP_S_MAX, Job, Scheduler
from hannun.telemetry import log

FAILED_STATUS = 70
"""The exit status of a process whose background work failed (EX_SOFTWARE)."""
THREAD_STOP_S_MAX = 10.0
TASK_STOP_S_MAX = 1.0
LOST_CANCELLATIONS_MAX, CANCELLED_AGAIN_S = 5, 0.07
"""How often a task is cancelled again that has not ended within its time, and how long each of them may take. No period
of a task is a multiple of that, so that no two cancellations fall on the same step of it."""
TRANSACTIONS_STOP_S_MAX = 5.0
"""How long a process that ends lets its transactions run, because PostgreSQL may be silent. It waits longer for threads
and jobs."""


def shorten_thread_switch_interval() -> None:
    """Let a waiting thread run after 1 ms instead of Python's 5 ms.

    Of the two threads of a worker of `ingest` the writer is the slower one. It returns from PostgreSQL a dozen times a
    batch, and should not wait 5 ms each time for the thread that decodes.
    """
    sys.setswitchinterval(0.001)


def freeze_garbage_collector() -> None:
    """Exempt the objects that live as long as the process from garbage collection, and collect the others less often.

    Call it when everything is open: scanning the long-lived objects with every collection costs a long latency tail.
    It collects nothing before: of 160,000 objects a start leaves 200 as garbage, and finding them takes 0.1 s.
    """
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


@contextmanager
def run_in_background(
    name: str, work: Callable[[threading.Event], object], wake: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Run `work` in a thread of its own until the block ends. A failure ends the process with status 70.

    Args:
        work: returns soon after the event that it receives is set.
        wake: called after the event is set, where `work` may be waiting for something else.
    """
    stop = threading.Event()

    def run() -> None:
        try:
            work(stop)
        except Exception as error:
            _end_process(name, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        wake()
        thread.join(timeout=THREAD_STOP_S_MAX)


@asynccontextmanager
async def run_in_task(
    name: str, work: Coroutine[object, object, object], *, stop_s_max: float = TASK_STOP_S_MAX
) -> AsyncIterator[None]:
    """Run `work` as a task of the running event loop, cancelled when the block ends.

    A failure ends the process with status 70.
    """

    def on_done(task: asyncio.Task[object]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _end_process(name, error)

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(on_done)
    try:
        yield
    finally:
        await cancel_and_wait(task, stop_s_max)


async def cancel_and_wait(task: asyncio.Task[Any], stop_s_max: float = TASK_STOP_S_MAX) -> None:
    """Cancel a task, and wait until it has ended, for at most `stop_s_max` seconds and a moment.

    Before Python 3.12, `asyncio.wait_for` (in the client of Redis) may lose a cancellation. So the wait has an end, and
    the task is then cancelled again: one that runs on would keep `asyncio.Runner` from closing, for ever.
    """
    task.cancel()
    await asyncio.wait([task], timeout=stop_s_max)
    for _ in range(LOST_CANCELLATIONS_MAX):
        if task.done():
            break
        task.cancel()
        await asyncio.wait([task], timeout=CANCELLED_AGAIN_S)


@asynccontextmanager
async def run_jobs(*jobs: Job) -> AsyncIterator[None]:
    """Run timed jobs until the block ends; runs in progress have `STOP_S_MAX` seconds to end."""
    async with run_in_task("scheduler", Scheduler(jobs).run(), stop_s_max=STOP_S_MAX + TASK_STOP_S_MAX):
        yield


def _end_process(name: str, error: BaseException) -> NoReturn:
    """End the process at once: without this work it would run on and be wrong. It is started again from outside."""
    log.critical("background work failed, the process ends", work=name, exc_info=error)
    os._exit(FAILED_STATUS)
