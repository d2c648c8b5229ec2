"""The supervisor of `hannun up`: what a child that always fails does to the others."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fork_server import base_environment
from polling import wait_for

from hannun.errors import OperatorError
from hannun.processes import supervisor
from hannun.processes.supervisor import Supervisor, prepared


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def children(tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisor, "FAILURES_MAX", 1)
    with Supervisor(tmp_path, base_environment(), lines.append).running() as children:
        yield children


def test_a_prepared_child_runs_with_the_environment_that_it_is_given(
    tmp_path: Path, children: Supervisor, lines: list[str]
) -> None:
    children._environment |= {
        "DATABASE_URL": "postgresql://somebody:x@127.0.0.1:1/x",
        "HANNUN_JWT_SECRET": "of-the-environment-that-it-is-given",
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        with prepared(tmp_path, "serve", "serve", "--fd", str(fd), fd=fd) as child:
            assert child.process.poll() is None
            children.start("serve", "serve", "--fd", str(fd), fd=fd, prepared=child)

        def reported() -> bool:
            children.restart_ended()
            return bool(lines)

        wait_for("its end to be reported", reported)
    assert "serve has ended 1 times within 60 s, last with status 75" in lines[0]
    assert "127.0.0.1" in lines[0]


def test_a_prepared_child_that_gets_no_environment_ends_with_its_block(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with prepared(tmp_path, "serve", "serve", "--fd", str(listener.fileno()), fd=listener.fileno()) as child:
            pass
        assert child.process.returncode is not None


def test_a_prepared_child_whose_parent_ends_does_not_run(tmp_path: Path) -> None:
    read, write = os.pipe()
    command = [sys.executable, "-m", "hannun", "serve", "--environment-fd", str(read)]
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(command, pass_fds=[read], env=base_environment(), stdout=log, stderr=log)
    os.close(read)
    os.close(write)
    assert child.wait(60) == 0
    assert (tmp_path / "log").read_text() == ""


def test_a_child_that_always_fails_does_not_end_the_others(children: Supervisor, lines: list[str]) -> None:
    children.start("ingest", "no-such-command")

    def reported() -> bool:
        children.restart_ended()
        return bool(lines)

    wait_for("its end to be reported", reported)
    children.restart_ended()
    (line,) = lines
    assert line.startswith("ingest has ended 1 times within 60 s, last with status 2; starting it again in 30 s: ")


def test_the_reason_of_a_child_that_ended_is_its_own_error_with_its_hint(
    children: Supervisor, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FAILURES_MAX", 9)
    (children.logs / "schedule.log").write_text("hannun: what an earlier process found\n")
    children.start("schedule", "schedule")

    def reported() -> bool:
        children.restart_ended()
        return bool(lines)

    wait_for("its end to be reported", reported)
    expected = "schedule ended with status 2; starting it again: DATABASE_URL is not set. Hint: export DATABASE_URL="
    assert lines[0].startswith(expected)


def test_a_child_that_only_logged_has_no_reason(tmp_path: Path, lines: list[str]) -> None:
    children = Supervisor(tmp_path, base_environment(), lines.append)
    with children.running():
        log = children.logs / "channels.log"
        children.start("channels", "sandbox", "serve", "--home", str(tmp_path / "home"), "--port", "0")
        wait_for("it to run", lambda: log.stat().st_size)
        (child,) = children._children
        log.write_text('{"event": "sandbox runs"}\n')
        child.process.kill()

        def reported() -> bool:
            children.restart_ended()
            return bool(lines)

        wait_for("its end to be reported", reported)
    assert lines == ["channels ended with status -9; starting it again"]


def test_a_child_that_is_needed_and_always_fails_ends_all(children: Supervisor) -> None:
    children.start("serve", "no-such-command", needed=True)

    def ended() -> OperatorError | None:
        try:
            children.restart_ended()
        except OperatorError as error:
            return error
        return None

    assert "serve.log" in wait_for("its end to be reported", ended).hint
