"""What a newcomer and a test may expect of the embedded PostgreSQL."""

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hannun.embedded import PostgresServer, postgres_binaries
from hannun.embedded.postgres_settings import max_wal_size_mb, shared_buffers_mb
from hannun.errors import OperatorError

QUICK = {"fsync": "off"}  # what we test survives a killed process, not a power failure


@pytest.fixture
def server(home: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(home, settings=QUICK)
    yield server
    server.stop()


def run(server: PostgresServer, statement: str) -> Any:
    with psycopg.connect(server.superuser_url) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def remember(server: PostgresServer) -> None:
    run(server, "CREATE TABLE kept AS SELECT 42 AS answer")


def remembers(server: PostgresServer) -> bool:
    return bool(run(server, "SELECT answer FROM kept") == 42)


@pytest.mark.parametrize("major", [16, 18])
def test_a_fresh_home_gives_a_server_in_utf8_and_utc(home: Path, major: int) -> None:
    with PostgresServer(home, binaries=postgres_binaries(major), settings=QUICK) as server:
        assert run(server, "SHOW server_version").startswith(f"{major}.")
        assert run(server, "SHOW server_encoding") == "UTF8"
        assert run(server, "SHOW timezone") == "UTC"
        assert run(server, "SHOW data_checksums") == "on"
        assert run(server, "SELECT min(word) FROM (VALUES ('가'), ('나'), ('z')) AS words (word)") == "z"


def test_by_default_what_is_committed_is_on_disk(home: Path) -> None:
    with PostgresServer(home) as server:
        assert [run(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
            "on"
        ] * 3


def test_the_statistics_of_statements_are_there(server: PostgresServer) -> None:
    server.start()
    run(server, "CREATE EXTENSION pg_stat_statements")
    assert run(server, "SELECT count(*) FROM pg_stat_statements") >= 0


def test_it_listens_on_loopback_and_wants_a_password(server: PostgresServer) -> None:
    server.start()
    assert run(server, "SHOW listen_addresses") == "127.0.0.1"
    assert run(server, "SHOW unix_socket_directories") == ""
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url(user="postgres", password="guessed"))
    assert (server.home / "postgres.password").stat().st_mode & 0o777 == 0o600


def test_any_user_and_password_fit_into_the_address(server: PostgresServer) -> None:
    server.start()
    run(server, """CREATE ROLE "a/b@c" LOGIN PASSWORD 'p:/?#&%한'""")
    with psycopg.connect(server.url("postgres", user="a/b@c", password="p:/?#&%한")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("a/b@c",)


def test_starting_twice_and_stopping_twice_are_fine(server: PostgresServer) -> None:
    server.stop()
    server.start()
    first = server.pid
    server.start()
    assert server.pid == first
    server.stop()
    server.stop()
    assert not server.running


def test_a_second_start_goes_on_with_the_same_data_on_the_same_port(home: Path) -> None:
    with PostgresServer(home, settings=QUICK) as first:
        remember(first)
    with PostgresServer(home, settings=QUICK) as second:
        assert remembers(second)
        assert second.port == first.port


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_the_data(server: PostgresServer, mode: Any) -> None:
    server.start()
    remember(server)
    server.restart(mode)
    assert remembers(server)


def test_a_killed_server_starts_again_with_its_data_though_a_query_was_running(server: PostgresServer) -> None:
    server.start()
    remember(server)
    busy = psycopg.connect(server.superuser_url)
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e12::bigint)")
    server.kill()
    busy.close()
    assert not server.running
    server.start()
    assert remembers(server)


def test_a_postmaster_that_somebody_else_has_killed_is_replaced_at_the_next_start(server: PostgresServer) -> None:
    server.start()
    remember(server)
    clients = [psycopg.connect(server.superuser_url) for _ in range(8)]
    clients[0].pgconn.send_query(b"SELECT pg_sleep(1000)")
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    server.start()
    assert remembers(server)
    for client in clients:
        client.close()


def test_a_server_ends_with_its_killed_owner_and_the_next_one_goes_on(home: Path, owner: Callable[..., Any]) -> None:
    with PostgresServer(home, settings=QUICK) as server:
        remember(server)
    killed = owner(f"PostgresServer(Path({str(home)!r}))")
    killed.is_killed()
    with PostgresServer(home, settings=QUICK) as server:
        assert remembers(server)
        assert server.pid != killed.server_pid


def test_a_server_that_outlived_its_owner_is_ended_before_the_next_one_starts(
    home: Path, owner: Callable[..., Any]
) -> None:
    killed = owner(f"PostgresServer(Path({str(home)!r}))", courteous=False)
    with psycopg.connect(PostgresServerSeenFromOutside(home).superuser_url) as before:
        before.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    killed.is_killed()
    assert Path(f"/proc/{killed.server_pid}/cmdline").read_bytes(), "it should have outlived its owner"
    with PostgresServer(home, settings=QUICK) as server:
        assert remembers(server)
        assert server.pid != killed.server_pid


class PostgresServerSeenFromOutside(PostgresServer):
    """The address of a server that another process runs on this home."""

    @property
    def port(self) -> int:
        return int((self.home / "postgres.port").read_text())


def test_a_server_started_in_a_thread_outlives_the_thread(server: PostgresServer) -> None:
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert run(server, "SELECT 1") == 1


def test_a_pid_file_that_names_a_stranger_does_not_keep_it_from_starting(server: PostgresServer) -> None:
    server.start()
    remember(server)
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.kill()
    owner_uid = pid_file.stat().st_uid
    stranger = subprocess.Popen(["sleep", "1000"], user=owner_uid if os.geteuid() == 0 else None)
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        server.start()
        assert remembers(server)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_second_owner_of_a_home_is_told_who_has_it(server: PostgresServer) -> None:
    server.start()
    with pytest.raises(OperatorError, match=rf"{server.home}.*pid {os.getpid()}.*--home"):
        PostgresServer(server.home).start()
    assert run(server, "SELECT 1") == 1


def test_a_first_start_that_was_killed_begins_again(server: PostgresServer) -> None:
    (server.home / "data.new").mkdir(parents=True)
    (server.home / "data.new" / "PG_VERSION").write_text("18\n")
    server.start()
    assert run(server, "SELECT 1") == 1


def test_a_wrong_setting_is_told_with_the_servers_own_words(home: Path) -> None:
    with pytest.raises(OperatorError, match=r"(?s)no_such_setting.*Hint: correct the settings"):
        PostgresServer(home, settings={"no_such_setting": "1"}).start()
    # And leaves nothing behind that a right one would stumble over.
    with PostgresServer(home, settings=QUICK) as server:
        assert run(server, "SELECT 1") == 1


def test_damaged_data_are_called_that(server: PostgresServer) -> None:
    server.start()
    server.stop()
    (server.data / "global" / "pg_control").unlink()
    with pytest.raises(OperatorError, match=r"(?s)pg_control.*Hint: the data in .* look damaged"):
        server.start()


def test_data_of_another_version_are_called_that(home: Path) -> None:
    with PostgresServer(home, binaries=postgres_binaries(16), settings=QUICK):
        pass
    with pytest.raises(OperatorError, match="are of PostgreSQL 16, and the binaries .* are of 18"):
        PostgresServer(home).start()


def test_a_lost_password_file_is_called_that(server: PostgresServer) -> None:
    server.start()
    server.stop()
    (server.home / "postgres.password").unlink()
    with pytest.raises(OperatorError, match="put it back"):
        server.start()


def test_a_folder_with_something_else_in_it_is_left_alone(server: PostgresServer) -> None:
    (server.home / "data").mkdir(parents=True)
    (server.home / "data" / "photo.jpg").touch()
    with pytest.raises(OperatorError, match="is not empty"):
        server.start()
    assert (server.home / "data" / "photo.jpg").exists()


def test_a_wanted_port_that_is_taken_is_an_error_and_a_remembered_one_is_replaced(home: Path) -> None:
    with PostgresServer(home, settings=QUICK) as server:
        remember(server)
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(OperatorError, match=rf"port {server.port}.*Hint: .*another port"):
            PostgresServer(home, port=server.port).start()
        with PostgresServer(home, settings=QUICK) as elsewhere:
            assert elsewhere.port != server.port
            assert remembers(elsewhere)


def test_a_missing_version_says_how_to_get_it() -> None:
    with pytest.raises(OperatorError, match=r"PostgreSQL 9 .*Hint: install a wheel"):
        postgres_binaries(9)


def test_destroying_leaves_a_home_that_begins_anew(server: PostgresServer) -> None:
    server.start()
    remember(server)
    server.destroy()
    server.destroy()
    assert not (server.home / "data").exists()
    server.start()
    assert run(server, "SELECT to_regclass('kept')") is None


# -- as root -----------------------------------------------------------------------------------------------------


@pytest.fixture
def system_folder(home: Path) -> Path:
    return home.parent / "system"


def test_below_a_folder_that_only_root_may_enter_everything_works(closed: Path, system_folder: Path) -> None:
    package = postgres_binaries(18).parents[1]
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / "venv" / part.name, symlinks=True)
    binaries = closed / "venv" / package.name / "pginstall" / "bin"

    def server() -> PostgresServer:
        return PostgresServer(closed / "home", binaries=binaries, settings=QUICK, system_folder=system_folder)

    with server() as first:
        remember(first)
        assert (closed.stat().st_mode & 0o777) == 0o700
        assert first.data.is_relative_to(system_folder)
        assert subprocess.run([first.binaries / "pg_dump", "--version"], check=True, capture_output=True).stdout
    with server() as second:
        assert remembers(second)
        assert second.data == first.data
    second.destroy()
    assert not first.data.exists()


