"""Several `ingest` processes share the partitions. They join, leave, freeze and die; every message counts once."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from accounts import account
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, NewPartitions
from faults import PostgresRequests, Proxy, corrupt_batch
from outside import (
    DEADLINE_S,
    CompletedCommand,
    Event,
    Load,
    Message,
    Partition,
    Process,
    Service,
    Superuser,
    Topics,
    event_for_partition,
    positions,
    wait_for,
    with_both_protocols,
    with_port,
)
from waits import WaitMonitor

from hannun.embedded import KafkaServer, PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]
SESSION_S = "6"  # the minimum that a broker allows by default


class Claim(NamedTuple):
    """The owner of a partition, and the epoch of its claim."""

    owner: str
    epoch: int


class Group:
    """Members of one consumer group over one test's topics, and the events that they count."""

    def __init__(self, service: Service, topics: Topics, protocol: str) -> None:
        self.service = service
        self.topics = topics
        self.environment = {
            **topics.environment(),
            "HANNUN_KAFKA_SESSION_TIMEOUT_S": SESSION_S,
            "HANNUN_KAFKA_GROUP_PROTOCOL": protocol,
        }
        self.name = self.environment["HANNUN_KAFKA_GROUP"]
        self.events = [Event(month="2024-05") for _ in range(8)]
        self.admin = AdminClient({"bootstrap.servers": topics.bootstrap})

    def member(self, **environment: str | None) -> Process:
        return self.service.start_ingest(**{**self.environment, **environment})

    def send_to_all(self, of_each: int = 3) -> None:
        """Send registrations by each of three channels (one is none) and a sale to every event."""
        for event in self.events:
            registered = [
                event.registered(channel) for channel in ("Instagram", "지니TV", None) for _ in range(of_each)
            ]
            self.send(event, [*registered, event.sold(1_000)])

    def send_one(self) -> None:
        """Send one registration.

        Behind a batch of one message the consumer fetches nothing more, and so it answers the group's rebalances.
        """
        self.send(self.events[0], [self.events[0].registered()])

    def send_corrupt_sale(self, kafka: KafkaServer) -> tuple[Partition, range]:
        """Send a sale and corrupt its batch on the broker's disk. Returns its partition and the batch's offsets."""
        self.topics.send([Event(month="2024-05").sold(1)])
        partition, offset, _, _ = self.topics.delivered[-1]
        broken = corrupt_batch(kafka.home / "kafka-data" / "{}-{}".format(*partition) / f"{0:020}.log", offset)
        self.topics.forget(lambda at, sent: at == partition and sent in broken)
        return partition, broken

    def send(self, event: Event, messages: Sequence[Message]) -> None:
        """Send messages of an event, and expect them to be counted."""
        self.topics.send(messages)
        event.expect(messages)

    def create_events(self) -> None:
        """Send the first batch of every event."""
        for event in self.events:
            self.send(event, event.first_batch())

    def assert_counted(self, why: str = "all to be counted") -> None:
        """Wait until all messages are counted. Asserts that each is counted once and no figure drifts."""
        wait_for(f"{why}: {self.topics.ends()}", lambda: self.topics.are_counted(self.service), deadline_s=60)
        for event in self.events:
            assert self.service.figures(event.id) == event.expected_figures
        self.service.assert_no_drift()
        account(self.service, self.topics)

    def owners(self) -> set[str]:
        """The owners of all partitions that have one."""
        rows = self.service.rows("SELECT DISTINCT owner FROM hannun.positions WHERE owner <> ''")
        return {owner for (owner,) in rows}

    def wait_until_owned_by(self, *members: Process) -> None:
        """Wait until exactly these members own partitions."""
        wait_for(
            f"the partitions to belong to {[member.pid for member in members]}, not {self.owners()}",
            lambda: self.is_owned_by(*members),
            deadline_s=60,
        )

    def is_owned_by(self, *members: Process) -> bool:
        """Whether exactly these members own partitions."""
        return {owner.rpartition("/")[2] for owner in self.owners()} == {str(member.pid) for member in members}

    def owner_of_each(self) -> dict[Partition, str]:
        """The process that owns each partition of the topics that `Load` fills."""
        filled = [self.topics.names[kind] for kind in ("participant-registered", "sales-recorded")]
        rows = self.service.rows("SELECT topic, partition, owner FROM hannun.positions WHERE topic = ANY(%s)", filled)
        return {(topic, number): owner.rpartition("/")[2] for topic, number, owner in rows}

    def wait_until_balanced(self, *members: Process) -> None:
        """Wait until exactly these members have all partitions, and no rebalance is under way."""
        wait_for(f"the group to be balanced over {[m.pid for m in members]}", lambda: self._is_balanced(members), 60)

    def _is_balanced(self, members: Sequence[Process]) -> bool:
        described = self._describe()
        partitions = self.topics.high_watermarks().keys()
        assigned = [part for member in described.members for part in member.assignment.topic_partitions]
        return (
            described.state == ConsumerGroupState.STABLE
            and len(described.members) == 2 * len(members)
            and len(assigned) == len(partitions)  # a partition that moves is assigned to no member
            and set(self.owner_of_each().values()) <= {str(member.pid) for member in members}
        )

    def size(self) -> float:
        """How many processes the broker knows. Each has two members: for registrations, and for the other topics."""
        return len(self._describe().members) / 2

    def member_ids(self) -> set[str]:
        """The ids of the members that the broker knows."""
        return {member.member_id for member in self._describe().members}

    def protocol(self) -> object:
        """The group protocol that the broker uses."""
        return self._describe().type

    def _describe(self) -> ConsumerGroupDescription:
        return self.admin.describe_consumer_groups([self.name])[self.name].result()

    def committed(self) -> dict[Partition, int]:
        """The offsets that the group has committed to Kafka."""
        listed = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name)])
        return {(at.topic, at.partition): at.offset for at in listed[self.name].result().topic_partitions}

    def counted(self) -> dict[Partition, int]:
        """The positions of partitions in which something is counted."""
        return {partition: offset for partition, offset in positions(self.service.database).items() if offset > 0}

    def claims_of_registrations(self) -> list[Claim]:
        """The claim on each partition of the topic of registrations."""
        claims = "SELECT owner, epoch FROM hannun.positions WHERE topic = %s ORDER BY partition"
        return [Claim(*row) for row in self.service.rows(claims, self.topics.names["participant-registered"])]


