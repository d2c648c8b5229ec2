"""Participants of quiet events are packed into segments, and nobody who counts or reads sees a difference."""

import random
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pytest
from forgetting import Counting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polling import wait_for
from world import DATABASE_OWNER, PASSWORD, SPRING, World

from hannun.domain.audit_chain import Action
from hannun.domain.channels import load_table
from hannun.domain.forgotten import participant_digests, participant_substitute
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import ConnectionLost, OperatorError
from hannun.flows.forgetting import Person
from hannun.flows.packing import PackingRounds
from hannun.key_ring import KeyRing, add_key, open_key_ring
from hannun.store import diagnosis, packing, shadow_comparison
from hannun.store.carry_over import carry_over_decided
from hannun.store.database import connect, connected
from hannun.store.migrate import migrate
from hannun.store.partitions import create_months
from hannun.store.restored import prepare
from hannun.store.roles import ROLES
from hannun.store.shadow import Shadow
from hannun.store.version import check_version

ALWAYS_QUIET_S = -3_600.0
"""Events are quiet whatever this machine's clock does."""
SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
PEOPLE = [str(uuid.UUID(int=number * ((2**128 - 1) // 17))) for number in range(18)]
"""Spread over all UUIDs, with the smallest and the greatest; in their order."""
MINUTES = [f"2026-11-20T10:{minute:02}" for minute in range(3)]
FIRST_MINUTE = 29_919_480
NARROW, WIDE = "Instagram", "a channel whose number does not fit"


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three participants a segment, so that a few people fill many."""
    monkeypatch.setattr(packing, "SEGMENT_SIZE", 3)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    add_key(tmp_path / "keys.toml", "2026-11")
    return open_key_ring(tmp_path / "keys.toml")


@pytest.fixture
def counting(world: World, ring: KeyRing) -> Iterator[Counting]:
    counting = Counting(world, ring)
    yield counting
    counting.database.close()


def event_no(world: World, event: str = SPRING) -> int:
    return int(world.rows("SELECT event_no FROM hannun.events WHERE event_id = %s", event)[0].event_no)


def pack(world: World, event: str = SPRING, *, steps: int | None = None, segments: int = 100) -> int:
    """Pack an event, or only take the first steps. Returns how many participants were packed."""
    taken = packing.pack_event(
        world.database.transaction, event_no(world, event), quiet_s=ALWAYS_QUIET_S, segments=segments
    )
    return sum(step.packed for step in islice(taken, steps))


def rounds() -> PackingRounds:
    return PackingRounds(quiet_s=ALWAYS_QUIET_S)


def segments(world: World, event: str = SPRING) -> list[list[uuid.UUID]]:
    rows = world.rows(
        "SELECT participants FROM hannun.packed_participants WHERE event_no = %s ORDER BY first_participant",
        event_no(world, event),
    )
    return [row.participants for row in rows]


def unpacked(world: World) -> int:
    return int(world.rows("SELECT count(*) AS found FROM hannun.participants")[0].found)


def arrivals(world: World, event: str = SPRING) -> set[tuple[str, int, str | None]]:
    rows = world.rows(
        "SELECT participant::text, minute, c.name FROM hannun.arrivals a JOIN hannun.events e USING (event_no) "
        "LEFT JOIN hannun.channels c USING (channel_no) WHERE event_id = %s",
        event,
    )
    found = [(row.participant, row.minute, row.name) for row in rows]
    assert len(found) == len(set(found))
    return set(found)


def results(world: World, *messages: Any) -> list[str]:
    return [outcome.result for outcome in world.count(*messages)]


# -- the same as without packing


class Model:
    """What an event's ledger must hold: the first registration of each, with substitutes for forgotten people."""

    def __init__(self, ring: KeyRing, event: str) -> None:
        self._ring = ring
        self._event = event
        self._substitutes: dict[str, str] = {}
        self.ledger: dict[str, tuple[str, str]] = {}

    def register(self, who: str, minute: str, channel: str) -> str:
        """Returns the expected outcome."""
        name = self._substitutes.get(who, who)
        repeated = name in self.ledger
        self.ledger.setdefault(name, (minute, channel))
        return "repeated" if repeated else "counted"

    def forget(self, who: str) -> None:
        (_, digest), *_ = participant_digests(self._ring.digest, self._event, who.replace("-", ""))
        self._substitutes.setdefault(who, str(uuid.UUID(participant_substitute(digest))))
        if who in self.ledger:
            self.ledger[self._substitutes[who]] = self.ledger.pop(who)

    def arrivals(self) -> set[tuple[str, int, str | None]]:
        return {(who, FIRST_MINUTE + MINUTES.index(minute), channel) for who, (minute, channel) in self.ledger.items()}


REGISTRATIONS = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(MINUTES), st.sampled_from([NARROW, NARROW, NARROW, WIDE])),
    min_size=1,
    max_size=12,
)
STEPS = st.one_of(
    st.tuples(st.just("count"), REGISTRATIONS),
    st.tuples(st.just("count"), REGISTRATIONS),
    st.tuples(st.just("pack"), st.tuples(st.sampled_from([None, 1, 2]), st.integers(1, 3))),
    st.tuples(st.just("forget"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("restart"), st.none()),
)


@settings(
    derandomize=True,
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(STEPS, min_size=4, max_size=14))
def test_any_history_counts_the_same_and_leaves_the_same_ledger_as_without_packing(
    counting: Counting, history: Sequence[tuple[str, Any]]
) -> None:
    world, event = counting.world, str(uuid.uuid4())
    if not world.rows("SELECT FROM hannun.channels WHERE channel_no >= 64"):
        world.rows("ALTER TABLE hannun.channels ALTER COLUMN channel_no RESTART WITH 64")
    assert counting.ring is not None
    model = Model(counting.ring, event)
    counting.count(world.created(event))
    messages = []
    for what, argument in history:
        if what == "count":
            batch = [world.registered(who, event, at=f"{minute}:05Z", channel=by) for who, minute, by in argument]
            assert counting.count(*batch) == [model.register(*registration) for registration in argument]
            messages += batch
        elif what == "pack":
            steps, size = argument
            pack(world, event, steps=steps, segments=size)
        elif what == "forget":
            counting.forget(Person(participant=argument, event_ids=[event]))
            model.forget(argument)
        else:
            counting.counter = counting.another()
        assert arrivals(world, event) == model.arrivals()
    assert set(counting.count(*messages)) <= {"repeated"}, "a replay"
    pack(world, event)
    assert set(counting.count(*messages)) <= {"repeated"}, "a replay over a packed event"
    assert arrivals(world, event) == model.arrivals()
    assert (
        world.rows("SELECT FROM hannun.participants WHERE came IS NOT NULL AND event_no = %s", event_no(world, event))
        == []
    )
    assert world.event_row(event).participants == len(model.ledger)
    assert world.drift() == []


def test_repeats_and_new_participants_of_packed_and_other_events_in_one_batch(world: World) -> None:
    world.count(world.created(), world.created(SUMMER), *(world.registered(who) for who in PEOPLE[:7]))
    world.count(world.registered(PEOPLE[0], SUMMER))
    assert pack(world) == 7
    batch = [
        world.registered(PEOPLE[0]), world.registered(PEOPLE[8]), world.registered(PEOPLE[8]),
        world.registered(PEOPLE[0], SUMMER), world.registered(PEOPLE[6], SUMMER), world.registered(PEOPLE[6]),
    ]  # fmt: skip
    assert results(world, *batch) == ["repeated", "counted", "repeated", "repeated", "counted", "repeated"]
    assert results(world, *batch) == ["repeated"] * 6
    assert results(world, *(world.registered(who) for who in PEOPLE[:7])) == ["repeated"] * 7
    assert world.drift() == []


def test_a_batch_without_packed_events_sends_no_more_statements(world: World) -> None:
    """Live events pay nothing: only the lock says whether anybody is packed."""
    world.count(world.created(), world.created(SUMMER), world.registered(PEOPLE[0], SUMMER))
    pack(world, SUMMER)
    batch = world.counter.prepare([world.registered(who) for who in PEOPLE])
    sent: list[str] = []
    with world.database.transaction() as conn:
        execute = conn.execute
        conn.execute = lambda query, *rest, **named: (sent.append(str(query)), execute(query, *rest, **named))[1]  # type: ignore[method-assign]
    world.counter.write(batch)
    assert sent and not any("packed_participants" in query for query in sent)


# -- packing


def test_segments_are_full_in_order_and_below_a_quarter_of_a_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    people = [world.registered() for _ in range(3 * packing.SEGMENT_SIZE + 1)]
    world.count(world.created(), *people)
    assert pack(world) == len(people)
    found = segments(world)
    assert [len(segment) for segment in found] == [97, 97, 97, 1]
    whole = [who for segment in found for who in segment]
    assert whole == sorted(whole)
    (largest,) = world.rows("SELECT max(pg_column_size(p.*)) AS bytes FROM hannun.packed_participants p")
    assert 1_900 < largest.bytes <= 2_032
    (table,) = world.rows("SELECT reltoastrelid FROM pg_class WHERE oid = 'hannun.packed_participants'::regclass")
    assert table.reltoastrelid == 0
    assert unpacked(world) == 0


def test_a_large_event_is_packed_in_several_transactions_and_each_leaves_a_true_state(world: World) -> None:
    people = [world.registered(who) for who in PEOPLE]
    world.count(world.created(), *people)
    before, steps = arrivals(world), 0
    for step in packing.pack_event(world.database.transaction, event_no(world), quiet_s=ALWAYS_QUIET_S, segments=2):
        steps += 1
        assert step.packed <= 6
        assert arrivals(world) == before
        assert world.drift() == []
        assert results(world, *people) == ["repeated"] * len(people)
    assert steps >= len(PEOPLE) / 6
    assert unpacked(world) == 0
    assert {len(segment) for segment in segments(world)} == {3}


def test_late_participants_are_merged_into_full_segments(world: World) -> None:
    world.count(world.created(), *(world.registered(who) for who in PEOPLE[::2]))
    pack(world)
    late = [world.registered(who) for who in PEOPLE[1::2]]
    assert results(world, *late) == ["counted"] * len(late)
    assert pack(world, segments=2) == len(late)
    found = segments(world)
    assert [str(who) for segment in found for who in segment] == PEOPLE
    assert {len(segment) for segment in found} == {3}
    assert world.drift() == []


def test_only_quiet_events_with_enough_new_participants_are_packed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "PACKED_PER_NEW", 8)
    world.count(world.created(), *(world.registered(who) for who in PEOPLE[:16]))
    assert PackingRounds().run_once(world.database) == 0, "somebody was added within the hour"
    world.rows("UPDATE hannun.events SET participants_at = now() - interval '59 minutes'")
    assert PackingRounds().run_once(world.database) == 0
    world.rows("UPDATE hannun.events SET participants_at = now() - interval '61 minutes'")
    world.count(world.sold(500), world.registered(PEOPLE[3]))  # no new participant
    assert PackingRounds().run_once(world.database) == 16
    world.count(world.registered(PEOPLE[16]))
    assert rounds().run_once(world.database) == 0, "a merge would write 16 for one"
    world.count(world.registered(PEOPLE[17]))
    assert rounds().run_once(world.database) == 2
    assert world.drift() == []


def test_a_round_ends_in_time_and_the_next_goes_on(world: World) -> None:
    events = [str(uuid.uuid4()) for _ in range(4)]
    world.count(*(world.created(event) for event in events))
    world.count(*(world.registered(who, event) for event in events for who in PEOPLE))
    now = iter(range(0, 10_000, 10))
    short = PackingRounds(round_s=15.0, clock=lambda: float(next(now)), quiet_s=ALWAYS_QUIET_S)
    packed = [short.run_once(world.database) for _ in range(8)]
    assert sum(packed) == 4 * len(PEOPLE)
    assert max(packed) < 4 * len(PEOPLE)
    assert world.drift() == []


def test_rows_that_do_not_fit_stay_and_are_not_read_again_and_again(world: World) -> None:
    world.rows("ALTER TABLE hannun.channels ALTER COLUMN channel_no RESTART WITH 64")
    world.count(world.created(), *(world.registered(who, channel=WIDE) for who in PEOPLE))
    job = rounds()
    assert job.run_once(world.database) == 0
    assert unpacked(world) == len(PEOPLE)
    tried: list[int] = []
    original = packing.pack_event
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "pack_event", lambda *a, **k: (tried.append(1), original(*a, **k))[1])
        job.run_once(world.database)
        assert tried == []
        world.count(world.registered(str(uuid.uuid4()), channel=NARROW))
        assert job.run_once(world.database) == 1
    assert results(world, *(world.registered(who, channel=WIDE) for who in PEOPLE)) == ["repeated"] * len(PEOPLE)
    assert world.drift() == []


# -- beside writers


def waits_for_a_lock(world: World, application: str) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE datname = %s AND application_name = %s AND wait_event_type = 'Lock'"
    with psycopg.connect(world.postgres.superuser_url) as superuser:
        return superuser.execute(query, [world.name, application]).fetchone() is not None


def test_a_repeat_that_waits_for_packing_is_not_counted_again(world: World) -> None:
    world.count(world.created(), *(world.registered(who) for who in PEOPLE[:6]))
    other, found = world.another_counter(), []
    other.count([world.registered(PEOPLE[0])])
    batch = [world.registered(PEOPLE[0]), world.registered(PEOPLE[5]), world.registered(PEOPLE[7])]
    with connect(world.url, application="test-packing") as conn:
        step = packing.pack_range(conn, event_no(world), uuid.UUID(int=0), quiet_s=ALWAYS_QUIET_S)
        assert step is not None and step.packed == 6
        writer = threading.Thread(target=lambda: found.extend(other.count(batch).outcomes()))
        writer.start()
        wait_for("the batch to wait for the event", lambda: waits_for_a_lock(world, "test-other"))
        conn.commit()
        writer.join()
    assert [outcome.result for outcome in found] == ["repeated", "repeated", "counted"]
    assert world.event_row().participants == 7
    assert world.drift() == []


def test_two_writers_beside_packing_count_everybody_once(world: World) -> None:
    world.count(world.created())
    counters, failures = [world.another_counter() for _ in range(2)], []

    def write(counter: Any, seed: int) -> None:
        shuffled = random.Random(seed)
        try:
            for _ in range(30):
                counter.count([world.registered(who) for who in shuffled.sample(PEOPLE, 6)])
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(counter, seed)) for seed, counter in enumerate(counters)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        pack(world, segments=1)
    for writer in writers:
        writer.join()
    assert failures == []
    world.count(*(world.registered(who) for who in PEOPLE))
    assert world.event_row().participants == len(PEOPLE)
    assert {who for who, *_ in arrivals(world)} == set(PEOPLE)
    assert world.drift() == []


