"""Homes for servers, and owners that can be killed."""

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
    """A folder that does not exist yet, where every user of the machine may pass (pytest's own are closed)."""
    with tempfile.TemporaryDirectory(prefix="hannun-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder, "home")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that only root may enter, as /root is."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: what root does about closed folders can only be seen as root")
    with tempfile.TemporaryDirectory(prefix="hannun-test-closed-") as folder:
        Path(folder).chmod(0o700)
        yield Path(folder)


class Owner:
    """Another process that runs a server, until it is killed."""

    def __init__(self, make_server: str, *, courteous: bool) -> None:
        # Without the kernel's courtesy (as on other systems) the server outlives its owner.
        rude = "" if courteous else "process._parent_death_signal_setter = lambda number: None;"
        script = (
            f"import signal; from pathlib import Path; from hannun.embedded import *;"
            f"from hannun.embedded import process;"
            f"{rude} server = {make_server}; server.start(); print(server.pid, flush=True); signal.pause()"
        )
        self.process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.server_pid = int(self.process.stdout.readline())

    def is_killed(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def owner() -> Iterator[Callable[..., Owner]]:
    """Starts owners: `owner("ValkeyServer(Path('/x'))")`. What they leave behind ends with the test."""
    owners: list[Owner] = []

    def start(make_server: str, *, courteous: bool = True) -> Owner:
        owners.append(Owner(make_server, courteous=courteous))
        return owners[-1]

    yield start
    for each in owners:
        if each.process.returncode is None:
            each.is_killed()
        with contextlib.suppress(ProcessLookupError):
            # Only while it is still that server: pids are used again.
            if Path(f"/proc/{each.server_pid}/cmdline").exists() and _is_a_server(each.server_pid):
                os.kill(each.server_pid, signal.SIGKILL)


def _is_a_server(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"hannun-test-" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A PATH on which only what the test puts there is found: `programs("mvn", "exit 1")`."""
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