@pytest.fixture
def group(service: Service, topics: Topics, protocol: str) -> Iterator[Group]:
    group = Group(service, topics, protocol)
    yield group
    group.assert_counted()


def test_a_second_member_takes_over_half_and_gives_it_back_when_it_ends(group: Group) -> None:
    group.create_events()
    first = group.member()
    group.wait_until_owned_by(first)
    second = group.member()
    group.wait_until_owned_by(first, second)
    group.send_to_all()
    assert second.terminate() == 0
    group.wait_until_owned_by(first)
    group.send_to_all()
    group.assert_counted()
    wait_for("Kafka's own offsets to follow", lambda: group.committed() == group.counted())
    group.send_to_all()
    assert first.terminate() == 0
    assert group.committed() == group.counted(), "a member that ends commits its last batch"
    group.member()


def test_a_member_that_joins_takes_half_of_the_busy_topic_and_not_half_of_the_topics(group: Group) -> None:
    group.create_events()
    first = group.member()
    group.assert_counted()
    second = group.member()
    busy = "SELECT owner FROM hannun.positions WHERE topic = %s"
    wait_for(
        "each to own one of the two partitions of registrations",
        lambda: (
            {
                owner.rpartition("/")[2]
                for (owner,) in group.service.rows(busy, group.topics.names["participant-registered"])
            }
            == {str(first.pid), str(second.pid)}
        ),
        deadline_s=30,
    )


