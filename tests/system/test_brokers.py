"""Brokers die and return, and the group's coordinator moves, while messages arrive. Each message counts once."""

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


def assert_counted(service: Service, topics: Topics, events: list[Event]) -> None:
    wait_for(f"all to be counted: {topics.ends()}", lambda: topics.are_counted(service), deadline_s=60)
    for event in events:
        assert service.figures(event.id) == event.expected_figures
        assert service.dead_letter_count(event.id) == event.expected_dead_letters
    service.assert_no_drift()
    account(service, topics)


def send_events(topics: Topics) -> list[Event]:
    """Send the first batch of four events."""
    events = [Event(month="2024-05") for _ in range(4)]
    for event in events:
        event.expect(event.first_batch())
        topics.send(event.expected_messages)
    return events


def test_a_broker_killed_and_restarted_under_load_loses_and_doubles_nothing(
    service: Service, topics: Topics, kafka: KafkaServer
) -> None:
    """Its group coordinator reloads the group from its log."""
    events = send_events(topics)
    member = service.start_ingest(**topics.environment())
    with Load(topics, events) as load:
        load.wait_for_more()
        wait_for("some of it to be counted", lambda: service.figures(events[0].id))
        kafka.kill()
        kafka.start()
        assert kafka.bootstrap == topics.bootstrap, "on the same port"
        load.wait_for_more()
    assert_counted(service, topics, events)
    assert member.is_running


class Cluster:
    """Two brokers, and a third that a test may start. The first is also the controller, so that the others may die."""

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

    def create_topics(self, topics: dict[str, int], on: list[int], **config: str) -> None:
        """Create topics on these brokers, of which the first is the preferred leader."""
        wanted = [
            NewTopic(name, num_partitions=count, replica_assignment=[on] * count, config=config)
            for name, count in topics.items()
        ]
        for made in self.admin.create_topics(wanted).values():
            made.result()

    def leaders(self, topic: str) -> set[int]:
        """The leaders of its partitions; -1 stands for none."""
        return {
            partition.leader
            for partition in self.admin.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions.values()
        }

    def coordinator(self) -> int:
        """The broker that coordinates the groups."""
        return int(self.admin.list_topics(COORDINATOR, timeout=DEADLINE_S).topics[COORDINATOR].partitions[0].leader)


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
    cluster.create_topics({COORDINATOR: 1}, on=[2, 1], **{"cleanup.policy": "compact"})
    topics = Topics(cluster.bootstrap)
    cluster.create_topics(dict.fromkeys(topics.names.values(), 2), on=[1, 2])
    events = send_events(topics)
    environment = topics.environment()
    members = [service.start_ingest(**environment), service.start_ingest(**environment)]
    assert cluster.coordinator() == 2
    with Load(topics, events) as load:
        load.wait_for_more()
        cluster.second.kill()
        wait_for("the coordinator to move", lambda: cluster.coordinator() == 1)
        load.wait_for_more()
        members.append(service.start_ingest(**environment))  # a new member must find the new coordinator
        load.wait_for_more()

        cluster.second.start()
        moved_back = [TopicPartition(COORDINATOR, 0)]

        def has_moved_back() -> bool:
            cluster.admin.elect_leaders(ElectionType.PREFERRED, moved_back).result()
            return cluster.coordinator() == 2

        wait_for("the coordinator to move back", has_moved_back, deadline_s=2 * DEADLINE_S)
        assert members.pop().terminate() == 0
        load.wait_for_more()
    assert_counted(service, topics, events)
    assert all(member.is_running for member in members)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_partitions_without_a_leader_do_not_stop_the_others(service: Service, cluster: Cluster) -> None:
    cluster.create_topics({COORDINATOR: 1}, on=[1, 2], **{"cleanup.policy": "compact"})
    topics = Topics(cluster.bootstrap)
    leaderless = topics.names["event-status-changed"]
    cluster.create_topics({name: 2 for name in topics.names.values() if name != leaderless}, on=[1, 2])
    cluster.create_topics({leaderless: 2}, on=[2])
    events = send_events(topics)
    cluster.second.kill()
    wait_for("the topic to have no leader", lambda: cluster.leaders(leaderless) == {-1})
    member = service.start_ingest(**topics.environment(), HANNUN_METRICS_PORT="0")
    wait_for("the others to be counted", lambda: topics.are_counted(service))
    others = {(name, number): 0 for name in topics.names.values() if name != leaderless for number in (0, 1)}
    wait_for("the lag of the others to be reported, and no other", lambda: consumer_lags(member) == others)
    assert member.log.count("no broker reports a partition") == 2, "once for each partition"

    cluster.second.start()
    wait_for("the topic to have a leader", lambda: cluster.leaders(leaderless) == {2})
    for event in events:
        more = event.later_batch()
        topics.send(more)
        event.expect(more)
    assert_counted(service, topics, events)
    wait_for("all lags to be reported", lambda: len(consumer_lags(member)) == 10)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_log_truncated_by_an_unclean_election_stops_even_when_it_has_grown_again(
    service: Service, cluster: Cluster
) -> None:
    """The log was never observed while it was shorter than the position, so only the leader's epoch shows it."""
    with cluster.third:
        cluster.create_topics({COORDINATOR: 1}, on=[1], **{"cleanup.policy": "compact"})
        topics = Topics(cluster.bootstrap)
        cluster.create_topics(
            dict.fromkeys(topics.names.values(), 1), on=[2, 3], **{"unclean.leader.election.enable": "true"}
        )
        events = send_events(topics)
        environment = topics.environment()
        member = service.start_ingest(**environment)
        wait_for("the first messages to be counted", lambda: topics.are_counted(service))
        cluster.third.kill()  # so it misses the records that follow
        kept = topics.high_watermarks()
        for event in events:
            send_registrations(topics, event, 5)
        assert_counted(service, topics, events)
        assert member.terminate() == 0

        cluster.second.kill()
        topics.forget(lambda partition, offset: offset >= kept[partition])
        cluster.third.start()  # it becomes the leader, since no replica in sync is left
        for event in events:
            send_registrations(topics, event, 9)
        name = topics.names["participant-registered"]
        assert topics.ends()[name, 0] > dict(service.rows("SELECT topic, next_offset FROM hannun.positions"))[name]
        member = service.start_ingest(**environment)
        member.wait_for_log("partition stopped")
        member.wait_for_log("has other records before that offset now: it was truncated")
        assert service.run("positions", "list").status == 1

        decided = service.run("positions", "set", name, "--to", "earliest", **environment)
        assert decided.status == 0, decided.err
        assert_counted(service, topics, events)
        assert service.run("positions", "list").status == 0


def send_registrations(topics: Topics, event: Event, participants: int) -> None:
    messages = [event.registered("Instagram") for _ in range(participants)]
    topics.send(messages)
    event.expect(messages)
