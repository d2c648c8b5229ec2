"""Being told to end, at whatever moment."""

import subprocess
import sys

TOLD_INSIDE_THE_LOCK = """
import os, signal
from hannun.cli.terminal import until_told_to_stop
with until_told_to_stop() as stop:
    with stop._cond:  # where a thread that looks whether it was told is for a moment
        os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()
print("ended")
"""
TOLD_TWICE = """
import os, signal, threading
from hannun.cli.terminal import until_told_to_stop
with until_told_to_stop() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()
"""


def runs(script: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_process_that_is_told_to_end_while_it_looks_whether_it_was_told_ends() -> None:
    """A handler that sets the event itself waits for its own thread's lock, for ever: seen once in CI."""
    assert runs(TOLD_INSIDE_THE_LOCK) == (0, "ended\n")


def test_being_told_twice_ends_at_once() -> None:
    assert runs(TOLD_TWICE) == (130, "")