def test_packing_never_waits_for_a_batch(world: World) -> None:
    world.count(world.created(), world.registered(PEOPLE[0]))
    with connect(world.url, application="test-batch") as conn:
        conn.execute("SELECT FROM hannun.events FOR UPDATE")
        assert rounds().run_once(world.database) == 0
    assert rounds().run_once(world.database) == 1


@pytest.mark.parametrize("killed_at", range(1, 5))
def test_a_kill_at_any_statement_of_a_step_changes_nothing(world: World, killed_at: int) -> None:
    world.count(world.created(), *(world.registered(who) for who in PEOPLE[:12]))
    pack(world, steps=1, segments=2)
    before, packed = arrivals(world), segments(world)
    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as superuser:
        conn = connect(world.url, application="test-packing")
        execute, sent = conn.execute, 0

        def killed(query: Any, *rest: Any, **named: Any) -> Any:
            nonlocal sent
            result = execute(query, *rest, **named)
            sent += 1
            if sent == killed_at:
                superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [conn.info.backend_pid])
            return result

        conn.execute = killed  # type: ignore[method-assign]

        def step() -> None:
            packing.pack_range(conn, event_no(world), uuid.UUID(int=0), quiet_s=ALWAYS_QUIET_S)
            conn.commit()

        with pytest.raises(ConnectionLost):
            step()
        conn.close()
    assert (arrivals(world), segments(world)) == (before, packed)
    assert world.drift() == []
    pack(world)
    assert (arrivals(world), unpacked(world)) == (before, 0)


