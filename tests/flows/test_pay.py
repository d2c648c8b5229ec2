"""Debts to the cache: paid at once, the same event once in a moment, and never lost."""

import threading
from collections.abc import Sequence

from world import OWNER, SPRING, World

from hannun.counting.batch_counter import BatchCounter
from hannun.counting.outbox_relay import APART_S, OutboxRelay, pay_old_debts, together
from hannun.domain.batch import ChangedEvent

AUTUMN = "5b0c2f64-0000-4000-8000-000000000002"


class Told:
    """What Redis was told; it may be out of reach."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, int]]] = []
        self.reachable = True

    def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
        self.calls.append([(event.event_id, event.version) for event in events])
        return self.reachable


class Paying:
    """A counter with a payer, on a clock of the test's own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 100.0
        self.told = Told()
        self.owed: list[str] = []
        self.payer = OutboxRelay(
            world.another_database(),
            self.told,  # type: ignore[arg-type]
            now=lambda: self.now,
            owes=lambda events: self.owed.extend(event.event_id for event in events),
        )
        self.counter = BatchCounter(world.another_database(), world.decoder, self.told, payer=self.payer)

    def counts(self, *who: str, event: str = SPRING) -> None:
        self.counter.count([self.world.registered(name, event) for name in who])

    @property
    def rows(self) -> int:
        return len(self.world.rows("SELECT 1 FROM hannun.owed_invalidations"))


def test_the_same_event_within_50_ms_is_paid_once(world: World) -> None:
    paying = Paying(world)
    paying.counts("p1")
    assert len(paying.told.calls) == 1
    for who in ("p2", "p3", "p4"):
        paying.now += 0.01
        paying.counts(who)
    assert len(paying.told.calls) == 1 and paying.rows == 4
    assert paying.payer.pay_due() == paying.payer.pay_due()  # what is paid is settled, what waits is not due
    assert paying.rows == 3
    paying.now = 100.0 + APART_S
    assert paying.payer.pay_due() is None
    assert len(paying.told.calls) == 2 and paying.rows == 0
    (told,) = paying.told.calls[1]
    assert told == (SPRING, world.ours().version)


def test_another_event_is_paid_at_once(world: World) -> None:
    paying = Paying(world)
    paying.counts("p1")
    paying.counts("p1", event=AUTUMN)
    assert [[id_ for id_, _ in call] for call in paying.told.calls] == [[SPRING], [AUTUMN]]


def test_what_is_committed_here_is_known_to_those_who_answer_here_before_it_is_paid(world: World) -> None:
    paying = Paying(world)
    paying.told.reachable = False
    paying.counts("p1")
    assert paying.owed == [SPRING]
    paying.counts("p2")
    assert paying.owed == [SPRING, SPRING]


def test_a_debt_that_cannot_be_paid_stays_and_another_process_pays_it(world: World) -> None:
    paying = Paying(world)
    paying.told.reachable = False
    paying.counts("p1")
    paying.counts("p2")
    paying.now += 2 * APART_S
    paying.payer.pay_due()
    assert paying.rows == 2
    others = Told()
    assert pay_old_debts(world.database, others, older_than_s=0) == 2  # type: ignore[arg-type]
    assert len(others.calls) == 1 and len(others.calls[0]) == 1, "two debts of one event are one call"
    assert paying.rows == 0


def test_a_process_that_ends_pays_all_that_waits(world: World) -> None:
    paying = Paying(world)
    paying.counts("p1")
    paying.counts("p2")
    stop = threading.Event()
    stop.set()
    paying.payer.run(stop)
    assert len(paying.told.calls) == 2 and paying.rows == 0


def test_more_old_debts_than_are_read_at_once_are_paid_in_one_go(world: World) -> None:
    world.counts(world.created())
    world.rows(
        "INSERT INTO hannun.owed_invalidations (events) SELECT jsonb_build_object('e' || n % 7, "
        '\'{"userId": null, "version": 1, "channels": []}\'::jsonb) FROM generate_series(1, 250) n'
    )
    told = Told()
    assert pay_old_debts(world.database, told, older_than_s=0) == 250  # type: ignore[arg-type]
    assert [len(call) for call in told.calls] == [7, 7, 7]


def test_debts_of_one_event_come_to_its_newest_version_and_all_its_channels() -> None:
    first, second = ChangedEvent(SPRING, None, 5, ("A", "B")), ChangedEvent(SPRING, OWNER, 4, ("B", "C"))
    (event,) = together([[first], [second]])
    assert (event.event_id, event.user_id, event.version, sorted(event.channels)) == (SPRING, OWNER, 5, ["A", "B", "C"])
