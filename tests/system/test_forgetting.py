"""`hannun privacy forget` over Kafka: a replay and a swap count everything again, and bring no id back."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from outside import PASSWORD, Event, Service, StartService, Topics, redis_environment, wait_for
from psycopg import sql

from hannun.embedded import PostgresServer, ValkeyServer
from hannun.key_ring import add_key

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]


@pytest.fixture
def service(
    start_service: StartService,
    database_url: str,
    valkey: ValkeyServer,
    topics: Topics,
    postgres: PostgresServer,
    tmp_path: Path,
) -> Iterator[Service]:
    """A service with a key ring, whose owner may create databases."""
    name = database_url.rpartition("/")[2]
    add_key(tmp_path / "keys.toml", "2026-11")
    environment = {
        "DATABASE_URL": database_url,
        "HANNUN_OWNER_DATABASE_URL": postgres.url(name, "hannun_owner", PASSWORD),
        "HANNUN_KEY_RING_FILE": str(tmp_path / "keys.toml"),
        **topics.environment(),
        **redis_environment(valkey.url),
    }
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        yield start_service(**environment)
        for database in (f"{name}_shadow", f"{name}_before"):
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def command(service: Service, *arguments: str, status: int = 0) -> str:
    """Run a command in a terminal of 80 columns. Returns its output as one line."""
    ran = service.run(*arguments, COLUMNS="80")
    assert ran.status == status, ran.out + ran.err
    return " ".join((ran.out + ran.err).split())


def ids(service: Service) -> set[object]:
    """Every id of a person in the ledger and the registers."""
    rows = service.rows("SELECT participant::text FROM hannun.participants UNION SELECT user_id FROM hannun.events")
    return {id_ for (id_,) in rows}


@pytest.mark.faults
def test_a_swap_counts_forgotten_people_once_and_brings_no_id_back(service: Service, topics: Topics) -> None:
    service.start_ingest()
    events = [Event(owner="1d1e8a52-0000-4000-8000-00000000000a"), Event(owner="1d1e8a52-0000-4000-8000-00000000000b")]
    messages = [event.first_batch() for event in events]
    for one in messages:
        topics.send(one)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    people = [str(message["participantId"]) for one in messages for message in one if "participantId" in message]
    reason = ("--reason", "request 17")
    command(service, "privacy", "forget", "--yes", "--participant", people[0], *reason)
    command(service, "privacy", "forget", "--yes", "--merchant", events[0].owner, *reason)
    command(service, "replay", "--from", "earliest")
    said = command(service, "privacy", "forget", "--yes", "--participant", people[1], "--event", events[0].id, *reason)
    assert "the shadow of a replay was changed too" in said
    assert "differences: 0" in command(service, "replay", "compare")
    command(service, "replay", "swap")
    assert "still holds the id" in command(
        service, "privacy", "forget", "--yes", "--merchant", events[1].owner, *reason
    )
    topics.send(messages[0])
    wait_for("the repeats to be counted", lambda: topics.are_counted(service))

    assert not ids(service) & {people[0], people[1], events[0].owner, events[1].owner}
    assert set(people[2:]) <= ids(service)
    for event in events:
        counted = "SELECT participants, sales FROM hannun.events WHERE event_id = %s"
        assert service.rows(counted, event.id) == [(7, 1)]
    service.assert_no_drift()
    assert "the audit log is whole" in command(service, "audit", "verify")


@pytest.mark.faults
def test_without_the_key_ring_no_process_counts_where_people_were_forgotten(service: Service, topics: Topics) -> None:
    service.start_ingest()
    event = Event()
    topics.send(event.first_batch())
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    command(service, "privacy", "forget", "--yes", "--merchant", event.owner, "--reason", "request 17")
    ran = service.run("ingest", HANNUN_KEY_RING_FILE="")
    assert ran.status == 2
    assert "ids were forgotten in this database" in ran.err
    ran = service.run(
        "privacy", "forget", "--yes", "--merchant", event.owner, "--reason", "again", HANNUN_KEY_RING_FILE=""
    )
    assert (ran.status, "HANNUN_KEY_RING_FILE is not set" in ran.err) == (2, True)
