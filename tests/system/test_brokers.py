"""Brokers die and come back, and the group's coordinator moves, while messages come in: each is counted once."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from accounts import account
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from outside import DEADLINE_S, Event, Load, Service, Topics, free_port, lags, wait_for

from hannun.embedded import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]
COORDINATOR = "__consumer_offsets"


def is_counted(service: Service, topics: Topics, events: list[Event]) -> None:
    wait_for(f"all to be counted: {topics.ends()}", lambda: topics.counted(service), deadline_s=60)
    for event in events:
        assert service.figures(event.id) == event.figures
        assert service.dead_letters(event.id) == event.dead_letters
    service.is_proven()
    account(service, topics)


def begin(topics: Topics) -> list[Event]:
    """Events that the topics know."""
    events = [Event(month="2024-05") for _ in range(4)]
    for event in events:
        event.takes(event.some_of_everything())
        topics.sends(event.taken)
    return events


def test_the_broker_is_killed_and_started_again_under_load(
    service: Service, topics: Topics, kafka: KafkaServer
) -> None:
    """Its group coordinator loads the group anew, from its log."""
    events = begin(topics)
    member = service.ingests(**topics.environment())
    with Load(topics, events) as load:
        load.waits_for_more()
        wait_for("some of it to be counted", lambda: service.figures(events[0].id))
        kafka.kill()
        kafka.start()
        assert kafka.bootstrap == topics.bootstrap, "on the same port"
        load.waits_for_more()
    is_counted(service, topics, events)
    assert member.running


class Cluster:
    """Two brokers; the first is the controller too, so the second may die."""

    def __init__(self, folder: Path) -> None:
        controller = free_port()
        shared = {"controller.quorum.voters": f"1@127.0.0.1:{controller}", "offsets.topic.replication.factor": "2"}
        ports = [free_port(), free_port()]
        name = "AGroupOfTwoBrokersEdwg"
        self.first = KafkaServer(
            folder / "first",
            port=ports[0],
            cluster=name,
            settings=shared | {"listeners": f"PLAINTEXT://127.0.0.1:{ports[0]},CONTROLLER://127.0.0.1:{controller}"},
        )
        self.second = KafkaServer(
            folder / "second",
            port=ports[1],
            cluster=name,
            settings=shared
            | {"process.roles": "broker", "node.id": "2", "listeners": f"PLAINTEXT://127.0.0.1:{ports[1]}"},
        )
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def makes(self, topics: dict[str, int], first: int, replicas: int = 2, **config: str) -> None:
        """Make topics on both brokers, or on one alone. This one leads as long as it can."""
        brokers = [first, 3 - first][:replicas]
        wanted = [
            NewTopic(name, num_partitions=count, replica_assignment=[brokers] * count, config=config)
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
def test_the_coordinator_moves_to_another_broker_and_back(service: Service, cluster: Cluster) -> None:
    cluster.makes({COORDINATOR: 1}, first=2, **{"cleanup.policy": "compact"})
    topics = Topics(cluster.bootstrap)
    cluster.makes(dict.fromkeys(topics.names.values(), 2), first=1)
    events = begin(topics)
    environment = topics.environment()
    members = [service.ingests(**environment), service.ingests(**environment)]
    assert cluster.coordinator() == 2
    with Load(topics, events) as load:
        load.waits_for_more()
        cluster.second.kill()
        wait_for("the coordinator to move", lambda: cluster.coordinator() == 1)
        load.waits_for_more()
        members.append(service.ingests(**environment))  # somebody must ask the new one
        load.waits_for_more()

        cluster.second.start()
        moved_back = [TopicPartition(COORDINATOR, 0)]

        def is_back() -> bool:
            cluster.admin.elect_leaders(ElectionType.PREFERRED, moved_back).result()
            return cluster.coordinator() == 2

        wait_for("the coordinator to move back", is_back, deadline_s=2 * DEADLINE_S)
        assert members.pop().is_told_to_end() == 0
        load.waits_for_more()
    is_counted(service, topics, events)
    assert all(member.running for member in members)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_partitions_without_a_leader_keep_no_others_from_being_read(service: Service, cluster: Cluster) -> None:
    cluster.makes({COORDINATOR: 1}, first=1, **{"cleanup.policy": "compact"})
    topics = Topics(cluster.bootstrap)
    lonely = topics.names["event-status-changed"]
    cluster.makes({name: 2 for name in topics.names.values() if name != lonely}, first=1)
    cluster.makes({lonely: 2}, first=2, replicas=1)
    events = begin(topics)
    cluster.second.kill()
    wait_for("the topic to have no leader", lambda: cluster.leaders(lonely) == {-1})
    member = service.ingests(**topics.environment(), HANNUN_METRICS_PORT="0")
    wait_for("the others to be counted", lambda: topics.counted(service))
    others = {(name, number): 0 for name in topics.names.values() if name != lonely for number in (0, 1)}
    wait_for("the lag of the others to be told, and no other", lambda: lags(member) == others)
    assert member.said.count("no broker tells of a partition") == 2, "once of each"

    cluster.second.start()
    wait_for("the topic to have a leader", lambda: cluster.leaders(lonely) == {2})
    for event in events:
        more = event.more_of_everything()
        topics.sends(more)
        event.takes(more)
    is_counted(service, topics, events)
    wait_for("all lags to be told", lambda: len(lags(member)) == 10)
