"""`hannun restore` brings nobody back who was forgotten since the backup, and is on record as what happened."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from outside import PASSWORD, CompletedCommand, Event, Service

from hannun.embedded import PostgresServer
from hannun.key_ring import add_key

WITHOUT_KEYS: dict[str, str | None] = {"HANNUN_KEY_RING_FILE": None}


@pytest.fixture
def event() -> Event:
    return Event()


@pytest.fixture
def backup(service: Service, event: Event, postgres: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """A backup that holds an event, whose merchant was forgotten since."""
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    add_key(tmp_path / "keys.toml", "2026-11")
    (tmp_path / "backups").mkdir()
    service.environment |= {
        "HANNUN_BACKUP_FOLDER": str(tmp_path / "backups"),
        "HANNUN_KEY_RING_FILE": str(tmp_path / "keys.toml"),
        "HANNUN_OWNER_DATABASE_URL": postgres.url(name, "hannun_owner", PASSWORD),
    }
    service.start_serve()
    service.post_until_accepted(event.first_batch())
    run(service, "backup", "create")
    run(service, "privacy", "forget", "--yes", "--merchant", event.owner, "--reason", "request 17")
    (folder,) = (tmp_path / "backups" / "logical").iterdir()
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        yield f"logical/{folder.name}"
        for suffix in ("_restored", "_before_restore"):
            conn.execute(f"DROP DATABASE IF EXISTS {name}{suffix} WITH (FORCE)")


def run(service: Service, *arguments: str, status: int = 0, **environment: str | None) -> CompletedCommand:
    ran = service.run(*arguments, **environment)
    assert ran.status == status, ran.out + ran.err
    return ran


def restored_databases(service: Service) -> list[tuple[object, ...]]:
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    return service.rows("SELECT datname FROM pg_database WHERE datname = %s", f"{name}_restored")


def test_who_was_forgotten_since_the_backup_stays_forgotten(service: Service, event: Event, backup: str) -> None:
    without = run(service, "restore", backup, "--yes", status=2, **WITHOUT_KEYS)
    assert "HANNUN_KEY_RING_FILE" in without.err
    assert restored_databases(service) == [], "it is refused before anything is loaded"
    run(service, "restore", backup, "--yes")
    assert service.rows("SELECT participants FROM hannun.events WHERE user_id = %s", event.owner) == []
    assert service.rows("SELECT participants, sales FROM hannun.events") == [(7, 1)]
    service.assert_no_drift()
