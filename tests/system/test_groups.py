"""Several `ingest` processes share the partitions: they come, go, freeze and die, and every message is counted once."""

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
SESSION_S = "6"  # the shortest that a broker allows by default


class Claim(NamedTuple):
    """Who holds a partition, and since which claim."""

    owner: str
    epoch: int


class Group:
    """Members of one consumer group over one test's topics, and the events they count."""

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

    def hears(self, of_each: int = 3) -> None:
        """Every event tells something new."""
        for event in self.events:
            told = [event.registered(channel) for channel in ("Instagram", "지니TV", None) for _ in range(of_each)]
            self.sends(event, [*told, event.sold(1_000)])

    def hears_one(self) -> None:
        """One event has a participant more. Behind a batch of one message nothing is taken, and the group is heard."""
        self.sends(self.events[0], [self.events[0].registered()])

    def breaks_a_sale(self, kafka: KafkaServer) -> tuple[Partition, range]:
        """A sale whose batch is broken on the broker's disk: where nobody can read it."""
        self.topics.send([Event(month="2024-05").sold(1)])
        partition, offset, _, _ = self.topics.delivered[-1]
        broken = corrupt_batch(kafka.home / "kafka-data" / "{}-{}".format(*partition) / f"{0:020}.log", offset)
        self.topics.forget(lambda at, sent: at == partition and sent in broken)
        return partition, broken

    def sends(self, event: Event, messages: Sequence[Message]) -> None:
        self.topics.send(messages)
        event.expect(messages)

    def is_created(self) -> None:
        for event in self.events:
            self.sends(event, event.first_batch())

    def is_counted(self, why: str = "all to be counted") -> None:
        """All that was sent is counted, once, and the figures are proven."""
        wait_for(f"{why}: {self.topics.ends()}", lambda: self.topics.are_counted(self.service), deadline_s=60)
        for event in self.events:
            assert self.service.figures(event.id) == event.expected_figures
        self.service.assert_no_drift()
        account(self.service, self.topics)

    def owners(self) -> set[str]:
        """Who owns the partitions that were read."""
        rows = self.service.rows("SELECT DISTINCT owner FROM hannun.positions WHERE owner <> ''")
        return {owner for (owner,) in rows}

    def is_shared_by(self, *members: Process) -> None:
        """Wait until these, and nobody else, own partitions."""
        wait_for(
            f"the partitions to belong to {[member.pid for member in members]}, not {self.owners()}",
            lambda: self.is_owned_by(*members),
            deadline_s=60,
        )

    def is_owned_by(self, *members: Process) -> bool:
        """Whether these, and nobody else, own partitions."""
        return {owner.rpartition("/")[2] for owner in self.owners()} == {str(member.pid) for member in members}

    def owner_of_each(self) -> dict[Partition, str]:
        """The process that owns each partition of the topics that `Load` fills."""
        filled = [self.topics.names[kind] for kind in ("participant-registered", "sales-recorded")]
        rows = self.service.rows("SELECT topic, partition, owner FROM hannun.positions WHERE topic = ANY(%s)", filled)
        return {(topic, number): owner.rpartition("/")[2] for topic, number, owner in rows}

    def is_settled_over(self, *members: Process) -> None:
        """Wait until these, and nobody else, share out all partitions, and no rebalance is under way."""
        wait_for(f"the group to settle over {[m.pid for m in members]}", lambda: self._is_settled(members), 60)

    def _is_settled(self, members: Sequence[Process]) -> bool:
        told = self._told_by_the_broker()
        partitions = self.topics.high_watermarks().keys()
        assigned = [part for member in told.members for part in member.assignment.topic_partitions]
        return (
            told.state == ConsumerGroupState.STABLE
            and len(told.members) == 2 * len(members)
            and len(assigned) == len(partitions)  # what is on its way from one to another is nobody's
            and set(self.owner_of_each().values()) <= {str(member.pid) for member in members}
        )

    def size(self) -> float:
        """How many processes the broker knows: each is a member with registrations, and one with all others."""
        return len(self._told_by_the_broker().members) / 2

    def member_ids(self) -> set[str]:
        """The members that the broker knows."""
        return {member.member_id for member in self._told_by_the_broker().members}

    def kind(self) -> ConsumerGroupType:
        """By which protocol the broker runs it."""
        return self._told_by_the_broker().type

    def _told_by_the_broker(self) -> ConsumerGroupDescription:
        return self.admin.describe_consumer_groups([self.name])[self.name].result()

    def committed(self) -> dict[Partition, int]:
        """Kafka's own offsets of the group."""
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name)])
        return {(at.topic, at.partition): at.offset for at in asked[self.name].result().topic_partitions}

    def counted(self) -> dict[Partition, int]:
        """The positions of partitions that held anything."""
        return {partition: offset for partition, offset in positions(self.service.database).items() if offset > 0}

    def claims_of_registrations(self) -> list[Claim]:
        """Who holds each partition of the busy topic."""
        claims = "SELECT owner, epoch FROM hannun.positions WHERE topic = %s ORDER BY partition"
        return [Claim(*row) for row in self.service.rows(claims, self.topics.names["participant-registered"])]


