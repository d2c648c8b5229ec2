"""Background work that fails for good ends its process: the service must not run on without it."""

import subprocess
import sys

import pytest

THREAD = """
def fails(stop):
    raise RuntimeError("a mistake of ours")
with background.run_in_background("the work", fails):
    threading.Event().wait(60)
"""
TASK = """
async def fails():
    raise RuntimeError("a mistake of ours")
async def serve():
    async with background.run_in_task("the work", fails()):
        await asyncio.sleep(60)
asyncio.run(serve())
"""
JOB = """
def fails(now):
    raise RuntimeError("a mistake of ours")
async def serve():
    async with background.run_jobs(Job("the work", Every(0.01), fails)):
        await asyncio.sleep(60)
asyncio.run(serve())
"""
JOB_WITH_ANOTHER_THAT_HANGS = """
def fails(now):
    hangs_now.wait()
    raise RuntimeError("a mistake of ours")
def hangs(now):
    hangs_now.set()
    threading.Event().wait(60)
hangs_now = threading.Event()
async def serve():
    async with background.run_jobs(Job("hangs", Every(60), hangs), Job("the work", Every(0.01), fails)):
        await asyncio.sleep(60)
asyncio.run(serve())
"""
IMPORTS = """
import asyncio, threading
from hannun.processes import background
from hannun.scheduler import Every, Job, Result
"""


def run_python(program: str) -> tuple[int, str]:
    """Run a program, at most 30 s. Returns its exit status and its output."""
    command = [sys.executable, "-c", IMPORTS + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(THREAD, id="thread"),
        pytest.param(TASK, id="task"),
        pytest.param(JOB, id="timed job"),
        pytest.param(JOB_WITH_ANOTHER_THAT_HANGS, id="timed job while another hangs"),
    ],
)
def test_background_work_that_fails_ends_the_process_with_status_70_and_logs_the_error(program: str) -> None:
    status, output = run_python(program)
    assert status == 70, output
    assert "the work" in output
    assert "a mistake of ours" in output


def test_a_task_is_cancelled_when_its_block_ends() -> None:
    program = """
async def serve():
    async def listens():
        try:
            await asyncio.Event().wait()
        finally:
            print("ended")
    async with background.run_in_task("the work", listens()):
        await asyncio.sleep(0)
    print("served")
asyncio.run(serve())
"""
    status, output = run_python(program)
    assert (status, output.split()) == (0, ["ended", "served"])


def test_a_task_that_loses_cancellations_ends_and_so_does_its_process() -> None:
    """As `asyncio.wait_for` before Python 3.12 does where what it waits for has just ended."""
    program = """
async def loses():
    for _ in range(2):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("lost")
    await asyncio.Event().wait()
async def serve():
    async with background.run_in_task("the work", loses(), stop_s_max=0.01):
        await asyncio.sleep(0)
    print("served")
asyncio.run(serve())
"""
    status, output = run_python(program)
    assert (status, output.split()) == (0, ["lost", "lost", "served"])


def test_a_job_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = """
from hannun import scheduler
scheduler.STOP_S_MAX = 0.1
def hangs(now):
    begun.set()
    threading.Event().wait()
begun = threading.Event()
async def serve():
    async with background.run_jobs(Job("hangs", Every(60), hangs)):
        await asyncio.to_thread(begun.wait)
asyncio.run(serve())
print("ended")
"""
    assert run_python(program) == (0, "ended\n")
