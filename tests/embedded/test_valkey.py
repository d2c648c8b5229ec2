"""What a newcomer and a test may expect of the embedded Valkey."""

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


def ask(server: ValkeyServer, *command: str) -> Any:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.execute_command(*command)


def test_a_fresh_home_gives_a_server(server: ValkeyServer) -> None:
    server.start()
    assert ask(server, "SET", "key", "value")
    assert ask(server, "GET", "key") == "value"


def test_it_listens_on_loopback_and_wants_a_password(server: ValkeyServer) -> None:
    server.start()
    assert ask(server, "CONFIG", "GET", "bind") == {"bind": "127.0.0.1"}
    once = Retry(NoBackoff(), 0)
    with (
        redis.Redis(host=server.host, port=server.port, retry=once) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    for secret in ("valkey.password", "valkey.conf"):
        assert (server.home / secret).stat().st_mode & 0o777 == 0o600


def test_it_keeps_nothing_on_disk(server: ValkeyServer) -> None:
    server.start()
    ask(server, "SET", "key", "value")
    server.restart()
    assert ask(server, "GET", "key") is None


def test_where_asked_to_it_keeps_its_data_even_when_killed(home: Path) -> None:
    with ValkeyServer(home, settings={"appendonly": "yes", "appendfsync": "always"}) as server:
        ask(server, "SET", "key", "value")
        server.kill()
        server.start()
        assert ask(server, "GET", "key") == "value"


def test_starting_twice_and_stopping_twice_are_fine(server: ValkeyServer) -> None:
    server.stop()
    server.start()
    first = server.pid
    server.start()
    assert server.pid == first
    server.stop()
    server.stop()
    assert not server.running


def test_port_and_password_stay_the_same_when_it_is_killed(server: ValkeyServer) -> None:
    server.start()
    before = server.url
    server.kill()
    server.start()
    assert server.url == before
    assert ask(server, "PING")


@pytest.mark.parametrize("courteous", [True, False])
def test_the_next_owner_takes_over_from_a_killed_one(home: Path, owner: Callable[..., Any], courteous: bool) -> None:
    killed = owner(f"ValkeyServer(Path({str(home)!r}))", courteous=courteous)
    killed.is_killed()
    with ValkeyServer(home) as server:
        assert ask(server, "PING")
        assert server.pid != killed.server_pid


def test_a_second_owner_of_a_home_is_told_who_has_it(server: ValkeyServer) -> None:
    server.start()
    with pytest.raises(OperatorError, match=rf"{server.home}.*pid {os.getpid()}.*--home"):
        ValkeyServer(server.home).start()
    assert ask(server, "PING")


def test_a_wrong_setting_is_told_with_the_servers_own_words(home: Path) -> None:
    with pytest.raises(OperatorError, match=r"(?s)no-such-setting.*Hint: correct the settings"):
        ValkeyServer(home, settings={"no-such-setting": "1"}).start()
    with ValkeyServer(home) as server:
        assert ask(server, "PING")


def test_a_wanted_port_that_is_taken_is_an_error_and_a_remembered_one_is_replaced(home: Path) -> None:
    with ValkeyServer(home) as server:
        pass
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(OperatorError, match=rf"port {server.port}.*Hint: .*another port"):
            ValkeyServer(home, port=server.port).start()
        with ValkeyServer(home) as elsewhere:
            assert elsewhere.port != server.port


def test_a_home_with_blanks_and_quotes_in_its_name_is_fine(home: Path) -> None:
    with ValkeyServer(home / "my \"shop\" 한눈 \\ 'x'") as server:
        assert ask(server, "PING")


def test_a_home_that_cannot_be_made_is_told_with_what_to_do(home: Path) -> None:
    home.write_text("a file, not a folder")
    with pytest.raises(OperatorError, match="Hint: give another --home"):
        ValkeyServer(home).start()


def test_works_in_a_folder_that_only_root_may_enter(closed: Path) -> None:
    with ValkeyServer(closed / "home") as server:
        assert ask(server, "PING")
