"""What a backup records of a database."""

import hashlib

import pytest
from world import PASSWORD, World

from hannun.errors import OperatorError, Transient
from hannun.store import database_facts
from hannun.store.database import connect, connected
from hannun.store.version import newest_version


def test_counts_sums_and_positions_are_those_of_one_snapshot(world: World) -> None:
    world.count(world.created(), world.registered("p1"), world.registered("p2"), world.sold(10))
    with connected(world.owner_url, application="test") as conn, database_facts.exported_snapshot(conn) as name:
        world.count(world.registered("p3"), world.sold(20))
        world.rows("INSERT INTO hannun.positions (topic, partition, topic_id, next_offset) VALUES ('t', 0, 'id', 7)")
        counted = database_facts.counted(conn)
        assert name
    assert counted.counts["hannun.participants"] == 2
    assert {table for table in counted.counts if table.startswith("public.timeline_data_")}, "months count on their own"
    assert counted.sums == {
        "events": "1", "participants": "2", "sales": "1", "recorded_revenue": "10.00", "large_objects": "0",
    }  # fmt: skip
    assert counted.positions == []
    (key,) = [row.participant_key for row in world.rows("SELECT participant_key FROM hannun.identity")]
    assert counted.identity_hash == hashlib.sha256(key).hexdigest()
    assert counted.schema_version == newest_version()
    with connected(world.owner_url, application="test") as conn:
        after = database_facts.counted(conn)
    assert after.counts["hannun.participants"] == 3
    assert after.positions == [("t", 0, "id", 7, None)]


def test_settings_and_roles_that_a_dump_leaves_out_are_among_the_facts(world: World) -> None:
    world.rows(f"ALTER DATABASE {world.name} SET timezone = 'UTC'")  # a copy of a template has no settings
    world.rows(f"ALTER ROLE analytics_readonly IN DATABASE {world.name} SET statement_timeout = '7s'")
    world.rows(f"REVOKE CONNECT ON DATABASE {world.name} FROM PUBLIC")
    with connected(world.owner_url, application="test") as conn:
        facts, roles = database_facts.database_facts(conn), database_facts.roles(conn)
        version, replication = database_facts.server_version(conn), database_facts.replication(conn)
    assert (facts.name, facts.owner, facts.encoding, facts.time_zone) == (world.name, "hannun_owner", "UTF8", "UTC")
    assert [setting.lower() for setting in facts.settings] == ["timezone=utc"]
    assert facts.size_bytes > 1_000_000
    assert "CONNECT TO PUBLIC" not in facts.privileges
    assert "CONNECT TO hannun_owner" in facts.privileges
    by_name = {role.name: role for role in roles}
    assert {"hannun_owner", "analytics_readonly", "analytics_readwrite"} <= by_name.keys()
    assert by_name["analytics_readonly"].database_settings == ["statement_timeout=7s"]
    # Other tests of this server let the owner create databases, too.
    assert {"LOGIN", "CREATEROLE"} <= set(by_name["hannun_owner"].attributes)
    assert version.text.startswith(str(version.major))
    assert (replication.allowed, replication.wal_level) == (False, "replica")


def test_a_database_that_is_not_hannuns_or_may_not_be_read_is_refused(world: World) -> None:
    with (
        connect(world.postgres.superuser_url, application="test") as conn,
        pytest.raises(OperatorError, match="schema"),
    ):
        database_facts.counted(conn)
    url = world.postgres.url(world.name, "analytics_readonly", PASSWORD)
    with connect(url, application="test") as conn, pytest.raises(OperatorError, match="may not read"):
        database_facts.counted(conn)


def test_one_session_has_the_right_to_make_a_backup(world: World) -> None:
    with connect(world.owner_url, application="one") as one, connect(world.owner_url, application="two") as two:
        database_facts.lock_backup(one)
        with pytest.raises(Transient, match="another backup"):
            database_facts.lock_backup(two)
        one.close()
    with connect(world.owner_url, application="three") as three:
        database_facts.lock_backup(three)


def test_programs_get_the_parameters_of_the_url(world: World) -> None:
    found = database_facts.client_parameters("postgresql://user:pass@host:5433/name?sslmode=require")
    assert (
        found.items() >= {"user": "user", "password": "pass", "host": "host", "port": "5433", "dbname": "name"}.items()
    )
    with pytest.raises(OperatorError) as refused:
        database_facts.client_parameters("postgresql://user:secret@host:x y/")
    assert "secret" not in str(refused.value)
