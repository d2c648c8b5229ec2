"""The outbox: invalidations are delivered at once, the same event once in a moment, and never lost."""

import threading
import uuid
from collections.abc import Sequence

from world import OWNER, SPRING, World

from hannun.counting.batch_counter import BatchCounter
from hannun.counting.outbox_relay import EVENTS_AT_ONCE_MAX, INTERVAL_S, OutboxRelay, deliver_pending, merge_changes
from hannun.domain.batch import ChangedEvent
from hannun.store import outbox

AUTUMN = "5b0c2f64-0000-4000-8000-000000000002"


class RecordingInvalidator:
    """Records each call; Redis may be unreachable."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, int]]] = []
        self.reachable = True

    def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
        self.calls.append([(event.event_id, event.version) for event in events])
        return self.reachable


class RelayedCounter:
    """A counter with an outbox relay, on a clock of the test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 100.0
        self.invalidator = RecordingInvalidator()
        self.before_delivery: list[str] = []
        self.relay = OutboxRelay(
            world.another_database(),
            self.invalidator,
            now=lambda: self.now,
            before_delivery=lambda events: self.before_delivery.extend(event.event_id for event in events),
        )
        self.counter = BatchCounter(world.another_database(), world.decoder, self.relay)

    def counts(self, *participants: str, event: str = SPRING) -> None:
        self.counter.count([self.world.registered(participant, event) for participant in participants])

    @property
    def entries(self) -> int:
        return len(self.world.rows("SELECT 1 FROM hannun.owed_invalidations"))


def test_the_same_event_is_delivered_once_within_50_ms(world: World) -> None:
    relayed = RelayedCounter(world)
    relayed.counts("p1")
    assert len(relayed.invalidator.calls) == 1
    for participant in ("p2", "p3", "p4"):
        relayed.now += 0.01
        relayed.counts(participant)
    assert len(relayed.invalidator.calls) == 1 and relayed.entries == 4
    assert relayed.relay.deliver_due() == relayed.relay.deliver_due()  # the first is marked delivered, the rest not due
    assert relayed.entries == 3
    relayed.now = 100.0 + INTERVAL_S
    assert relayed.relay.deliver_due() is None
    assert len(relayed.invalidator.calls) == 2 and relayed.entries == 0
    (merged,) = relayed.invalidator.calls[1]
    assert merged == (SPRING, world.event_row().version)


def test_one_can_wait_until_everything_is_delivered(world: World) -> None:
    relayed = RelayedCounter(world)
    relayed.counts("p1")
    assert relayed.relay.wait_until_delivered(0)
    relayed.counts("p2")
    assert not relayed.relay.wait_until_delivered(0)
    relayed.now += INTERVAL_S
    relayed.relay.deliver_due()
    assert relayed.relay.wait_until_delivered(0)


def test_an_entry_of_many_events_is_delivered_by_the_relays_own_thread(world: World) -> None:
    """The caller writes the next batch meanwhile."""
    relayed = RelayedCounter(world)
    relayed.counter.count([world.registered("p1", f"e{number}") for number in range(EVENTS_AT_ONCE_MAX + 1)])
    assert (relayed.invalidator.calls, relayed.entries) == ([], 1)
    assert not relayed.relay.wait_until_delivered(0)
    relayed.relay.deliver_due()
    assert [len(call) for call in relayed.invalidator.calls] == [EVENTS_AT_ONCE_MAX + 1]
    assert relayed.entries == 0


def test_another_event_is_delivered_at_once(world: World) -> None:
    relayed = RelayedCounter(world)
    relayed.counts("p1")
    relayed.counts("p1", event=AUTUMN)
    assert [[id_ for id_, _ in call] for call in relayed.invalidator.calls] == [[SPRING], [AUTUMN]]


def test_this_process_answers_nothing_older_than_its_commits_also_before_the_delivery(world: World) -> None:
    relayed = RelayedCounter(world)
    relayed.invalidator.reachable = False
    relayed.counts("p1")
    assert relayed.before_delivery == [SPRING]
    relayed.counts("p2")
    assert relayed.before_delivery == [SPRING, SPRING]


