"""`hannun restore --drill`: a backup is proven on a scratch server, and the proof is on record."""

from pathlib import Path

import psycopg
import pytest
from outside import PASSWORD, Event, Service

from hannun.embedded import PostgresServer


@pytest.fixture
def backed_up(service: Service, postgres: PostgresServer, tmp_path: Path) -> Service:
    """A service that has counted an event, with a folder of backups."""
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    (tmp_path / "backups").mkdir()
    service.environment |= {
        "HANNUN_BACKUP_FOLDER": str(tmp_path / "backups"),
        "HANNUN_OWNER_DATABASE_URL": postgres.url(name, "hannun_owner", PASSWORD),
    }
    service.start_serve()
    event = Event()
    service.post_until_accepted(event.first_batch())
    return service


def back_up(service: Service) -> None:
    ran = service.run("backup", "create")
    assert ran.status == 0, ran.out + ran.err


def runs(service: Service) -> list[tuple[object, ...]]:
    return service.rows("SELECT outcome, name <> '', bytes > 0 FROM hannun.operation_runs WHERE kind = 'drill'")


def test_a_drill_restores_the_newest_backup_and_is_on_record(backed_up: Service) -> None:
    back_up(backed_up)
    ran = backed_up.run("restore", "--drill", COLUMNS="80")
    assert ran.status == 0, ran.out + ran.err
    assert "it equals its manifest" in " ".join(ran.out.split())
    assert '"event"' not in ran.err, "progress is plain text, also where there is no terminal"
    assert "password" not in ran.out, "the roles of the scratch server are gone with it"
    assert [line for line in ran.out.splitlines() if len(line) > 80] == []
    assert runs(backed_up) == [("succeeded", True, True)]


def test_a_drill_that_finds_drift_fails_and_says_where(backed_up: Service, postgres: PostgresServer) -> None:
    with psycopg.connect(backed_up.environment["HANNUN_OWNER_DATABASE_URL"]) as owner:
        owner.execute("UPDATE public.event_stats SET total_participants = total_participants + 1")
    back_up(backed_up)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
    # In a scratch database beside the live one.
    beside = {"HANNUN_DRILL_DATABASE_URL": postgres.superuser_url}
    ran = backed_up.run("restore", "--drill", **beside)
    assert ran.status == 2, ran.out + ran.err
    assert "total_participants" in ran.out
    assert [outcome for outcome, *_ in runs(backed_up)] == ["failed"]
    with psycopg.connect(postgres.superuser_url) as conn:
        assert conn.execute("SELECT FROM pg_database WHERE datname = 'hannun_drill'").fetchone() is None


def test_a_drill_without_a_backup_says_how_to_make_one(backed_up: Service) -> None:
    ran = backed_up.run("restore", "--drill")
    assert ran.status == 2
    assert "hannun backup create" in ran.err
