"""SIGTERM stops a process, at whatever moment it comes."""

import subprocess
import sys

import pytest
from outside import Service

SIGNAL_WHILE_THE_EVENT_IS_LOCKED = """
import os, signal
from hannun.processes.signals import stop_on_signal
with stop_on_signal() as stop:
    with stop._cond:  # a thread that looks at the event holds this lock for a moment
        os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()
print("ended")
"""
SIGNAL_IN_AN_EVENT_LOOP = """
import asyncio, os, signal
from hannun.processes.signals import stop_on_signal
async def main():
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    with stop_on_signal(lambda: loop.call_soon_threadsafe(stopped.set)):
        os.kill(os.getpid(), signal.SIGTERM)
        await stopped.wait()
asyncio.run(main())
print("ended")
"""
TWO_SIGNALS = """
import os, signal, threading
from hannun.processes.signals import stop_on_signal
with stop_on_signal() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()
"""


def run_python(program: str) -> tuple[int, str]:
    """Run a program, at most 30 s. Returns its exit status and its output."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_signal_stops_a_process_that_is_just_looking_whether_to_stop() -> None:
    """A signal handler that sets the event itself waits for its own thread's lock for ever: seen once in CI."""
    assert run_python(SIGNAL_WHILE_THE_EVENT_IS_LOCKED) == (0, "ended\n")


def test_a_signal_wakes_an_event_loop() -> None:
    assert run_python(SIGNAL_IN_AN_EVENT_LOOP) == (0, "ended\n")


def test_the_second_signal_ends_the_process_at_once() -> None:
    assert run_python(TWO_SIGNALS) == (130, "")


@pytest.mark.parametrize("verb", ["serve", "schedule"])
def test_a_process_that_a_signal_stops_closes_what_it_opened(service: Service, verb: str) -> None:
    """Also where the signal comes as soon as it says that it runs."""
    process = service.start_serve() if verb == "serve" else service.start_schedule()
    assert process.terminate() == 0, process.log
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s"
    assert service.rows(sessions, f"hannun-{verb}%") == [(0,)]
    assert verb != "serve" or "serve ended well" in process.log