# -- reconcile and doctor

FALSIFIED = {
    "a lost participant": (
        "UPDATE hannun.packed_participants SET participants = participants[:2], cames = cames[:2] WHERE {first}",
        {("event_totals", "participants"), ("packed_participants", "packed"), ("timeline_data", "participants")},
    ),
    "a lost segment": (
        "DELETE FROM hannun.packed_participants WHERE {first}",
        {("event_totals", "participants"), ("packed_participants", "packed"), ("channel_stats", "participants")},
    ),
    "a participant twice in a segment": (
        "UPDATE hannun.packed_participants SET participants = participants || participants[3], "
        "cames = cames || cames[3] WHERE {first}",
        {("event_totals", "participants"), ("packed_participants", "participants out of order")},
    ),
    "a participant instead of another": (
        "UPDATE hannun.packed_participants SET participants = ARRAY[participants[1], participants[3], participants[3]] "
        "WHERE {first}",
        {("packed_participants", "participants out of order")},
    ),
    "a participant of a later segment": (
        "UPDATE hannun.packed_participants SET participants[3] = 'eeeeeeee-0000-4000-8000-000000000000' WHERE {first}",
        {("packed_participants", "participants out of order")},
    ),
    "a participant in a segment and a row": (
        "INSERT INTO hannun.participants (event_no, participant, came) SELECT event_no, participants[2], cames[2] "
        "FROM hannun.packed_participants WHERE {first}",
        {("event_totals", "participants"), ("packed_participants", "participants twice")},
    ),
    "a changed minute": (
        "UPDATE hannun.packed_participants SET cames[2] = cames[2] + 64 WHERE {first}",
        {("timeline_data", "participants")},
    ),
    "a changed channel": (
        "UPDATE hannun.packed_participants SET cames[2] = cames[2] + 1 WHERE {first}",
        {("channel_stats", "participants")},
    ),
    "a changed number of packed participants": (
        "UPDATE hannun.events SET packed = packed - 1",
        {("packed_participants", "packed")},
    ),
    "a segment of an event that does not exist": (
        "INSERT INTO hannun.packed_participants SELECT 999, first_participant, participants, cames "
        "FROM hannun.packed_participants WHERE {first}",
        {("packed_participants", "packed"), ("event_totals", "participants")},
    ),
}


