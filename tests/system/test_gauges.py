"""The gauges while messages arrive, while none arrives, while a partition is stopped, and without PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from faults import PostgresRequests, Proxy
from outside import Event, Service, Topics, consumer_lags, metric_series, positions, wait_for, with_port

from hannun.embedded import PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
ANY_PORT = {"HANNUN_METRICS_PORT": "0", "HANNUN_SCHEDULE_METRICS_PORT": "0"}


def wait_for_value(found: Callable[[], object], wanted: object) -> None:
    """Wait until `found` returns this value."""
    wait_for(f"{wanted}, not {found()}", lambda: found() == wanted)


def test_the_lag_is_0_when_only_control_records_follow(service: Service, topics: Topics) -> None:
    ingest = service.start_ingest(**topics.environment(), **ANY_PORT)
    event = Event()
    topics.send_in_transaction(event.first_batch(), after=[event.registered()])
    wait_for("the logs' ends to be reached", lambda: positions(service.database) == topics.high_watermarks())
    wait_for_value(lambda: consumer_lags(ingest), dict.fromkeys(topics.high_watermarks(), 0))
    newest = metric_series(ingest, "hannun_newest_counted_timestamp_seconds")
    assert newest.keys() == {(topics.names[message["type"]],) for message in event.first_batch()}
    assert min(newest.values()) > 1_700_000_000


def test_the_newest_counted_timestamp_is_the_records_own_and_set_when_it_is_counted(
    service: Service, topics: Topics, postgres: PostgresServer
) -> None:
    event, now = Event(), datetime.now(UTC).replace(microsecond=0)
    before, after = now - timedelta(hours=5), now - timedelta(hours=2)
    with Proxy(postgres.port, PostgresRequests) as proxy:
        behind = {"DATABASE_URL": with_port(service.environment["DATABASE_URL"], proxy.port)}
        ingest = service.start_ingest(**topics.environment(), **ANY_PORT, **behind)

        def newest_counted() -> float | None:
            name = topics.names["participant-registered"]
            return metric_series(ingest, "hannun_newest_counted_timestamp_seconds").get((name,))

        assert newest_counted() is None, "nothing is counted"
        topics.send([event.created(), event.registered()], sent_at=before)
        wait_for_value(newest_counted, before.timestamp())
        proxy.hold("hannun.positions SET next_offset")
        topics.send([event.registered()], sent_at=after)
        proxy.wait_until_held()
        assert newest_counted() == before.timestamp(), "a fetched message is not counted yet"
        topics.send([event.registered()], sent_at=after - timedelta(hours=1))
        proxy.release()
        wait_for("the messages to be counted", lambda: topics.are_counted(service))
        wait_for_value(newest_counted, after.timestamp())


@pytest.mark.faults
def test_the_lag_grows_while_postgresql_is_unavailable(
    service: Service, topics: Topics, postgres: PostgresServer
) -> None:
    with Proxy(postgres.port, PostgresRequests) as proxy:
        behind = {"DATABASE_URL": with_port(service.environment["DATABASE_URL"], proxy.port)}
        ingest = service.start_ingest(**topics.environment(), **ANY_PORT, **behind)
        event = Event()
        topics.send([event.created(), event.registered()])
        wait_for("the messages to be counted", lambda: topics.are_counted(service))
        wait_for_value(lambda: sum(consumer_lags(ingest).values()), 0)
        # Each worker sets the gauge a moment after its batch is committed.
        wait_for_value(lambda: len(metric_series(ingest, "hannun_newest_counted_timestamp_seconds")), 2)
        newest = metric_series(ingest, "hannun_newest_counted_timestamp_seconds")
        proxy.refuse()
        topics.send([event.registered() for _ in range(7)])
        wait_for_value(lambda: sum(consumer_lags(ingest).values()), 7)
        assert metric_series(ingest, "hannun_newest_counted_timestamp_seconds") == newest, (
            "nothing has been counted since"
        )
        proxy.allow()
        wait_for_value(lambda: sum(consumer_lags(ingest).values()), 0)


@pytest.mark.faults
def test_a_stopped_partition_shows_in_lag_gauge_and_health_until_an_operator_decides(
    service: Service, topics: Topics
) -> None:
    few = {"HANNUN_DEAD_LETTERS_IN_A_ROW_MAX": "20"}
    environment = topics.environment()
    ingest, schedule = service.start_ingest(**environment, **ANY_PORT, **few), service.start_schedule(**ANY_PORT)
    service.start_serve()
    name = topics.names["sales-recorded"]
    wait_for_value(lambda: metric_series(schedule, "hannun_stopped_partitions").get((name,)), 0)
    for _ in range(60):
        topics.send_raw("sales-recorded", b"another format", key="all in one partition")
    ingest.wait_for_log("partition stopped")
    waiting = sum(end for (topic, _), end in topics.high_watermarks().items() if topic == name)
    counted = service.rows("SELECT sum(next_offset) FROM hannun.positions WHERE topic = %s", name)[0][0]
    wait_for_value(lambda: sum(consumer_lags(ingest).values()), waiting - counted)
    wait_for_value(lambda: metric_series(schedule, "hannun_stopped_partitions").get((name,)), 1)
    topics.send_raw("sales-recorded", b"another format", key="all in one partition")
    wait_for_value(lambda: sum(consumer_lags(ingest).values()), waiting - counted + 1)
    assert metric_series(schedule, "hannun_owed_invalidations") == {(): 0}
    (stopped,) = service.rows("SELECT topic, partition FROM hannun.stopped_partitions")
    reported = "degraded: {}[{}] wait for an operator (hannun positions list)".format(*stopped)
    wait_for("health to report it", lambda: service.health()["parts"].get("kafka") == reported)

    assert service.run("positions", "set", name, "--to", "latest", **environment).status == 0
    wait_for_value(lambda: metric_series(schedule, "hannun_stopped_partitions").get((name,)), 0)
    wait_for("health to be ready", lambda: service.health()["status"] == "ready")
    wait_for_value(lambda: sum(consumer_lags(ingest).values()), 0)


@pytest.mark.faults
def test_a_member_reports_no_lag_for_partitions_it_gave_up(service: Service, topics: Topics) -> None:
    environment = topics.environment()
    first = service.start_ingest(**environment, **ANY_PORT)
    wait_for_value(lambda: len(consumer_lags(first)), 10)
    second = service.start_ingest(**environment, **ANY_PORT)
    wait_for_value(lambda: (len(consumer_lags(first)), len(consumer_lags(second))), (5, 5))
    assert not consumer_lags(first).keys() & consumer_lags(second).keys()


@pytest.mark.faults
def test_a_restored_database_catches_up_while_no_new_message_arrives(
    service: Service, topics: Topics, postgres: PostgresServer
) -> None:
    service.start_ingest(**topics.environment())
    event = Event()
    messages = event.first_batch()
    topics.send(messages)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(postgres.url(name)) as owner:  # the state before the first message
        owner.execute("TRUNCATE hannun.events, hannun.participants, hannun.sales, public.event_stats CASCADE")
        owner.execute("TRUNCATE public.channel_stats, public.timeline_data, hannun.untyped_participants")
        owner.execute("TRUNCATE hannun.dead_letters, hannun.timeline_months, hannun.timeline_quarters")
        owner.execute("UPDATE hannun.positions SET next_offset = 0")
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    event.expect(messages)
    assert service.figures(event.id) == event.expected_figures
    assert service.dead_letter_count(event.id) == event.expected_dead_letters
    service.assert_no_drift()
