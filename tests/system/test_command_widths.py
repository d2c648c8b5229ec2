"""The main forms of the commands for operators in a terminal of 80 columns."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from outside import PASSWORD, Event, Service
from widths import WIDTH, assert_fits

from hannun.embedded import PostgresServer

pytestmark = pytest.mark.faults
MONTH = "2026-03"


class Operated:
    """A service with an event, a folder of backups and one of archives. `beside` is a database that a test restores."""

    def __init__(self, service: Service, folder: Path, beside: str) -> None:
        self.service = service
        self.folder = folder
        self.beside = beside
        self.event = Event()

    def run(self, command: str, *statuses: int) -> str:
        """Run a command, which ends with one of these statuses, by default 0. Returns its output as one line."""
        ran = self.service.run(*command.split(), COLUMNS=str(WIDTH))
        assert ran.status in (statuses or (0,)), f"hannun {command}: {ran.out}{ran.err}"
        assert_fits(ran, command)
        return " ".join((ran.out + ran.err).split())


@pytest.fixture(scope="module")
def operated(
    a_service: Service, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[Operated]:
    folder = tmp_path_factory.mktemp("operated")
    (folder / "backups").mkdir()
    name = a_service.environment["DATABASE_URL"].rpartition("/")[2]
    a_service.environment |= {
        "HANNUN_BACKUP_FOLDER": str(folder / "backups"),
        "HANNUN_ARCHIVE_FOLDER": str(folder / "archive"),
        "HANNUN_OWNER_DATABASE_URL": postgres.url(name, "hannun_owner", PASSWORD),
    }
    a_service.start_serve()
    operated = Operated(a_service, folder, f"{name}_beside")
    a_service.post_until_accepted(operated.event.first_batch())
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        yield operated
        conn.execute(f"DROP DATABASE IF EXISTS {operated.beside} WITH (FORCE)")


@pytest.mark.parametrize(
    ("command", "statuses"),
    [
        ("doctor", (0, 1, 2)),
        ("watch --once", (0,)),
        *((f"watch --once --section {section}", (0,)) for section in ("counting", "sizes", "queries", "redis")),
        ("settings", (0,)),
        ("audit list", (0,)),
        ("audit verify", (0,)),
        ("reconcile", (0,)),
        ("migrate --plan", (0,)),
        ("amounts status", (0, 1)),
        ("amounts encrypt", (2,)),
        ("amounts rotate", (2,)),
        ("partitions plan", (0, 1)),
        (f"partitions detach {MONTH}", (0, 1, 2)),
        (f"partitions archive {MONTH}", (0, 1, 2)),
        (f"partitions drop {MONTH}", (0, 1, 2)),
        (f"partitions attach {MONTH}", (0, 1, 2)),
        ("privacy forget --participant p1 --reason asked", (1, 2)),
        ("export dashboard no-such-event", (2,)),
        ("backup wal", (2,)),
        ("backup verify logical/20200101T000000Z", (2,)),
        ("restore logical/20200101T000000Z", (2,)),
        ("restore --finish", (2,)),
    ],
)
def test_a_command_fits(operated: Operated, command: str, statuses: tuple[int, ...]) -> None:
    operated.run(command, *statuses)


def test_an_operator_says_whether_participants_are_packed(operated: Operated) -> None:
    packs = "SELECT packs FROM hannun.participant_packing"
    assert "nothing more is packed" in operated.run("migrate --pack-no-more")
    assert operated.service.rows(packs) == [(False,)]
    assert "packed" not in operated.run("migrate")
    assert operated.service.rows(packs) == [(False,)]
    assert "participants of quiet events are packed" in operated.run("migrate --pack-participants")
    assert operated.service.rows(packs) == [(True,)]


def test_a_backup_and_every_way_to_restore_it_fit(operated: Operated) -> None:
    made = operated.run("backup create")
    (name,) = set(re.findall(r"logical/\d+T\d+Z", made)) or {""}
    operated.run("backup list")
    operated.run(f"backup verify {name}")
    assert "nothing was restored" in operated.run(f"restore {name}", 2)
    operated.run(f"restore {name} --into {operated.beside} --yes")
    operated.run(f"restore {name} --folder {operated.folder / 'data'}", 2)
    operated.run("backup prune --dry-run", 0, 2)
    operated.run(f"backup keys {operated.folder / 'identity.txt'}")


def test_a_drill_fits(operated: Operated) -> None:
    operated.run("backup create")
    operated.run("restore --drill")


def test_an_export_fits(operated: Operated) -> None:
    operated.run(f"export dashboard {operated.event.id} --out {operated.folder / 'dashboard.csv'}")
