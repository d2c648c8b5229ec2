"""`hannun watch`: what it shows, also without PostgreSQL; and a terminal that is afterwards as it was."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from faults import PostgresRequests, Proxy
from polling import wait_for
from psycopg.conninfo import make_conninfo
from refresh_rounds import Round, age_rounds, ended_round
from typer.testing import CliRunner
from world import World

from hannun.cli.application import app
from hannun.errors import StoreUnavailable
from hannun.flows import channel_breakers


def once(world: World, url: str = "") -> str:
    shown = CliRunner().invoke(app, ["watch", "--once"], env={"DATABASE_URL": url or world.url}, catch_exceptions=False)
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    return shown.output


def row(shown: str, name: str) -> list[str]:
    """The cells of the first line that begins so."""
    return next(line.removeprefix(name).split() for line in shown.splitlines() if line.startswith(name))


def test_without_a_round_it_says_so(world: World) -> None:
    assert "no round was ever begun: does a schedule run?" in once(world)


def test_it_shows_the_running_round_the_last_ones_and_the_channels(world: World) -> None:
    world.count(world.created(), world.distributed(channelName="Instagram", channelType="SNS"))
    at = world.measurement_counter.now() - timedelta(hours=1)
    world.measure(world.measurement("Instagram", at=str(at), views=5))
    ended_round(world, "instagram")
    age_rounds(world, timedelta(minutes=5))
    Round(world, "instagram", "wooritv").finish(changed=1, failed=1)
    with world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "wooritv", "test")
    shown = once(world)
    assert re.search(r"round of \d\d-\d\d [\d:]{8}Z runs for \d+ s, 1 of 3 pieces done\n", shown)
    assert row(shown, "Instagram") == ["0", "1", "0", "1", "0", "0", "0"]
    assert row(shown, "WooriTV")[0] == "2"
    assert row(shown, "last rounds") == ["s", "measured", "unchanged", "failed", "refused", "quota", "skipped"]
    _, _, ended = shown.partition("last rounds")
    assert ended.splitlines()[1].split()[3] == "2", "the measured pairs of the round that has ended"
    of_channels = shown.partition("breaker ")[2]
    assert row(of_channels, "Instagram")[:3] == ["-", "1", "1"] and " 3,6" in of_channels and "!" in of_channels
    assert row(of_channels, "WooriTV")[:2] == ["held", "open"]


def test_once_without_postgresql_ends_with_a_transient_error() -> None:
    with pytest.raises(StoreUnavailable):
        CliRunner().invoke(
            app,
            ["watch", "--once"],
            env={"DATABASE_URL": "postgresql://127.0.0.1:1/nobody"},
            catch_exceptions=False,
        )


class Terminal:
    """A terminal on which a command runs."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process = process
        self._fd = fd
        self._output = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                self._output += os.read(self._fd, 65_536)
            except OSError:  # the command has ended
                return

    @property
    def shown(self) -> str:
        return self._output.decode("utf-8", "replace")

    def forget(self) -> None:
        """Look only at what is shown from now on."""
        self._output = b""

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)


@contextmanager
def watching(url: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DATABASE_URL": url, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "hannun", "watch", "--section", "refresh"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    try:
        modes = termios.tcgetattr(theirs)
        yield Terminal(process, ours)
        assert _modes(termios.tcgetattr(theirs)) == _modes(modes)
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def _modes(attributes: list[Any]) -> list[Any]:
    """Input, output and local modes: echo, and whether lines are read as a whole."""
    return [attributes[0], attributes[1], attributes[3]]


def press_q(terminal: Terminal) -> None:
    terminal.press(b"q")


def interrupt(terminal: Terminal) -> None:
    """What Ctrl-C does."""
    terminal.process.send_signal(signal.SIGINT)


@pytest.mark.faults
@pytest.mark.parametrize("end", [press_q, interrupt])
def test_it_lives_through_an_absence_of_postgresql_and_restores_the_terminal(
    world: World, end: Callable[[Terminal], None]
) -> None:
    ended_round(world, "instagram")
    with Proxy(world.postgres.port, PostgresRequests) as postgres:
        url = make_conninfo(world.url, host="127.0.0.1", port=postgres.port)
        with watching(url) as terminal:
            wait_for("the first frame", lambda: "no round runs; the newest" in terminal.shown, 60)
            postgres.refuse()
            wait_for("the absence to be shown", lambda: "PostgreSQL is away" in terminal.shown, 60)
            postgres.allow()
            terminal.forget()
            wait_for("a frame with PostgreSQL", lambda: "now " in terminal.shown, 60)
            terminal.press(b"4")
            wait_for("the section of the key", lambda: "largest indexes" in terminal.shown, 60)
            end(terminal)
            assert terminal.process.wait(60) == 0
            wait_for("the screen of before", lambda: "\x1b[?1049l" in terminal.shown)
            assert "Traceback" not in terminal.shown
