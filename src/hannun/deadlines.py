"""The deadline of a piece of work: every wait on another system within it ends by then.

    request ─► deadline ─► a thread, a connection, a statement: each waits for at most the rest ─► answer, or 503

It is a context variable, so tasks and threads that the work starts have it too. Work without a deadline, as that of a
timed job or a command, waits for as long as the other system shows that it is alive.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
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


def open_in_thread(
    open_: Callable[[], T], close: Callable[[T], object], *, s_max: float, opening: "Future[T] | None" = None
) -> T:
    """Open something that no time-out interrupts: a connection to a server whose name must be looked up.

    A thread of its own opens it. The wait for it ends with the deadline; what is open later is closed at once.

    Args:
        s_max: how many seconds to wait without a deadline.
        opening: another thread may cancel it, which ends the wait.

    Raises:
        TimeoutError: it was not open in time, or `opening` was cancelled.
        Exception: whatever `open_` raises.
    """
    opening = opening or Future()
    threading.Thread(target=_open_for, args=[opening, open_, close], name="connect", daemon=True).start()
    try:
        return opening.result(min(remaining_s(), s_max))
    except (TimeoutError, CancelledError):
        if opening.cancel():
            raise TimeoutError("it was not open in time") from None
        return opening.result()  # it has just opened, or failed


def _open_for(opening: "Future[T]", open_: Callable[[], T], close: Callable[[T], object]) -> None:
    try:
        opened = open_()
    except Exception as error:
        if opening.set_running_or_notify_cancel():
            opening.set_exception(error)
        return
    if opening.set_running_or_notify_cancel():
        opening.set_result(opened)
    else:
        close(opened)
