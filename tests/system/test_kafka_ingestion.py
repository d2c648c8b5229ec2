"""Messages over a real Kafka: all kinds, unusable ones, and where reading resumes."""

import json

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from outside import PASSWORD, Event, Service, Topics, positions, wait_for

from hannun.embedded import KafkaServer, PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]


def test_messages_of_every_kind_are_counted_and_served_over_http(service: Service, topics: Topics) -> None:
    service.start_ingest(**topics.environment())
    service.start_serve()
    event = Event()
    for messages in (event.first_batch(), event.later_batch()):
        topics.send(messages)
        wait_for("the messages to be counted", lambda: topics.are_counted(service))
        event.expect(messages)
        wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
        assert service.figures(event.id) == event.expected_figures
        assert service.dashboard(event.id) == event.expected_figures
    service.assert_no_drift()


def test_participants_are_counted_before_their_event_is_created(service: Service, topics: Topics) -> None:
    service.start_ingest(**topics.environment())
    event = Event()
    earlier = [event.registered("Instagram"), event.registered(), event.sold(5_000)]
    topics.send(earlier)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    assert service.figures(event.id) is None
    topics.send([event.created()])
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    event.expect([*earlier, event.created()])
    assert service.figures(event.id) == event.expected_figures


def test_unusable_messages_become_dead_letters_once_with_their_offsets(service: Service, topics: Topics) -> None:
    environment = topics.environment()
    process = service.start_ingest(**environment)
    event = Event()
    topics.send([event.created(), event.registered()])
    topics.send_raw("participant-registered", b"not JSON at all")
    topics.send_raw("participant-registered", b'{"eventId": "\xff"}')
    topics.send_raw("sales-recorded", b"x" * 70_000)
    topics.send_raw("event-created", None)
    topics.send([event.unusable(), event.registered()])
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    process.kill()
    service.start_ingest(**topics.environment())
    topics.send([event.registered()])
    wait_for("the messages to be counted", lambda: topics.are_counted(service))

    listed = [json.loads(line) for line in service.run("dead-letters", "list", "--json").out.splitlines()]
    records = {(entry["topic"], entry["partition"], entry["offset"]) for entry in listed}
    unusable = {
        (*partition, offset)
        for partition, offset, _, message in topics.delivered
        if isinstance(message, bytes) or "messageId" in message
    }
    assert len(listed) == 5
    assert records == unusable
    assert all(entry["reason"] and entry["topicId"] for entry in listed)
    shown = json.loads(service.run("dead-letters", "show", str(listed[0]["no"])).out)
    assert shown == listed[0]
    plain = service.run("dead-letters", "list").out
    assert "5 of 5" in plain
    figures = service.figures(event.id)
    assert figures is not None and figures.participants == 3, "unusable messages stop no other"
    assert service.run("dead-letters", "show", "123456").status == 2


def test_one_dead_letter_is_retried_from_the_log_and_another_is_dropped(
    service: Service, topics: Topics, postgres: PostgresServer
) -> None:
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    rule = "ALTER TABLE hannun.sales {} CONSTRAINT not_now"
    with psycopg.connect(postgres.url(name), autocommit=True) as owner:
        owner.execute(rule.format("ADD") + " CHECK (amount <> 7)")
        service.start_ingest(**topics.environment())
        event = Event()
        topics.send([event.created(), event.sold(7), event.unusable(), event.sold(8)])
        wait_for("the messages to be counted", lambda: topics.are_counted(service))
        owner.execute(rule.format("DROP"))
    refused, unusable = sorted(
        (json.loads(line) for line in service.run("dead-letters", "list", "--json").out.splitlines()),
        key=lambda entry: entry["reason"] != "refused-by-the-database",
    )
    retried = service.run("dead-letters", "retry", str(refused["no"]), KAFKA_BOOTSTRAP_SERVERS=topics.bootstrap)
    assert (retried.status, "counted" in retried.out) == (0, True), retried.err
    again = service.run("dead-letters", "retry", str(unusable["no"]), KAFKA_BOOTSTRAP_SERVERS=topics.bootstrap)
    assert (again.status, "missing-field" in again.out) == (1, True), again.err
    assert service.run("dead-letters", "drop", str(unusable["no"])).status == 0
    assert service.run("dead-letters", "list", "--json").out == ""
    assert len(service.run("dead-letters", "list", "--json", "--all").out.splitlines()) == 2
    assert service.run("dead-letters", "drop").status == 2, "never all by mistake"
    figures = service.figures(event.id)
    assert figures is not None and figures.revenue == 15


@pytest.mark.faults
def test_positions_move_over_control_records_and_their_removal_is_no_loss(service: Service, topics: Topics) -> None:
    process = service.start_ingest(**topics.environment())
    event = Event()
    first, second = event.first_batch(), event.later_batch()
    topics.send_in_transaction(first, after=[event.registered() for _ in range(9)])
    topics.send_aborted([event.registered() for _ in range(5)])
    wait_for("the logs' ends to be reached", lambda: positions(service.database) == topics.high_watermarks())
    event.expect(first)
    assert service.figures(event.id) == event.expected_figures

    assert process.terminate() == 0
    topics.delete_all_records()
    again = service.start_ingest(**topics.environment())
    topics.send(second)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    event.expect(second)
    assert service.figures(event.id) == event.expected_figures
    assert "partition stopped" not in again.log
    service.assert_no_drift()


