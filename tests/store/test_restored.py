"""A restored database is prepared: what was given out since the backup is not valid again."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from world import OWNER, SPRING, World

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.batch import OffsetRange
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import OperatorError, StaleBatch
from hannun.flows.forgetting import Person, forget
from hannun.key_ring import add_key, open_key_ring
from hannun.store import audit_log
from hannun.store.database import connected
from hannun.store.restored import prepare

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
TOPIC = "participant-registered"
RESTORE_BEGUN = NewEntry(operator("kim@host"), Action.RESTORE_BEGUN, "database analytics_db")
FAR_AHEAD = 9_000_000_000_000_000
"""A version above every moment of today: the clock of the live database was ahead."""


@pytest.fixture
def backup(world: World, postgres: PostgresServer, valkey: ValkeyServer) -> Iterator[World]:
    """A copy of the live database from when it had counted one event; the live one has counted on."""
    world.count(world.created(SPRING), world.registered("p1"))
    world.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, epoch, owner) "
        "VALUES (%s, 0, 'topic-id', 7, 3, 'somebody')",
        TOPIC,
    )
    world.rows(
        "INSERT INTO hannun.shares VALUES ('share', %s, 'owner', 'hash', '', now(), 'owner', '2030-01-01')", SPRING
    )
    world.rows("INSERT INTO hannun.sign_in_codes VALUES ('code', 'owner', '{MERCHANT}', '2030-01-01')")
    name = f"{world.name}_restored"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [world.name])
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {world.name} STRATEGY file_copy OWNER hannun_owner")
        conn.execute(f"ALTER DATABASE {name} SET timezone = 'UTC'")
    world.count_with_retries(world.created(SUMMER), world.registered("p2"))
    with World(postgres, valkey, name) as restored:
        yield restored
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def prepare_with(backup: World, live: World | None) -> None:
    with connected(backup.owner_url, application="test") as restored:
        if live is None:
            prepare(restored, None, "an operator", None)
            return
        with connected(live.owner_url, application="test") as live_conn:
            prepare(restored, live_conn, "an operator", None)


def pending_events(world: World) -> set[str]:
    """The events whose cached answers are still to be invalidated."""
    rows = world.rows("SELECT jsonb_object_keys(events) AS event_id FROM hannun.owed_invalidations")
    return {row.event_id for row in rows}


@pytest.mark.parametrize("with_live", [True, False])
def test_versions_and_epochs_rise_above_all_that_were_given_out(
    backup: World, world: World, *, with_live: bool
) -> None:
    world.rows("UPDATE hannun.positions SET epoch = epoch + 40, next_offset = 90")
    before = world.event_row().version
    prepare_with(backup, world if with_live else None)
    assert backup.event_row().version > before
    (position,) = backup.rows("SELECT * FROM hannun.positions")
    (live,) = world.rows("SELECT * FROM hannun.positions")
    assert (position.next_offset, position.owner) == (7, "")
    assert position.epoch > live.epoch
    assert backup.rows("SELECT FROM hannun.sign_in_codes") == []
    assert backup.drift() == []
    (decision,) = backup.rows("SELECT * FROM hannun.position_decisions")
    assert (decision.how, decision.was_at, decision.goes_on_at) == ("restore", 90 if with_live else None, 7)


def test_versions_rise_above_those_of_a_clock_that_was_ahead(backup: World, world: World) -> None:
    world.rows("UPDATE hannun.events SET version = %s", FAR_AHEAD)
    prepare_with(backup, world)
    assert backup.event_row().version > FAR_AHEAD


def test_every_answer_that_may_be_cached_is_invalidated(backup: World, world: World) -> None:
    prepare_with(backup, world)
    assert pending_events(backup) == {SPRING, SUMMER}


def test_a_consumer_of_the_live_database_moves_no_restored_position(backup: World, world: World) -> None:
    (position,) = world.rows("SELECT * FROM hannun.positions")
    of_before = OffsetRange(TOPIC, 0, 7, 8, position.epoch)
    prepare_with(backup, world)
    with pytest.raises(StaleBatch):
        backup.count_range([backup.at_offset(backup.registered("p3"), 7)], of_before)
    assert backup.event_stats().total_participants == 1


def test_what_was_ended_and_revoked_since_stays_so(backup: World, world: World) -> None:
    world.rows("UPDATE hannun.shares SET revoked_at = now()")
    world.rows("INSERT INTO hannun.ended_sessions VALUES ('token', now(), '2030-01-01')")
    prepare_with(backup, world)
    assert len(backup.rows("SELECT FROM hannun.shares WHERE revoked_at IS NOT NULL")) == 1
    assert len(backup.rows("SELECT FROM hannun.ended_sessions")) == 1


def test_a_partition_that_the_backup_does_not_know_begins_where_an_operator_decided(
    backup: World, world: World
) -> None:
    columns = "(decided_by, topic, partition, topic_id, was_at, goes_on_at, how)"
    for was_at, goes_on_at in ((None, 5), (20, 30)):
        world.rows(
            f"INSERT INTO hannun.position_decisions {columns} VALUES ('me', 'new', 0, 'new-id', %s, %s, 'set')",
            was_at,
            goes_on_at,
        )
    prepare_with(backup, world)
    (position,) = backup.rows("SELECT * FROM hannun.positions WHERE topic = 'new'")
    assert (position.topic_id, position.next_offset) == ("new-id", 5)


def test_the_audit_log_goes_on_where_that_of_the_backup_ends(backup: World, world: World) -> None:
    with connected(world.owner_url, application="test") as live:
        audit_log.record(live, RESTORE_BEGUN)
    prepare_with(backup, world)
    (entry,) = backup.rows("SELECT * FROM hannun.audit_log")
    assert entry == world.rows("SELECT * FROM hannun.audit_log")[0]
    with connected(backup.owner_url, application="test") as restored:
        audit_log.record(restored, RESTORE_BEGUN)
    with pytest.raises(OperatorError, match="audit logs"):
        prepare_with(backup, world)


def test_who_was_forgotten_since_the_backup_is_forgotten_again(backup: World, world: World, tmp_path: Path) -> None:
    add_key(tmp_path / "keys.toml", "2026-11")
    ring = open_key_ring(tmp_path / "keys.toml")
    with connected(world.owner_url, application="test") as live:
        forget(live, ring, Person(participant="p1"), "an operator", "request 17")
        forget(live, ring, Person(merchant=OWNER), "an operator", "request 18")
    expected = {row.participant for row in world.rows("SELECT participant FROM hannun.participants")}
    with (
        connected(backup.owner_url, application="test") as restored,
        connected(world.owner_url, application="test") as live,
    ):
        with pytest.raises(OperatorError, match="key ring"):
            prepare(restored, live, "an operator", None)
        restored.rollback()
        prepare(restored, live, "an operator", ring)
    assert {row.participant for row in backup.rows("SELECT participant FROM hannun.participants")} <= expected
    assert backup.event_row().user_id == world.event_row().user_id != OWNER
    assert backup.event_row().forgotten >= world.event_row().forgotten
    assert backup.drift() == []


def test_preparing_twice_is_harmless(backup: World, world: World) -> None:
    prepare_with(backup, world)
    version = backup.event_row().version
    prepare_with(backup, world)
    assert backup.event_row().version > version
    assert len(backup.rows("SELECT FROM hannun.positions")) == 1
    assert backup.drift() == []