@pytest.mark.parametrize("how", FALSIFIED)
def test_a_falsified_segment_is_found(world: World, how: str) -> None:
    statement, named = FALSIFIED[how]
    world.count(world.created(), *(world.registered(who, channel=NARROW) for who in PEOPLE[:9]))
    assert pack(world) == 9
    assert world.drift() == []
    world.rows(statement.format(first="first_participant = (SELECT min(f) FROM (SELECT first_participant::text AS f "
                                      "FROM hannun.packed_participants) s)::uuid"))  # fmt: skip
    assert {(drift.table, drift.figure) for drift in world.drift()} >= named


@pytest.mark.parametrize("damage", [
    "participants = '{}', cames = '{}'",
    "participants = participants[:2]",
    "participants = participants[2:], cames = cames[2:]",
    "participants[2] = NULL",
    "cames[2] = NULL",
])  # fmt: skip
def test_postgresql_refuses_a_segment_that_is_none(world: World, damage: str) -> None:
    world.count(world.created(), *(world.registered(who) for who in PEOPLE[:3]))
    pack(world)
    with pytest.raises(psycopg.errors.CheckViolation):
        world.rows(f"UPDATE hannun.packed_participants SET {damage}")


def test_the_sampled_drift_of_the_doctor_knows_segments(world: World) -> None:
    world.count(world.created(), *(world.registered(who, channel=NARROW) for who in PEOPLE))
    pack(world)
    with connect(world.url, application="test") as conn:
        assert diagnosis.sampled_drift(conn, events=9, participants_max=99, seed=1) == []
        conn.execute("DELETE FROM hannun.packed_participants WHERE cardinality(participants) = 3")
        assert {row[1] for row in diagnosis.sampled_drift(conn, events=9, participants_max=99, seed=1)} >= {
            "hannun.events"
        }


