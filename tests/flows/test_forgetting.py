"""Forgetting people: the id goes everywhere and stays away, and every count stays."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from forgetting import KIM, Counting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import DATABASE_OWNER, OWNER, PASSWORD, SPRING, World

from hannun.domain.audit_chain import NO_HASH
from hannun.domain.batch import OutcomeKind, ReceivedMessage
from hannun.errors import OperatorError
from hannun.flows.audit_log import AuditCheck
from hannun.flows.forgetting import Person
from hannun.key_ring import CHECK_EVERY_S, KeyRing, activate, add_key, open_key_ring
from hannun.store.database import connect
from hannun.store.forgotten import copy_to, read_all

AUTUMN = "5b0c2f64-0000-4000-8000-000000000002"
LEE = "lee@example.com"
OTHER = "0d1e8a52-0000-4000-8000-00000000000b"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    add_key(tmp_path / "keys.toml", "2026-11")
    return open_key_ring(tmp_path / "keys.toml")


@pytest.fixture
def counting(world: World, ring: KeyRing) -> Iterator[Counting]:
    counting = Counting(world, ring)
    yield counting
    counting.database.close()


def assert_whole(counting: Counting) -> None:
    """No drift, and a whole audit log."""
    assert counting.world.drift() == []
    with counting.connect() as conn:
        assert list(AuditCheck(conn, ()).breaks()) == []


def hex_of(participant: str) -> str:
    return participant.replace("-", "")


def test_a_participant_is_forgotten_and_a_repeat_counts_nothing_and_brings_nothing_back(counting: Counting) -> None:
    world = counting.world
    messages = [
        world.created(),
        world.registered(KIM, channel="NAVER"),
        world.registered(KIM, AUTUMN),
        world.registered(LEE),
        world.registered(LEE.upper()),
        world.message("participant-registered", participantId=KIM, registeredAt="yesterday"),
    ]
    counting.count(*messages)
    before = counting.figures()
    counting.forget(Person(participant=KIM))
    counting.forget(Person(participant=LEE, event_ids=[SPRING]))
    assert counting.figures() == before
    assert counting.count(*messages)[1:4] == [OutcomeKind.REPEATED] * 3
    assert counting.another().count(messages).outcomes()[1].result == OutcomeKind.REPEATED
    assert counting.figures() == before
    assert counting.tables_with(KIM, hex_of(KIM), world.decoder.participant_of(LEE)) == []
    assert_whole(counting)


def test_a_participant_who_is_not_counted_yet_is_counted_once_under_a_substitute(counting: Counting) -> None:
    world = counting.world
    counting.count(world.created())
    counting.forget(Person(participant=KIM, event_ids=[SPRING]))
    assert counting.count(world.registered(KIM), world.registered(KIM)) == [OutcomeKind.COUNTED, OutcomeKind.REPEATED]
    assert counting.tables_with(KIM, hex_of(KIM)) == []
    assert_whole(counting)


def test_a_participant_whom_only_dead_letters_name_is_forgotten_and_no_retry_brings_them_back(
    counting: Counting,
) -> None:
    world = counting.world
    letters = [
        world.message("participant-registered", event, participantId=KIM, registeredAt="yesterday")
        for event in (SPRING, "not created yet")
    ]
    assert counting.count(world.created(), *letters)[1:] == ["dead-letter"] * 2
    assert counting.tables_with(hex_of(KIM)) == [f"hannun.dead_letters: {hex_of(KIM)}"]
    done = counting.forget(Person(participant=KIM))
    assert (sorted(done.events), done.rows) == (
        [SPRING, "not created yet"],
        {"hannun.participants": 0, "hannun.dead_letters": 2},
    )
    objects = world.rows("SELECT object FROM hannun.audit_log ORDER BY object")
    assert [row.object for row in objects] == [f"participant of event {SPRING}", "participant of event not created yet"]
    again = [world.registered(KIM), world.registered(KIM, "not created yet")]
    assert counting.count(*again, *again) == ["counted"] * 2 + ["repeated"] * 2
    assert counting.tables_with(KIM, hex_of(KIM)) == []
    assert_whole(counting)


def test_a_merchant_is_forgotten_and_their_events_go_on(counting: Counting) -> None:
    world = counting.world
    messages = [
        world.created(totalInvestment=100, eventTitle="김씨네 가게"),
        world.registered(channel="NAVER"),
        world.created(AUTUMN, owner=OTHER),
        world.message("event-created", "x", userId=OWNER.upper(), eventTitle="김씨네 가게"),
    ]
    counting.count(*messages)
    before = counting.figures()
    assert sorted(counting.forget(Person(merchant=OWNER)).events) == [SPRING]
    newer = world.created(at="2026-11-02T09:00:00+09:00", totalInvestment=200, eventTitle="김씨네 가게")
    assert counting.count(*messages, newer) == ["repeated", "repeated", "repeated", "dead-letter", "counted"]
    counting.count(world.created("new", eventTitle="김씨네 가게"))
    figures = counting.figures()
    assert figures[1:3] == before[1:3]
    (row,) = [row for row in world.rows("SELECT * FROM public.event_stats") if row.event_id == SPRING]
    assert (row.event_title, row.total_investment) == ("(forgotten)", 200)
    owners = {row.event_id: row.user_id for row in world.rows("SELECT * FROM hannun.events")}
    assert owners[SPRING] == owners["new"] != OWNER
    assert owners[AUTUMN] == OTHER
    assert counting.tables_with(OWNER, "김씨네") == []
    assert_whole(counting)


def test_links_codes_and_cached_answers_of_a_merchant_go(counting: Counting) -> None:
    world = counting.world
    counting.count(world.created(), world.created(AUTUMN, owner=OTHER))
    world.rows(
        "INSERT INTO hannun.shares SELECT event_id, event_id, user_id, event_id::bytea, '김 대표', now(), %s, "
        "now() + interval '1 day' FROM hannun.events",
        OWNER,
    )
    world.rows("INSERT INTO hannun.sign_in_codes VALUES ('x', %s, '{}', now())", OWNER)
    client = redis.Redis(host=world.valkey.host, port=world.valkey.port, password=world.valkey.password)
    client.set(f"analytics:user:{OWNER}", "an answer")
    client.set(f"analytics:dashboard:{SPRING}", f"an answer of {OWNER}")
    done = counting.forget(Person(merchant=OWNER))
    assert done.rows == {"hannun.events": 1, "public.event_stats": 1, "hannun.shares": 2, "hannun.sign_in_codes": 1}
    assert [row.event_id for row in world.rows("SELECT event_id FROM hannun.shares")] == [AUTUMN]
    assert client.exists(f"analytics:user:{OWNER}", f"analytics:dashboard:{SPRING}") == 0
    assert counting.tables_with(OWNER) == []
    assert_whole(counting)


def test_a_batch_that_was_prepared_before_brings_nothing_back(counting: Counting) -> None:
    world = counting.world
    counting.count(world.created(), world.registered(KIM))
    batches = [
        [world.registered(KIM), world.registered()],
        [world.created(at="2026-11-03T09:00:00+09:00")],
        [world.created("new")],
    ]
    others = [counting.another() for _ in batches]
    for other in others:
        other.count([world.registered()])
    prepared = [other.prepare(batch) for other, batch in zip(others, batches, strict=True)]
    counting.forget(Person(participant=KIM))
    counting.forget(Person(merchant=OWNER))
    written = [other.write(one).outcomes() for other, one in zip(others, prepared, strict=True)]
    results = [[outcome.result for outcome in outcomes] for outcomes in written]
    assert results == [["repeated", "counted"], ["counted"], ["counted"]]
    assert counting.tables_with(KIM, hex_of(KIM), OWNER) == []
    assert_whole(counting)


def test_forgetting_again_changes_nothing_also_under_another_key(counting: Counting, tmp_path: Path) -> None:
    world = counting.world
    messages = [world.created(), world.registered(KIM)]
    counting.count(*messages)
    people = [Person(participant=KIM, event_ids=[SPRING]), Person(merchant=OWNER)]
    for person in people:
        counting.forget(person)
    ledger = world.rows("SELECT * FROM hannun.participants")
    add_key(tmp_path / "keys.toml", "2027-01")
    activate(tmp_path / "keys.toml", "2027-01")
    rotated = Counting(world, open_key_ring(tmp_path / "keys.toml"))
    assert rotated.count(*messages) == ["repeated", "repeated"]
    for person in people:
        rotated.forget(person)
    assert world.rows("SELECT * FROM hannun.participants") == ledger
    assert len(world.rows("SELECT * FROM hannun.forgotten")) == 2
    rotated.database.close()
    assert_whole(counting)


def test_without_the_key_nothing_is_counted(counting: Counting, tmp_path: Path) -> None:
    world = counting.world
    counting.count(world.created(), world.registered(KIM))
    counting.forget(Person(participant=KIM))
    add_key(tmp_path / "others.toml", "other")
    for ring, why in ((None, "without the key ring"), (open_key_ring(tmp_path / "others.toml"), "the key 2026-11")):
        without = Counting(world, ring)
        with pytest.raises(OperatorError, match=why):
            without.count(world.registered(KIM))
        without.database.close()
    assert counting.tables_with(hex_of(KIM)) == []


@pytest.mark.parametrize("knows_them", [False, True])
def test_a_key_that_leaves_the_ring_of_a_running_process_stops_counting_and_brings_nobody_back(
    world: World, tmp_path: Path, knows_them: bool
) -> None:
    file, now_s = tmp_path / "keys.toml", 0.0
    add_key(file, "old")
    counting = Counting(world, open_key_ring(file, now=lambda: now_s))
    messages = [world.created(), world.registered(KIM), world.registered(LEE)]
    counting.count(*messages)
    counting.forget(Person(participant=KIM))
    counting.forget(Person(merchant=OWNER))
    assert counting.count(*messages) == ["repeated"] * 3
    add_key(file, "new")
    activate(file, "new")
    with_both = file.read_text()
    file.write_text("\n".join(line for line in with_both.splitlines() if not line.startswith('"old"')))
    now_s += CHECK_EVERY_S
    for message in (world.registered(KIM), world.created(at="2026-11-02T09:00:00+09:00")):
        with pytest.raises(OperatorError, match="put the key old back"):
            (counting.counter if knows_them else counting.another()).count([message])
    assert counting.tables_with(KIM, hex_of(KIM), OWNER) == []
    file.write_text(with_both)
    assert counting.count(*messages) == ["repeated"] * 3
    counting.database.close()
    assert_whole(counting)


def test_an_id_that_another_process_forgets_with_a_newer_key_is_known_at_once(world: World, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    add_key(file, "old")
    counting = Counting(world, open_key_ring(file, now=lambda: 0.0))  # it does not look at its file by itself
    counting.count(world.created(), world.registered(KIM))
    add_key(file, "new")
    activate(file, "new")
    other = Counting(world, open_key_ring(file))
    other.forget(Person(participant=KIM))
    assert counting.count(world.registered(KIM)) == ["repeated"]
    assert counting.tables_with(KIM, hex_of(KIM)) == []
    counting.database.close()
    other.database.close()


def test_who_was_forgotten_when_and_why_is_recorded_without_the_id(counting: Counting) -> None:
    world = counting.world
    counting.count(world.created(), world.registered(KIM))
    counting.forget(Person(participant=KIM))
    counting.forget(Person(merchant=OWNER))
    rows = world.rows(
        "SELECT action, object, reason, subject IS NULL AS unnamed FROM hannun.audit_log ORDER BY entry_no"
    )
    assert [tuple(row.columns.values()) for row in rows] == [
        ("forgotten", f"participant of event {SPRING}", "request 17", True),
        ("forgotten", "merchant of 1 event", "request 17", False),
    ]
    assert_whole(counting)


PEOPLE = [f"9a3e61f0-0000-4000-8000-00000000000{n}" for n in range(4)] + ["a@b.kr"]
MERCHANTS = {SPRING: OWNER, AUTUMN: OTHER}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.sampled_from(PEOPLE), st.sampled_from([SPRING, AUTUMN])),
        st.tuples(st.just("create"), st.sampled_from([SPRING, AUTUMN]), st.integers(1, 9)),
        st.tuples(st.just("forget"), st.sampled_from(PEOPLE), st.sampled_from([SPRING, AUTUMN, None])),
        st.tuples(st.just("forget merchant"), st.sampled_from([OWNER, OTHER])),
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_counts_the_same_with_people_forgotten_in_it(counting: Counting, steps: list[Any]) -> None:
    """Property: a history and its replay count what the same history counts where nobody is forgotten."""
    world = counting.world
    suffix = uuid.uuid4().hex[:8]  # each example has events of its own

    def message(kind: str, *given: Any) -> ReceivedMessage:
        if kind == "register":
            return world.registered(given[0], suffix + given[1][8:])
        return world.created(suffix + given[0][8:], owner=MERCHANTS[given[0]], at=f"2026-11-0{given[1]}T09:00:00+09:00")

    seen: set[tuple[str, str]] = set()
    messages = []
    for step in steps:
        if step[0] == "forget":
            mine = [suffix + event[8:] for event in (SPRING, AUTUMN) if step[2] in (event, None)]
            known = {row.event_id for row in world.rows("SELECT event_id FROM hannun.events")}
            counting.forget(Person(participant=step[1], event_ids=[id_ for id_ in mine if id_ in known]))
        elif step[0] == "forget merchant":
            counting.forget(Person(merchant=step[1]))
        else:
            messages.append(message(*step))
            counting.count(messages[-1])
            seen |= {(step[1], step[2])} if step[0] == "register" else set()
    counted = counting.figures()
    counting.another().count(messages)
    assert counting.figures() == counted
    total = sum(
        row.participants for row in world.rows("SELECT * FROM hannun.events") if row.event_id.startswith(suffix)
    )
    assert total == len(seen)
    assert world.drift() == []


def test_a_replay_into_an_empty_database_counts_the_same_people(counting: Counting, ring: KeyRing) -> None:
    world = counting.world
    messages = [world.created(), *(world.registered(person) for person in PEOPLE), world.created(AUTUMN, owner=OTHER)]
    counting.count(*messages)
    counting.forget(Person(participant=PEOPLE[0]))
    counting.forget(Person(participant=PEOPLE[4]))
    counting.forget(Person(merchant=OWNER))
    name = f"{world.name}_replayed"
    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy OWNER {DATABASE_OWNER}")
        try:
            with connect(world.postgres.url(name, DATABASE_OWNER, PASSWORD), application="test") as conn:
                key = world.rows("SELECT participant_key FROM hannun.identity")[0].participant_key
                conn.execute("UPDATE hannun.identity SET participant_key = %s", [key])
                with counting.connect() as live:
                    copy_to(conn, read_all(live))
            replayed = Counting(world, ring, world.postgres.url(name, "analytics_readwrite", PASSWORD))
            replayed.count(*messages)
            assert replayed.figures() == counting.figures()
            ledgers = []
            for one in (counting, replayed):
                with one.connect() as conn:
                    ledgers.append(conn.execute("SELECT participant FROM hannun.participants ORDER BY 1").fetchall())
                    ledgers.append(
                        conn.execute("SELECT event_id, user_id, title FROM hannun.events ORDER BY 1").fetchall()
                    )
            assert ledgers[:2] == ledgers[2:]
            replayed.database.close()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_event_that_does_not_exist_changes_nothing(counting: Counting) -> None:
    counting.count(counting.world.created())
    with pytest.raises(OperatorError, match="no event has the id nowhere"):
        counting.forget(Person(participant=KIM, event_ids=[SPRING, "nowhere"]))
    assert counting.world.rows("SELECT * FROM hannun.forgotten") == []
    with counting.connect() as conn:
        check = AuditCheck(conn, ())
        assert list(check.breaks()) == []
    assert check.newest == (0, NO_HASH)