def test_a_closed_home_that_was_removed_begins_empty(closed: Path, system_folder: Path) -> None:
    home = closed / "home"
    with PostgresServer(home, settings=QUICK, system_folder=system_folder) as server:
        remember(server)
    shutil.rmtree(home)
    with PostgresServer(home, settings=QUICK, system_folder=system_folder) as server:
        assert run(server, "SELECT to_regclass('kept')") is None


def test_data_of_a_temporary_home_that_is_gone_are_removed_when_the_next_place_is_made(
    closed: Path, system_folder: Path
) -> None:
    with PostgresServer(closed / "gone", settings=QUICK, system_folder=system_folder) as gone:
        pass
    with PostgresServer(closed / "there", settings=QUICK, system_folder=system_folder) as there:
        pass
    data = gone.data, there.data
    shutil.rmtree(closed / "gone")
    with PostgresServer(closed / "next", settings=QUICK, system_folder=system_folder):
        assert [folder.exists() for folder in data] == [False, True]


def test_a_copied_home_does_not_share_a_running_database(closed: Path, system_folder: Path) -> None:
    with PostgresServer(closed / "home", settings=QUICK, system_folder=system_folder) as server:
        shutil.copytree(closed / "home", closed / "copy", symlinks=True)
        with pytest.raises(OperatorError, match=f"a running hannun .pid {os.getpid()}. uses it"):
            PostgresServer(closed / "copy", settings=QUICK, system_folder=system_folder).start()
        assert run(server, "SELECT 1") == 1


