"""Polling with a time limit."""

import time
from collections.abc import Iterator

PAUSE_S_MIN, PAUSE_S_MAX = 0.002, 0.05


def attempts_within(wait_s_max: float) -> Iterator[None]:
    """Yield once for each attempt until `wait_s_max` seconds have passed, with growing pauses in between.

    Yields at least once, and never during the pause in which the limit passes.
    """
    end_s = time.monotonic() + wait_s_max
    pause_s = PAUSE_S_MIN
    yield
    while time.monotonic() < end_s:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, PAUSE_S_MAX)
        yield
