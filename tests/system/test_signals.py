"""SIGTERM stops a process, at whatever moment it comes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults import PostgresRequests, Proxy
from outside import Event, Service, client, token, with_port

from hannun.embedded import PostgresServer

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


def test_a_request_in_progress_is_answered_after_sigterm(service: Service, postgres: PostgresServer) -> None:
    """It takes as long as a request may: PostgreSQL does not answer it, so its answer is 503."""
    event = Event()
    with Proxy(postgres.port, PostgresRequests) as proxy, ThreadPoolExecutor(1) as thread:
        serve = service.start_serve(DATABASE_URL=with_port(service.environment["DATABASE_URL"], proxy.port))
        service.post([event.created()])
        proxy.hold("public.event_stats")
        answer = thread.submit(service.get, f"/api/v1/events/{event.id}/analytics/roi?startDate=2024-05-01")
        proxy.wait_until_held()
        serve.send_signal()
        assert answer.result().status_code == 503
        proxy.release()
        assert serve.wait() == 0, serve.log


def test_open_event_streams_end_at_once_on_sigterm(service: Service) -> None:
    """A page connects again. If `serve` waited for it, it would wait for longer than a test waits for its end."""
    serve = service.start_serve(HANNUN_REQUEST_S="1000")
    event = Event()
    service.post([event.created()])
    live, headers = f"{service.api}/api/v1/events/{event.id}/live", {"Authorization": f"Bearer {token()}"}
    with client() as http, http.stream("GET", live, headers=headers) as stream:
        assert stream.status_code == 200
        serve.send_signal()
        assert b"retry" in b"".join(stream.iter_raw()), "and it ends as a response should"
    assert serve.wait() == 0, serve.log
