"""`start`: how long a command takes from its call to its first answer, beside a bare Python and the bare imports.

    in turns: python -c pass │ libraries │ hannun --help │ hannun serve ─► /health/ready, / │ hannun up ─► /

The bytecode of Hannun and of the libraries is compiled before, as an installation does.
"""

import compileall
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import hannun
from bench.figures import Figure, percentile
from bench.servers import BenchDatabase, Servers, wait_for
from hannun.errors import OperatorError

TURNS, TURNS_QUICK = 7, 3
READY_S_MAX, STOP_S_MAX = 120.0, 30.0
LIBRARIES = (
    "import fastapi, uvicorn, psycopg, psycopg_pool, redis.asyncio, pydantic_settings, typer, structlog, msgspec"
)
"""Those of `serve`, as anybody would import them."""


@dataclass
class Taken:
    """What the turns of one command took."""

    elapsed_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `start`."""
    compileall.compile_dir(Path(hannun.__file__).parent, quiet=1)
    database = servers.create_database("bench_start")
    turns = TURNS_QUICK if quick else TURNS
    commands: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: _ends(["-c", "pass"]),
        "imports": lambda: _ends(["-c", LIBRARIES]),
        "--help": lambda: _ends(["-m", "hannun", "--help"]),
        "serve": lambda: _serve_answers(servers, database),
        "up": lambda: _up_answers(servers.home / "up"),
    }
    try:
        _up_answers(servers.home / "up")  # the first run makes the home
        taken = {name: Taken() for name in commands}
        for _ in range(turns):
            for name, command in commands.items():
                cpu_before_s = _children_cpu_s()
                taken[name].elapsed_s.append(command())
                taken[name].cpu_s.append(_children_cpu_s() - cpu_before_s)
    finally:
        servers.drop_database(database)
    return list(_figures(taken, f"median of {turns} turns"))


def _figures(taken: dict[str, Taken], samples: str) -> Iterator[Figure]:
    elapsed = {name: percentile(each.elapsed_s, 50) for name, each in taken.items()}
    cpu = {name: percentile(each.cpu_s, 50) for name, each in taken.items()}

    def figure(name: str, value: float, unit: str) -> Figure:
        return Figure("start", name, value, unit, samples)

    yield figure("python -c pass", elapsed["python -c pass"], "s")
    yield figure("the bare imports of serve's libraries", elapsed["imports"], "s")
    yield figure("hannun --help", elapsed["--help"], "s (target: 0.2)")
    yield figure("hannun --help, beside python -c pass", elapsed["--help"] / elapsed["python -c pass"], "ratio")
    yield figure("hannun serve, until it is ready and the page answers", elapsed["serve"], "s (target: 1)")
    yield figure("the same, beside the bare imports", elapsed["serve"] / elapsed["imports"], "ratio")
    yield figure(
        "processor time of serve, start and end, beside that of the bare imports",
        cpu["serve"] / cpu["imports"],
        "ratio",
    )
    yield figure("hannun up on a home that is there, until the page answers", elapsed["up"], "s (target: 3)")
    yield figure("the same, beside the bare imports", elapsed["up"] / elapsed["imports"], "ratio")


def _ends(arguments: list[str]) -> float:
    """Seconds until this Python program ends."""
    began = time.monotonic()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.monotonic() - began


def _serve_answers(servers: Servers, database: BenchDatabase) -> float:
    """Seconds until a new `hannun serve` is ready and has answered with the page."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        arguments = ["serve", "--fd", str(listener.fileno())]
        with _running(servers.home, arguments, servers.environment(database), [listener.fileno()]) as began:
            _wait_for_answers(port)
            return time.monotonic() - began


def _up_answers(home: Path) -> float:
    """Seconds until a new `hannun up` says where it is, and has answered with the page."""
    endpoints = home / "endpoints.json"
    arguments = ["up", "--home", str(home), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HANNUN_")}
    endpoints.unlink(missing_ok=True)
    with _running(home.parent, arguments, environment, []) as began:
        wait_for(endpoints.exists, "hannun up writes endpoints.json", READY_S_MAX)
        port = urlsplit(json.loads(endpoints.read_text())["api"]).port
        assert port is not None
        _wait_for_answers(port)
        return time.monotonic() - began


@contextmanager
def _running(folder: Path, arguments: list[str], environment: dict[str, str], fds: list[int]) -> Iterator[float]:
    """Run a command until the block ends. Yields when it was called.

    Raises:
        OperatorError: it did not answer; the message ends with what it has printed.
    """
    log = folder / f"start-{arguments[0]}.log"
    began = time.monotonic()
    with log.open("wb") as file:
        command = [sys.executable, "-m", "hannun", *arguments]
        process = subprocess.Popen(command, env=environment, pass_fds=fds, stdout=file, stderr=file)
    try:
        yield began
    except OperatorError as error:
        printed = log.read_text(errors="replace")[-2_000:]
        raise OperatorError(f"{error.args[0]}; it has printed:\n{printed}", hint=error.hint) from error
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_answers(port: int) -> None:
    """The socket listens before the service does, so the first request is answered as soon as it can be."""
    wait_for(lambda: _status(port, "/health/ready") == 200, "it is ready", READY_S_MAX)
    assert _status(port, "/") == 200


def _status(port: int, path: str) -> int | None:
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S_MAX)
    try:
        conn.request("GET", path)
        response = conn.getresponse()
        response.read()
        return response.status
    except OSError:
        return None
    finally:
        conn.close()


def _children_cpu_s() -> float:
    """Processor time of all processes that this one has waited for, and of those that they have waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
