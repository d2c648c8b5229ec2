"""`hannun up`: the whole service on one machine, with embedded servers and, where wanted, a simulated platform.

    home ─► PostgreSQL, Valkey, (Kafka) ─► migrate ─► (channel sandbox) ─► serve, schedule, (ingest), (simulate)
       │             └── servers and processes that end are started again    ▲         └─► endpoints.json
       └─► the process of serve imports its modules meanwhile ───────────────┘

The home holds everything: data, passwords, logs. Started again on the same home, also after kill -9, the service
continues with the same data. The processes are those that an operator runs; only their settings are made here.
"""

import os
import shlex
import shutil
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hannun.domain.channels import ChannelTable
from hannun.embedded import HomeLock
from hannun.embedded.private_files import create_folder, write_private_file
from hannun.errors import OperatorError
from hannun.flows.sessions import CODE_LASTS_S
from hannun.processes.commands.sign_in_codes import sign_in_link
from hannun.processes.embedded_servers import JWT_SECRET, load_secrets, migrate_database, start_servers
from hannun.processes.endpoints import (
    Endpoints,
    PageUser,
    backups_of,
    child_environment,
    endpoints_path,
    shared_settings,
    write_endpoints,
    write_page_user,
)
from hannun.processes.supervisor import Supervisor, prepared
from hannun.sandbox.channels.access import access_toml, last_port
from hannun.sandbox.channels.shape import load_all
from hannun.sandbox.platform import Platform
from hannun.sandbox.simulation import DEMO_PACE, DEMO_SEED, has_sent_history
from hannun.tokens import sign_token

DEFAULT_PORT = 8080
DEMO_REFRESH_AT = "*/30 * * * * *"
"""So that the page of the demo shows measured numbers within a minute. `serve` has it too: what is stale follows from
the period."""
TOKEN_LASTS_S = 365 * 86_400.0
READY_S_MAX = 60.0
CHECK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What to start. `port` 0 is any free port; None is `DEFAULT_PORT`, or any free one where that is taken."""

    home: Path
    port: int | None
    kafka: bool
    demo: bool
    channels: ChannelTable
    topics: Sequence[str]


def up(options: UpOptions, stop: threading.Event, progress: Callable[[str], None]) -> None:
    """Start everything, keep it running until `stop` is set, and stop it in reverse order.

    Args:
        progress: receives a line for each step, and what to do when all runs.

    Raises:
        OperatorError: something cannot start, and why; or a process ends again and again.
    """
    with ExitStack() as stack:
        create_folder(options.home)
        stack.enter_context(HomeLock(options.home))
        endpoints_path(options.home).unlink(missing_ok=True)
        with suppress(FileExistsError):  # what is there stays as it is: it may be a link to another disk
            backups_of(options.home).mkdir(mode=0o700)
        listener = stack.enter_context(_api_socket(options.port))  # first: a taken port costs no start of servers
        known = load_secrets(options.home)
        # `serve` imports its modules, which takes longer than the servers need for a start.
        fd = listener.fileno()
        serve = stack.enter_context(prepared(options.home, "serve", "serve", "--fd", str(fd), fd=fd))
        servers = start_servers(options.home, stack, progress, with_kafka=options.kafka, topics=options.topics)
        progress("migrating")
        database_url = migrate_database(servers.postgres, known, options.channels)
        endpoints = Endpoints(
            api=f"http://127.0.0.1:{listener.getsockname()[1]}",
            database_url=database_url,
            redis_url=servers.valkey.url,
            kafka_bootstrap=None if servers.kafka is None else servers.kafka.bootstrap,
            admin_token=sign_token(known[JWT_SECRET], "admin", ["ADMIN", "SERVICE"], TOKEN_LASTS_S),
        )
        page_user = PageUser(_demo_merchant_id(), ["MERCHANT"]) if options.demo else PageUser("admin", ["ADMIN"])
        write_page_user(options.home, page_user)
        channels = stack.enter_context(_channel_sandbox_socket(options.home)) if options.demo else None
        environment = child_environment(endpoints, servers.valkey, known)
        environment |= _channel_access(options.home, channels)
        if options.demo and not environment.get("HANNUN_REFRESH_AT"):
            environment["HANNUN_REFRESH_AT"] = DEMO_REFRESH_AT
        children = stack.enter_context(Supervisor(options.home, environment, progress).running())
        if channels is not None:
            _start_channel_sandbox(children, options.home, channels)
        children.start("serve", "serve", "--fd", str(fd), fd=fd, needed=True, prepared=serve)
        children.start("schedule", "schedule")
        if options.kafka:
            children.start("ingest", "ingest")
        _wait_until_ready(endpoints.api, children, stop)
        write_endpoints(options.home, replace(endpoints, settings=shared_settings(environment)))
        sent_before = has_sent_history(options.home)
        if options.demo:
            over_kafka = ["--kafka"] if options.kafka else []
            children.start("simulate", "simulate", "--home", str(options.home), "--pace", str(DEMO_PACE), *over_kafka)
        progress(f"ready: {sign_in_link(endpoints.api, database_url, page_user.user_id, page_user.roles, 'hannun up')}")
        for line in _instructions(options, sent_before=sent_before):
            progress(f"  {line}")
        while not stop.wait(CHECK_EVERY_S):
            servers.restart_ended(progress)
            children.restart_ended()
        progress("stopping")


def _instructions(options: UpOptions, *, sent_before: bool) -> list[str]:
    """What somebody can do who sees this for the first time.

    Args:
        sent_before: whether the simulated weeks are counted already.
    """
    weeks = "are counted; what followed arrives now" if sent_before else "arrive within a minute; then it goes on live"
    home = shlex.quote(str(options.home))
    return [
        f"Open the link in a browser: it signs you in, once and within {CODE_LASTS_S / 60:.0f} minutes.",
        f"Sign in again: {_program()} sign-in-code --home {home}",
        *([f"The simulated weeks {weeks}."] if options.demo else []),
        *(_channel_instructions(home) if options.demo else []),
        "Call the API: docs/api.md, or /docs of this address.",
        f"  The token is admin_token in {home}/endpoints.json.",
        "Check every figure against the ledgers:",
        f"  {_program()} reconcile --home {home}",
        "Stop with Ctrl-C. The next start goes on with the data.",
        f"  Data and logs: {home}",
    ]


def _channel_instructions(home: str) -> list[str]:
    return [
        "Let a channel of the demo fail, and see what the page says:",
        f"  {_program()} sandbox tell WooriTV status --home {home}",
        f"  {_program()} channels list --home {home}",
        f"  {_program()} watch --home {home}",
    ]


def _program() -> str:
    """How this program is called from here: by its name where that is on the PATH."""
    called = Path(sys.argv[0])
    return "hannun" if shutil.which("hannun") or called.name != "hannun" else _short(called)


def _short(path: Path) -> str:
    """A path as short as it can be typed here, quoted for a shell."""
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)


@contextmanager
def _api_socket(port: int | None) -> Iterator[socket.socket]:
    """The socket of the API and the page.

    Raises:
        OperatorError: the port that was asked for is taken.
    """
    with _listening_socket(DEFAULT_PORT if port is None else port, or_any_other=port is None) as listener:
        yield listener


@contextmanager
def _channel_sandbox_socket(home: Path) -> Iterator[socket.socket]:
    """The socket of the channel sandbox, on the port that it had last on this home, where that is free."""
    with _listening_socket(last_port(home), or_any_other=True) as listener:
        yield listener


@contextmanager
def _listening_socket(port: int, *, or_any_other: bool) -> Iterator[socket.socket]:
    """A socket of the loopback interface. This process holds it, so that the address stays while a child restarts.

    Raises:
        OperatorError: the port is taken, and no other is wanted.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            if not or_any_other:
                raise OperatorError(
                    f"cannot listen on 127.0.0.1:{port}: {error.strerror}", hint="another --port, or 0 for any free one"
                ) from error
            listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        listener.set_inheritable(True)
        yield listener


