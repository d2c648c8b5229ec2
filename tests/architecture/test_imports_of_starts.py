"""What `hannun serve` and `hannun up` import before they open anything: no start waits for what it does not use."""

import subprocess
import sys

import pytest

CHECKING_VALUES = {"pydantic", "pydantic_core", "pydantic_settings", "annotated_types", "typing_inspection", "dotenv"}
PARSING_COMMANDS = {"typer", "shellingham", "annotated_doc", "typing_extensions"}
RECORDING = {"structlog", "greenlet", "prometheus_client"}
"""structlog imports greenlet where it is installed."""
REACHING_SERVERS = {"psycopg", "psycopg_binary", "psycopg_pool", "cython_runtime", "redis", "hiredis", "anyio"}
DECODING = {"msgspec", "brotli", "zstandard"}
CHECKING_TOKENS = {"jwt", "cryptography"}
SERVING_HTTP = {"fastapi", "starlette", "uvicorn", "uvloop", "httptools", "click", "opentelemetry"}
"""Of opentelemetry only its API, which FastAPI imports where it is installed."""
TIMED = {"cronsim"}
COUNTING = {"numpy"}
"""The messages that are posted."""
EVERY_COMMAND = CHECKING_VALUES | PARSING_COMMANDS | RECORDING | REACHING_SERVERS | DECODING | CHECKING_TOKENS | TIMED

PROGRAM = """
import importlib, sys
before = set(sys.modules)
import hannun.cli
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*(set(sys.modules) - before))
"""


def imported_by(*modules: str) -> set[str]:
    """What these modules of ours import, directly or not."""
    arguments = [
        sys.executable,
        "-c",
        PROGRAM,
        "hannun.cli.processes",
        "hannun.processes.commands.settings_in_force",
        *modules,
    ]
    return set(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split())


def packages_of(modules: set[str]) -> set[str]:
    """The packages of others among modules."""
    packages = {name.partition(".")[0] for name in modules if not name.startswith("_")}
    return packages - {"hannun"} - sys.stdlib_module_names


@pytest.fixture(scope="module")
def serve() -> set[str]:
    return imported_by("hannun.processes.http_server")


def test_serve_imports_only_the_packages_that_every_serve_uses(serve: set[str]) -> None:
    """No client of Kafka or of channels, no writer of files, no migrations, no reader of an issuer's keys."""
    assert packages_of(serve) - EVERY_COMMAND - SERVING_HTTP - COUNTING == set()


def test_serve_imports_no_parts_of_libraries_that_it_does_not_use(serve: set[str]) -> None:
    unused = {
        "opentelemetry.sdk",  # redis-py imports it for metrics of its own
        "rich.traceback",  # structlog imports it for logs in colour
        "pygments",
        "pydantic.v1",  # FastAPI imports it where it finds routes
        "rich.console",
        "fastapi.testclient",
    }
    assert unused & serve == set()


def test_serve_imports_none_of_our_modules_of_other_processes(serve: set[str]) -> None:
    others = ("embedded", "sandbox", "backups", "pg_programs", "processes.schedule", "processes.ingest", "flows.backup")
    others += ("flows.restore", "flows.refresh", "flows.kafka_ingestion", "kafka.consumer", "store.migrate")
    assert {name for name in serve if name.startswith(tuple(f"hannun.{other}" for other in others))} == set()


def test_up_imports_only_what_starts_servers_and_processes() -> None:
    up = imported_by("hannun.processes.all_in_one")
    assert packages_of(up) - EVERY_COMMAND == set()
    assert {name for name in up if name.startswith(("hannun.web", "hannun.processes.serve", "opentelemetry."))} == set()