def test_data_that_root_has_brought_are_given_to_postgresqls_user(closed: Path, server: PostgresServer) -> None:
    server.start()
    remember(server)
    server.stop()
    for path in (server.data, *server.data.rglob("*")):
        os.chown(path, 0, 0)
    server.start()
    assert remembers(server)


def test_a_place_that_cannot_be_used_is_told_with_what_to_do(closed: Path) -> None:
    with pytest.raises(OperatorError, match=r"may not enter .*Hint: .*chmod o\+x"):
        PostgresServer(closed / "home", settings=QUICK, system_folder=closed / "system").start()


@pytest.mark.parametrize(
    ("memory_gib", "buffers_mb"), [(0.25, 128), (1, 128), (4, 512), (8, 1024), (16, 2048), (512, 2048)]
)
def test_it_takes_an_eighth_of_the_memory_within_bounds(memory_gib: float, buffers_mb: int) -> None:
    assert shared_buffers_mb(int(memory_gib * 2**30)) == buffers_mb


@pytest.mark.parametrize(("free_gib", "wal_mb"), [(0.5, 1024), (10, 1024), (20, 2048), (40, 4096), (4_000, 4096)])
def test_its_log_takes_a_tenth_of_the_free_disk_within_bounds(free_gib: float, wal_mb: int) -> None:
    assert max_wal_size_mb(int(free_gib * 2**30)) == wal_mb


def test_its_buffers_are_those_of_the_machine_or_those_that_were_asked_for(server: PostgresServer, home: Path) -> None:
    server.start()
    assert run(server, "SELECT setting::bigint * 8 / 1024 FROM pg_settings WHERE name = 'shared_buffers'") >= 128
    server.stop()
    asked = PostgresServer(home, settings=QUICK | {"shared_buffers": "16MB"})
    asked.start()
    try:
        assert run(asked, "SHOW shared_buffers") == "16MB"
    finally:
        asked.stop()
