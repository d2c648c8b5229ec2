"""Start processes of the service without waiting for Python's imports.

Importing the service takes 0.7 to 1 s of CPU, and the tests start it some hundred times. The fork server is one process
that has imported everything and done nothing else. For each command it forks, and the child becomes what
`python -m hannun ...` is: it has its own environment, arguments, folder and files, and runs `hannun.__main__`.

    test ─ (arguments, environment; files by SCM_RIGHTS) ─► fork server ─ fork ─► child: hannun ...
         ◄──────────────── pid; exit status through a pipe ──────┘

`python -m hannun` itself is started by tests/system/test_up.py.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

IMPORTS = (
    "cli.application",
    "cli.processes",
    "processes.http_server",
    "processes.ingest",
    "processes.schedule",
    "processes.commands",
)
INHERITED_VARIABLES = ("PATH", "HOME", "PYTHONPATH", "XDG_CACHE_HOME")
FILES_MAX = 16
MESSAGE_BYTES_MAX = 200_000
DESCRIPTORS_MAX = 4_096


class ForkedProcess:
    """A process that the fork server has started; the part of `subprocess.Popen` that the tests use."""

    def __init__(self, pid: int, status_pipe: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status_pipe = status_pipe

    def poll(self) -> int | None:
        """The exit status, or minus the signal that killed it; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until the process ends. Returns its exit status, or minus the signal that killed it."""
        if self.returncode is None:
            if not select.select([self._status_pipe], [], [], timeout_s)[0]:
                raise subprocess.TimeoutExpired(["hannun"], timeout_s or 0)
            status = os.read(self._status_pipe, 100)
            assert status, "the fork server has ended"
            self.returncode = int(status)
            os.close(self._status_pipe)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process is known to have ended."""
        if self.poll() is None:
            # The server reaps a child at once, so a process that ends just now may be gone.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def base_environment() -> dict[str, str]:
    """The variables of the tests' environment that every process of the service gets."""
    return {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}


def fork_hannun(
    arguments: Sequence[str], environment: Mapping[str, str], *, stdout: int, stderr: int, inherit: Sequence[int] = ()
) -> ForkedProcess:
    """Start `hannun` with these arguments, in the folder /.

    Args:
        stdout: a file descriptor for its output.
        stderr: a file descriptor for its errors.
        inherit: file descriptors that it has under the same numbers.
    """
    control = _fork_server()
    status_pipe, status_end = os.pipe()
    request = {"arguments": list(arguments), "environment": dict(environment), "inherit": list(inherit)}
    try:
        socket.send_fds(control, [json.dumps(request).encode()], [status_end, stdout, stderr, *inherit])
    finally:
        os.close(status_end)
    return ForkedProcess(int(control.recv(100)), status_pipe)


@functools.cache
def _fork_server() -> socket.socket:
    """Start this test worker's fork server. Returns the socket on which it takes requests, until the worker ends."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES_MAX)
    server = subprocess.Popen(
        [sys.executable, __file__, str(there.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=base_environment(),
        cwd="/",
        pass_fds=[there.fileno()],
    )
    there.close()

    def end() -> None:
        here.close()
        server.wait(10)

    atexit.register(end)
    return here


# -- in the fork server --------------------------------------------------------------------------------------------


def serve(control: socket.socket) -> list[str] | None:
    """Fork a child for each request. Returns the child's arguments in the child, None in the server when it ends."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                _report_end(*key.data)
                selector.unregister(key.fd)
                os.close(key.fd)
                continue
            message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, FILES_MAX)
            if not message:
                return None
            pid = os.fork()
            if pid == 0:
                selector.close()
                control.close()
                return _become_the_child(json.loads(message), files)
            for file in files[1:]:
                os.close(file)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, files[0]))
            control.send(str(pid).encode())


def _report_end(pid: int, status_end: int) -> None:
    """Reap a child and write its status for the test that started it."""
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # the test has ended
        os.write(status_end, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(status_end)


def _become_the_child(request: dict[str, object], files: Sequence[int]) -> list[str]:
    """Take over the request's environment and files, and nothing of the server's. Returns the arguments."""
    arguments, environment, inherit = request["arguments"], request["environment"], request["inherit"]
    assert isinstance(arguments, list) and isinstance(environment, dict) and isinstance(inherit, list)
    targets = [1, 2, *inherit]
    # Received files first move above every target, so that none stands where another one belongs.
    above = max(100, *targets) + 1
    sources = [fcntl.fcntl(file, fcntl.F_DUPFD, above) for file in files[1:]]
    os.closerange(3, above)
    os.closerange(max(sources) + 1, DESCRIPTORS_MAX)
    for source, target in zip(sources, targets, strict=True):
        os.dup2(source, target)  # inheritable, as with Popen's `pass_fds`
        os.close(source)
    os.environ.clear()
    os.environ.update(environment)
    return arguments


def main() -> None:
    for name in IMPORTS:
        importlib.import_module(f"hannun.{name}")
    sys.path.remove(str(Path(__file__).parent))  # `python -m hannun` has no folder of the tests on its path
    gc.collect()
    gc.freeze()  # no collection in a child writes to these pages, which takes 1.5 s at its end
    control = socket.socket(fileno=int(sys.argv[1]))
    arguments = serve(control)
    if arguments is None:
        return
    sys.argv = ["hannun", *arguments]
    runpy.run_module("hannun", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
