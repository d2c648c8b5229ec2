"""Markers of counted messages: exact name, type and lifetime, no more per second than the setting allows."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cache_readers import plain_client
from world import SPRING, World

from hannun.cache.processed_markers import ProcessedMarkers
from hannun.domain.batch import ReceivedMessage
from hannun.embedded import ValkeyServer


@pytest.fixture
def markers(world: World) -> Iterator[ProcessedMarkers]:
    markers = ProcessedMarkers(world.redis, per_second_max=3, lifetime_s=86_400, now=lambda: 7.5)
    yield markers
    markers.close()


def write_all(markers: ProcessedMarkers) -> None:
    """Write everything that is enqueued."""
    stop = threading.Event()
    stop.set()
    markers.run(stop)


def test_a_marker_is_a_set_with_the_member_1_that_lives_a_day(world: World, markers: ProcessedMarkers) -> None:
    markers.enqueue(["5b0c2f64-0000-4000-8000-00000000000f"])
    write_all(markers)
    key = "analytics:processed:5b0c2f64-0000-4000-8000-00000000000f"
    with plain_client(world) as client:
        assert client.keys() == [key.encode()]
        assert client.type(key) == b"set"
        assert client.smembers(key) == {b"1"}
        assert 86_390 < client.ttl(key) <= 86_400


def test_no_more_markers_are_written_per_second_than_the_limit(world: World, markers: ProcessedMarkers) -> None:
    markers.enqueue(["m1", "m2"])
    markers.enqueue(["m3", "m4"])
    assert markers.remaining() == 0
    write_all(markers)
    with plain_client(world) as client:
        assert sorted(client.keys()) == [f"analytics:processed:m{n}".encode() for n in (1, 2, 3)]


def test_counted_messages_get_a_marker_and_dead_letters_do_not(world: World) -> None:
    def with_id(message: ReceivedMessage, id_: object) -> ReceivedMessage:
        return message._replace(raw=json.dumps({**json.loads(message.raw), "messageId": id_}).encode())

    batch = [
        with_id(world.created(), "m1"),
        with_id(world.registered("p1"), "m2"),
        with_id(world.registered("p1"), "m3"),  # a repeat was counted before
        with_id(world.registered("p2", at="yesterday"), "m4"),
        with_id(world.created(owner="somebody-else", at="2026-11-21T09:00:00+09:00"), "m5"),
        with_id(world.registered("p3"), 6),
        with_id(world.registered("p4"), "x" * 65),
        world.registered("p5"),
    ]
    counted = world.counter.count(batch)
    assert list(counted.counted_message_ids(batch)) == ["m1", "m2", "m3"]
    assert world.event_stats(SPRING) is not None


def test_while_redis_is_unavailable_enqueueing_does_not_wait(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as valkey:
        markers = ProcessedMarkers(
            replace(world.redis, port=valkey.port, password=valkey.password), per_second_max=1_000, lifetime_s=60
        )
        valkey.stop()
        for number in range(500):
            markers.enqueue([f"m{number}"])
        write_all(markers)
        markers.close()
