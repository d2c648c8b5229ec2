"""Backups that are encrypted, and backups of encrypted amounts: restored and proven with the keys, refused without."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from made_backups import make_backup, restore, run_drill
from world import SPRING, World

from hannun import key_ring
from hannun.backups.encryption import new_identity, read_identities
from hannun.backups.manifest import Manifest
from hannun.embedded import PostgresServer
from hannun.errors import OperatorError
from hannun.flows import amounts as flow
from hannun.flows.health_checks import check_database
from hannun.flows.restore.loading import Shown
from hannun.key_ring import open_key_ring
from hannun.store.amount_sweep import Operation
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.database import Database, PoolLimits

SUFFIXES = ("_restored", "_before_restore", "_drill")


@pytest.fixture
def live(world: World, postgres: PostgresServer) -> Iterator[World]:
    """A live database with an event and its amounts, whose owner may create databases."""
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        world.count(world.created(totalInvestment=500), world.registered("p1"), world.sold(700))
        yield world
        for suffix in SUFFIXES:
            conn.execute(f"DROP DATABASE IF EXISTS {world.name}{suffix} WITH (FORCE)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def databases(world: World) -> list[str]:
    """The databases beside that of the world."""
    with psycopg.connect(world.postgres.superuser_url) as conn:
        found = conn.execute(
            "SELECT datname FROM pg_database WHERE datname = ANY(%s)", [[world.name + each for each in SUFFIXES]]
        )
        return [str(name) for (name,) in found]


# -- encrypted backups ---------------------------------------------------------------------------------------------


@pytest.fixture
def identities(tmp_path: Path) -> list[Any]:
    new_identity(tmp_path / "identity.txt")
    return read_identities(tmp_path / "identity.txt")


@pytest.fixture
def encrypted(live: World, folder: Path, identities: list[Any]) -> Manifest:
    """An encrypted backup, after which the live database has counted another participant."""
    made = make_backup(live, folder, str(identities[0].to_public()))
    live.count(live.registered("p2"))
    return made


def test_an_encrypted_backup_is_restored_and_proven_with_its_identity(
    live: World, folder: Path, encrypted: Manifest, identities: list[Any]
) -> None:
    assert encrypted.encrypted
    assert run_drill(live, folder, encrypted, identities=identities).drift_count == 0
    restore(live, folder, encrypted, identities=identities)
    assert live.event_stats(SPRING).total_participants == 1
    assert live.drift() == []


@pytest.mark.parametrize("given", ["none", "another"])
def test_without_its_identity_an_encrypted_backup_is_refused_before_anything_is_created(
    live: World, folder: Path, encrypted: Manifest, tmp_path: Path, given: str
) -> None:
    new_identity(tmp_path / "other.txt")
    other = read_identities(tmp_path / "other.txt") if given == "another" else None
    steps: list[str] = []
    for run in (run_drill, restore):
        with pytest.raises(OperatorError, match=r"is encrypted.*--identity") as refused:
            run(live, folder, encrypted, identities=other, shown=Shown(step=steps.append))
        assert str(encrypted.encrypted) in str(refused.value)
    assert steps == []
    assert databases(live) == []
    assert live.event_stats(SPRING).total_participants == 2


# -- encrypted amounts ---------------------------------------------------------------------------------------------


def use_key(world: World, file: Path) -> Amounts:
    """Let the world's processes have the key ring in this file, which is made."""
    key_ring.add_key(file, file.stem)
    world.use_amounts(Amounts(open_key_ring(file)))
    return world.amounts


def convert(world: World, operation: Operation) -> None:
    database = Database(world.owner_url, PoolLimits(), application="test-amounts", amounts=world.amounts)
    try:
        flow.convert(database, operation, "tester", lambda _: None)
    finally:
        database.close()


@pytest.fixture
def sealed(live: World, tmp_path: Path) -> World:
    """A live database whose amounts are encrypted."""
    use_key(live, tmp_path / "first.toml")
    convert(live, Operation.ENCRYPT)
    return live


def test_encrypted_amounts_are_backed_up_proven_and_restored(sealed: World, folder: Path) -> None:
    backup = make_backup(sealed, folder)
    sealed.count(sealed.sold(900))
    assert run_drill(sealed, folder, backup, amounts=sealed.amounts).drift_count == 0
    plan: list[str] = []
    restore(sealed, folder, backup, planned=plan.extend)
    assert "its amounts are encrypted: every process needs the keys of that time in its key ring" in plan
    with sealed.database.transaction() as conn:
        check_database(conn)
    assert sealed.drift() == []
    sealed.count_with_retries(sealed.sold(300))
    assert sealed.drift() == []
    assert sealed.rows("SELECT count(*) FILTER (WHERE amount IS NULL) AS found FROM hannun.sales")[0].found == 2


def test_a_drill_without_the_keys_says_so_before_it_loads_anything(sealed: World, folder: Path) -> None:
    steps: list[str] = []
    backup = make_backup(sealed, folder)
    with pytest.raises(OperatorError, match=r"cannot prove .*amounts.*encrypted.*HANNUN_KEY_RING_FILE"):
        run_drill(sealed, folder, backup, amounts=WITHOUT_KEYS, shown=Shown(step=steps.append))
    assert steps == []


def test_a_drill_with_other_keys_names_the_one_that_is_missing(sealed: World, folder: Path, tmp_path: Path) -> None:
    backup = make_backup(sealed, folder)
    other = use_key(sealed, tmp_path / "other.toml")
    with pytest.raises(OperatorError, match="encrypted with the key first, and the key ring of this process holds o"):
        run_drill(sealed, folder, backup, amounts=other)
    assert databases(sealed) == []


def test_a_restore_with_other_keys_names_those_that_the_service_then_needs(
    sealed: World, folder: Path, tmp_path: Path
) -> None:
    backup = make_backup(sealed, folder)
    use_key(sealed, tmp_path / "other.toml")
    assert restore(sealed, folder, backup).missing_keys == ["first"]
    with pytest.raises(OperatorError, match="key first"), sealed.database.transaction() as conn:
        check_database(conn)


def test_a_plain_backup_over_encrypted_amounts_says_that_they_are_plain_again(
    live: World, folder: Path, tmp_path: Path
) -> None:
    backup = make_backup(live, folder)
    use_key(live, tmp_path / "first.toml")
    convert(live, Operation.ENCRYPT)
    plan: list[str] = []
    done = restore(live, folder, backup, planned=plan.extend)
    (line,) = [line for line in plan if "amounts" in line]
    assert "amounts are plain" in line
    assert "hannun amounts encrypt" in line
    assert done.plain_again
    assert live.drift() == []
    convert(live, Operation.ENCRYPT)
    assert live.rows("SELECT FROM hannun.sales WHERE amount IS NOT NULL") == []
    assert live.drift() == []


def test_a_backup_of_half_converted_amounts_says_so_after_the_restore(
    sealed: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(sealed, Operation.DECRYPT)
    monkeypatch.setattr(flow, "_STEPS", (("events", raise_interrupt, 0, 1),))
    with pytest.raises(KeyboardInterrupt):
        convert(sealed, Operation.ENCRYPT)
    monkeypatch.undo()
    backup = make_backup(sealed, folder)
    sealed.rows("UPDATE hannun.amount_sweeps SET heartbeat_at = heartbeat_at - interval '2 minutes'")
    convert(sealed, Operation.ENCRYPT)
    done = restore(sealed, folder, backup)
    assert done.plain_again
    assert sealed.drift() == []


def raise_interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
