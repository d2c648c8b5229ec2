"""What an operator's gauges say while messages come, nothing comes, a partition waits, and PostgreSQL is away."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from faults import PostgresFramer, Proxy
from outside import Event, Service, Topics, lags, positions, series, through, wait_for

from hannun.embedded import PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
ANY_PORT = {"HANNUN_METRICS_PORT": "0", "HANNUN_SCHEDULE_METRICS_PORT": "0"}


def comes_to(found: Callable[[], object], wanted: object) -> None:
    wait_for(f"{wanted}, not {found()}", lambda: found() == wanted)


def test_the_lag_of_a_log_that_is_read_is_0_up_to_the_marks_of_transactions(service: Service, topics: Topics) -> None:
    ingest = service.ingests(**topics.environment(), **ANY_PORT)
    event = Event()
    topics.sends_at_once(event.some_of_everything(), after=[event.registered()])
    wait_for("the logs' ends to be reached", lambda: positions(service.database) == topics.high_watermarks())
    comes_to(lambda: lags(ingest), dict.fromkeys(topics.high_watermarks(), 0))
    newest = series(ingest, "hannun_newest_counted_timestamp_seconds")
    assert newest.keys() == {(topics.names[message["type"]],) for message in event.some_of_everything()}
    assert min(newest.values()) > 1_700_000_000


def test_the_newest_message_is_told_by_its_own_time_and_not_before_it_is_counted(
    service: Service, topics: Topics, postgres: PostgresServer
) -> None:
    event, now = Event(), datetime.now(UTC).replace(microsecond=0)
    before, after = now - timedelta(hours=5), now - timedelta(hours=2)
    with Proxy(postgres.port, PostgresFramer) as proxy:
        behind = {"DATABASE_URL": through(service.environment["DATABASE_URL"], proxy.port)}
        ingest = service.ingests(**topics.environment(), **ANY_PORT, **behind)

        def told() -> float | None:
            name = topics.names["participant-registered"]
            return series(ingest, "hannun_newest_counted_timestamp_seconds").get((name,))

        assert told() is None, "nothing is counted"
        topics.sends([event.created(), event.registered()], sent_at=before)
        comes_to(told, before.timestamp())
        proxy.holds_back("hannun.positions SET next_offset")
        topics.sends([event.registered()], sent_at=after)
        proxy.waits_until_held()
        assert told() == before.timestamp(), "what is in hand is not counted"
        topics.sends([event.registered()], sent_at=after - timedelta(hours=1))
        proxy.lets_go()
        wait_for("the messages to be counted", lambda: topics.counted(service))
        comes_to(told, after.timestamp())


@pytest.mark.faults
def test_the_lag_grows_while_postgresql_is_away(service: Service, topics: Topics, postgres: PostgresServer) -> None:
    with Proxy(postgres.port, PostgresFramer) as proxy:
        behind = {"DATABASE_URL": through(service.environment["DATABASE_URL"], proxy.port)}
        ingest = service.ingests(**topics.environment(), **ANY_PORT, **behind)
        event = Event()
        topics.sends([event.created(), event.registered()])
        wait_for("the messages to be counted", lambda: topics.counted(service))
        comes_to(lambda: sum(lags(ingest).values()), 0)
        # Each lane tells when it has seen its batch counted, which is a moment after it is.
        comes_to(lambda: len(series(ingest, "hannun_newest_counted_timestamp_seconds")), 2)
        newest = series(ingest, "hannun_newest_counted_timestamp_seconds")
        proxy.refuse()
        topics.sends([event.registered() for _ in range(7)])
        comes_to(lambda: sum(lags(ingest).values()), 7)
        assert series(ingest, "hannun_newest_counted_timestamp_seconds") == newest, "nothing was counted since"
        proxy.allow()
        comes_to(lambda: sum(lags(ingest).values()), 0)


@pytest.mark.faults
def test_a_stopped_partition_keeps_its_lag_and_is_told_until_an_operator_has_decided(
    service: Service, topics: Topics
) -> None:
    few = {"HANNUN_DEAD_LETTERS_IN_A_ROW_MAX": "20"}
    environment = topics.environment()
    ingest, schedule = service.ingests(**environment, **ANY_PORT, **few), service.schedules(**ANY_PORT)
    service.serves()
    name = topics.names["sales-recorded"]
    comes_to(lambda: series(schedule, "hannun_stopped_partitions").get((name,)), 0)
    for _ in range(60):
        topics.sends_raw("sales-recorded", b"another format", key="all in one partition")
    ingest.says("partition stopped")
    waiting = sum(end for (topic, _), end in topics.high_watermarks().items() if topic == name)
    counted = service.rows("SELECT sum(next_offset) FROM hannun.positions WHERE topic = %s", name)[0][0]
    comes_to(lambda: sum(lags(ingest).values()), waiting - counted)
    comes_to(lambda: series(schedule, "hannun_stopped_partitions").get((name,)), 1)
    topics.sends_raw("sales-recorded", b"another format", key="all in one partition")
    comes_to(lambda: sum(lags(ingest).values()), waiting - counted + 1)
    assert series(schedule, "hannun_owed_invalidations") == {(): 0}
    (stopped,) = service.rows("SELECT topic, partition FROM hannun.stopped_partitions")
    told = "degraded: {}[{}] wait for an operator (hannun positions list)".format(*stopped)
    wait_for("health to tell", lambda: service.health()["parts"].get("kafka") == told)

    assert service.runs("positions", "set", name, "--to", "latest", **environment).status == 0
    comes_to(lambda: series(schedule, "hannun_stopped_partitions").get((name,)), 0)
    wait_for("health to be well", lambda: service.health()["status"] == "ready")
    comes_to(lambda: sum(lags(ingest).values()), 0)


@pytest.mark.faults
def test_who_gives_partitions_up_no_longer_tells_of_them(service: Service, topics: Topics) -> None:
    environment = topics.environment()
    first = service.ingests(**environment, **ANY_PORT)
    comes_to(lambda: len(lags(first)), 10)
    second = service.ingests(**environment, **ANY_PORT)
    comes_to(lambda: (len(lags(first)), len(lags(second))), (5, 5))
    assert not lags(first).keys() & lags(second).keys()


@pytest.mark.faults
def test_a_database_that_is_restored_while_nothing_comes_is_brought_to_the_present(
    service: Service, topics: Topics, postgres: PostgresServer
) -> None:
    service.ingests(**topics.environment())
    event = Event()
    messages = event.some_of_everything()
    topics.sends(messages)
    wait_for("the messages to be counted", lambda: topics.counted(service))
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(postgres.url(name)) as owner:  # the state before the first message
        owner.execute("TRUNCATE hannun.events, hannun.participants, hannun.sales, public.event_stats CASCADE")
        owner.execute("TRUNCATE public.channel_stats, public.timeline_data, hannun.untyped_participants")
        owner.execute("TRUNCATE hannun.dead_letters")
        owner.execute("UPDATE hannun.positions SET next_offset = 0")
    wait_for("the messages to be counted", lambda: topics.counted(service))
    event.takes(messages)
    assert service.figures(event.id) == event.figures
    assert service.dead_letters(event.id) == event.dead_letters
    service.is_proven()
