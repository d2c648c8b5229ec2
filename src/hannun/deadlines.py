"""The deadline of a piece of work: every wait on another system within it ends by then.

    request ─► deadline ─► a thread, a connection, a statement: each waits for at most the rest ─► answer, or 503

It is a context variable, so tasks and threads that the work starts have it too. Work without a deadline, as that of a
timed job or a command, waits for as long as the other system shows that it is alive.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from anyio import CapacityLimiter, move_on_after, to_thread

from hannun.errors import StoreUnavailable

T = TypeVar("T")
_ends_at: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the block a deadline. An earlier one of the work around it stays in force."""
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


def restart(seconds: float) -> None:
    """Give the rest of this task a new deadline: `math.inf` gives none.

    For a request that has just spent time on its client instead of on another system.
    """
    _ends_at.set(time.monotonic() + seconds)


def remaining_s() -> float:
    """Seconds until the deadline, 0 after it; `math.inf` without one."""
    ends_at = _ends_at.get()
    return ends_at if ends_at == math.inf else max(0.0, ends_at - time.monotonic())


async def run_in_thread(work: Callable[[], T], threads: CapacityLimiter) -> T:
    """Run work in one of these threads. Only the wait for a free one ends with the deadline: the work ends by itself.

    Raises:
        StoreUnavailable: no thread was free in time. The work was not begun.
    """
    borrower = object()
    with move_on_after(remaining_s()) as waiting:
        await threads.acquire_on_behalf_of(borrower)
    if waiting.cancelled_caught:
        raise StoreUnavailable("no thread was free before the deadline of the request")
    try:
        return await to_thread.run_sync(work, limiter=CapacityLimiter(1))
    finally:
        threads.release_on_behalf_of(borrower)