@pytest.mark.faults
@pytest.mark.parametrize("protocol", ["consumer"], indirect=True)
def test_the_brokers_own_assignment_shares_and_moves_partitions(group: Group) -> None:
    group.create_events()
    first = group.member()
    group.wait_until_owned_by(first)
    second = group.member()
    group.wait_until_owned_by(first, second)
    assert group.protocol() == ConsumerGroupType.CONSUMER
    group.send_to_all()
    assert first.terminate() == 0
    group.send_to_all()
    group.wait_until_owned_by(second)
    group.assert_counted()


@with_both_protocols
def test_a_member_frozen_past_its_session_writes_nothing_when_it_wakes(group: Group, postgres: PostgresServer) -> None:
    group.create_events()
    with Proxy(postgres.port, PostgresRequests) as first_proxy, Proxy(postgres.port, PostgresRequests) as second_proxy:
        first = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], first_proxy.port))
        group.assert_counted()
        # The first freezes when it has read a message and not written it.
        first_proxy.hold("hannun.positions SET next_offset")
        group.send_one()
        first_proxy.wait_until_held()
        os.kill(first.pid, signal.SIGSTOP)
        second = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], second_proxy.port))
        group.wait_until_owned_by(second)
        group.assert_counted("the second to count everything")
        # The second has an unwritten batch too. It gives no partition up, so the group assigns none to the first.
        second_proxy.hold("hannun.positions SET next_offset")
        group.send_one()
        second_proxy.wait_until_held()
        claims = group.claims_of_registrations()
        os.kill(first.pid, signal.SIGCONT)
        first.wait_for_log("partitions lost")
        first_proxy.release()
        first.wait_for_log("batch dropped")
        wait_for("the first to be a member again", lambda: group.size() == 2)
        assert group.claims_of_registrations() == claims
        second_proxy.release()
        wait_for(
            "each to own one of the two partitions",
            lambda: len({at.owner for at in group.claims_of_registrations()}) == 2,
        )
        more = [now.epoch - was.epoch for now, was in zip(group.claims_of_registrations(), claims, strict=True)]
        assert sorted(more) == [0, 1], "the first claimed the one that it was assigned, and nothing else"
        assert "batch dropped" not in second.log
        group.send_to_all()
        group.assert_counted()


def test_a_batch_read_before_another_member_claims_its_partitions_writes_nothing(
    group: Group, postgres: PostgresServer
) -> None:
    """The position has not moved since the batch began, so only the epoch shows the other member's claim."""
    group.create_events()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        member = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        wait_for("the first messages to be counted", lambda: group.topics.are_counted(group.service))
        proxy.hold("hannun.positions SET next_offset")
        group.send_to_all()
        proxy.wait_until_held()
        # The first thing that a new owner does: it claims the partitions.
        group.service.database.execute("UPDATE hannun.positions SET epoch = epoch + 1, owner = 'another'")
        proxy.release()
        member.wait_for_log("batch dropped")
        wait_for("the member to claim them again", lambda: group.topics.are_counted(group.service))


def test_a_stopping_member_keeps_its_partitions_until_its_batch_is_counted(
    group: Group, postgres: PostgresServer
) -> None:
    group.create_events()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        leaving = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        wait_for("the first messages to be counted", lambda: group.topics.are_counted(group.service))
        proxy.hold("hannun.positions SET next_offset")
        group.send_one()
        proxy.wait_until_held()
        members = group.member_ids()
        os.kill(leaving.pid, signal.SIGTERM)
        joining = group.member()
        wait_for("the new member to join or to own", lambda: group.size() == 2 or group.is_owned_by(joining))
        assert not group.is_owned_by(joining), "no member claims a partition whose batch is still being counted"
        # Now only the batch keeps it from leaving. A member that leaves the group too early does so within a second.
        leaving.wait_for_log("PostgreSQL is unavailable")
        watched_until = time.monotonic() + 1
        while time.monotonic() < watched_until:
            assert members <= group.member_ids(), "it stays a member until its batch is counted"
        proxy.release()
        assert leaving.wait() == 0
        assert "batch dropped" not in leaving.log
        group.wait_until_owned_by(joining)


