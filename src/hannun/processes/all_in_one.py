"""Everything on one machine, in one command: servers from wheels, the schema, the processes, and if asked a platform.

    home ─► PostgreSQL, Valkey, (Kafka) ─► migrate ─► serve, schedule, (ingest), (simulate) ─► endpoints.json
                                                        └── a process that dies is started again

The home holds it all: data, passwords, logs. Started again on the same home, also after kill -9, it goes on with the
same data. The processes are the same ones that an operator runs; only their settings are made here.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from hannun.domain.channels import ChannelTable
from hannun.embedded import HomeLock, KafkaServer, PostgresServer, ValkeyServer
from hannun.embedded.private_files import write_private_file
from hannun.embedded.process import spawn
from hannun.errors import OperatorError
from hannun.sandbox.platform import Platform
from hannun.sandbox.simulation import DEMO_SEED
from hannun.store.migrate import ROLES, migrate
from hannun.tokens import sign_token

DATABASE = "analytics_db"
OWNER = "hannun_owner"
PORT_WANTED = 8080
TOKEN_LASTS_S = 365 * 86_400.0
PARTITIONS = 4
DEMO_PACE = "0.4"  # numbers that move every second, and no last hour that dwarfs the chart
STOP_S_MAX = 10.0
AGAIN_AFTER_S = 0.2
FAILURES_MAX, FAILURES_WITHIN_S = 6, 60.0


Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything is: `DIR/endpoints.json`."""

    api: str
    database_url: str
    redis_url: str
    kafka_bootstrap: str | None
    admin_token: str


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What to bring up. `port` 0 is any free one, None the usual one or else any."""

    home: Path
    port: int | None
    kafka: bool
    demo: bool
    channels: ChannelTable
    topics: Sequence[str]


def up(wanted: UpOptions, stop: threading.Event, say: Say) -> None:
    """Bring everything up, stay until `stop`, and bring it down in order.

    Raises:
        OperatorError: something cannot start, and why; or a process keeps dying.
    """
    with ExitStack() as stack:
        wanted.home.mkdir(parents=True, exist_ok=True)
        stack.enter_context(HomeLock(wanted.home))
        (wanted.home / "endpoints.json").unlink(missing_ok=True)
        kept = _secrets(wanted.home)
        postgres, valkey, kafka = _servers(wanted, stack, say)
        say("migrating")
        urls = _database(postgres, kept, wanted.channels)
        listener = stack.enter_context(_listener(wanted.port))
        api = f"http://127.0.0.1:{listener.getsockname()[1]}"
        admin = sign_token(kept["jwt_secret"], "admin", ["ADMIN", "SERVICE"], TOKEN_LASTS_S)
        endpoints = Endpoints(
            api, urls["analytics_readwrite"], valkey.url, None if kafka is None else kafka.bootstrap, admin
        )
        code = secrets.token_urlsafe(16)
        merchant = _demo_merchant() if wanted.demo else "admin"
        signed_in = sign_token(kept["jwt_secret"], merchant, ["MERCHANT"] if wanted.demo else ["ADMIN"], TOKEN_LASTS_S)
        environment = _environment(endpoints, valkey, kept, {code: signed_in})
        children = stack.enter_context(_Children(wanted.home, environment, say).running())
        children.start("serve", "serve", "--fd", str(listener.fileno()), fd=listener.fileno())
        children.start("schedule", "schedule")
        if kafka is not None:
            children.start("ingest", "ingest")
        _wait_until_ready(api, children, stop)
        _write_endpoints(wanted.home, endpoints)
        if wanted.demo:
            over = ["--kafka"] if kafka else []
            children.start("simulate", "simulate", "--home", str(wanted.home), "--pace", DEMO_PACE, *over)
        say(f"ready: {api}/#code={code}")
        while not stop.wait(0.2):
            for server in filter(None, (postgres, valkey, kafka)):
                if not server.running:
                    say(f"{server.name} has died; starting it again")
                    server.start()
            children.look_after()
        say("stopping")


def _servers(wanted: UpOptions, stack: ExitStack, say: Say) -> tuple[PostgresServer, ValkeyServer, KafkaServer | None]:
    """Start the servers, at the same time."""
    servers = [PostgresServer(wanted.home / "postgres"), ValkeyServer(wanted.home / "valkey")]
    kafka = KafkaServer(wanted.home / "kafka", progress=say) if wanted.kafka else None
    if kafka is not None:
        servers.append(kafka)
    for server in servers:
        stack.callback(server.stop)
    say("starting " + ", ".join(("PostgreSQL", "Valkey", "Kafka")[: len(servers)]))
    with ThreadPoolExecutor(len(servers)) as pool:
        for started in [pool.submit(server.start) for server in servers]:
            started.result()
    if kafka is not None:
        kafka.create_topics(dict.fromkeys(wanted.topics, PARTITIONS))
    postgres, valkey = servers[0], servers[1]
    assert isinstance(postgres, PostgresServer) and isinstance(valkey, ValkeyServer)
    return postgres, valkey, kafka


def _secrets(home: Path) -> dict[str, str]:
    """The home's passwords and its signing key: made once, readable by its owner alone."""
    path = home / "secrets.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {"jwt_secret", OWNER, *ROLES} - kept.keys()
    if missing:
        kept |= {name: secrets.token_urlsafe(36) for name in missing}
        write_private_file(path, json.dumps(kept))
    return kept


