"""The processes behind a real PgBouncer in transaction mode, whose few sessions they share."""

from collections.abc import Iterator

import pytest
from accounts import account
from outside import PASSWORD, Event, Load, Process, Service, Topics, wait_for
from pgbouncer import PgBouncer, pgbouncer

from hannun.embedded import PostgresServer

SESSIONS = 3
"""Fewer than the connections of the processes: each `serve` alone opens five to read."""
pytestmark = [pytest.mark.kafka, pytest.mark.pgbouncer, pytest.mark.xdist_group("kafka")]


@pytest.fixture
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    with pgbouncer(postgres, "analytics_readwrite", PASSWORD, pool_size=SESSIONS) as running:
        yield running


def pooled(service: Service, pooler: PgBouncer) -> dict[str, str]:
    return pooler.environment(service.environment["DATABASE_URL"])


def assert_all_is_counted_and_answered(service: Service, topics: Topics, events: list[Event]) -> None:
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    for event in events:
        event.expected_messages = topics.messages_before(topics.ends(), event.id)
        assert service.figures(event.id) == event.expected_figures
        assert service.dashboard(event.id) == event.expected_figures
    account(service, topics)


def test_ingest_killed_behind_pgbouncer_counts_every_message_once(
    service: Service, topics: Topics, pooler: PgBouncer
) -> None:
    through = pooled(service, pooler)
    service.start_serve(**through)
    service.start_schedule(**through)
    events = [Event() for _ in range(4)]

    def start_ingest() -> Process:
        return service.start_ingest(**topics.environment(), **through)

    ingest = start_ingest()
    topics.send([message for event in events for message in event.first_batch()])
    wait_for("the first batch", lambda: topics.are_counted(service))
    with Load(topics, events) as load:
        for _ in range(2):
            load.wait_for_more()
            ingest.kill()
            ingest = start_ingest()
        load.wait_for_more()
    topics.send([message for event in events for message in event.later_batch()])
    assert_all_is_counted_and_answered(service, topics, events)
    warned = 1  # what the doctor says of the cache depends on how often the test read while messages were counted
    for command, says, statuses in (
        (["reconcile"], "drift: 0", {0}),
        (["doctor"], " checks: ", {0, warned}),
        (["dead-letters", "list"], "8 of 8", {0}),
    ):
        ran = service.run(*command, **through)
        assert ran.status in statuses and says in ran.out, ran.out + ran.err
    clients, servers = pooler.show("CLIENTS"), pooler.show("SERVERS")
    assert len(servers) <= SESSIONS < len(clients), "they share the sessions"


def test_processes_go_on_when_pgbouncer_is_killed_and_back(service: Service, topics: Topics, pooler: PgBouncer) -> None:
    through = pooled(service, pooler)
    running = [service.start_serve(**through), service.start_ingest(**topics.environment(), **through)]
    event = Event()
    topics.send(event.first_batch())
    wait_for("the first batch", lambda: topics.are_counted(service))
    pooler.kill()
    topics.send(event.later_batch())
    assert service.get("/health/live").status_code == 200
    pooler.start()
    assert_all_is_counted_and_answered(service, topics, [event])
    refused = service.post_until_accepted([event.registered()])[1]
    assert set(refused) <= {503}
    assert all(process.is_running for process in running)