@with_both_protocols
def test_a_member_gives_partitions_up_only_after_its_batch_is_counted(group: Group, postgres: PostgresServer) -> None:
    group.create_events()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        first = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        wait_for("the first messages to be counted", lambda: group.topics.are_counted(group.service))
        proxy.hold("hannun.positions SET next_offset")
        group.send_one()
        proxy.wait_until_held()
        claims = group.claims_of_registrations()
        joining = group.member()
        wait_for(
            "the first to wait for its batch, or the second to claim a partition",
            lambda: "partitions are revoked as soon as" in first.log or group.claims_of_registrations() != claims,
            deadline_s=30,
        )
        assert group.claims_of_registrations() == claims, (
            "no member claims a partition whose batch is still being counted"
        )
        proxy.release()
        group.wait_until_owned_by(first, joining)
        assert "batch dropped" not in first.log


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_five_restarts_under_load_lose_and_double_nothing(group: Group) -> None:
    group.create_events()
    chance = random.Random(7)
    running = [group.member() for _ in range(3)]
    with Load(group.topics, group.events) as load:
        for nth in range(5):
            load.wait_for_more()
            leaving = running.pop(chance.randrange(len(running)))
            if nth % 2 == 0:
                leaving.kill()
            else:
                assert leaving.terminate() == 0
            running.append(group.member())
        load.wait_for_more()
    assert all(member.is_running for member in running)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_rebalance_pauses_only_partitions_that_move_and_not_much_longer_than_the_session(
    service: Service, kafka: KafkaServer
) -> None:
    """After a kill the group waits until the member's session has expired, and assigns nothing before."""
    session_s, count = 10.0, 6
    topics = Topics(kafka.bootstrap)
    kafka.create_topics(dict.fromkeys(topics.names.values(), count))
    group = Group(service, topics, "classic")
    group.environment["HANNUN_KAFKA_SESSION_TIMEOUT_S"] = str(session_s)
    group.events = [event_for_partition(number, count) for number in range(count)]
    group.create_events()
    first, second, third = (group.member() for _ in range(3))
    group.wait_until_balanced(first, second, third)
    with Load(topics, group.events) as load, WaitMonitor(topics, service.environment["DATABASE_URL"]) as watch:

        @contextmanager
        def a_rebalance(where: str, *, waits_for_the_session: bool = False) -> Iterator[None]:
            load.wait_for_more(10 * count)
            before = group.owner_of_each()
            watch.reset()
            yield
            load.wait_for_more(10 * count)
            sent = topics.ends()
            wait_for("what was sent so far", lambda: topics.are_counted(service, sent))
            waited_s, after = watch.longest_waits_s(), group.owner_of_each()
            stayed = {place: waited_s[place] for place, owner in after.items() if owner == before[place]}
            moved = {place: waited_s[place] for place in after.keys() - stayed.keys()}
            assert stayed and moved, where
            assert max(stayed.values()) < session_s / 3, (
                f"{where}: a partition that keeps its owner waited too long: {stayed}"
            )
            assert max(moved.values()) < 2 * session_s, f"{where}: a partition that moves waited too long: {moved}"
            assert max(moved.values()) > session_s / 2 or not waits_for_the_session, (
                "the monitor sees a partition that waits"
            )

        with a_rebalance("one joins"):
            fourth = group.member()
            group.wait_until_balanced(first, second, third, fourth)
        with a_rebalance("one leaves"):
            assert first.terminate() == 0
            group.wait_until_balanced(second, third, fourth)
        with a_rebalance("one is killed while another joins", waits_for_the_session=True):
            second.kill()
            fifth = group.member()
            group.wait_until_balanced(third, fourth, fifth)
        with a_rebalance("one is killed while another leaves", waits_for_the_session=True):
            third.kill()
            assert fourth.terminate() == 0
            group.wait_until_balanced(fifth)
    group.assert_counted()