@pytest.mark.parametrize("to", [pytest.param("the beginning", marks=pytest.mark.faults), "the end"])
def test_reading_resumes_from_postgresql_and_not_from_kafkas_own_offsets(
    service: Service, topics: Topics, to: str
) -> None:
    environment = topics.environment()
    process = service.start_ingest(**environment)
    event = Event()
    first, second = event.first_batch(), event.later_batch()
    topics.send(first)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    assert process.terminate() == 0
    topics.send(second)
    _commit(topics, environment["HANNUN_KAFKA_GROUP"], at_end=to == "the end")

    before = service.rows("SELECT count(*) FROM hannun.dead_letters")
    service.start_ingest(**environment)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    event.expect(first + second)
    assert service.figures(event.id) == event.expected_figures
    assert service.dead_letter_count(event.id) == before[0][0] + 1 == event.expected_dead_letters
    service.assert_no_drift()


def _commit(topics: Topics, group: str, *, at_end: bool) -> None:
    """Set the group's offsets in Kafka, as a tool would."""
    consumer = Consumer({"bootstrap.servers": topics.bootstrap, "group.id": group})
    try:
        ends = topics.ends()
        wanted = [TopicPartition(*partition, ends[partition] if at_end else 0) for partition in ends]
        consumer.commit(offsets=wanted, asynchronous=False)
    finally:
        consumer.close()


def test_a_partition_that_no_longer_exists_stays_stopped_until_an_operator_forgets_it(
    service: Service, kafka: KafkaServer
) -> None:
    service.database.execute(
        "INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by) VALUES ('gone', 3, 'x', '', '')"
    )
    kafka_settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap}
    decided = service.run("positions", "set", "gone", "--to", "earliest", **kafka_settings)
    assert (decided.status, "positions forget" in decided.err) == (2, True), decided.err
    forgot = service.run("positions", "forget", "gone", **kafka_settings)
    assert (forgot.status, "gone[3] never read; no longer waited for" in forgot.out) == (0, True), forgot.err
    assert service.run("positions", "list").status == 0
    kept = "SELECT topic, partition, goes_on_at, how FROM hannun.position_decisions"
    assert service.rows(kept) == [("gone", 3, None, "forget")]


@pytest.mark.faults
def test_a_second_ingest_shares_the_work_and_takes_over(service: Service, topics: Topics) -> None:
    environment = topics.environment()
    first = service.start_ingest(**environment)
    wait_for(
        "the first to claim all partitions", lambda: service.rows("SELECT count(*) FROM hannun.positions") == [(10,)]
    )
    second = service.start_ingest(**environment)
    events = [Event() for _ in range(8)]
    for event in events:
        body = event.first_batch()
        topics.send(body)
        event.expect(body)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    assert first.terminate() == 0
    for event in events:
        body = event.later_batch()
        topics.send(body)
        event.expect(body)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    for event in events:
        assert service.figures(event.id) == event.expected_figures
        assert service.dead_letter_count(event.id) == event.expected_dead_letters
    assert second.terminate() == 0
    service.assert_no_drift()


@pytest.mark.faults
def test_a_killed_ingest_resumes_in_the_same_group(service: Service, topics: Topics) -> None:
    """The group waits for the dead member until its session has expired."""
    environment = topics.environment()
    process = service.start_ingest(**environment)
    event = Event()
    first, second = event.first_batch(), event.later_batch()
    topics.send(first)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    process.kill()
    topics.send(second)
    service.start_ingest(**environment)
    wait_for("the messages to be counted", lambda: topics.are_counted(service), deadline_s=75)
    event.expect(first + second)
    assert service.figures(event.id) == event.expected_figures


def test_the_simulated_platform_sends_over_kafka(service: Service, kafka: KafkaServer) -> None:
    named = Topics(kafka.bootstrap, default_names=True)
    kafka.create_topics(dict.fromkeys(named.names.values(), 2))
    service.start_ingest(**named.environment())
    home = str(service.folder / "simulation")
    simulate = service.start("simulate", "--kafka", "--home", home, "--pace", "40", **named.environment())
    total = "SELECT coalesce(sum(total_participants), 0) FROM public.event_stats"
    wait_for("some participants", lambda: service.rows(total)[0][0] > 100)
    assert simulate.terminate() == 0
    service.assert_no_drift()


def test_a_message_for_a_month_that_was_just_detached_is_counted_at_once(
    service: Service, topics: Topics, postgres: PostgresServer
) -> None:
    """`ingest` has counted in that month, and knows it as attached."""
    ingest = service.start_ingest(**topics.environment())
    event = Event()
    first = event.first_batch()
    topics.send(first)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    owner = postgres.url(service.environment["DATABASE_URL"].rpartition("/")[2], "hannun_owner", PASSWORD)
    detached = service.run("partitions", HANNUN_OWNER_DATABASE_URL=owner, HANNUN_MONTHS_KEPT="3")
    assert "timeline_data_2024_05 detached" in detached.out, detached.err
    late = [event.registered("Instagram"), event.registered(), event.sold(3_000)]
    topics.send(late)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    event.expect([*first, *late])
    assert service.figures(event.id) == event.expected_figures
    assert service.dead_letter_count(event.id) == event.expected_dead_letters
    assert {json.loads(line)["level"] for line in ingest.log.splitlines()} == {"info"}, ingest.log
    service.assert_no_drift()
