"""Starts what the benches measure: servers in a temporary folder, and the processes of the service.

    temporary folder ─► PostgreSQL (durable), Valkey, Kafka ─► a migrated database for each bench ─► serve | ingest

At the end every process is stopped through its own handle, and the folder is removed.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from hannun.cache import RedisAddress
from hannun.domain.channels import load_table
from hannun.domain.facts import Kind
from hannun.embedded import KafkaServer, PostgresServer, ValkeyServer, kafka_version, valkey_program
from hannun.embedded.process import spawn
from hannun.errors import OperatorError
from hannun.sandbox.channels.control_client import ControlClient
from hannun.store.migrate import migrate
from hannun.store.roles import ROLES
from hannun.tokens import sign_token

OWNER, PASSWORD = "hannun_owner", secrets.token_urlsafe(24)
TEMPLATE = "bench_template"
PARTITIONS = 4
READY_S_MAX = 60.0
STOP_S_MAX = 15.0
LogProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchDatabase:
    """The database of one bench, with its URLs for the service and for its owner, and its Redis."""

    name: str
    url: str
    owner_url: str
    redis: RedisAddress


@dataclass(frozen=True, slots=True)
class ServeProcess:
    """A running HTTP server: `hannun serve`, or one of `bench.baselines`."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class ChannelSandbox:
    """A running channel sandbox: its process, the access file that it has written, and its control address."""

    pid: int
    access_file: Path
    control: ControlClient