@pytest.fixture
def group(service: Service, topics: Topics, protocol: str) -> Iterator[Group]:
    group = Group(service, topics, protocol)
    yield group
    group.is_counted()


def test_a_second_member_takes_over_half_and_gives_it_back_when_it_ends(group: Group) -> None:
    group.is_created()
    first = group.member()
    group.is_shared_by(first)
    second = group.member()
    group.is_shared_by(first, second)
    group.hears()
    assert second.terminate() == 0
    group.is_shared_by(first)
    group.hears()
    group.is_counted()
    wait_for("Kafka's own offsets to follow", lambda: group.committed() == group.counted())
    group.hears()
    assert first.terminate() == 0
    assert group.committed() == group.counted(), "none is left behind by one that ends"
    group.member()


def test_a_member_that_joins_takes_half_of_the_busy_topic_and_not_half_of_the_topics(group: Group) -> None:
    group.is_created()
    first = group.member()
    group.is_counted()
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
    group.is_created()
    first = group.member()
    group.is_shared_by(first)
    second = group.member()
    group.is_shared_by(first, second)
    assert group.kind() == ConsumerGroupType.CONSUMER
    group.hears()
    assert first.terminate() == 0
    group.hears()
    group.is_shared_by(second)
    group.is_counted()


@with_both_protocols
def test_a_member_frozen_past_its_session_writes_nothing_when_it_wakes(group: Group, postgres: PostgresServer) -> None:
    group.is_created()
    with Proxy(postgres.port, PostgresRequests) as zombies, Proxy(postgres.port, PostgresRequests) as heirs:
        zombie = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], zombies.port))
        group.is_counted()
        # Frozen with a batch in hand: it has read the message, and not written it.
        zombies.hold("hannun.positions SET next_offset")
        group.hears_one()
        zombies.wait_until_held()
        os.kill(zombie.pid, signal.SIGSTOP)
        heir = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], heirs.port))
        group.is_shared_by(heir)
        group.is_counted("the heir to count all")
        # The heir has a batch in hand too, so it gives nothing back, and the group grants the zombie nothing.
        heirs.hold("hannun.positions SET next_offset")
        group.hears_one()
        heirs.wait_until_held()
        claims = group.claims_of_registrations()
        os.kill(zombie.pid, signal.SIGCONT)
        zombie.wait_for_log("partitions lost")
        zombies.release()
        zombie.wait_for_log("batch dropped")
        wait_for("the zombie to be a member again", lambda: group.size() == 2)
        assert group.claims_of_registrations() == claims
        heirs.release()
        wait_for(
            "each to own one of the two partitions",
            lambda: len({at.owner for at in group.claims_of_registrations()}) == 2,
        )
        more = [now.epoch - was.epoch for now, was in zip(group.claims_of_registrations(), claims, strict=True)]
        assert sorted(more) == [0, 1], "one was granted to it, and nothing else was claimed"
        assert "batch dropped" not in heir.log
        group.hears()
        group.is_counted()