def _channel_access(home: Path, listener: socket.socket | None) -> dict[str, str]:
    """The settings with which the channels of the sandbox are polled; writes their access file. None without one."""
    if listener is None:
        return {}
    path = home / "channel-access.toml"
    write_private_file(path, access_toml(load_all(), f"http://127.0.0.1:{listener.getsockname()[1]}"))
    return {"HANNUN_CHANNEL_ACCESS_FILE": str(path), "HANNUN_CHANNEL_PRIVATE_ADDRESSES": "true"}


def _start_channel_sandbox(children: Supervisor, home: Path, listener: socket.socket) -> None:
    """Start the simulated channels before those that poll them: what the demo shows begins with the first poll."""
    fd = listener.fileno()
    children.start("channels", "sandbox", "serve", "--fd", str(fd), "--home", str(home), "--demo", fd=fd)


def _demo_merchant_id() -> str:
    """The merchant of the simulated platform who has the most events."""
    platform = Platform(DEMO_SEED, founded_at=datetime.now(UTC))
    merchants = [event.merchant for event in platform.events]
    best = max(merchants, key=lambda merchant: sum(1 for other in merchants if other.id == merchant.id))
    return str(best.id)


def _wait_until_ready(api: str, children: Supervisor, stop: threading.Event) -> None:
    """Wait until `/health/ready` answers 200, or `stop` is set.

    Raises:
        OperatorError: it does not within `READY_S_MAX` seconds, or a process ends again and again.
    """
    deadline = time.monotonic() + READY_S_MAX
    while not stop.is_set():
        try:
            with urllib.request.urlopen(f"{api}/health/ready", timeout=5):  # noqa: S310  our own address
                return
        except OSError:  # nothing listens yet, or (urllib.error.HTTPError) it is not ready
            pass
        children.restart_ended()
        if time.monotonic() > deadline:
            raise OperatorError(
                f"{api}/health/ready did not answer within {READY_S_MAX:.0f} s",
                hint=f"look into {children.logs}/serve.log",
            )
        stop.wait(0.05)