@pytest.mark.faults
def test_added_partitions_are_counted_from_their_beginning_without_a_decision(group: Group) -> None:
    """Also where they hold messages before the consumer discovers them."""
    group.create_events()
    for name in group.topics.names.values():
        group.service.run("positions", "set", name, "--to", "earliest", **group.environment)
    member = group.member(HANNUN_START_FROM="")
    group.assert_counted()
    name, count = group.topics.names["participant-registered"], 12
    os.kill(member.pid, signal.SIGSTOP)  # so that all messages are sent before it discovers the partitions
    try:
        for future in group.admin.create_partitions([NewPartitions(name, count)]).values():
            future.result()
        found = group.admin.list_topics
        wait_for(
            "the partitions to exist", lambda: len(found(name, timeout=DEADLINE_S).topics[name].partitions) == count
        )
        added = [event_for_partition(number, count) for number in range(2, count)]
        group.events += added
        for event in added:
            event.expect(event.first_batch())
        group.topics.send([message for event in added for message in event.expected_messages])
    finally:
        os.kill(member.pid, signal.SIGCONT)
    assert {number for topic, number in group.topics.ends() if topic == name} == set(range(count))
    group.send_to_all()
    group.assert_counted("the added partitions to be counted")


@pytest.mark.faults
def test_a_recreated_topic_stops_until_an_operator_decides(group: Group, kafka: KafkaServer) -> None:
    group.create_events()
    member = group.member()
    group.assert_counted()
    name = group.topics.names["participant-registered"]
    for future in group.admin.delete_topics([name]).values():
        future.result()
    wait_for("the topic to be gone", lambda: name not in group.admin.list_topics(timeout=DEADLINE_S).topics)
    # Send more messages than before: an offset alone must not show that this is another topic.
    group.topics.forget(lambda partition, _: partition[0] == name)
    kafka.create_topics({name: 2})
    group.send_to_all(of_each=20)
    member.wait_for_log("partition stopped")
    listed = group.service.run("positions", "list")
    assert listed.status == 1
    assert "recreated" in listed.out
    group.service.start_serve()
    waits = [f"{name}[{number}]" for number in (0, 1)]
    wait_for(
        "health to report the partitions",
        lambda: all(at in group.service.health()["parts"].get("kafka", "") for at in waits),
    )

    decided = group.service.run("positions", "set", name, "--to", "earliest", **group.environment)
    assert decided.status == 0, decided.err
    group.assert_counted("the new topic to be counted")
    assert group.service.run("positions", "list").status == 0
    wait_for("health to be ready", lambda: group.service.health()["status"] == "ready")
    kept = group.service.rows("SELECT topic, how, goes_on_at FROM hannun.position_decisions")
    assert sorted(kept) == [(name, "--to earliest", 0)] * 2


@pytest.mark.faults
def test_a_partition_whose_uncounted_records_were_removed_stops_until_an_operator_decides(
    group: Group,
) -> None:
    group.create_events()
    member = group.member()
    group.assert_counted()
    assert member.terminate() == 0
    lost = Event(month="2024-05")
    group.topics.send([lost.created(), *(lost.registered() for _ in range(5))])
    name = group.topics.names["participant-registered"]
    ends = {partition: end for partition, end in group.topics.ends().items() if partition[0] == name}
    removed = [TopicPartition(topic, number, end) for (topic, number), end in ends.items()]
    for future in group.admin.delete_records(removed).values():
        future.result()
    group.topics.forget(lambda partition, offset: offset < ends.get(partition, 0))

    member = group.member()
    member.wait_for_log("partition stopped")
    member.wait_for_log("removed before they were counted")
    decided = group.service.run("positions", "set", name, "--to", "earliest", **group.environment)
    assert decided.status == 0, decided.err
    group.send_to_all()
    group.assert_counted()
    found = group.service.figures(lost.id)
    assert found is not None
    assert found.participants == 0, "the removed records are lost, and the decision is on record"


