"""Operating system processes: start them as another user, and find them again by their command line."""

import concurrent.futures
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OsUser:
    """An operating system user that runs a server."""

    name: str
    uid: int
    gid: int


def spawn(
    command: Sequence[str],
    *,
    log: int,
    environment: Mapping[str, str],
    user: OsUser | None,
    parent_death_signal: signal.Signals,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program. On Linux the kernel sends it `parent_death_signal` when this process ends.

    Args:
        log: the file descriptor for its standard output and standard error.
        user: the user that runs it; None for the user of this process.
        pass_fds: file descriptors that stay open in it.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            # The user may not be allowed to enter our working folder.
            cwd="/",
            # Ctrl-C in the terminal goes to this process only, which stops the server when it needs it no more.
            start_new_session=True,
            # The kernel clears this signal when the user changes, so it must be set after that: Popen calls
            # preexec_fn last. Python code between fork and exec is unsafe with threads. This one is a single system
            # call whose address was looked up before the fork.
            preexec_fn=_parent_death_signal_setter(parent_death_signal),  # noqa: PLW1509
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            pass_fds=pass_fds,
        )

    # "Parent" means the thread that forked, not its process (prctl(2)): a server that a worker thread starts would
    # end with that thread. So one thread, which lives as long as this process, starts all of them.
    return _spawner().submit(start).result()


def run_as(
    user: OsUser | None, command: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program and wait for its end. `stdout` of the result holds both its output and its errors."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(environment or {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}),
        cwd="/",
        check=False,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )


_PR_SET_PDEATHSIG = 1


def _parent_death_signal_setter(number: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(number))


_spawners: dict[int, concurrent.futures.ThreadPoolExecutor] = {}
_spawners_lock = threading.Lock()


def _spawner() -> concurrent.futures.ThreadPoolExecutor:
    """The thread that starts all programs of this process."""
    # The key is the pid: a forked child inherits this dict, but not the thread.
    with _spawners_lock:
        return _spawners.setdefault(
            os.getpid(), concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-spawner")
        )


def find_processes(program: str, path: Path) -> list[int]:
    """The pids of live processes of this program whose command line names this path. Empty on other than Linux."""
    wanted = os.fsencode(path)
    found = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            # A zombie has no arguments.
            executable, *arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            # The program is compared too, since an editor or a `tail -f` may name the path. The path is a whole
            # argument, or the value of one like -Dname=path.
            if os.path.basename(executable) == os.fsencode(program) and any(
                argument == wanted or argument.endswith(b"=" + wanted) for argument in arguments
            ):
                found.append(pid)
    return found


def find_children(parent: int) -> list[int]:
    """The pids of the live children of a process. Empty on other than Linux."""
    found = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            # The line is "pid (name) state ppid ...", and a name may contain spaces and brackets.
            state, ppid = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append(pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie counts as ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    return True


def _all_pids() -> Iterable[int]:
    with contextlib.suppress(OSError):
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return []