# -- other readers and writers of the ledger


def test_a_packed_participant_is_forgotten_and_counted_no_more(counting: Counting) -> None:
    """The first, one in the middle, the last of a segment, and the only one."""
    world, people = counting.world, PEOPLE[1:8]
    messages = [world.created(), *(world.registered(who) for who in people)]
    counting.count(*messages)
    pack(world)
    before = counting.figures()
    for who in (people[0], people[1], people[5], people[6]):
        assert counting.forget(Person(participant=who)).rows["hannun.participants"] == 1
        assert counting.figures() == before
        assert world.drift() == []
        assert counting.tables_with(who, who.replace("-", "")) == []
    assert counting.count(*messages) == ["repeated"] * len(messages)
    pack(world)
    assert counting.count(*messages) == ["repeated"] * len(messages)
    assert counting.figures() == before
    assert world.drift() == []


def test_both_forms_are_equal_in_a_comparison_with_a_shadow(
    world: World, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    name = f"{world.name}_b"
    messages = [world.created(), *(world.registered(who, channel=NARROW) for who in PEOPLE)]
    world.count(*messages)
    pack(world)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy OWNER {DATABASE_OWNER}")
        try:
            with World(postgres, valkey, name) as shadow:
                shadow.count(*messages)
                with connected(world.owner_url, application="test") as live:
                    with connected(shadow.owner_url, application="test") as other:
                        of_both = [shadow_comparison.digests(one, "participants") for one in (live, other)]
                        assert of_both[0] == of_both[1] != {}
                        rows = [shadow_comparison.rows_of(one, "participants", SPRING) for one in (live, other)]
                        assert rows[0] == rows[1] and len(rows[0]) == len(PEOPLE)
                    live.execute("UPDATE hannun.packed_participants SET cames[1] = cames[1] + 64")
                    assert shadow_comparison.digests(live, "participants") != of_both[1]
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_dropped_month_is_made_again_from_segments(world: World) -> None:
    world.count(world.created(), *(world.registered(who) for who in PEOPLE))
    pack(world)
    before = [(row.timestamp, row.participants) for row in world.timeline()]
    world.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_11")
    world.rows("DROP TABLE public.timeline_data_2026_11")
    with connect(world.owner_url, application="test") as conn:
        create_months(conn, [before[0][0].date().replace(day=1)])
    assert [(row.timestamp, row.participants) for row in world.timeline()] == before
    assert world.drift() == []


def test_conditions_on_an_event_find_its_segments_by_their_index(world: World) -> None:
    world.count(world.created(), *(world.registered(who) for who in PEOPLE))
    pack(world)
    wanted = (
        "event_no = 1", "event_no = ANY('{1}')",
        f"event_no = (SELECT event_no FROM hannun.events WHERE event_id = '{SPRING}')",
    )  # fmt: skip
    for condition in wanted:
        plan = world.rows(f"EXPLAIN SELECT count(*) FROM hannun.arrivals WHERE {condition}")
        text = "\n".join(row.columns["QUERY PLAN"] for row in plan)
        assert "event_no = " in text.partition("packed_participants")[2].split("Append")[0], text


# -- versions


def test_the_version_before_refuses_to_start_once_participants_are_packed(
    postgres: PostgresServer, valkey: ValkeyServer, before: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = before("0025")
    url = postgres.url(old, DATABASE_OWNER, PASSWORD)
    passwords: dict[str, str | None] = dict.fromkeys(ROLES, PASSWORD)
    migrate(url, load_table(), passwords)
    with World(postgres, valkey, old) as world:
        world.count(world.created(), world.registered(PEOPLE[0]))
        assert rounds().run_once(world.database) == 0, "a migrated database packs nothing"
        with monkeypatch.context() as patch:
            patch.setattr("hannun.store.version.newest_version", lambda: "0024")
            with connect(url, application="test") as conn:
                check_version(conn)
        migrate(url, load_table(), {}, by="kim@host", pack_participants=True)
        with monkeypatch.context() as patch:
            patch.setattr("hannun.store.version.newest_version", lambda: "0024")
            with connect(url, application="test") as conn, pytest.raises(OperatorError, match="newer Hannun"):
                check_version(conn)
        assert rounds().run_once(world.database) == 1
        actions = [row.action for row in world.rows("SELECT action FROM hannun.audit_log")]
        assert actions == [Action.PACKING_SET]
        migrate(url, load_table(), passwords, pack_participants=False)
        world.count(world.registered(PEOPLE[1]))
        assert rounds().run_once(world.database) == 0
        assert results(world, world.registered(PEOPLE[0])) == ["repeated"]


def test_a_new_database_packs_from_the_beginning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.rows("SELECT packs FROM hannun.participant_packing")[0].packs
    monkeypatch.setattr("hannun.store.version.newest_version", lambda: "0024")
    with connect(world.url, application="test") as conn, pytest.raises(OperatorError, match=r"newer Hannun|older"):
        check_version(conn)


def test_a_restored_database_packs_as_the_live_one_does(
    world: World, postgres: PostgresServer, before: Callable[[str], str]
) -> None:
    restored_url = postgres.url(before("0025"), DATABASE_OWNER, PASSWORD)
    migrate(restored_url, load_table(), {})
    with (
        connected(restored_url, application="test") as restored,
        connected(world.owner_url, application="test") as live,
    ):
        prepare(restored, live, "an operator", None)
        assert packing.packs(restored)
        assert restored.execute("SELECT oldest_version FROM hannun.schema_compatibility").fetchone() == ("0025",)


def test_a_shadow_packs_as_the_live_database_does(world: World, postgres: PostgresServer) -> None:
    world.rows("UPDATE hannun.participant_packing SET packs = false")
    world.rows("UPDATE hannun.schema_compatibility SET oldest_version = '0019'")
    shadow = Shadow(world.owner_url, world.url)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute("ALTER ROLE hannun_owner CREATEDB")
        try:
            shadow.create(load_table(), "by a test")
            with shadow.as_owner(shadow.name) as conn:
                assert not packing.packs(conn)
                assert conn.execute("SELECT oldest_version FROM hannun.schema_compatibility").fetchone() == ("0019",)
            world.rows("UPDATE hannun.participant_packing SET packs = true")
            world.rows("UPDATE hannun.schema_compatibility SET oldest_version = '0025'")
            with shadow.as_owner(shadow.live) as live, shadow.as_owner(shadow.name) as conn:
                carry_over_decided(live, conn)
                assert packing.packs(conn), "the operator has decided so meanwhile"
                assert conn.execute("SELECT oldest_version FROM hannun.schema_compatibility").fetchone() == ("0025",)
        finally:
            superuser.execute(f"DROP DATABASE IF EXISTS {shadow.name} WITH (FORCE)")
