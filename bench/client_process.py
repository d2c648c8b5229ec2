"""A process with clients of `serve`. It reads lines and answers each command with a line of JSON."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bench.servers import ServeProcess


class ClientProcess:
    """The end of a process of clients that a bench holds."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, *lines: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines))
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the next command. An empty one means that the process has ended."""
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def run_clients(module: str, serve: ServeProcess) -> Iterator[ClientProcess]:
    """Run a module of clients of this `serve`. The process is stopped at the end of the block."""
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(serve.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        yield ClientProcess(process)
