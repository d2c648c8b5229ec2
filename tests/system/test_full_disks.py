"""PostgreSQL's disk is really full while messages arrive: nothing is lost, it is said, and it goes on by itself."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from accounts import account
from outside import PASSWORD, Event, Service, StartService, Topics, redis_environment, wait_for
from small_disks import SmallDisk, small_disk

from hannun.embedded import PostgresServer, ValkeyServer

pytestmark = pytest.mark.small_disk

MESSAGES = 200
SMALL_WAL = {"fsync": "off", "max_wal_size": "32MB", "min_wal_size": "32MB", "shared_buffers": "16MB"}


@contextmanager
def postgres_with(tables: Path, wal: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL with an empty database, with its tables in one folder and its write-ahead log in another."""
    server = PostgresServer(tables / "postgres", settings=SMALL_WAL)
    server.start()
    try:
        with psycopg.connect(server.superuser_url, autocommit=True) as conn:
            conn.execute(f"CREATE ROLE hannun_owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
            conn.execute("CREATE DATABASE analytics OWNER hannun_owner")
        server.stop()
        subprocess.run(["cp", "-a", server.data / "pg_wal", wal / "pg_wal"], check=True)
        shutil.rmtree(server.data / "pg_wal")
        (server.data / "pg_wal").symlink_to(wal / "pg_wal")
        server.start()
        yield server
    finally:
        server.stop()


class Full:
    """A service on a PostgreSQL of which one disk is small."""

    def __init__(self, service: Service, disk: SmallDisk, postgres: PostgresServer) -> None:
        self.service = service
        self.disk = disk
        self.postgres = postgres


@pytest.fixture
def start(home: Path, start_service: StartService, valkey: ValkeyServer) -> Iterator[Callable[[str], Full]]:
    """Starts a service on a PostgreSQL whose disk for `tables` or for its `wal` is small."""
    with ExitStack() as stack:

        def start(small: str) -> Full:
            large = home / f"large-{os.urandom(4).hex()}"
            large.mkdir()
            disk = stack.enter_context(small_disk(home / f"small-{os.urandom(4).hex()}", 150))
            folders = {"tables": (disk.folder, large), "wal": (large, disk.folder)}[small]
            postgres = stack.enter_context(postgres_with(*folders))
            url, owner = (postgres.url("analytics", user, PASSWORD) for user in ("analytics_readwrite", "hannun_owner"))
            service = start_service(DATABASE_URL=url, **redis_environment(valkey.url))
            ran = service.run("migrate", HANNUN_OWNER_DATABASE_URL=owner, HANNUN_ANALYTICS_READWRITE_PASSWORD=PASSWORD)
            assert ran.status == 0, ran.err
            return Full(service, disk, postgres)

        yield start


def metric(service: Service, name: str) -> str:
    lines = service.http.get(f"{service.api}/metrics").text.splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name} "))


def people(event: Event) -> list[dict[str, object]]:
    return [event.registered() for _ in range(MESSAGES)]


@pytest.mark.faults
def test_a_full_disk_of_the_tables_refuses_posts_until_there_is_room(start: Callable[[str], Full]) -> None:
    full = start("tables")
    service = full.service
    serve = service.start_serve()
    event = Event()
    first = [event.created(), *people(event)]
    assert service.post(first).status_code == 200
    event.expect(first)
    full.disk.fill()

    def refused() -> bool:
        """Post until the pages that the tables have are used up."""
        body = people(event)
        status = service.post(body).status_code
        if status == 200:
            event.expect(body)
        assert status in (200, 503)
        return status == 503

    wait_for("a post to be refused", refused)
    wait_for("the health report to say so", lambda: "disk is full" in service.health()["parts"].get("disk", ""))
    assert service.health()["status"] == "degraded"
    assert metric(service, "hannun_postgresql_disk_full") == "1.0"
    assert "make room on the disk" in serve.log
    assert service.dashboard(event.id) == event.expected_figures == service.figures(event.id), "answers go on"
    full.disk.make_room()
    last = people(event)
    service.post_until_accepted(last)
    event.expect(last)
    wait_for("the health report to be good again", lambda: service.health()["status"] == "ready")
    assert metric(service, "hannun_postgresql_disk_full") == "0.0"
    assert service.figures(event.id) == event.expected_figures
    service.assert_no_drift()


@pytest.mark.faults
@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_ingest_waits_while_the_disk_of_the_tables_is_full_and_then_counts_everything(
    start: Callable[[str], Full], topics: Topics
) -> None:
    full = start("tables")
    service = full.service
    ingest = service.start_ingest(**topics.environment())
    event = Event()
    messages = [event.created(), *people(event)]
    topics.send(messages)
    event.expect(messages)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    full.disk.fill()

    def waits() -> bool:
        more = people(event)
        topics.send(more)
        event.expect(more)
        return "PostgreSQL's disk is full" in ingest.log

    wait_for("ingest to find the disk full", waits)
    assert "make room on the disk" in ingest.log
    assert not topics.are_counted(service)
    full.disk.make_room()
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    assert ingest.is_running
    assert service.figures(event.id) == event.expected_figures
    account(service, topics)
    service.assert_no_drift()


@pytest.mark.faults
def test_a_full_disk_of_the_write_ahead_log_stops_postgresql_and_loses_nothing(start: Callable[[str], Full]) -> None:
    """PostgreSQL panics then. Whoever supervises it starts it again, which succeeds once there is room."""
    full = start("wal")
    service = full.service
    serve = service.start_serve()
    event = Event()
    first = [event.created(), *people(event)]
    assert service.post(first).status_code == 200
    event.expect(first)
    full.disk.fill()

    def panicked() -> bool:
        body = people(event)
        status = service.post(body).status_code
        if status == 200:
            event.expect(body)
        return status == 503 and "PANIC" in full.postgres.log_tail()

    wait_for("PostgreSQL to panic", panicked, 60)
    full.disk.make_room()
    full.postgres.stop()
    full.postgres.start()
    last = people(event)
    service.post_until_accepted(last)
    event.expect(last)
    assert serve.is_running
    assert service.figures(event.id) == event.expected_figures
    service.assert_no_drift()
