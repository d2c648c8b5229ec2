"""Commands that change what is kept, or how, are in the audit log with who ran them."""

from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner
from world import DATABASE_OWNER, World

from hannun import key_ring
from hannun.cli.application import app


@pytest.fixture
def operated(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose commands find it by the environment."""
    monkeypatch.setenv("DATABASE_URL", world.url)
    monkeypatch.setenv("HANNUN_OWNER_DATABASE_URL", world.owner_url)
    monkeypatch.setenv("HANNUN_BACKUP_FOLDER", str(tmp_path / "backups"))
    return world


def run(*arguments: str) -> None:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output


def audited(world: World) -> list[tuple[str, str, str]]:
    rows = world.rows("SELECT action, object, reason FROM hannun.audit_log ORDER BY entry_no")
    return [(row.action, row.object, row.reason) for row in rows]


def test_removed_backups_are_in_the_audit_log(operated: World, tmp_path: Path) -> None:
    killed = tmp_path / "backups" / "logical" / "20261127T120000Z"
    killed.mkdir(parents=True)
    run("backup", "prune", "--dry-run")
    assert audited(operated) == []
    run("backup", "prune")
    assert audited(operated) == [("backup removed", "logical/20261127T120000Z, unfinished", "")]


def test_backups_are_removed_also_while_postgresql_is_away(
    operated: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk of backups may be what keeps it away."""
    killed = tmp_path / "backups" / "logical" / "20261127T120000Z"
    killed.mkdir(parents=True)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    run("backup", "prune")
    assert not killed.exists()


def test_a_conversion_of_amounts_is_in_the_audit_log(
    operated: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANNUN_KEY_RING_FILE", str(tmp_path / "keys.toml"))
    key_ring.add_key(tmp_path / "keys.toml", "first")
    run("amounts", "encrypt")
    run("amounts", "decrypt")
    action = "conversion of amounts begun"
    assert audited(operated) == [(action, "amounts", "encrypt"), (action, "amounts", "decrypt")]


def test_the_drop_of_a_replaced_database_is_in_the_audit_log(operated: World) -> None:
    replaced = f"{operated.name}_before_restore"
    with psycopg.connect(operated.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {replaced} OWNER {DATABASE_OWNER}")
        conn.execute(f"COMMENT ON DATABASE {replaced} IS 'hannun restore: replaced'")
    refused = CliRunner().invoke(app, ["restore", "--drop-replaced"])
    assert f"drop {replaced}" in refused.output
    assert "standard input is no terminal" in str(refused.exception)
    assert audited(operated) == []
    run("restore", "--drop-replaced", "--yes")
    run("restore", "--drop-replaced")  # there is nothing any more
    assert audited(operated) == [("replaced database dropped", f"database {replaced}", "")]


def test_a_restore_by_other_means_is_finished_only_after_the_question(operated: World) -> None:
    refused = CliRunner().invoke(app, ["restore", "--finish"])
    assert f"prepare {operated.name}" in refused.output
    assert "every cached answer in Redis is deleted" in refused.output
    assert "standard input is no terminal" in str(refused.exception)
    assert audited(operated) == []