@pytest.mark.faults
def test_a_corrupt_batch_on_the_brokers_disk_stops_its_partition_until_an_operator_decides(
    group: Group, kafka: KafkaServer
) -> None:
    group.create_events()
    (topic, number), broken = group.send_corrupt_sale(kafka)
    group.send_to_all()
    member = group.member()
    member.wait_for_log(f"cannot be read from offset {broken.start}: ")
    member.wait_for_log("partition stopped")
    assert group.service.run("positions", "list").status == 1
    wanted = group.topics.ends() | {(topic, number): broken.start}
    wait_for("all other records to be counted", lambda: wanted.items() <= positions(group.service.database).items())

    behind = ("--partition", str(number), "--to", str(broken.stop))
    decided = group.service.run("positions", "set", topic, *behind, **group.environment)
    assert decided.status == 0, decided.err
    group.assert_counted("the records behind the batch to be counted")
    assert group.service.run("positions", "list").status == 0


@pytest.mark.faults
def test_a_first_start_waits_until_an_operator_decides_where_to_begin(group: Group) -> None:
    group.create_events()
    member = group.member(HANNUN_START_FROM="")
    member.wait_for_log("no setting says where to start")
    assert group.service.rows("SELECT count(*) FROM hannun.participants") == [(0,)]
    for name in group.topics.names.values():
        group.service.run("positions", "set", name, "--to", "earliest", **group.environment)
    group.assert_counted("the decision to take effect")


@pytest.mark.faults
def test_members_stay_in_the_group_while_postgresql_is_unavailable(group: Group, postgres: PostgresServer) -> None:
    group.create_events()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        behind = {"DATABASE_URL": with_port(group.service.environment["DATABASE_URL"], proxy.port)}
        members = [group.member(**behind), group.member(**behind)]
        group.wait_until_owned_by(*members)
        proxy.refuse()
        proxy.cut()
        group.send_to_all()
        wait_for("a member to notice", lambda: any("PostgreSQL is unavailable" in member.log for member in members))
        proxy.allow()
        group.assert_counted("counting to go on")
        for member in members:
            assert member.is_running
            assert "lost" not in member.log
        group.wait_until_owned_by(*members)


@pytest.mark.parametrize(
    "silent", [pytest.param(False, marks=pytest.mark.faults), True], ids=["refuses connections", "does not answer"]
)
def test_another_member_can_join_the_group_while_postgresql_is_unavailable(
    group: Group, postgres: PostgresServer, *, silent: bool
) -> None:
    """Meanwhile the member answers the group and gives partitions up."""
    group.create_events()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        behind = with_port(group.service.environment["DATABASE_URL"], proxy.port)
        member = group.member(DATABASE_URL=behind)
        group.wait_until_owned_by(member)
        if silent:
            proxy.hold(".")
        else:
            proxy.refuse()
        group.send_to_all()
        member.wait_for_log("PostgreSQL is unavailable")
        other = Consumer(
            {
                "bootstrap.servers": group.topics.bootstrap,
                "group.id": group.environment["HANNUN_KAFKA_GROUP"],
                "partition.assignment.strategy": "cooperative-sticky",
                "heartbeat.interval.ms": 300,
            }
        )
        try:
            other.subscribe(list(group.topics.names.values()))
            wait_for("the other to get partitions", lambda: other.poll(0.1) is None and bool(other.assignment()))
        finally:
            other.close()
        if silent:
            proxy.release()
        else:
            proxy.allow()
        group.assert_counted("counting to go on")


