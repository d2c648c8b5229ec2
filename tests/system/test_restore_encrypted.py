"""`hannun restore` of encrypted backups and amounts: with the files that settings and options name, and without."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from outside import PASSWORD, CompletedCommand, Event, Service, wait_for

from hannun.embedded import PostgresServer

NO_KEYS: dict[str, str | None] = {"HANNUN_KEY_RING_FILE": None}
NO_IDENTITY: dict[str, str | None] = {"HANNUN_DRILL_IDENTITY_FILE": None}


@pytest.fixture
def identity(tmp_path: Path) -> str:
    return str(tmp_path / "identity.txt")


@pytest.fixture
def backed_up(service: Service, postgres: PostgresServer, tmp_path: Path, identity: str) -> Iterator[Service]:
    """A service that has counted an event, encrypted its amounts, and made an encrypted backup."""
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    ring = str(tmp_path / "keys.toml")
    for arguments in (("keys", "new", ring), ("backup", "keys", identity)):
        made = run(service, *arguments)
    (tmp_path / "backups").mkdir()
    service.environment |= {
        "HANNUN_BACKUP_FOLDER": str(tmp_path / "backups"),
        "HANNUN_BACKUP_RECIPIENT": made.out.split()[-1],
        "HANNUN_DRILL_IDENTITY_FILE": identity,
        "HANNUN_DRILL_DATABASE_URL": postgres.superuser_url,
        "HANNUN_KEY_RING_FILE": ring,
        "HANNUN_OWNER_DATABASE_URL": postgres.url(name, "hannun_owner", PASSWORD),
    }
    service.start_serve()
    service.post_until_accepted(Event().first_batch())
    run(service, "amounts", "encrypt")
    run(service, "backup", "create")
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        yield service
        for suffix in ("_restored", "_before_restore"):
            conn.execute(f"DROP DATABASE IF EXISTS {name}{suffix} WITH (FORCE)")


def run(service: Service, *arguments: str, status: int = 0, **environment: str | None) -> CompletedCommand:
    ran = service.run(*arguments, **environment)
    assert ran.status == status, ran.out + ran.err
    assert "Traceback" not in ran.err
    return ran


def printed_by(ran: CompletedCommand) -> str:
    """What a command has printed, on one line."""
    return " ".join((ran.out + ran.err).split())


def backup_name(service: Service) -> str:
    (folder,) = Path(service.environment["HANNUN_BACKUP_FOLDER"], "logical").iterdir()
    return f"logical/{folder.name}"


def drills(service: Service) -> list[str]:
    rows = service.rows("SELECT outcome FROM hannun.operation_runs WHERE kind = 'drill' ORDER BY run_no")
    return [str(outcome) for (outcome,) in rows]


def test_a_drill_reads_the_identity_and_the_keys_that_the_settings_name(backed_up: Service, identity: str) -> None:
    assert "it equals its manifest" in printed_by(run(backed_up, "restore", "--drill"))
    without_keys = printed_by(run(backed_up, "restore", "--drill", status=2, **NO_KEYS))
    assert "its amounts are encrypted, and this process has no key ring" in without_keys
    assert "differ" not in without_keys
    without_identity = printed_by(run(backed_up, "restore", "--drill", status=2, **NO_IDENTITY))
    assert "is encrypted for age1" in without_identity
    run(backed_up, "restore", "--drill", "--identity", identity, **NO_IDENTITY)
    assert drills(backed_up) == ["succeeded", "failed", "failed", "succeeded"]


def test_it_is_restored_with_its_identity_and_who_was_forgotten_since_is_forgotten_again(
    backed_up: Service, identity: str
) -> None:
    merchant = str(backed_up.rows("SELECT user_id FROM hannun.events")[0][0])
    run(backed_up, "privacy", "forget", "--yes", "--merchant", merchant, "--reason", "request 1")
    name = backup_name(backed_up)
    assert "--identity FILE" in printed_by(run(backed_up, "restore", name, "--yes", status=2))
    restored = printed_by(run(backed_up, "restore", name, "--yes", "--identity", identity))
    assert "its amounts are encrypted" in restored
    assert backed_up.rows("SELECT FROM hannun.events WHERE user_id = %s", merchant) == []
    assert "drift: 0" in run(backed_up, "reconcile").out


@pytest.mark.faults
def test_a_scheduled_drill_reads_them_too(backed_up: Service) -> None:
    backed_up.start_schedule(HANNUN_RESTORE_DRILL_AT="0 0 0 1 1 *")
    wait_for("a drill", lambda: drills(backed_up) == ["succeeded"])
