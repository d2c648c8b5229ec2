"""What is measured runs here: real servers in a folder of their own, the service's own processes, and their end.

temporary folder ─► PostgreSQL (durable), Valkey ─► a new migrated database for each bench ─► serve | ingest
     └────────────────────── all of it ended by its own handle, and the folder removed ───────────────────────┘
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
from collections.abc import Callable, Iterator
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
from hannun.store.migrate import ROLES, migrate
from hannun.tokens import sign_token

OWNER, PASSWORD = "hannun_owner", secrets.token_urlsafe(24)
TEMPLATE = "template_of_benches"
PARTITIONS = 4
READY_S_MAX = 60.0
STOP_S_MAX = 15.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Site:
    """A database of one bench's own, and who else is there."""

    name: str
    url: str
    owner_url: str
    redis: RedisAddress


@dataclass(frozen=True, slots=True)
class Serving:
    """A `hannun serve` that answers."""

    pid: int
    port: int


class Ground:
    """PostgreSQL and Valkey for all benches; Kafka for those that ask for it."""

    def __init__(self, home: Path, postgres: PostgresServer, valkey: ValkeyServer, stack: ExitStack, say: Say) -> None:
        self.home = home
        self.postgres = postgres
        self.valkey = valkey
        self.say = say
        self._stack = stack
        self._kafka: KafkaServer | None = None
        self._secret = secrets.token_urlsafe(48)

    def site(self, name: str, *, like: Site | None = None) -> Site:
        """A new database: migrated and empty, or a copy of a site to which nobody is connected."""
        with psycopg.connect(self.postgres.superuser_url, autocommit=True) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                    sql.Identifier(name), sql.Identifier(like.name if like else TEMPLATE), sql.Identifier(OWNER)
                )
            )
            # Each bench begins with the same distance to the next checkpoint.
            conn.execute("CHECKPOINT")
        return Site(
            name,
            self.postgres.url(name, "analytics_readwrite", PASSWORD),
            self.postgres.url(name, OWNER, PASSWORD),
            RedisAddress(self.valkey.host, self.valkey.port, self.valkey.password),
        )

    def drop(self, site: Site) -> None:
        with psycopg.connect(self.postgres.superuser_url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(site.name)))

    def kafka(self) -> KafkaServer:
        """A real Apache Kafka, started at the first call.

        Raises:
            OperatorError: it cannot run here (no Java, no Maven), and why.
        """
        if self._kafka is None:
            self.say("starting Kafka")
            kafka = KafkaServer(self.home / "kafka", progress=self.say)
            self._stack.callback(kafka.stop)
            kafka.start()
            self._kafka = kafka
        return self._kafka

    def topics(self, prefix: str) -> dict[str, str]:
        """The service's topics under names of one bench's own: kind -> topic, each with four partitions."""
        names = {str(kind): f"{prefix}-{kind}" for kind in Kind}
        self.kafka().create_topics(dict.fromkeys(names.values(), PARTITIONS))
        return names

    def token(self) -> str:
        """A token that may send and may see everything."""
        return sign_token(self._secret, "bench", ["ADMIN", "SERVICE"], 3_600.0)

    @contextmanager
    def serve(self, site: Site, *, module: str = "hannun", **settings: str) -> Iterator[Serving]:
        """`hannun serve` in a process of its own, ready; or that of another module that runs it in its own way."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            listener.set_inheritable(True)
            port = listener.getsockname()[1]
            arguments = ["serve", "--fd", str(listener.fileno())]
            environment = self._environment(site) | settings
            with self._process(arguments, environment, [listener.fileno()], module=module) as process:
                self._wait_until_ready(port, process)
                yield Serving(process.pid, port)

    @contextmanager
    def bare(self, site: Site, which: str, **settings: str) -> Iterator[Serving]:
        """A server of `bench.bare` in a process of its own."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            listener.set_inheritable(True)
            environment = self._environment(site) | settings
            arguments = [which, str(listener.fileno())]
            with self._process(arguments, environment, [listener.fileno()], module="bench.bare") as process:
                yield Serving(process.pid, listener.getsockname()[1])

    @contextmanager
    def ingest(self, site: Site, topics: dict[str, str]) -> Iterator[int]:
        """`hannun ingest` in a process of its own; yields its pid. It takes a moment to join its group."""
        named = {f"HANNUN_TOPIC_{kind.replace('-', '_').upper()}": topic for kind, topic in topics.items()}
        environment = self._environment(site) | named | {"HANNUN_KAFKA_GROUP": site.name}
        with self._process(["ingest"], environment, []) as process:
            yield process.pid

    def _environment(self, site: Site) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANNUN_")}
        return (
            kept
            | {
                "DATABASE_URL": site.url,
                "REDIS_HOST": site.redis.host,
                "REDIS_PORT": str(site.redis.port),
                "REDIS_PASSWORD": site.redis.password,
                "REDIS_DATABASE": "0",
                "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap if self._kafka else "",
                "HANNUN_JWT_SECRET": self._secret,
                "HANNUN_START_FROM": "earliest",
                "HANNUN_REQUESTS_A_MINUTE": "100000000",  # one token asks as fast as it can here
                "HANNUN_LOG_LEVEL": "warning",
                # The Hannun that this process has imported, and the bench.
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
            if process.poll() is not None:
                raise OperatorError(
                    f"{module} {arguments[0]} ended with status {process.returncode} while it was measured:\n"
                    + log.read_text(errors="replace")[-2_000:],
                    hint="a bench of a process that dies means nothing",
                )
        finally:
            _end(process)

    def _wait_until_ready(self, port: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                    return
            except (urllib.error.HTTPError, OSError):
                time.sleep(0.02)
        said = (self.home / "serve.log").read_text(errors="replace")[-2_000:]
        raise OperatorError(f"hannun serve did not become ready:\n{said}", hint="try `make demo`: it says more")


@contextmanager
def ground(say: Say) -> Iterator[Ground]:
    """Servers in a temporary folder; at the end nothing of them is left."""
    home = Path(tempfile.mkdtemp(prefix="hannun-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.chmod(0o711)  # as root, PostgreSQL runs as another user, who must get through
        # When a transaction was committed is asked by `freshness`; it is kept in 10 bytes a transaction.
        kept = {"track_commit_timestamp": "on"}
        postgres, valkey = PostgresServer(home / "postgres", settings=kept), ValkeyServer(home / "valkey")
        stack.callback(postgres.destroy)
        stack.callback(valkey.stop)
        say("starting PostgreSQL and Valkey")
        postgres.start()
        valkey.start()
        _make_template(postgres)
        yield Ground(home, postgres, valkey, stack, say)


def environment_of(ground: Ground) -> dict[str, str]:
    """What was measured on."""
    with psycopg.connect(ground.postgres.superuser_url) as conn:
        row = conn.execute(
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
    assert row is not None
    said = subprocess.run([str(valkey_program()), "--version"], capture_output=True, text=True, check=True).stdout
    valkey = re.search(r"v=([\d.]+)", said)
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": sys.version.split()[0],
        "postgresql": f"{row[0]} (fsync {row[1]}, synchronous_commit {row[2]})",
        "valkey": valkey[1] if valkey else said.strip(),
        "kafka": kafka_version(),
    }


def _make_template(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(sql.Identifier(OWNER), sql.Literal(PASSWORD))
        )
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(TEMPLATE), sql.Identifier(OWNER)))
    migrate(postgres.url(TEMPLATE, OWNER, PASSWORD), load_table(), dict.fromkeys(ROLES, PASSWORD))


def _end(process: subprocess.Popen[bytes]) -> None:
    """In its ordinary way; by force where that takes too long."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
