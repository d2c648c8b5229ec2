"""Home folders for servers, and owner processes that a test can kill."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that does not exist yet. Every user may pass through its parents, unlike through those of `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="hannun-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder, "home")


@pytest.fixture
def root_only_folder() -> Iterator[Path]:
    """A folder that only root may enter, as /root is."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: how root handles folders that only root may enter; needs root")
    with tempfile.TemporaryDirectory(prefix="hannun-test-root-only-") as folder:
        Path(folder).chmod(0o700)
        yield Path(folder)


class OwnerProcess:
    """Another process that runs a server, until a test kills it."""

    def __init__(self, server_expression: str, *, parent_death_signal: bool) -> None:
        # Without the parent death signal (as on systems other than Linux) the server outlives its owner.
        patch = "" if parent_death_signal else "process._parent_death_signal_setter = lambda number: None;"
        script = (
            f"import signal; from pathlib import Path; from hannun.embedded import *;"
            f"from hannun.embedded import process;"
            f"{patch} server = {server_expression}; server.start(); print(server.pid, flush=True); signal.pause()"
        )
        self.process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.server_pid = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start_owner() -> Iterator[Callable[..., OwnerProcess]]:
    """Starts owner processes: `start_owner("ValkeyServer(Path('/x'))")`. Their servers end with the test."""
    owners: list[OwnerProcess] = []

    def start(server_expression: str, *, parent_death_signal: bool = True) -> OwnerProcess:
        owners.append(OwnerProcess(server_expression, parent_death_signal=parent_death_signal))
        return owners[-1]

    yield start
    for each in owners:
        if each.process.returncode is None:
            each.kill()
        with contextlib.suppress(ProcessLookupError):
            # The pid may belong to another process by now.
            if Path(f"/proc/{each.server_pid}/cmdline").exists() and _is_test_server(each.server_pid):
                os.kill(each.server_pid, signal.SIGKILL)


def _is_test_server(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"hannun-test-" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@pytest.fixture
def put_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A PATH that contains only the programs that the test puts there: `put_program("mvn", "exit 1")`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def put(name: str, script: str) -> None:
        program = folder / name
        program.write_text(f"#!{shutil.which('sh', path=os.defpath)}\n{script}\n")
        program.chmod(0o755)

    return put