def test_a_batch_read_before_another_member_claims_its_partitions_writes_nothing(
    group: Group, postgres: PostgresServer
) -> None:
    """Nobody else has counted it yet, so the position still stands where it began: only the epoch tells."""
    group.is_created()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        member = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        wait_for("the first messages to be counted", lambda: group.topics.are_counted(group.service))
        proxy.hold("hannun.positions SET next_offset")
        group.hears()
        proxy.wait_until_held()
        # What a new owner does first, and does not come any further: it takes the partitions over.
        group.service.database.execute("UPDATE hannun.positions SET epoch = epoch + 1, owner = 'an heir'")
        proxy.release()
        member.wait_for_log("batch dropped")
        wait_for("the member to claim them again", lambda: group.topics.are_counted(group.service))


def test_a_stopping_member_keeps_its_partitions_until_its_batch_is_counted(
    group: Group, postgres: PostgresServer
) -> None:
    group.is_created()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        leaving = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        wait_for("the first messages to be counted", lambda: group.topics.are_counted(group.service))
        proxy.hold("hannun.positions SET next_offset")
        group.hears_one()
        proxy.wait_until_held()
        members = group.member_ids()
        os.kill(leaving.pid, signal.SIGTERM)
        heir = group.member()
        wait_for("the heir to wait, or to have what it waits for", lambda: group.size() == 2 or group.is_owned_by(heir))
        assert not group.is_owned_by(heir), "nobody takes what another still counts"
        # Now only the batch keeps it from leaving. A member that leaves the group too early does so within a second.
        leaving.wait_for_log("PostgreSQL is unavailable")
        watched_until = time.monotonic() + 1
        while time.monotonic() < watched_until:
            assert members <= group.member_ids(), "it stays a member until its batch is counted"
        proxy.release()
        assert leaving.wait() == 0
        assert "batch dropped" not in leaving.log
        group.is_shared_by(heir)


@with_both_protocols
def test_a_member_gives_partitions_up_only_after_its_batch_is_counted(group: Group, postgres: PostgresServer) -> None:
    group.is_created()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        giving = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        wait_for("the first messages to be counted", lambda: group.topics.are_counted(group.service))
        proxy.hold("hannun.positions SET next_offset")
        group.hears_one()
        proxy.wait_until_held()
        claims = group.claims_of_registrations()
        joining = group.member()
        wait_for(
            "the one to wait for its batch, or the other to have what it waits for",
            lambda: "partitions are revoked as soon as" in giving.log or group.claims_of_registrations() != claims,
            deadline_s=30,
        )
        assert group.claims_of_registrations() == claims, "nobody takes what another still counts"
        proxy.release()
        group.is_shared_by(giving, joining)
        assert "batch dropped" not in giving.log


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_five_restarts_under_load_lose_and_double_nothing(group: Group) -> None:
    group.is_created()
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
    """Where one is killed, the group waits for it until its session has run out, and only then shares anything out."""
    session_s, count = 10.0, 6
    topics = Topics(kafka.bootstrap)
    kafka.create_topics(dict.fromkeys(topics.names.values(), count))
    group = Group(service, topics, "classic")
    group.environment["HANNUN_KAFKA_SESSION_TIMEOUT_S"] = str(session_s)
    group.events = [event_for_partition(number, count) for number in range(count)]
    group.is_created()
    first, second, third = (group.member() for _ in range(3))
    group.is_settled_over(first, second, third)
    with Load(topics, group.events) as load, WaitMonitor(topics, service.environment["DATABASE_URL"]) as watch:

        @contextmanager
        def a_rebalance(where: str, *, waits_for_the_dead: bool = False) -> Iterator[None]:
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
            assert max(stayed.values()) < session_s / 3, f"{where}: what stays goes on all the time, not {stayed}"
            assert max(moved.values()) < 2 * session_s, f"{where}: what moves goes on with the next, not {moved}"
            assert max(moved.values()) > session_s / 2 or not waits_for_the_dead, "it is seen where something stands"

        with a_rebalance("one joins"):
            fourth = group.member()
            group.is_settled_over(first, second, third, fourth)
        with a_rebalance("one leaves"):
            assert first.terminate() == 0
            group.is_settled_over(second, third, fourth)
        with a_rebalance("one is killed, and at once another joins", waits_for_the_dead=True):
            second.kill()
            fifth = group.member()
            group.is_settled_over(third, fourth, fifth)
        with a_rebalance("one is killed, and at once another leaves", waits_for_the_dead=True):
            third.kill()
            assert fourth.terminate() == 0
            group.is_settled_over(fifth)
    group.is_counted()