class Servers:
    """PostgreSQL and Valkey for all benches, and Kafka for those that need it."""

    def __init__(
        self, home: Path, postgres: PostgresServer, valkey: ValkeyServer, stack: ExitStack, log_progress: LogProgress
    ) -> None:
        self.home = home
        self.postgres = postgres
        self.valkey = valkey
        self.log_progress = log_progress
        self._stack = stack
        self._kafka: KafkaServer | None = None
        self._secret = secrets.token_urlsafe(48)

    def create_database(self, name: str, *, template: BenchDatabase | None = None) -> BenchDatabase:
        """Create a database: migrated and empty, or a copy of `template`, which must have no connections."""
        with psycopg.connect(self.postgres.superuser_url, autocommit=True) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                    sql.Identifier(name), sql.Identifier(template.name if template else TEMPLATE), sql.Identifier(OWNER)
                )
            )
            # So each bench starts at the same distance from the next checkpoint.
            conn.execute("CHECKPOINT")
        return BenchDatabase(
            name,
            self.postgres.url(name, "analytics_readwrite", PASSWORD),
            self.postgres.url(name, OWNER, PASSWORD),
            RedisAddress(self.valkey.host, self.valkey.port, self.valkey.password),
        )

    def drop_database(self, database: BenchDatabase) -> None:
        with psycopg.connect(self.postgres.superuser_url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database.name)))

    def kafka(self) -> KafkaServer:
        """Apache Kafka, started at the first call.

        Raises:
            OperatorError: Kafka cannot run here, for example without Java or Maven.
        """
        if self._kafka is None:
            self.log_progress("starting Kafka")
            kafka = KafkaServer(self.home / "kafka", progress=self.log_progress)
            self._stack.callback(kafka.stop)
            kafka.start()
            self._kafka = kafka
        return self._kafka

    def create_topics(self, prefix: str) -> dict[str, str]:
        """Create the topics of one bench, each with `PARTITIONS` partitions. Returns topic names by kind of message."""
        names = {str(kind): f"{prefix}-{kind}" for kind in Kind}
        self.kafka().create_topics(dict.fromkeys(names.values(), PARTITIONS))
        return names

    def admin_token(self) -> str:
        """A token that may send messages and read every event."""
        return sign_token(self._secret, "bench", ["ADMIN", "SERVICE"], 3_600.0)

    def token(self, user_id: str, role: str, number: int) -> str:
        """A token of this user. Different numbers give different tokens."""
        return sign_token(self._secret, user_id, [role], 3_600.0 + number)

    @contextmanager
    def serve(self, database: BenchDatabase, *, module: str = "hannun", **settings: str) -> Iterator[ServeProcess]:
        """Run `hannun serve`, or another module with the same command line, and yield it when it is ready.

        Args:
            settings: environment variables in addition to those of all benches.
        """
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            listener.set_inheritable(True)
            port = listener.getsockname()[1]
            arguments = ["serve", "--fd", str(listener.fileno())]
            environment = self.environment(database) | settings
            with self._process(arguments, environment, [listener.fileno()], module=module) as process:
                self._wait_until_ready(port, process)
                yield ServeProcess(process.pid, port)

    @contextmanager
    def serve_baseline(self, database: BenchDatabase, name: str, **settings: str) -> Iterator[ServeProcess]:
        """Run a server of `bench.baselines`. It listens from the start, so the first request waits until it serves."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            listener.set_inheritable(True)
            environment = self.environment(database) | settings
            arguments = [name, str(listener.fileno())]
            with self._process(arguments, environment, [listener.fileno()], module="bench.baselines") as process:
                yield ServeProcess(process.pid, listener.getsockname()[1])

    @contextmanager
    def ingest(self, database: BenchDatabase, topics: dict[str, str], **settings: str) -> Iterator[int]:
        """Run `hannun ingest`, and yield its pid. It joins its consumer group some time later."""
        topic_settings = {f"HANNUN_TOPIC_{kind.replace('-', '_').upper()}": topic for kind, topic in topics.items()}
        environment = self.environment(database) | topic_settings | {"HANNUN_KAFKA_GROUP": database.name} | settings
        with self._process(["ingest"], environment, []) as process:
            yield process.pid

    @contextmanager
    def schedule(self, database: BenchDatabase, **settings: str) -> Iterator[int]:
        """Run `hannun schedule`, and yield its pid. It begins a round of the refresh at once, if none was begun."""
        with self._process(["schedule"], self.environment(database) | settings, []) as process:
            yield process.pid

    @contextmanager
    def channel_sandbox(self) -> Iterator[ChannelSandbox]:
        """Run `hannun sandbox serve` without budgets, and yield it when its access file is written."""
        access_file = self.home / "channel-access.toml"
        access_file.unlink(missing_ok=True)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(4_096)
            listener.set_inheritable(True)
            arguments = ["sandbox", "serve", "--fd", str(listener.fileno()), "--no-budgets"]
            arguments += ["--access", str(access_file)]
            with self._process(arguments, dict(os.environ), [listener.fileno()]) as process:
                wait_for(access_file.exists, "hannun sandbox serve writes its access file")
                address = f"http://127.0.0.1:{listener.getsockname()[1]}"
                yield ChannelSandbox(process.pid, access_file, ControlClient(address))

    def environment(self, database: BenchDatabase) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HANNUN_")}
        return (
            inherited
            | {
                "DATABASE_URL": database.url,
                "REDIS_HOST": database.redis.host,
                "REDIS_PORT": str(database.redis.port),
                "REDIS_PASSWORD": database.redis.password,
                "REDIS_DATABASE": "0",
                "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap if self._kafka else "",
                "HANNUN_JWT_SECRET": self._secret,
                "HANNUN_START_FROM": "earliest",
                "HANNUN_REQUESTS_A_MINUTE": "100000000",  # one token sends all requests here
                "HANNUN_LOG_LEVEL": "warning",
                # The code that this process has imported: Hannun and the benches.
                "PYTHONPATH": os.pathsep.join([*sys.path[1:], str(Path(__file__).parents[1])]),
            }
        )

    @contextmanager
    def _process(
        self, arguments: list[str], environment: dict[str, str], inherit: list[int], *, module: str = "hannun"
    ) -> Iterator[subprocess.Popen[bytes]]:
        log = self.home / f"{arguments[0]}.log"
        with log.open("ab") as file:
            process = spawn(
                [sys.executable, "-m", module, *arguments],
                log=file.fileno(),
                environment=environment,
                user=None,
                parent_death_signal=signal.SIGTERM,
                pass_fds=inherit,
            )
        try:
            yield process
        finally:
            status = process.poll()
            _stop(process)
            if status is not None:
                raise OperatorError(
                    f"{module} {arguments[0]} ended with status {status} during the measurement:\n"
                    + log.read_text(errors="replace")[-2_000:],
                    hint="fix the cause that the log names, then measure again",
                )

    def _wait_until_ready(self, port: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                    return
            except (urllib.error.HTTPError, OSError):
                time.sleep(0.02)
        tail = (self.home / "serve.log").read_text(errors="replace")[-2_000:]
        raise OperatorError(
            f"hannun serve did not become ready; its log ends with:\n{tail}",
            hint="`make demo` starts the same process and logs more",
        )


def wait_for(condition: Callable[[], bool], what: str, seconds_max: float = READY_S_MAX) -> None:
    """Wait until a condition holds.

    Raises:
        OperatorError: it does not within `seconds_max`.
    """
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise OperatorError(f"not within {seconds_max:.0f} s: {what}", hint="is the machine very busy?")
        time.sleep(0.05)


@contextmanager
def start_servers(log_progress: LogProgress, postgres_settings: Mapping[str, str] | None = None) -> Iterator[Servers]:
    """Start PostgreSQL and Valkey in a temporary folder. At the end of the block all is stopped and removed.

    Args:
        postgres_settings: settings of PostgreSQL in addition to those of all benches, or instead of them.
    """
    home = Path(tempfile.mkdtemp(prefix="hannun-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.chmod(0o711)  # under root, PostgreSQL runs as another user, which must be able to enter
        # `freshness` reads the commit time of transactions. PostgreSQL stores it in 10 bytes a transaction.
        # `rounds` counts statements by application in the log; it has its database's statements logged.
        settings = {
            "track_commit_timestamp": "on",
            "log_line_prefix": "%m [%p] %u@%d %a ",
            **(postgres_settings or {}),
        }
        postgres, valkey = PostgresServer(home / "postgres", settings=settings), ValkeyServer(home / "valkey")
        stack.callback(postgres.destroy)
        stack.callback(valkey.stop)
        log_progress("starting PostgreSQL and Valkey")
        postgres.start()
        valkey.start()
        _create_template(postgres)
        yield Servers(home, postgres, valkey, stack, log_progress)


def describe_environment(servers: Servers) -> dict[str, str]:
    """What the benches run on: cores, load, versions and durability settings."""
    with psycopg.connect(servers.postgres.superuser_url) as conn:
        row = conn.execute(
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
    assert row is not None
    version = subprocess.run([str(valkey_program()), "--version"], capture_output=True, text=True, check=True).stdout
    valkey = re.search(r"v=([\d.]+)", version)
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": sys.version.split()[0],
        "postgresql": f"{row[0]} (fsync {row[1]}, synchronous_commit {row[2]})",
        "valkey": valkey[1] if valkey else version.strip(),
        "kafka": kafka_version(),
    }


def _create_template(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(sql.Identifier(OWNER), sql.Literal(PASSWORD))
        )
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(TEMPLATE), sql.Identifier(OWNER)))
    migrate(postgres.url(TEMPLATE, OWNER, PASSWORD), load_table(), dict.fromkeys(ROLES, PASSWORD))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process with SIGTERM, or with SIGKILL if it takes longer than `STOP_S_MAX`."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
