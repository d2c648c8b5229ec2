"""The processes over a real Redis Cluster of three nodes, of which one dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from outside import Event, Service, redis_environment, wait_for
from valkey_cluster import ValkeyCluster, valkey_cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ValkeyCluster]:
    with valkey_cluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.mark.faults
def test_the_service_answers_right_over_a_cluster_and_without_one_of_its_nodes(
    service: Service, cluster: ValkeyCluster
) -> None:
    through = redis_environment(cluster.nodes[0].url) | {"HANNUN_REDIS_CLUSTER": "true"}
    serve, schedule = service.start_serve(**through), service.start_schedule(**through)
    events = [Event() for _ in range(8)]

    def count_and_compare() -> None:
        for event in events:
            messages = [event.registered("Instagram"), event.registered(), event.sold(500)]
            assert service.post(messages).status_code == 200
            event.expect(messages)
            assert service.dashboard(event.id) == event.expected_figures
            assert service.dashboard(event.id) == event.expected_figures, "from the cache"

    for event in events:
        created = [event.created(), event.distributed("Instagram")]
        assert service.post(created).status_code == 200
        event.expect(created)
    count_and_compare()
    assert all(client.dbsize() for client in cluster.clients), "each node holds some"
    assert service.pending_invalidations() == 0

    cluster.nodes[2].kill()
    count_and_compare()
    wait_for("the service to say so", lambda: service.health()["status"] == "degraded")
    count_and_compare()

    cluster.nodes[2].start()
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    wait_for("the service to be ready", lambda: service.health()["status"] == "ready")
    count_and_compare()
    service.assert_no_drift()
    assert service.run("doctor", **through).status in (0, 1)
    assert serve.is_running
    assert schedule.is_running