def _database(postgres: PostgresServer, kept: Mapping[str, str], channels: ChannelTable) -> dict[str, str]:
    """The database with its owner, migrated. Returns the URL of each role."""
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(OWNER)))
        conn.execute(
            sql.SQL("ALTER ROLE {} CREATEDB PASSWORD {}").format(sql.Identifier(OWNER), sql.Literal(kept[OWNER]))
        )
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))
    migrate(postgres.url(DATABASE, OWNER, kept[OWNER]), channels, {role: kept[role] for role in ROLES})
    return {role: postgres.url(DATABASE, role, kept[role]) for role in ROLES}


@contextmanager
def _listener(port: int | None) -> Iterator[socket.socket]:
    """The socket of the page. We hold it, so that its address stays while `serve` is started again.

    Raises:
        OperatorError: the port that was asked for is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener:
        try:
            listener.bind(("127.0.0.1", PORT_WANTED if port is None else port))
        except OSError as error:
            if port is not None:
                raise OperatorError(
                    f"cannot listen on 127.0.0.1:{port}: {error.strerror}", hint="another --port, or 0 for any free one"
                ) from error
            listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        listener.set_inheritable(True)
        yield listener


def _environment(
    endpoints: Endpoints, valkey: ValkeyServer, kept: Mapping[str, str], codes: Mapping[str, str]
) -> dict[str, str]:
    """The settings of the processes. What the operator set beside ours goes through."""
    return {
        **os.environ,
        "DATABASE_URL": endpoints.database_url,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(valkey.port),
        "REDIS_PASSWORD": valkey.password,
        "REDIS_DATABASE": "0",
        "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka_bootstrap or "",
        "HANNUN_JWT_SECRET": kept["jwt_secret"],
        "HANNUN_JWT_ISSUER": "",  # what we sign ourselves is by nobody and for nobody in particular
        "HANNUN_JWT_AUDIENCE": "",
        "HANNUN_SIGN_IN_CODES": json.dumps(codes),
        "HANNUN_START_FROM": "earliest",
        "HANNUN_API": endpoints.api,
        "HANNUN_ADMIN_TOKEN": endpoints.admin_token,
    }


def _demo_merchant() -> str:
    """The merchant with the most to look at."""
    platform = Platform(DEMO_SEED, founded_at=datetime.now(UTC))
    events = [event.merchant for event in platform.events]
    best = max(events, key=lambda merchant: sum(1 for other in events if other.id == merchant.id))
    return str(best.id)


def _write_endpoints(home: Path, endpoints: Endpoints) -> None:
    told = {name: getattr(endpoints, name) for name in endpoints.__slots__}
    write_private_file(home / "endpoints.json", json.dumps(told, indent=2) + "\n")


def _wait_until_ready(api: str, children: "_Children", stop: threading.Event) -> None:
    deadline = time.monotonic() + 60
    while not stop.is_set():
        try:
            with urllib.request.urlopen(f"{api}/health/ready", timeout=5):  # noqa: S310  our own address
                return
        except urllib.error.HTTPError:
            pass
        except OSError:
            pass
        children.look_after()
        if time.monotonic() > deadline:
            raise OperatorError(
                f"{api}/health/ready did not answer within 60 s", hint=f"look into {children.logs}/serve.log"
            )
        stop.wait(0.05)


class _Child:
    """One process of ours, started again when it dies."""

    def __init__(self, name: str, arguments: Sequence[str], fd: int | None) -> None:
        self.name = name
        self.arguments = arguments
        self.fd = fd
        self.process: subprocess.Popen[bytes] | None = None
        self.started: list[float] = []


class _Children:
    """The processes of ours."""

    def __init__(self, home: Path, environment: Mapping[str, str], say: Say) -> None:
        self.logs = home / "logs"
        self._environment = dict(environment)
        self._say = say
        self._children: list[_Child] = []

    @contextmanager
    def running(self) -> Iterator["_Children"]:
        self.logs.mkdir(exist_ok=True)
        try:
            yield self
        finally:
            self._stop()

    def start(self, name: str, *arguments: str, fd: int | None = None) -> None:
        child = _Child(name, arguments, fd)
        self._children.append(child)
        self._launch(child)

    def look_after(self) -> None:
        """Start again whoever has died.

        Raises:
            OperatorError: one dies as soon as it is started.
        """
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            recent = [at for at in child.started if at > time.monotonic() - FAILURES_WITHIN_S]
            if len(recent) >= FAILURES_MAX:
                raise OperatorError(
                    f"{child.name} has died {len(recent)} times within {FAILURES_WITHIN_S:.0f} s, "
                    f"lastly with status {child.process.returncode}: {self._last_line(child)}",
                    hint=f"look into {self.logs}/{child.name}.log",
                )
            self._say(f"{child.name} ended with status {child.process.returncode}; starting it again")
            time.sleep(AGAIN_AFTER_S)
            self._launch(child)

    def _launch(self, child: _Child) -> None:
        with (self.logs / f"{child.name}.log").open("ab") as log:
            child.process = spawn(
                [sys.executable, "-m", "hannun", *child.arguments],
                log=log.fileno(),
                environment=self._environment,
                user=None,
                parent_death_signal=signal.SIGTERM,
                pass_fds=[] if child.fd is None else [child.fd],
            )
        child.started.append(time.monotonic())

    def _stop(self) -> None:
        """The last started first, each told to end and waited for."""
        for child in reversed(self._children):
            if child.process is None or child.process.poll() is not None:
                continue
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S_MAX
        for child in reversed(self._children):
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _last_line(self, child: _Child) -> str:
        lines = (self.logs / f"{child.name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(its log is empty)"
