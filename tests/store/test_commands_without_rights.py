"""Every command that works on the database ends with one error and a hint, where its URL or its role cannot be used."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import typer
from typer._click.core import Command
from typer.core import TyperGroup
from world import PASSWORD

from hannun.cli import main
from hannun.cli.application import app
from hannun.embedded.postgres import PostgresServer
from hannun.key_ring import add_key

WITHOUT_DATABASE = {
    *("up", "serve", "ingest", "schedule", "token", "simulate", "settings", "capacity"),
    *("channels check", "channels import", "channels try", "positions forget", "positions set"),
    *("backup list", "backup verify", "backup prune", "backup keys", "keys new", "keys activate", "keys list"),
    *("sandbox serve", "sandbox tell", "sandbox reset", "sandbox list", "sandbox clock", "sandbox behaviours"),
}
"""They run until they are stopped, need no database, or use a channel's access or Kafka first."""
ARGUMENTS = {
    "sign-in-code": "--user U --role ADMIN",
    "export": "dashboard 5b0c2f64-0000-4000-8000-000000000001",
    "restore": "--finish",
    "watch": "--once",
    "channels breaker": "KAKAO --open",
    "dead-letters show": "1",
    "dead-letters retry": "1",
    "dead-letters drop": "1",
    "partitions detach": "2026-11",
    "partitions archive": "2026-11",
    "partitions drop": "2026-11",
    "partitions attach": "2026-11",
    "privacy forget": "--participant P --reason R",
}
"""What a command needs at least, so that it comes to use the database."""
STRANGER = "without_rights"


def commands(command: Command, words: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from commands(each, (*words, name))
    else:
        yield " ".join(words)


OF_DATABASE = sorted(set(commands(typer.main.get_command(app))) - WITHOUT_DATABASE)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = tmp_path / "keys.toml"
    add_key(ring, "a")
    monkeypatch.setenv("HANNUN_KEY_RING_FILE", str(ring))
    monkeypatch.setenv("HANNUN_BACKUP_FOLDER", str(tmp_path))
    monkeypatch.setenv("HANNUN_ARCHIVE_FOLDER", str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")


def run(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["hannun", *f"{command} {ARGUMENTS.get(command, '')}".split()])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.err or shown.out


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", OF_DATABASE)
def test_a_malformed_url_is_one_line_with_a_hint(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "a-secret")
    status, shown = run(command, monkeypatch, capsys)
    assert status == 2 or command == "watch", shown
    assert "cannot read the URL of the database" in shown
    assert "postgresql://user:password@host" in shown
    assert "a-secret" not in shown


@pytest.fixture(params=["analytics_readwrite", STRANGER])
def role(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    if request.param != STRANGER:
        yield request.param
        return
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {STRANGER} LOGIN PASSWORD '{PASSWORD}'")
        yield STRANGER
        conn.execute(f"DROP ROLE {STRANGER}")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", OF_DATABASE)
def test_a_role_with_too_few_rights_gets_no_traceback(
    postgres: PostgresServer,
    database: str,
    role: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres.url(database, role, PASSWORD))
    status, shown = run(command, monkeypatch, capsys)
    assert status in (0, 1, 2, 75)
    assert status != 2 or command == "doctor" or shown.count("Hint: ") == 1, shown