@pytest.mark.faults
def test_added_partitions_are_counted_from_their_beginning_without_a_decision(group: Group) -> None:
    """From their beginning, whatever stands in them when they are found, and with nobody's further decision."""
    group.is_created()
    for name in group.topics.names.values():
        group.service.run("positions", "set", name, "--to", "earliest", **group.environment)
    member = group.member(HANNUN_START_FROM="")
    group.is_counted()
    name, count = group.topics.names["participant-registered"], 12
    os.kill(member.pid, signal.SIGSTOP)  # so that all is sent before it knows of them
    try:
        for future in group.admin.create_partitions([NewPartitions(name, count)]).values():
            future.result()
        found = group.admin.list_topics
        wait_for("the partitions to be there", lambda: len(found(name, timeout=5).topics[name].partitions) == count)
        added = [event_for_partition(number, count) for number in range(2, count)]
        group.events += added
        for event in added:
            event.expect(event.first_batch())
        group.topics.send([message for event in added for message in event.expected_messages])
    finally:
        os.kill(member.pid, signal.SIGCONT)
    assert {number for topic, number in group.topics.ends() if topic == name} == set(range(count))
    group.hears()
    group.is_counted("the added partitions to be counted")


@pytest.mark.faults
def test_a_recreated_topic_stops_until_an_operator_decides(group: Group, kafka: KafkaServer) -> None:
    group.is_created()
    member = group.member()
    group.is_counted()
    name = group.topics.names["participant-registered"]
    for future in group.admin.delete_topics([name]).values():
        future.result()
    wait_for("the topic to be gone", lambda: name not in group.admin.list_topics(timeout=5).topics)
    # More messages than before: an offset alone would not show that this is another topic.
    group.topics.forget(lambda partition, _: partition[0] == name)
    kafka.create_topics({name: 2})
    group.hears(of_each=20)
    member.wait_for_log("partition stopped")
    listed = group.service.run("positions", "list")
    assert listed.status == 1
    assert "made anew" in listed.out
    group.service.start_serve()
    waits = [f"{name}[{number}]" for number in (0, 1)]
    wait_for("health to tell", lambda: all(at in group.service.health()["parts"].get("kafka", "") for at in waits))

    decided = group.service.run("positions", "set", name, "--to", "earliest", **group.environment)
    assert decided.status == 0, decided.err
    group.is_counted("the new topic to be counted")
    assert group.service.run("positions", "list").status == 0
    wait_for("health to be well", lambda: group.service.health()["status"] == "ready")
    kept = group.service.rows("SELECT topic, how, goes_on_at FROM hannun.position_decisions")
    assert sorted(kept) == [(name, "--to earliest", 0)] * 2


@pytest.mark.faults
def test_a_partition_whose_uncounted_records_were_removed_stops_until_an_operator_decides(
    group: Group,
) -> None:
    group.is_created()
    member = group.member()
    group.is_counted()
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
    group.hears()
    group.is_counted()
    found = group.service.figures(lost.id)
    assert found is not None
    assert found.participants == 0, "what the broker had removed is lost, and on record"


@pytest.mark.faults
def test_a_corrupt_batch_on_the_brokers_disk_stops_its_partition_until_an_operator_decides(
    group: Group, kafka: KafkaServer
) -> None:
    group.is_created()
    (topic, number), broken = group.breaks_a_sale(kafka)
    group.hears()
    member = group.member()
    member.wait_for_log(f"cannot read {topic}[{number}] from offset {broken.start}: ")
    member.wait_for_log("partition stopped")
    assert group.service.run("positions", "list").status == 1
    wanted = group.topics.ends() | {(topic, number): broken.start}
    wait_for("all others to be counted", lambda: wanted.items() <= positions(group.service.database).items())

    behind = ("--partition", str(number), "--to", str(broken.stop))
    decided = group.service.run("positions", "set", topic, *behind, **group.environment)
    assert decided.status == 0, decided.err
    group.is_counted("what lies behind it to be counted")
    assert group.service.run("positions", "list").status == 0


