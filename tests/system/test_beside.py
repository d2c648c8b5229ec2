"""What runs beside the service and fails for good must not leave it running without."""

import subprocess
import sys

import pytest

THREAD = """
def fails(stop):
    raise RuntimeError("of its own")
with wiring.beside("the work", fails):
    threading.Event().wait(60)
"""
JOB = """
def fails():
    raise RuntimeError("of its own")
with wiring.running("the work", 60, fails):
    threading.Event().wait(60)
"""
TASK = """
async def fails():
    raise RuntimeError("of its own")
async def serve():
    async with wiring.in_this_loop("the work", fails()):
        await asyncio.sleep(60)
asyncio.run(serve())
"""


@pytest.mark.parametrize("program", [THREAD, JOB, TASK], ids=["a thread", "a timed job", "a task of the event loop"])
def test_what_fails_for_good_ends_the_process_and_says_what_it_was(program: str) -> None:
    whole = "import asyncio, threading\nfrom hannun import wiring\n" + program
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 70
    said = done.stdout + done.stderr
    assert "the work" in said and "of its own" in said


def test_a_task_beside_the_service_ends_with_it() -> None:
    program = """
import asyncio
from hannun.processes import commands
async def serve():
    async def listens():
        try:
            await asyncio.Event().wait()
        finally:
            print("ended")
    async with wiring.in_this_loop("the work", listens()):
        await asyncio.sleep(0)
    print("served")
asyncio.run(serve())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["ended", "served"])
