"""A logical backup is restored in the place of the live database, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from made_backups import PROGRAMS, make_backup, owner_url, restore, run_drill
from world import SPRING, World

from hannun.backups.folder import BackupFolder
from hannun.backups.manifest import Manifest, Role
from hannun.embedded import PostgresServer
from hannun.errors import OperatorError, StoreUnavailable, Transient
from hannun.flows.packing import PackingRounds
from hannun.flows.restore.loading import BackupSource, Shown
from hannun.flows.restore.plan import plan
from hannun.store import database_swap
from hannun.store.database import connected
from hannun.store.restore_target import RestoreTarget, lock

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
SUFFIXES = ("_restored", "_before_restore", "_elsewhere")


@pytest.fixture
def live(world: World, postgres: PostgresServer) -> Iterator[World]:
    """A live database with an event, whose owner may create databases."""
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        world.count(world.created(), world.registered("p1", channel="Radio"), world.sold(700))
        yield world
        for suffix in SUFFIXES:
            conn.execute(f"DROP DATABASE IF EXISTS {world.name}{suffix} WITH (FORCE)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def backup(live: World, folder: Path) -> Manifest:
    """A backup, after which the live database has counted another event."""
    made = make_backup(live, folder)
    live.count(live.created(SUMMER), live.registered("p2"))
    return made


def exists(world: World, suffix: str) -> bool:
    with psycopg.connect(world.postgres.superuser_url) as conn:
        found = conn.execute("SELECT FROM pg_database WHERE datname = %s", [f"{world.name}{suffix}"]).fetchone()
    return found is not None


def participants(world: World) -> int:
    return int(world.rows("SELECT coalesce(sum(participants), 0) AS found FROM hannun.events")[0].found)


def test_the_backup_takes_the_place_of_the_live_database_which_is_kept(
    live: World, backup: Manifest, folder: Path
) -> None:
    done = restore(live, folder, backup)
    assert done.loaded.left_out == []
    assert live.event_stats(SPRING).total_participants == 1
    assert live.event_stats(SUMMER) is None
    assert live.drift() == []
    with psycopg.connect(live.postgres.url(f"{live.name}_before_restore")) as before:
        assert before.execute("SELECT count(*) FROM hannun.events").fetchone() == (2,)
    with psycopg.connect(live.url) as conn:
        assert conn.execute("SHOW timezone").fetchone() == ("UTC",)
    (run,) = live.rows("SELECT * FROM hannun.operation_runs WHERE kind = 'restore'")
    assert (run.outcome, run.name, run.bytes) == ("succeeded", backup.name, backup.size_bytes)
    assert live.count_with_retries(live.registered("p3"))[0].result == "counted"
    assert live.drift() == []


def test_packed_participants_come_back_and_are_still_packed(live: World, folder: Path) -> None:
    messages = [live.registered() for _ in range(300)]
    live.count(*messages)
    PackingRounds(quiet_s=-3_600).run_once(live.database)
    ledger = "SELECT * FROM hannun.packed_participants ORDER BY event_no, first_participant"
    packed, backup = live.rows(ledger), make_backup(live, folder)
    assert len(packed) == 4
    live.rows("DELETE FROM hannun.packed_participants")
    restore(live, folder, backup)
    assert [row.columns for row in live.rows(ledger)] == [row.columns for row in packed]
    assert live.drift() == []
    again = live.count_with_retries(*messages, live.registered())
    assert [outcome.result for outcome in again] == ["repeated"] * 300 + ["counted"]
    assert live.drift() == []


def test_settings_and_privileges_that_a_dump_leaves_out_are_those_of_before(live: World, folder: Path) -> None:
    statements = (
        f"ALTER DATABASE {live.name} SET work_mem = '5MB'",
        f"ALTER DATABASE {live.name} SET search_path = public, pg_catalog",
        f"ALTER ROLE analytics_readonly IN DATABASE {live.name} SET statement_timeout = '7s'",
        f"REVOKE ALL ON DATABASE {live.name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {live.name} TO analytics_readonly, analytics_readwrite",
    )
    with psycopg.connect(live.postgres.url(live.name), autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)
    restore(live, folder, make_backup(live, folder))
    with psycopg.connect(live.readonly_url) as conn:
        shown = [conn.execute(f"SHOW {name}").fetchone() for name in ("work_mem", "search_path", "statement_timeout")]
        assert shown == [("5MB",), ("public, pg_catalog",), ("7s",)]
    with psycopg.connect(live.postgres.superuser_url) as conn:
        allowed = "SELECT has_database_privilege('analytics_monitor', %s, 'CONNECT')"
        assert conn.execute(allowed, [live.name]).fetchone() == (False,)


def test_a_missing_role_gets_what_it_had_and_what_it_does_not_get_is_named(live: World, folder: Path) -> None:
    role, group = f"{live.name}_guest", f"{live.name}_group"
    attributes = "LOGIN REPLICATION BYPASSRLS CONNECTION LIMIT 3"

    def has(conn: psycopg.Connection) -> object:
        query = "SELECT rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, rolconfig FROM pg_roles"
        return conn.execute(f"{query} WHERE rolname = %s", [role]).fetchone()

    with psycopg.connect(live.postgres.url(live.name), autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {group}; CREATE ROLE {role} {attributes} IN ROLE {group}")
        conn.execute(f"ALTER ROLE {role} SET statement_timeout = '7s'; ALTER DATABASE {live.name} SET work_mem = '5MB'")
        conn.execute(f"GRANT SELECT ON hannun.events TO {role}")
        try:
            backup = make_backup(live, folder)
            conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}, {group}")
            unknown = replaced(backup, database_settings=[*backup.database_settings, "of_another_version=1"])
            done = restore(live, folder, unknown, into=f"{live.name}_elsewhere")
            assert has(conn) == (True, False, False, 3, ["statement_timeout=7s"])
            assert done.loaded.new_roles == [role]
            assert done.loaded.left_out == [
                "the setting of_another_version=1 of the database",
                f"an attribute of the role {role}: ALTER ROLE {role} BYPASSRLS, as a superuser",
                f"an attribute of the role {role}: ALTER ROLE {role} REPLICATION, as a superuser",
                f"a membership of the role {role}: GRANT {group} TO {role}, as a superuser",
            ]
        finally:
            conn.execute(f"DROP DATABASE IF EXISTS {live.name}_elsewhere WITH (FORCE)")
            conn.execute(f"DROP ROLE IF EXISTS {role}, {group}")


def test_what_belongs_to_a_role_that_the_owner_cannot_become_is_left_out_and_named(live: World, folder: Path) -> None:
    with psycopg.connect(live.postgres.url(live.name)) as conn:
        superuser = conn.info.user
        conn.execute("CREATE SCHEMA statistics; GRANT USAGE ON SCHEMA statistics TO PUBLIC")
    done = restore(live, folder, make_backup(live, folder))
    (left_out,) = done.loaded.left_out
    assert left_out.startswith(f"what {superuser} owns (SCHEMA - statistics, ACL - SCHEMA statistics): create it as a")
    assert live.event_stats(SPRING).total_participants == 1
    assert live.rows("SELECT to_regnamespace('statistics') AS found")[0].found is None


def test_a_lost_database_is_restored_under_its_name(live: World, backup: Manifest, folder: Path) -> None:
    with psycopg.connect(live.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {live.name} WITH (FORCE)")
    restore(live, folder, backup)
    assert live.event_stats(SPRING).total_participants == 1
    assert not exists(live, "_before_restore")
    how = f"from {backup.name}, the live database was lost"
    assert audited(live) == [("restored", f"database {live.name}", how)]
    assert live.drift() == []


def test_a_damaged_live_database_is_replaced_unread(live: World, backup: Manifest, folder: Path) -> None:
    live.rows("DROP TABLE hannun.schema_version, hannun.shares")
    with pytest.raises(OperatorError, match="ignore-live"):
        restore(live, folder, backup)
    restore(live, folder, backup, reads_live=False)
    assert live.event_stats(SPRING).total_participants == 1
    how = f"from {backup.name}, nothing was read of the live database"
    assert audited(live) == [("restored", f"database {live.name}", how)]
    assert live.drift() == []


def test_beside_the_live_database_nothing_is_replaced(live: World, backup: Manifest, folder: Path) -> None:
    restore(live, folder, backup, into=f"{live.name}_elsewhere")
    assert participants(live) == 2
    with psycopg.connect(live.postgres.url(f"{live.name}_elsewhere")) as conn:
        assert conn.execute("SELECT count(*) FROM hannun.events").fetchone() == (1,)


def test_a_restore_that_is_stopped_changes_nothing_and_is_repeated(live: World, backup: Manifest, folder: Path) -> None:
    def stop() -> None:
        raise Transient("stopped")

    with pytest.raises(Transient):
        restore(live, folder, backup, shown=Shown(check=stop))
    assert participants(live) == 2
    (run,) = live.rows("SELECT outcome FROM hannun.operation_runs WHERE kind = 'restore'")
    assert run.outcome == "failed"
    restore(live, folder, backup)
    assert participants(live) == 1


def test_what_was_loaded_and_checked_is_not_loaded_again(live: World, backup: Manifest, folder: Path) -> None:
    def fail() -> int:
        raise OperatorError("no", hint="no")

    with pytest.raises(OperatorError, match="no"):
        restore(live, folder, backup, delete_cached=fail)
    assert participants(live) == 2
    assert exists(live, "_restored")
    done = restore(live, folder, backup)
    assert done.loaded.seconds == {}
    assert participants(live) == 1
    assert live.drift() == []


def audited(world: World) -> list[tuple[str, str, str]]:
    rows = world.rows("SELECT action, object, reason FROM hannun.audit_log ORDER BY entry_no")
    return [(row.action, row.object, row.reason) for row in rows]


def test_the_audit_log_calls_restored_only_what_was(
    live: World, backup: Manifest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise OperatorError("no", hint="no")

    made, database = ("backup made", backup.name, "not encrypted"), f"database {live.name}"
    begun = ("restore begun", database, f"from {backup.name}")
    monkeypatch.setattr(database_swap, "WRITERS_WAIT_S_MAX", 0.2)
    with psycopg.connect(live.url) as writer:
        writer.execute("LOCK TABLE hannun.events IN ROW EXCLUSIVE MODE")
        with pytest.raises(Transient, match="a writer held the live tables"):
            restore(live, folder, backup)
    assert audited(live) == [made, begun]
    with pytest.raises(OperatorError, match="no"):
        restore(live, folder, backup, delete_cached=fail)
    assert audited(live) == [made, begun, begun]
    restore(live, folder, backup)
    assert audited(live) == [made, begun, begun, begun, ("restored", database, f"from {backup.name}")]


def test_two_operators_cannot_restore_at_once(live: World, backup: Manifest, folder: Path) -> None:
    with psycopg.connect(live.postgres.superuser_url, autocommit=True) as other:
        lock(other, live.name)
        with pytest.raises(Transient, match="being restored already"):
            restore(live, folder, backup)
    assert participants(live) == 2


def close(world: World) -> None:
    """Leave the live database as a restore does that is killed before it renames it."""
    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {world.name} WITH ALLOW_CONNECTIONS false")


def test_a_live_database_that_was_left_closed_says_what_to_do_and_the_next_restore_opens_it(
    live: World, backup: Manifest, folder: Path
) -> None:
    close(live)
    with (
        pytest.raises(StoreUnavailable, match="not currently accepting") as refused,
        connected(live.url, application="t"),
    ):
        pass
    assert "repeat it (hannun restore, hannun replay swap)" in refused.value.hint
    assert f'ALTER DATABASE "{live.name}" ALLOW_CONNECTIONS true' in refused.value.hint
    restore(live, folder, backup)
    assert participants(live) == 1
    assert live.drift() == []


def test_a_restore_that_is_refused_opens_nothing_that_another_one_has_closed(
    live: World, backup: Manifest, folder: Path
) -> None:
    close(live)
    with psycopg.connect(live.postgres.superuser_url, autocommit=True) as other:
        lock(other, live.name)
        with pytest.raises(Transient, match="being restored already"):
            restore(live, folder, backup)
        accepts = other.execute("SELECT datallowconn FROM pg_database WHERE datname = %s", [live.name]).fetchone()
    assert accepts == (False,)


def test_new_roles_are_named_together(live: World, backup: Manifest, folder: Path) -> None:
    names = [f"{live.name}_{name}" for name in ("a", "b")]
    roles = [
        *backup.roles,
        *(Role(name=name, attributes=["LOGIN"], memberships=[], database_settings=[]) for name in names),
    ]
    loaded = run_drill(live, folder, replaced(backup, roles=roles)).loaded
    with psycopg.connect(live.postgres.superuser_url, autocommit=True) as conn:
        for name in names:
            conn.execute(f"DROP ROLE {name}")
    assert loaded.new_roles == names
    assert loaded.left_out == []


def test_what_the_last_restore_replaced_is_not_overwritten(live: World, backup: Manifest, folder: Path) -> None:
    restore(live, folder, backup)
    with pytest.raises(OperatorError, match="drop-replaced"):
        restore(live, folder, backup)


def dump_path(folder: Path, backup: Manifest) -> Path:
    return folder / backup.name / backup.files[0].name


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_backup_is_refused_and_the_live_database_stays(
    live: World, backup: Manifest, folder: Path, damage: str
) -> None:
    path = dump_path(folder, backup)
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    match damage:
        case "truncated":
            path.write_bytes(path.read_bytes()[:-100])
        case "flipped":
            path.write_bytes(text)
        case _:
            path.unlink()
    with pytest.raises(OperatorError, match="damaged"):
        restore(live, folder, backup)
    assert participants(live) == 2


def test_a_backup_of_another_installation_is_refused(live: World, backup: Manifest, folder: Path) -> None:
    live.rows("UPDATE hannun.identity SET participant_key = sha256('another')")
    with pytest.raises(OperatorError, match="another installation"):
        restore(live, folder, backup)


def replaced(manifest: Manifest, **fields: object) -> Manifest:
    import msgspec

    return msgspec.structs.replace(manifest, **fields)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"schema_version": "9999"}, "knows versions up to"),
        ({"server_version": "99.1"}, "99.1, and this server is"),
        ({"program_version": "99.1"}, "needs programs of PostgreSQL 99"),
        ({"kind": "redis"}, "no logical backup"),
    ],
)
def test_versions_are_compared_before(
    live: World, backup: Manifest, folder: Path, fields: dict[str, object], found: str
) -> None:
    with pytest.raises(OperatorError, match=found):
        restore(live, folder, replaced(backup, **fields))
    assert not exists(live, "_restored")


def test_a_database_that_differs_from_its_manifest_replaces_nothing(
    live: World, backup: Manifest, folder: Path
) -> None:
    counts = {**backup.snapshot_counts, "hannun.participants": 5}
    with pytest.raises(OperatorError, match=r"rows of hannun.participants: 1 instead of 5"):
        restore(live, folder, replaced(backup, snapshot_counts=counts))
    assert participants(live) == 2


def test_large_figures_have_separators_of_thousands(live: World, backup: Manifest, folder: Path) -> None:
    sums = {**backup.sums, "participants": "149841", "recorded_revenue": "1234567.50"}
    planned: list[str] = []
    with pytest.raises(OperatorError, match=r"participants: 1 instead of 149,841; .*: 700.00 instead of 1,234,567.50"):
        restore(live, folder, replaced(backup, sums=sums), planned=planned.extend)
    assert "149,841 participants of 1 events" in planned[0]
    restored = {name: total for name, total in sums.items() if name != "events"}
    with pytest.raises(OperatorError):
        restore(live, folder, replaced(backup, sums=restored), planned=planned.extend)
    assert any("149,841 participants of ? events" in line for line in planned)


def test_the_plan_says_what_kafka_no_longer_holds(live: World, folder: Path) -> None:
    live.rows("INSERT INTO hannun.positions (topic, partition, topic_id, next_offset) VALUES ('t', 0, 'id', 7)")
    backup = make_backup(live, folder)
    from hannun.domain.positions import PartitionLog

    target = RestoreTarget(owner_url(live), live.url)
    source = BackupSource(BackupFolder(folder), None, PROGRAMS)
    logs = {("t", 0): PartitionLog("id", low=20, high=30)}
    made = plan(target, backup, source, lambda *_: logs, replaces=True, reads_live=True)
    assert [line for line in made.lines() if "will wait for an operator" in line]