@pytest.mark.faults
def test_a_first_start_waits_until_an_operator_decides_where_to_begin(group: Group) -> None:
    group.is_created()
    member = group.member(HANNUN_START_FROM="")
    member.wait_for_log("no setting says where to start")
    assert group.service.rows("SELECT count(*) FROM hannun.participants") == [(0,)]
    for name in group.topics.names.values():
        group.service.run("positions", "set", name, "--to", "earliest", **group.environment)
    group.is_counted("the decision to be taken up")


@pytest.mark.faults
def test_members_stay_in_the_group_while_postgresql_is_unavailable(group: Group, postgres: PostgresServer) -> None:
    group.is_created()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        behind = {"DATABASE_URL": with_port(group.service.environment["DATABASE_URL"], proxy.port)}
        members = [group.member(**behind), group.member(**behind)]
        group.is_shared_by(*members)
        proxy.refuse()
        proxy.cut()
        group.hears()
        wait_for("somebody to notice", lambda: any("PostgreSQL is unavailable" in member.log for member in members))
        proxy.allow()
        group.is_counted("the counting to go on")
        for member in members:
            assert member.is_running
            assert "lost" not in member.log
        group.is_shared_by(*members)


@pytest.mark.parametrize(
    "silent", [pytest.param(False, marks=pytest.mark.faults), True], ids=["and refuses", "and is silent"]
)
def test_another_member_can_join_the_group_while_postgresql_is_unavailable(
    group: Group, postgres: PostgresServer, *, silent: bool
) -> None:
    """The member hears the group meanwhile, and gives partitions back."""
    group.is_created()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        behind = with_port(group.service.environment["DATABASE_URL"], proxy.port)
        member = group.member(DATABASE_URL=behind)
        group.is_shared_by(member)
        if silent:
            proxy.hold(".")
        else:
            proxy.refuse()
        group.hears()
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
        group.is_counted("the counting to go on")


@pytest.mark.faults
def test_a_member_waiting_for_a_silent_postgresql_stops_on_sigterm(group: Group, postgres: PostgresServer) -> None:
    group.is_created()
    with Proxy(postgres.port, PostgresRequests) as proxy:
        member = group.member(DATABASE_URL=with_port(group.service.environment["DATABASE_URL"], proxy.port))
        group.is_shared_by(member)
        proxy.hold("SET next_offset")
        group.hears()
        proxy.wait_until_held()
        assert member.terminate() == 0
        proxy.release()
    group.member()
    group.is_counted("what it had in hand to be counted by the next")


def test_positions_set_with_dry_run_prints_what_it_would_skip_and_changes_nothing(group: Group) -> None:
    group.is_created()
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

    def decides(number: int, to: str) -> CompletedCommand:
        at = str(number)
        return group.service.run("positions", "set", name, "--partition", at, "--to", to, **group.environment)

    refused = decides(0, "7")
    assert refused.status == 2
    assert "holds offsets 0 to 6, not 7" in refused.err
    assert "Hint:" in refused.err
    assert f"{name}[0] never read; goes on at 2, skipping 2" in decides(0, "2").out
    between = (noon + timedelta(seconds=3.5)).isoformat()
    assert f"{name}[1] never read; goes on at 4, skipping 4" in decides(1, between).out
    kept = group.service.rows("SELECT topic, partition, was_at, goes_on_at, how FROM hannun.position_decisions")
    assert sorted(kept) == [(name, 0, None, 2, "--to 2"), (name, 1, None, 4, f"--to {between}")]

    group.sends(event, [event.created()])
    event.expect(sold[0][2:] + sold[1][4:])
    group.member()
    group.is_counted()
    assert account(group.service, group.topics).skipped == 6


@pytest.mark.faults
@pytest.mark.parametrize("by", ["the decoder", "the database"])
def test_a_topic_of_unusable_messages_stops_instead_of_filling_the_dead_letters(
    group: Group, superuser: Superuser, by: str
) -> None:
    member = group.member(HANNUN_DEAD_LETTERS_IN_A_ROW_MAX="20")
    group.is_created()
    group.is_counted()
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
    group.hears()
    group.is_counted("the good ones behind them to be counted")
