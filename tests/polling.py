"""Wait for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_S = 0.01

T = TypeVar("T")


def wait_for(what: str, found: Callable[[], T], deadline_s: float = 60.0) -> T:
    """Return what `found` returns as soon as it is true. Fails after the deadline, and names `what` it waited for."""
    deadline = time.monotonic() + deadline_s
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {deadline_s} s for {what}"
        time.sleep(POLL_S)
    return value
