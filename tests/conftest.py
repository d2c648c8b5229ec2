"""One PostgreSQL and one Valkey a worker; for each test a database of its own, copied from a migrated template."""

import gc
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

# Before they are imported, so that a failed assertion in a helper shows its values too.
pytest.register_assert_rewrite("outside", "accounts", "world", "oracle", "comparing", "faults", "waits")

import structlog
from hypothesis import HealthCheck, settings
from small_disks import no_mount_reason
from world import DATABASE_OWNER, NOT_DURABLE, World, make_database, make_owner

from hannun.embedded import KafkaServer, PostgresServer, ValkeyServer, java_missing_reason, postgres_binaries

# By default structlog prints to stdout, where it would get into the output of a command that a test runs, and prints
# with an exception the local variables of each frame, which takes seconds for those of a service.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
)

# By default an example that takes more than 200 ms fails its test, and slow generation of examples does: on a loaded
# machine any of them may be slow.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """Where the servers live: not in pytest's own folder, which it closes to all but root, and PostgreSQL is not."""
    with tempfile.TemporaryDirectory(prefix="hannun-tests-", dir=_folder_in_memory()) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


MEMORY_FREE_MIN = 4 * 2**30


def _folder_in_memory() -> str | None:
    """A file system in memory with room for the servers; None for the default folder for temporary files.

    A database of a test is a copy of 390 files. In memory a copy takes 30 ms, on a busy disk 250 ms.
    """
    folder = "/dev/shm"
    return folder if Path(folder).is_dir() and shutil.disk_usage(folder).free >= MEMORY_FREE_MIN else None


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[PostgresServer]:
    """PostgreSQL 18, or the major that HANNUN_TEST_POSTGRES names. Not durable: tests of power cuts start their own."""
    major = int(os.environ.get("HANNUN_TEST_POSTGRES", "18"))
    with PostgresServer(home / "postgres", binaries=postgres_binaries(major), settings=NOT_DURABLE) as server:
        make_owner(server)
        make_database(server, "template_of_tests")
        yield server


@pytest.fixture(scope="session")
def valkey(home: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(home / "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """One Apache Kafka for all tests of a worker. These tests form two groups, so that two workers run them."""
    # With the protocol "consumer" the broker sets the session timeout, 45 s by default.
    timeouts = {"session.timeout": "6000", "heartbeat.interval": "300"}
    quick = {f"group.consumer.{least}{name}.ms": ms for name, ms in timeouts.items() for least in ("", "min.")}
    with (
        tempfile.TemporaryDirectory(prefix="hannun-tests-") as folder,
        KafkaServer(Path(folder, "kafka"), settings=quick) as server,
    ):
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The name of this test's own migrated database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy OWNER {DATABASE_OWNER}")
        yield name
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def world(postgres: PostgresServer, valkey: ValkeyServer, database: str) -> Iterator[World]:
    """The service's flows on real servers, in this process."""
    with World(postgres, valkey, database) as world:
        yield world


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests whose program is missing, and say why. With CI=true they fail instead."""
    needed = (
        ("kafka", java_missing_reason),
        ("browser", browser_missing_reason),
        ("promtool", promtool_missing_reason),
        ("nginx", nginx_missing_reason),
        ("pgbouncer", pgbouncer_missing_reason),
        ("small_disk", no_mount_reason),
    )
    for mark, missing_reason in needed:
        marked = [item for item in items if item.get_closest_marker(mark) is not None]
        reason = missing_reason() if marked else None
        if reason is None:
            continue
        for item in marked:
            if os.environ.get("CI") == "true":
                item.add_marker(pytest.mark.xfail(run=False, strict=True, reason=f"CI must run this: {reason}"))
                config.stash.setdefault(MISSING, set()).add(f"{mark}: {reason}")
            else:
                item.add_marker(pytest.mark.skip(reason=f"SKIPPED LOUDLY: {reason}"))


def pytest_collection_finish() -> None:
    """Leave the two thousand collected tests out of garbage collections, which would stop all threads for long."""
    gc.collect()
    gc.freeze()


MISSING = pytest.StashKey[set[str]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    missing = session.config.stash.get(MISSING, set())
    if missing:
        print(f"\nCI must run everything, and cannot: {'; '.join(sorted(missing))}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def promtool_missing_reason() -> str | None:
    """Why alerts and dashboards cannot be tested; None where promtool is there."""
    if shutil.which("promtool"):
        return None
    return "no promtool; Debian: apt-get download prometheus, dpkg -x it, and put usr/bin/promtool on the PATH"


def nginx_missing_reason() -> str | None:
    """Why the service cannot be tested behind a proxy; None where nginx is there."""
    if shutil.which("nginx"):
        return None
    return "no nginx; Debian: apt-get download nginx, dpkg -x it, and put usr/sbin/nginx on the PATH"


def pgbouncer_missing_reason() -> str | None:
    """Why nothing can be tested through PgBouncer; None where it is there."""
    if shutil.which("pgbouncer"):
        return None
    return (
        "no pgbouncer; Debian: apt-get install libc-ares2, apt-get download pgbouncer, dpkg -x it, and put "
        "usr/sbin/pgbouncer on the PATH"
    )


def browser_missing_reason() -> str | None:
    """Why there is no Chromium to test with; None where there is one."""
    for program in ("chromium", "chromium-browser", "google-chrome"):
        try:
            if subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
                return None
        except FileNotFoundError:
            continue
    return "no chromium; Debian: apt-get install chromium fonts-noto-cjk"
