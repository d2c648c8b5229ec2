"""`hannun restore` over Kafka: the consumers go on from the restored positions, and no older answer is believed."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from outside import PASSWORD, Event, Service, StartService, Topics, cached_figures, redis_environment, wait_for

from hannun.embedded import PostgresServer, ValkeyServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]


class RestoreWorld:
    """A service with backups, its topics, and two events: one in the backup, one that began after it."""

    def __init__(self, service: Service, topics: Topics, valkey: ValkeyServer) -> None:
        self.service = service
        self.topics = topics
        self.valkey = valkey
        self.early, self.late = Event(), Event()

    def send(self, event: Event, *, more: bool = False) -> None:
        messages = event.later_batch() if more else event.first_batch()
        event.expect(messages)
        self.topics.send(messages)

    def send_and_count(self, event: Event, *, more: bool = False) -> None:
        self.send(event, more=more)
        wait_for("the messages to be counted", lambda: self.topics.are_counted(self.service))

    def run(self, *arguments: str) -> str:
        ran = self.service.run(*arguments, COLUMNS="80")
        assert ran.status == 0, ran.out + ran.err
        return ran.out + ran.err

    def back_up(self) -> str:
        """Make a backup. Returns its name."""
        said = self.run("backup", "create")
        found = re.search(r"logical/\d+T\d+Z", said)
        assert found is not None, said
        return found[0]

    def assert_as_expected(self) -> None:
        wait_for("the messages to be counted", lambda: self.topics.are_counted(self.service))
        for event in (self.early, self.late):
            assert self.service.figures(event.id) == event.expected_figures
            assert self.service.dashboard(event.id) == event.expected_figures
            assert self.service.dead_letter_count(event.id) == event.expected_dead_letters
        self.service.assert_no_drift()


@pytest.fixture
def world(
    start_service: StartService,
    database_url: str,
    valkey: ValkeyServer,
    topics: Topics,
    postgres: PostgresServer,
    tmp_path: Path,
) -> Iterator[RestoreWorld]:
    name = database_url.rpartition("/")[2]
    (tmp_path / "backups").mkdir()
    service = start_service(
        DATABASE_URL=database_url,
        HANNUN_OWNER_DATABASE_URL=postgres.url(name, "hannun_owner", PASSWORD),
        HANNUN_BACKUP_FOLDER=str(tmp_path / "backups"),
        **topics.environment(),
        **redis_environment(valkey.url),
    )
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        yield RestoreWorld(service, topics, valkey)
        for suffix in ("_restored", "_before_restore"):
            conn.execute(f"DROP DATABASE IF EXISTS {name}{suffix} WITH (FORCE)")


@pytest.mark.faults
def test_no_cached_answer_of_before_is_believed_and_the_consumers_catch_up(world: RestoreWorld) -> None:
    service = world.service
    service.start_serve()
    ingest = service.start_ingest()
    world.send_and_count(world.early)
    in_backup = world.early.expected_figures
    name = world.back_up()
    world.send_and_count(world.early, more=True)
    world.send_and_count(world.late)
    assert service.dashboard(world.early.id) == world.early.expected_figures
    assert service.dashboard(world.late.id) is not None
    assert cached_figures(world.valkey.url, world.late.id) is not None
    ingest.terminate()

    said = " ".join(world.run("restore", name, "--yes").split())
    assert "messages are read again" in said
    # Nobody consumes now: what is answered is the state of the backup, and nothing else.
    assert service.dashboard(world.early.id) == in_backup
    assert service.dashboard(world.late.id) is None
    assert cached_figures(world.valkey.url, world.late.id) is None

    service.start_ingest()
    world.assert_as_expected()


@pytest.mark.faults
def test_a_running_service_goes_on_by_itself_while_messages_arrive(world: RestoreWorld) -> None:
    service = world.service
    service.start_serve()
    service.start_ingest()
    world.send_and_count(world.early)
    name = world.back_up()
    world.send_and_count(world.late)
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.wait(0.02):
            response = service.get(f"/api/v1/events/{world.late.id}/analytics")
            if response.status_code == 200 and "X-Data-Stale" not in response.headers:
                seen.append(response.json()["summary"]["totalParticipants"])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        world.send(world.early, more=True)
        world.run("restore", name, "--yes")
        world.send(world.late, more=True)
        world.assert_as_expected()
    finally:
        stop.set()
        reader.join()
    figures = world.late.expected_figures
    assert figures is not None
    assert max(seen) <= figures.participants


def test_it_asks_before_it_restores(world: RestoreWorld) -> None:
    service = world.service
    name = world.back_up()
    ran = service.run("restore", name)
    assert ran.status == 2
    assert "--yes" in ran.err
    assert "expected: unknown" in ran.out
    assert service.rows("SELECT FROM hannun.operation_runs WHERE kind = 'restore'") == []