@pytest.mark.faults
def test_a_member_waiting_for_a_silent_postgresql_stops_on_sigterm(group: Group, postgres: PostgresServer) -> None:
    group.create_events()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        member = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        group.wait_until_owned_by(member)
        proxy.hold("SET next_offset")
        group.send_to_all()
        proxy.wait_until_held()
        assert member.terminate() == 0
        proxy.release()
    group.member()
    group.assert_counted("its unwritten batch to be counted by the next member")


def test_positions_set_with_dry_run_prints_what_it_would_skip_and_changes_nothing(group: Group) -> None:
    group.create_events()
    name = group.topics.names["sales-recorded"]
    before = group.service.run("positions", "set", name, "--to", "latest", "--dry-run", **group.environment)
    assert before.status == 0, before.err
    assert "would go on at" in before.out
    assert "skipping" in before.out
    assert group.service.rows("SELECT count(*) FROM hannun.position_decisions") == [(0,)]
    wrong = group.service.run("positions", "set", name, "--to", "yesterday", **group.environment)
    assert wrong.status == 2
    assert "Hint:" in wrong.err
    group.member()


def test_an_operator_can_set_one_partition_to_an_offset_or_a_time_and_every_offset_is_accounted_for(
    group: Group,
) -> None:
    name, event = group.topics.names["sales-recorded"], group.events[0]
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    sold = [[event.sold(1_000) for _ in range(6)] for _ in range(2)]
    for number, messages in enumerate(sold):
        group.topics.send_to_partition(number, messages, began_ms=int(noon.timestamp() * 1_000))

    def set_position(number: int, to: str) -> CompletedCommand:
        at = str(number)
        return group.service.run("positions", "set", name, "--partition", at, "--to", to, **group.environment)

    refused = set_position(0, "7")
    assert refused.status == 2
    assert "holds offsets 0 to 6, not 7" in refused.err
    assert "Hint:" in refused.err
    assert f"{name}[0] never read; goes on at 2, skipping 2" in set_position(0, "2").out
    between = (noon + timedelta(seconds=3.5)).isoformat()
    assert f"{name}[1] never read; goes on at 4, skipping 4" in set_position(1, between).out
    kept = group.service.rows("SELECT topic, partition, was_at, goes_on_at, how FROM hannun.position_decisions")
    assert sorted(kept) == [(name, 0, None, 2, "--to 2"), (name, 1, None, 4, f"--to {between}")]

    group.send(event, [event.created()])
    event.expect(sold[0][2:] + sold[1][4:])
    group.member()
    group.assert_counted()
    assert account(group.service, group.topics).skipped == 6


@pytest.mark.faults
@pytest.mark.parametrize("by", ["the decoder", "the database"])
def test_a_topic_of_unusable_messages_stops_instead_of_filling_the_dead_letters(
    group: Group, superuser: Superuser, by: str
) -> None:
    member = group.member(HANNUN_DEAD_LETTERS_IN_A_ROW_MAX="20")
    group.create_events()
    group.assert_counted()
    superuser.execute("ALTER TABLE hannun.sales ADD CONSTRAINT no_such_amount CHECK (amount <> 666)")
    for number in range(60):
        sale = {"eventId": group.events[0].id, "saleId": f"{number}", "amount": 666, "soldAt": "2024-05-20T10:00:00Z"}
        refused = json.dumps(sale | {"messageId": f"refused-{number}"}).encode()
        group.topics.send_raw("sales-recorded", b"another format" if by == "the decoder" else refused)
    member.wait_for_log("partition stopped")
    assert group.service.run("positions", "list").status == 1
    assert group.service.rows("SELECT count(*) < 60 FROM hannun.dead_letters") == [(True,)]
    name = group.topics.names["sales-recorded"]
    decided = group.service.run("positions", "set", name, "--to", "latest", **group.environment)
    assert "skipping" in decided.out, decided.err
    group.send_to_all()
    group.assert_counted("the usable messages behind them to be counted")