def test_an_entry_that_cannot_be_delivered_stays_and_another_process_delivers_it(world: World) -> None:
    relayed = RelayedCounter(world)
    relayed.invalidator.reachable = False
    relayed.counts("p1")
    relayed.counts("p2")
    relayed.now += 2 * INTERVAL_S
    relayed.relay.deliver_due()
    assert relayed.entries == 2
    other = RecordingInvalidator()
    assert deliver_pending(world.database, other, older_than_s=0) == 2
    assert len(other.calls) == 1 and len(other.calls[0]) == 1, "two entries of one event are one call"
    assert relayed.entries == 0


def test_pending_entries_stay_until_redis_has_acknowledged_them(world: World) -> None:
    """Redis is unavailable to the other process too."""
    relayed = RelayedCounter(world)
    relayed.invalidator.reachable = False
    relayed.counts("p1")
    other = RecordingInvalidator()
    other.reachable = False
    assert deliver_pending(world.database, other, older_than_s=0) == 0
    assert len(other.calls) == 1 and relayed.entries == 1
    other.reachable = True
    assert deliver_pending(world.database, other, older_than_s=0) == 1
    assert len(other.calls) == 2 and relayed.entries == 0


def test_a_process_that_ends_delivers_everything_that_is_scheduled(world: World) -> None:
    relayed = RelayedCounter(world)
    relayed.counts("p1")
    relayed.counts("p2")
    stop = threading.Event()
    stop.set()
    relayed.relay.run(stop)
    assert len(relayed.invalidator.calls) == 2 and relayed.entries == 0


def test_more_pending_entries_than_one_read_returns_are_delivered_in_one_run(world: World) -> None:
    world.count(world.created())
    world.rows(
        "INSERT INTO hannun.owed_invalidations (events) SELECT jsonb_build_object('e' || n % 7, "
        '\'{"userId": null, "version": 1, "channels": []}\'::jsonb) FROM generate_series(1, 250) n'
    )
    invalidator = RecordingInvalidator()
    assert deliver_pending(world.database, invalidator, older_than_s=0) == 250
    assert [len(call) for call in invalidator.calls] == [7, 7, 7]


def test_entries_of_one_event_merge_to_its_newest_version_and_all_its_channels() -> None:
    first, second = ChangedEvent(SPRING, None, 5, ("A", "B")), ChangedEvent(SPRING, OWNER, 4, ("B", "C"))
    (event,) = merge_changes([[first], [second]])
    assert (event.event_id, event.user_id, event.version, sorted(event.channels)) == (SPRING, OWNER, 5, ["A", "B", "C"])


def test_the_age_of_an_entry_counts_from_its_writing_and_not_from_the_start_of_its_transaction(world: World) -> None:
    with world.database.transaction() as conn:
        started = conn.execute("SELECT now()::timestamp").fetchone()
        outbox.add(conn, [ChangedEvent(SPRING, OWNER, 1, ())])
        owed_at = conn.execute("SELECT owed_at FROM hannun.owed_invalidations").fetchone()
    assert started is not None and owed_at is not None and owed_at > started


def test_an_entry_of_many_events_has_more_time_until_another_process_delivers_it(world: World) -> None:
    many = [ChangedEvent(str(uuid.uuid4()), str(uuid.uuid4()), 1, ("KakaoChannel",)) for _ in range(2_000)]

    def pending_after(age: str) -> list[int]:
        with world.database.transaction() as conn:
            conn.execute("UPDATE hannun.owed_invalidations SET owed_at = clock_timestamp() - %s::interval", [age])
            return [len(events) for _, events in outbox.pending(conn, older_than_s=60)]

    with world.database.transaction() as conn:
        outbox.add(conn, [ChangedEvent(SPRING, OWNER, 1, ())])
        outbox.add(conn, many)
    assert pending_after("50 s") == []
    assert pending_after("70 s") == [1]
    assert pending_after("119 s") == [1]
    assert pending_after("121 s") == [1, 2_000], "however many events it has, twice the time is enough"
