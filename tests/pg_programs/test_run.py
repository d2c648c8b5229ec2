"""Programs of PostgreSQL: how they are run, ended and connected; shell scripts stand for them."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from hannun.errors import OperatorError, StoreUnavailable, Transient
from hannun.pg_programs.run import CountingReader, ProgramFailed, connection_arguments, run


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def runs(argument: str) -> bool:
    """Whether a process with this in its arguments runs."""
    return any(argument.encode() in command for command in commands())


def commands() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # the process has ended
            yield path.read_bytes()


def test_the_last_lines_of_a_program_are_returned_whatever_ends_them() -> None:
    lines = run(shell("for i in $(seq 1 50); do echo line $i; done; printf 'a\\rb\\r\\nc' >&2"))
    assert lines[-4:] == ["line 50", "a", "b", "c"]
    assert len(lines) == 20


def test_what_a_program_writes_is_consumed_whole_and_its_errors_are_lines() -> None:
    taken = bytearray()

    def consume(source: CountingReader) -> None:
        while chunk := source.read(1_000):
            taken.extend(chunk)

    lines = run(shell("head -c 3000000 /dev/zero; echo done >&2"), consume=consume)
    assert (len(taken), lines) == (3_000_000, ["done"])


def test_an_error_names_what_the_program_said_and_a_server_that_is_away_is_worth_another_try() -> None:
    with pytest.raises(ProgramFailed, match="sh ended with status 3: pg_dump: error: permission denied for table x"):
        run(shell("echo working; echo 'pg_dump: error: permission denied for table x' >&2; exit 3"))
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        run(shell("echo 'connection to server at \"x\" failed: Connection refused' >&2; exit 1"))
    with pytest.raises(ProgramFailed) as full:
        run(shell("echo 'could not write to file \"x\": No space left on device' >&2; exit 1"))
    assert "make room" in full.value.hint
    with pytest.raises(OperatorError, match="cannot run /no/such/program"):
        run(["/no/such/program"])


def test_a_silent_program_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="wrote neither a line nor a byte"):
        run(["tail", "-f", "/dev/null", str(tmp_path / "nothing")], silence_s=0.5)
    assert not runs(str(tmp_path))


def test_a_program_that_writes_bytes_and_no_line_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each look its file has grown, and 100 seconds have passed."""
    file, go, seconds = tmp_path / "file", tmp_path / "go", count(step=100)
    monkeypatch.setattr("hannun.pg_programs.run.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    looks = count()

    def grow() -> None:
        with file.open("ab") as written:
            written.write(b"x")
        if next(looks) == 5:
            go.touch()

    run(shell(f"while [ ! -e {go} ]; do sleep 0.05; done"), grows=file, check=grow, silence_s=250)
    assert next(looks) > 5


def test_the_callers_check_ends_a_program(tmp_path: Path) -> None:
    def stop() -> None:
        if runs(str(tmp_path)):
            raise Transient("stopped by the operator")

    with pytest.raises(Transient, match="stopped by the operator"):
        run(["tail", "-f", "/dev/null", str(tmp_path / "nothing")], check=stop)
    assert not runs(str(tmp_path))


def test_a_consumer_that_fails_ends_the_program(tmp_path: Path) -> None:
    def fail(source: CountingReader) -> None:
        source.read(10)
        raise OperatorError("no room", hint="make some")

    with pytest.raises(OperatorError, match="no room"):
        run(shell("exec cat /dev/zero"), consume=fail)


def test_a_run_ends_only_when_its_output_is_consumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program has ended when the consumer begins; it goes on once the caller has looked at the run again."""
    monkeypatch.setattr("hannun.pg_programs.run.END_S_MAX", 0.0)
    program_ended, checked, taken = threading.Event(), threading.Event(), bytearray()

    def consume(source: CountingReader) -> None:
        assert checked.wait(30)
        taken.extend(source.read())

    def check() -> None:
        if not runs(str(tmp_path)):
            (checked if program_ended.is_set() else program_ended).set()

    run(shell(f": {tmp_path}; echo everything"), consume=consume, check=check)
    assert taken == b"everything\n"


def test_a_consumer_that_stands_is_an_error_also_after_the_program_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hannun.pg_programs.run.END_S_MAX", 0.0)
    released = threading.Event()
    try:
        with pytest.raises(OperatorError, match="has ended, and the rest of what it wrote was not stored"):
            run(shell("echo everything"), consume=lambda _: released.wait(), silence_s=0.5)
    finally:
        released.set()


def test_a_program_connects_by_its_arguments_alone_and_the_password_is_not_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "somewhere.else")
    arguments, environment = connection_arguments(
        {"host": "it's\\here", "dbname": "a b", "password": "geheim", "sslmode": None}
    )
    assert arguments == ["--no-password", r"--dbname=host='it\'s\\here' dbname='a b'"]
    lines = run(shell("env"), environment=environment)
    assert "PGPASSWORD=geheim" in run(shell("env | grep PGPASSWORD"), environment=environment)
    assert not [line for line in lines if line.startswith("PGHOST")]
    assert os.environ["PGHOST"] == "somewhere.else"
    with pytest.raises(OperatorError, match="sslpassword"):
        connection_arguments({"sslpassword": "geheim"})
