"""What newcomers and tests can rely on when they use the embedded Valkey."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hannun.embedded import ValkeyServer
from hannun.errors import OperatorError


@pytest.fixture
def server(home: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(home)
    yield server
    server.stop()


def execute(server: ValkeyServer, *command: str) -> Any:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.execute_command(*command)


def test_a_server_in_a_new_home_accepts_commands(server: ValkeyServer) -> None:
    server.start()
    assert execute(server, "SET", "key", "value")
    assert execute(server, "GET", "key") == "value"


def test_it_listens_on_loopback_only_and_requires_a_password(server: ValkeyServer) -> None:
    server.start()
    assert execute(server, "CONFIG", "GET", "bind") == {"bind": "127.0.0.1"}
    no_retry = Retry(NoBackoff(), 0)
    with (
        redis.Redis(host=server.host, port=server.port, retry=no_retry) as without_password,
        pytest.raises(redis.AuthenticationError),
    ):
        without_password.ping()
    for file in ("valkey.password", "valkey.conf"):
        assert (server.home / file).stat().st_mode & 0o777 == 0o600


def test_data_do_not_survive_a_restart(server: ValkeyServer) -> None:
    server.start()
    execute(server, "SET", "key", "value")
    server.restart()
    assert execute(server, "GET", "key") is None


def test_with_appendonly_data_survive_a_kill(home: Path) -> None:
    with ValkeyServer(home, settings={"appendonly": "yes", "appendfsync": "always"}) as server:
        execute(server, "SET", "key", "value")
        server.kill()
        server.start()
        assert execute(server, "GET", "key") == "value"


def test_a_second_start_or_stop_has_no_effect(server: ValkeyServer) -> None:
    server.stop()
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    assert not server.running


def test_port_and_password_stay_the_same_after_a_kill(server: ValkeyServer) -> None:
    server.start()
    before = server.url
    server.kill()
    server.start()
    assert server.url == before
    assert execute(server, "PING")


@pytest.mark.parametrize("parent_death_signal", [True, False])
def test_a_new_owner_starts_a_new_server_after_the_first_owner_was_killed(
    home: Path, start_owner: Callable[..., Any], parent_death_signal: bool
) -> None:
    killed_owner = start_owner(f"ValkeyServer(Path({str(home)!r}))", parent_death_signal=parent_death_signal)
    killed_owner.kill()
    with ValkeyServer(home) as server:
        assert execute(server, "PING")
        assert server.pid != killed_owner.server_pid


def test_a_second_owner_of_a_home_gets_an_error_with_the_first_ones_pid(server: ValkeyServer) -> None:
    server.start()
    with pytest.raises(OperatorError, match=rf"{server.home}.*pid {os.getpid()}.*--home"):
        ValkeyServer(server.home).start()
    assert execute(server, "PING")


def test_an_error_about_a_wrong_setting_contains_the_servers_log(home: Path) -> None:
    with pytest.raises(OperatorError, match=r"(?s)no-such-setting.*Hint: correct the settings"):
        ValkeyServer(home, settings={"no-such-setting": "1"}).start()
    with ValkeyServer(home) as server:
        assert execute(server, "PING")


def test_a_taken_port_is_an_error_if_requested_and_is_replaced_if_not(home: Path) -> None:
    with ValkeyServer(home) as server:
        pass
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(OperatorError, match=rf"port {server.port}.*Hint: .*another port"):
            ValkeyServer(home, port=server.port).start()
        with ValkeyServer(home) as on_another_port:
            assert on_another_port.port != server.port


def test_the_path_of_a_home_may_contain_spaces_and_quotes(home: Path) -> None:
    with ValkeyServer(home / "my \"shop\" 한눈 \\ 'x'") as server:
        assert execute(server, "PING")


def test_a_home_that_cannot_be_created_is_an_error_with_a_hint(home: Path) -> None:
    home.write_text("a file, not a folder")
    with pytest.raises(OperatorError, match="Hint: give another --home"):
        ValkeyServer(home).start()


def test_a_server_runs_in_a_folder_that_only_root_may_enter(root_only_folder: Path) -> None:
    with ValkeyServer(root_only_folder / "home") as server:
        assert execute(server, "PING")
