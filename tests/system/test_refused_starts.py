"""Every way in which a server can refuse a process that starts: it ends with status 75, one sentence and a hint.

A refused login is status 2: trying again does not help.

Small TCP servers refuse where the real server cannot be told to; connections are cut by a proxy before the real one.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import pytest
from faults import Crash, Fault, KafkaRequests, PostgresRequests, Proxy, RedisRequests, RequestParser, every_crash
from outside import CompletedCommand, Service, StartService, Topics, wait_for, with_port

from hannun.embedded import HomeLock, KafkaServer, PostgresServer, ValkeyServer

TRY_AGAIN = 75
MUST_BE_CORRECTED = 2
LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
TOO_MANY_CLIENTS = b"-ERR max number of clients reached\r\n"

PROCESSES = ("serve", "schedule", "ingest")
COMMANDS = (
    "migrate",
    "reconcile",
    "partitions",
    "dead-letters list",
    "dead-letters retry 1",
    "positions list",
    "export dashboard nothing",
    "replay --from earliest --into live",
    "replay --from earliest",
    "replay compare",
    "replay swap",
    "replay drop",
)
WITH_REDIS = (*PROCESSES, "dead-letters retry 1", "replay --from earliest --into live")
WITH_KAFKA = (
    "ingest",
    "positions set nowhere --to latest",
    "positions forget nowhere",
    "replay --from earliest --into live",
)


class RefusingServer:
    """A server that refuses every connection in one way, on a port of its own.

    Args:
        reply: what it sends to the first bytes of the client before it closes the connection; None sends nothing, and
            keeps it open.
        reads: whether it waits for these first bytes.
    """

    def __init__(self, reply: bytes | None, *, reads: bool = True) -> None:
        self._reply = reply
        self._reads = reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in [self._listener, *self._open]:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            if self._reply is not None:
                threading.Thread(target=self._answer, args=[client, self._reply], daemon=True).start()

    def _answer(self, client: socket.socket, reply: bytes) -> None:
        client.settimeout(10)
        with suppress(OSError):
            if self._reads and client.recv(65_536):
                client.sendall(reply)
            client.shutdown(socket.SHUT_RDWR)


def fatal(sqlstate: str, message: str) -> bytes:
    """What PostgreSQL sends before it closes a connection."""
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


POSTGRES_WAYS: dict[str, Callable[[], RefusingServer]] = {
    "closed at once": lambda: RefusingServer(b"", reads=False),
    "closed during the handshake": lambda: RefusingServer(b""),
    "starting up": lambda: RefusingServer(fatal("57P03", "the database system is starting up")),
    "shutting down": lambda: RefusingServer(fatal("57P03", "the database system is shutting down")),
    "too many connections": lambda: RefusingServer(fatal("53300", "sorry, too many clients already")),
    "silent": lambda: RefusingServer(None),
}
REDIS_WAYS: dict[str, Callable[[], RefusingServer]] = {
    "closed at once": lambda: RefusingServer(b"", reads=False),
    "closed during the handshake": lambda: RefusingServer(b""),
    "loading": lambda: RefusingServer(LOADING * 3),
    "too many clients": lambda: RefusingServer(TOO_MANY_CLIENTS),
    "silent": lambda: RefusingServer(None),
}
OTHER_WAYS: dict[str, Callable[[], RefusingServer]] = {
    "closed at once": lambda: RefusingServer(b"", reads=False),
    "closed during the handshake": lambda: RefusingServer(b""),
    "silent": lambda: RefusingServer(None),
}


def assert_may_try_again(ran: CompletedCommand, says: str) -> None:
    assert ran.status == TRY_AGAIN, ran
    last = ran.err.strip().splitlines()[-1]
    assert last.startswith("hannun: ") and says in last and "Hint: " in last, ran.err
    assert "Traceback" not in ran.err, ran.err


@pytest.fixture
def refused() -> Iterator[int]:
    """A port on which no server listens."""
    with ExitStack() as stack:
        proxy = Proxy(0, PostgresRequests)
        stack.callback(proxy.__exit__, None, None, None)
        yield proxy.port


def without_postgres(service: Service, port: int) -> dict[str, str]:
    return {
        "DATABASE_URL": with_port(service.environment["DATABASE_URL"], port) + "?connect_timeout=2",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }


@pytest.mark.parametrize("verb", [*PROCESSES, *COMMANDS])
def test_without_postgresql_every_command_may_try_again(service: Service, refused: int, verb: str) -> None:
    ran = service.run(*verb.split(), **without_postgres(service, refused))
    assert_may_try_again(ran, f"cannot connect to PostgreSQL at 127.0.0.1:{refused}")


@pytest.mark.parametrize("verb", [*PROCESSES, *COMMANDS])
def test_a_refused_login_must_be_corrected_first(service: Service, verb: str) -> None:
    wrong = service.environment["DATABASE_URL"].replace(":secret-of-a-test@", ":another@")
    ran = service.run(*verb.split(), DATABASE_URL=wrong, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert ran.status == MUST_BE_CORRECTED, ran
    assert "password authentication failed" in ran.err and "Hint: " in ran.err and "another" not in ran.err, ran.err


@pytest.mark.parametrize("verb", ["serve", "ingest", "reconcile", "doctor"])
def test_a_database_that_a_killed_restore_has_left_closed_is_said_and_how_it_is_opened(
    service: Service, postgres: PostgresServer, verb: str
) -> None:
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        ran = service.run(verb, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
        conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    said = " ".join((ran.out + ran.err).split())
    assert "is not currently accepting connections" in said, ran
    assert "repeat it (hannun restore, hannun replay swap)" in said, ran


@pytest.mark.parametrize("way", POSTGRES_WAYS)
@pytest.mark.parametrize("verb", ["serve", "migrate", "reconcile"])
def test_however_postgresql_refuses_a_start_may_be_tried_again(service: Service, verb: str, way: str) -> None:
    with POSTGRES_WAYS[way]() as server:
        ran = service.run(verb, **without_postgres(service, server.port))
    assert_may_try_again(ran, f"cannot connect to PostgreSQL at 127.0.0.1:{server.port}")


@pytest.mark.parametrize("verb", WITH_REDIS)
def test_without_redis_every_process_may_try_again(service: Service, refused: int, verb: str) -> None:
    ran = service.run(*verb.split(), REDIS_PORT=str(refused), KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert_may_try_again(ran, f"cannot reach Redis at 127.0.0.1:{refused}")


@pytest.mark.parametrize("way", REDIS_WAYS)
def test_however_redis_refuses_a_start_may_be_tried_again(service: Service, way: str) -> None:
    with REDIS_WAYS[way]() as server:
        ran = service.run("schedule", REDIS_PORT=str(server.port), HANNUN_REDIS_TIMEOUT_S="0.5")
    assert_may_try_again(ran, f"cannot reach Redis at 127.0.0.1:{server.port}")


@pytest.mark.faults
@pytest.mark.parametrize("verb", WITH_KAFKA)
def test_without_kafka_every_command_may_try_again(service: Service, refused: int, verb: str) -> None:
    ran = service.run(*verb.split(), KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{refused}")
    assert_may_try_again(ran, f"no Kafka broker answers at 127.0.0.1:{refused}")


@pytest.mark.faults
@pytest.mark.parametrize("way", OTHER_WAYS)
def test_however_kafka_refuses_a_start_may_be_tried_again(service: Service, way: str) -> None:
    with OTHER_WAYS[way]() as server:
        ran = service.run("ingest", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{server.port}")
    assert_may_try_again(ran, f"no Kafka broker answers at 127.0.0.1:{server.port}")


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_serve_starts_however_the_issuer_of_tokens_refuses(service: Service, way: str) -> None:
    with OTHER_WAYS[way]() as server:
        process = service.start_serve(HANNUN_JWT_JWKS_URL=f"http://127.0.0.1:{server.port}/")
        assert process.terminate() == 0, process.log
    assert "Traceback" not in process.log


# -- connections that end during the start


def run_with_every_cut(
    service: Service, server: int, parser: Callable[[], RequestParser], fault: Fault, run: Callable[[int, Crash], None]
) -> int:
    """Run a command, each time with the connection cut at the next request. Returns at how many requests it was cut."""
    with Proxy(server, parser) as proxy:
        for crash in every_crash(fault):
            with proxy.inject(crash):
                run(proxy.port, crash)
    return crash.nth - 1


FAULTS: tuple[Fault, ...] = ("cut before", "cut after")


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "verb",
    ["migrate", "reconcile", "partitions", "dead-letters list", "positions list", "export"],
)
def test_a_command_whose_postgresql_connection_ends_may_be_tried_again(
    service: Service, postgres: PostgresServer, verb: str, fault: Fault
) -> None:
    arguments = [*verb.split(), *(["dashboard", "nothing"] if verb == "export" else [])]

    def run(port: int, crash: Crash) -> None:
        url = with_port(service.environment["DATABASE_URL"], port)
        if verb in ("migrate", "partitions"):
            url = url.replace("//analytics_readwrite:", "//hannun_owner:")
        ran = service.run(*arguments, DATABASE_URL=url)
        if not crash.happened.is_set() or (verb == "export" and ran.status == 2):  # its pool has connected again
            assert ran.status == (2 if verb == "export" else 0), ran
            assert verb != "export" or "no such event" in ran.err, ran
        else:
            assert_may_try_again(ran, "")

    assert run_with_every_cut(service, postgres.port, PostgresRequests, fault, run) >= 2


def through(service: Service, dependency: str, port: int) -> dict[str, str]:
    """The settings with which a process reaches a server by this port."""
    return {
        "postgresql": {"DATABASE_URL": with_port(service.environment["DATABASE_URL"], port)},
        "redis": {"REDIS_PORT": str(port)},
        "kafka": {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"},
    }[dependency]


def assert_runs_or_may_try_again(service: Service, verb: str, crash: Crash, **environment: str) -> None:
    """Start a process. It runs and ends as it should, or says in a sentence that it may be tried again."""
    process = service.start(verb, **environment)
    wait_for("the start, or its end", lambda: f"{verb} runs" in process.log or not process.is_running)
    if process.is_running:
        assert process.terminate() == 0, (crash.description, process.log)
    else:
        last = process.log.strip().splitlines()[-1]
        assert process.wait() == TRY_AGAIN, (crash.description, process.log)
        assert last.startswith("hannun: ") and "Hint: " in last, process.log
    assert "Traceback" not in process.log, (crash.description, process.log)


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["serve", "schedule"])
@pytest.mark.parametrize("dependency", ["postgresql", "redis"])
def test_a_process_whose_connection_ends_during_its_start_runs_or_may_be_tried_again(
    service: Service, postgres: PostgresServer, valkey: ValkeyServer, dependency: str, verb: str, fault: Fault
) -> None:
    def run(port: int, crash: Crash) -> None:
        assert_runs_or_may_try_again(service, verb, crash, **through(service, dependency, port), HANNUN_PORT="0")

    servers = {"postgresql": (postgres.port, PostgresRequests), "redis": (valkey.port, RedisRequests)}
    assert run_with_every_cut(service, *servers[dependency], fault, run) >= 1


@pytest.mark.faults
@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dependency", ["postgresql", "redis", "kafka"])
def test_an_ingest_whose_connection_ends_during_its_start_runs_or_may_be_tried_again(
    service: Service,
    topics: Topics,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    kafka: KafkaServer,
    dependency: str,
    fault: Fault,
) -> None:
    """Of Kafka those requests are cut that go to the bootstrap address: the client reaches the broker by its own."""

    def run(port: int, crash: Crash) -> None:
        environment = topics.environment() | through(service, dependency, port)
        assert_runs_or_may_try_again(service, "ingest", crash, **environment)

    servers = {
        "postgresql": (postgres.port, PostgresRequests),
        "redis": (valkey.port, RedisRequests),
        "kafka": (kafka.port, KafkaRequests),
    }
    assert run_with_every_cut(service, *servers[dependency], fault, run) >= 1


# -- `hannun up`


@contextmanager
def taken_port(home: Path) -> Iterator[list[str]]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield ["--port", str(taken.getsockname()[1])]


@contextmanager
def used_home(home: Path) -> Iterator[list[str]]:
    home.mkdir(parents=True)
    with HomeLock(home):
        yield []


@contextmanager
def file_in_the_place_of(home: Path, *names: str, text: str = "not this\n") -> Iterator[list[str]]:
    """A file where `up` needs a folder, or another one."""
    path = home.joinpath(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    yield []


UP_WAYS: dict[str, tuple[Callable[[Path], AbstractContextManager[list[str]]], str]] = {
    "the port is taken": (taken_port, "cannot listen on 127.0.0.1:"),
    "another one runs on the home": (used_home, "a running hannun"),
    "the home is a file": (file_in_the_place_of, "cannot use the folder"),
    "the home is below a file": (lambda home: file_in_the_place_of(home.parent), "cannot use the folder"),
    "the passwords are damaged": (lambda home: file_in_the_place_of(home, "secrets.json"), "cannot read the passwords"),
    "postgresql's folder is a file": (lambda home: file_in_the_place_of(home, "postgres"), "cannot use the folder"),
    "postgresql's data are others": (lambda home: file_in_the_place_of(home, "postgres", "data", "x"), "postgres"),
    "valkey's folder is a file": (lambda home: file_in_the_place_of(home, "valkey"), "cannot use the folder"),
}
WRONG_SETTINGS = {
    "HANNUN_LOG_LEVEL": "loud",
    "HANNUN_CHANNELS_FILE": "/nowhere/channels.toml",
    "HANNUN_POOL_SIZE_MAX": "many",
}


def assert_refused_in_a_sentence(ran: CompletedCommand, says: str) -> None:
    assert ran.status == MUST_BE_CORRECTED, ran
    found = ran.err.strip()
    assert found.startswith("hannun: ") and says in found and "Hint: " in found.splitlines()[-1], ran.err
    assert "Traceback" not in ran.out + ran.err, ran.err
    assert "ready: " not in ran.out


@pytest.mark.parametrize("way", UP_WAYS)
def test_however_up_cannot_start_it_says_so_in_a_sentence(start_service: StartService, home: Path, way: str) -> None:
    prepare, says = UP_WAYS[way]
    folder = home / f"of {way}" / "home"
    with prepare(folder) as arguments:
        ran = start_service().run("up", "--home", str(folder), *(arguments or ["--port", "0"]))
    assert_refused_in_a_sentence(ran, says)
    assert not (folder / "endpoints.json").exists() or folder.is_file()


@pytest.mark.parametrize("name", WRONG_SETTINGS)
def test_up_refuses_a_wrong_setting_before_it_starts_a_server(
    start_service: StartService, tmp_path: Path, name: str
) -> None:
    ran = start_service().run("up", "--home", str(tmp_path / "home"), "--port", "0", **{name: WRONG_SETTINGS[name]})
    assert_refused_in_a_sentence(ran, "/nowhere/channels.toml" if name == "HANNUN_CHANNELS_FILE" else name)
    assert "starting" not in ran.out
    assert not (tmp_path / "home" / "postgres").exists()


def test_up_with_kafka_and_without_java_says_what_to_install(start_service: StartService, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    ran = start_service().run("up", "--kafka", "--home", home, "--port", "0", PATH="/nowhere", JAVA_HOME=None)
    assert_refused_in_a_sentence(ran, "Java")
