"""Brokers die and come back, and the group's coordinator moves, while messages come in: each is counted once."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from accounts import account
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from outside import DEADLINE_S, Event, Load, Service, Topics, consumer_lags, free_port, wait_for

from hannun.embedded import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]
COORDINATOR = "__consumer_offsets"


def is_counted(service: Service, topics: Topics, events: list[Event]) -> None:
    wait_for(f"all to be counted: {topics.ends()}", lambda: topics.are_counted(service), deadline_s=60)
    for event in events:
        assert service.figures(event.id) == event.expected_figures
        assert service.dead_letter_count(event.id) == event.expected_dead_letters
    service.assert_no_drift()
    account(service, topics)


def begin(topics: Topics) -> list[Event]:
    """Events that the topics know."""
    events = [Event(month="2024-05") for _ in range(4)]
    for event in events:
        event.expect(event.first_batch())
        topics.send(event.expected_messages)
    return events


def test_a_broker_killed_and_restarted_under_load_loses_and_doubles_nothing(
    service: Service, topics: Topics, kafka: KafkaServer
) -> None:
    """Its group coordinator loads the group anew, from its log."""
    events = begin(topics)
    member = service.start_ingest(**topics.environment())
    with Load(topics, events) as load:
        load.wait_for_more()
        wait_for("some of it to be counted", lambda: service.figures(events[0].id))
        kafka.kill()
        kafka.start()
        assert kafka.bootstrap == topics.bootstrap, "on the same port"
        load.wait_for_more()
    is_counted(service, topics, events)
    assert member.is_running


class Cluster:
    """Two brokers, and a third where a test starts it; the first is the controller too, so the others may die."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._controller = free_port()
        self._ports = [free_port() for _ in range(3)]
        self.first, self.second, self.third = (self._broker(number) for number in (1, 2, 3))
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def _broker(self, number: int) -> KafkaServer:
        port = self._ports[number - 1]
        settings = {
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "offsets.topic.replication.factor": "2",
            "node.id": str(number),
            "listeners": f"PLAINTEXT://127.0.0.1:{port}",
        }
        if number == 1:
            settings["listeners"] += f",CONTROLLER://127.0.0.1:{self._controller}"
        else:
            settings["process.roles"] = "broker"
        cluster_id = "AGroupOfTwoBrokersEdwg"
        return KafkaServer(self._folder / str(number), port=port, cluster_id=cluster_id, settings=settings)

    def makes(self, topics: dict[str, int], on: list[int], **config: str) -> None:
        """Make topics on these brokers, of which the first leads as long as it can."""
        wanted = [
            NewTopic(name, num_partitions=count, replica_assignment=[on] * count, config=config)
            for name, count in topics.items()
        ]
        for made in self.admin.create_topics(wanted).values():
            made.result()

    def leaders(self, topic: str) -> set[int]:
        """The brokers that lead its partitions; -1 where none does."""
        return {
            partition.leader
            for partition in self.admin.list_topics(topic, timeout=10).topics[topic].partitions.values()
        }

    def coordinator(self) -> int:
        """The broker that keeps the groups."""
        return int(self.admin.list_topics(COORDINATOR, timeout=10).topics[COORDINATOR].partitions[0].leader)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="hannun-cluster-") as folder, ExitStack() as stack:
        cluster = Cluster(Path(folder))
        for broker in (cluster.first, cluster.second):
            stack.enter_context(broker)
        yield cluster


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_counting_goes_on_while_the_group_coordinator_moves_to_another_broker_and_back(
    service: Service, cluster: Cluster
) -> None:
    cluster.makes({COORDINATOR: 1}, on=[2, 1], **{"cleanup.policy": "compact"})
    topics = Topics(cluster.bootstrap)
    cluster.makes(dict.fromkeys(topics.names.values(), 2), on=[1, 2])
    events = begin(topics)
    environment = topics.environment()
    members = [service.start_ingest(**environment), service.start_ingest(**environment)]
    assert cluster.coordinator() == 2
    with Load(topics, events) as load:
        load.wait_for_more()
        cluster.second.kill()
        wait_for("the coordinator to move", lambda: cluster.coordinator() == 1)
        load.wait_for_more()
        members.append(service.start_ingest(**environment))  # somebody must ask the new one
        load.wait_for_more()

        cluster.second.start()
        moved_back = [TopicPartition(COORDINATOR, 0)]

        def is_back() -> bool:
            cluster.admin.elect_leaders(ElectionType.PREFERRED, moved_back).result()
            return cluster.coordinator() == 2

        wait_for("the coordinator to move back", is_back, deadline_s=2 * DEADLINE_S)
        assert members.pop().terminate() == 0
        load.wait_for_more()
    is_counted(service, topics, events)
    assert all(member.is_running for member in members)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_partitions_without_a_leader_do_not_stop_the_others(service: Service, cluster: Cluster) -> None:
    cluster.makes({COORDINATOR: 1}, on=[1, 2], **{"cleanup.policy": "compact"})
    topics = Topics(cluster.bootstrap)
    lonely = topics.names["event-status-changed"]
    cluster.makes({name: 2 for name in topics.names.values() if name != lonely}, on=[1, 2])
    cluster.makes({lonely: 2}, on=[2])
    events = begin(topics)
    cluster.second.kill()
    wait_for("the topic to have no leader", lambda: cluster.leaders(lonely) == {-1})
    member = service.start_ingest(**topics.environment(), HANNUN_METRICS_PORT="0")
    wait_for("the others to be counted", lambda: topics.are_counted(service))
    others = {(name, number): 0 for name in topics.names.values() if name != lonely for number in (0, 1)}
    wait_for("the lag of the others to be told, and no other", lambda: consumer_lags(member) == others)
    assert member.log.count("no broker reports a partition") == 2, "once of each"

    cluster.second.start()
    wait_for("the topic to have a leader", lambda: cluster.leaders(lonely) == {2})
    for event in events:
        more = event.later_batch()
        topics.send(more)
        event.expect(more)
    is_counted(service, topics, events)
    wait_for("all lags to be told", lambda: len(consumer_lags(member)) == 10)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_log_truncated_by_an_unclean_election_stops_even_when_it_has_grown_again(
    service: Service, cluster: Cluster
) -> None:
    """Nobody looked while it was shorter than what is counted: only the leader's epoch tells."""
    with cluster.third:
        cluster.makes({COORDINATOR: 1}, on=[1], **{"cleanup.policy": "compact"})
        topics = Topics(cluster.bootstrap)
        cluster.makes(dict.fromkeys(topics.names.values(), 1), on=[2, 3], **{"unclean.leader.election.enable": "true"})
        events = begin(topics)
        environment = topics.environment()
        member = service.start_ingest(**environment)
        wait_for("the first messages to be counted", lambda: topics.are_counted(service))
        cluster.third.kill()  # and does not hear what comes now
        kept = topics.high_watermarks()
        for event in events:
            registers(topics, event, 5)
        is_counted(service, topics, events)
        assert member.terminate() == 0

        cluster.second.kill()
        topics.forget(lambda partition, offset: offset >= kept[partition])
        cluster.third.start()  # and leads, for want of anybody better
        for event in events:
            registers(topics, event, 9)
        name = topics.names["participant-registered"]
        assert topics.ends()[name, 0] > dict(service.rows("SELECT topic, next_offset FROM hannun.positions"))[name]
        member = service.start_ingest(**environment)
        member.wait_for_log("partition stopped")
        member.wait_for_log("has other records before that offset now: it was truncated")
        assert service.run("positions", "list").status == 1

        decided = service.run("positions", "set", name, "--to", "earliest", **environment)
        assert decided.status == 0, decided.err
        is_counted(service, topics, events)
        assert service.run("positions", "list").status == 0


def registers(topics: Topics, event: Event, participants: int) -> None:
    messages = [event.registered("Instagram") for _ in range(participants)]
    topics.send(messages)
    event.expect(messages)
