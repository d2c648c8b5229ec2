"""Marks of counted messages: exact names, type and lifetime, as many as a setting says, asked by nobody."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from test_answer_cache import SPRING, plain
from world import World

from hannun.cache.processed_markers import ProcessedMarkers
from hannun.domain.batch import ReceivedMessage
from hannun.embedded import ValkeyServer


@pytest.fixture
def world(world: World) -> World:
    with plain(world) as client:
        client.flushall()
    return world


@pytest.fixture
def marks(world: World) -> Iterator[ProcessedMarkers]:
    marks = ProcessedMarkers(world.redis, a_second=3, lifetime_s=86_400, now=lambda: 7.5)
    yield marks
    marks.close()


def written(marks: ProcessedMarkers) -> None:
    """All that waits is written."""
    stop = threading.Event()
    stop.set()
    marks.run(stop)


def test_a_mark_is_a_set_with_the_member_1_that_lives_a_day(world: World, marks: ProcessedMarkers) -> None:
    marks.mark(["5b0c2f64-0000-4000-8000-00000000000f"])
    written(marks)
    key = "analytics:processed:5b0c2f64-0000-4000-8000-00000000000f"
    with plain(world) as client:
        assert client.keys() == [key.encode()]
        assert client.type(key) == b"set"
        assert client.smembers(key) == {b"1"}
        assert 86_390 < client.ttl(key) <= 86_400


def test_no_more_are_written_in_a_second_than_may_be(world: World, marks: ProcessedMarkers) -> None:
    marks.mark(["m1", "m2"])
    marks.mark(["m3", "m4"])
    assert marks.room() == 0
    written(marks)
    with plain(world) as client:
        assert sorted(client.keys()) == [f"analytics:processed:m{n}".encode() for n in (1, 2, 3)]


def test_what_is_counted_is_marked_and_what_is_a_dead_letter_is_not(world: World) -> None:
    def identified(message: ReceivedMessage, id_: object) -> ReceivedMessage:
        return message._replace(raw=json.dumps({**json.loads(message.raw), "messageId": id_}).encode())

    batch = [
        identified(world.created(), "m1"),
        identified(world.registered("p1"), "m2"),
        identified(world.registered("p1"), "m3"),  # a repeat is counted already
        identified(world.registered("p2", at="yesterday"), "m4"),
        identified(world.created(owner="somebody-else", at="2026-11-21T09:00:00+09:00"), "m5"),
        identified(world.registered("p3"), 6),
        identified(world.registered("p4"), "x" * 65),
        world.registered("p5"),
    ]
    counted = world.counter.count(batch)
    assert list(counted.message_ids(batch)) == ["m1", "m2", "m3"]
    assert world.event(SPRING) is not None


def test_while_redis_is_away_nobody_waits_for_marks(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as valkey:
        marks = ProcessedMarkers(
            replace(world.redis, port=valkey.port, password=valkey.password), a_second=1_000, lifetime_s=60
        )
        valkey.stop()
        for number in range(500):
            marks.mark([f"m{number}"])
        written(marks)
        marks.close()
