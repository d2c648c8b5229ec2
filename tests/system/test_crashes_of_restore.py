"""`hannun restore` is killed at its steps, and repeated: either nothing has changed, or the backup is live, whole."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from faults import Crash, Fault, PostgresRequests, Proxy, Request
from outside import PASSWORD, Event, Service, with_port

from hannun.embedded import PostgresServer

pytestmark = pytest.mark.xdist_group("crashes of restore")

STEPS = {
    "created": "CREATE DATABASE",
    "named": "COMMENT ON DATABASE",
    "schema": "CREATE TABLE hannun.participants",
    "rows": "COPY hannun.participants",
    "indexes": "ADD CONSTRAINT participants_pkey",
    "analysed": "VACUUM",
    "locked": "LOCK TABLE",
    "prepared": "DELETE FROM hannun.sign_in_codes",
    "closed": "ALLOW_CONNECTIONS false",
    "renamed first": "RENAME TO .*_before_restore",
    "renamed second": "_restored. RENAME TO",
}
"""A request of each step, as a regular expression."""


@pytest.fixture
def backed_up(service: Service, postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[Service, Event, Event]]:
    """A service with a backup that holds the first of two events."""
    name = service.environment["DATABASE_URL"].rpartition("/")[2]
    (tmp_path / "backups").mkdir()
    service.environment |= {
        "HANNUN_BACKUP_FOLDER": str(tmp_path / "backups"),
        "HANNUN_OWNER_DATABASE_URL": postgres.url(name, "hannun_owner", PASSWORD),
    }
    service.start_serve()
    early, late = Event(), Event()
    for event in (early, late):
        messages = event.first_batch()
        service.post_until_accepted(messages)
        event.expect(messages)
        if event is early:
            assert service.run("backup", "create").status == 0
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        yield service, early, late
        for suffix in ("_restored", "_before_restore"):
            conn.execute(f"DROP DATABASE IF EXISTS {name}{suffix} WITH (FORCE)")


@pytest.mark.faults
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_restore_is_repeated(
    backed_up: tuple[Service, Event, Event], postgres: PostgresServer, fault: Fault, step: str
) -> None:
    service, early, late = backed_up
    (name,) = [path.name for path in Path(service.environment["HANNUN_BACKUP_FOLDER"], "logical").iterdir()]

    def is_step(request: Request) -> bool:
        return re.search(STEPS[step], request.text) is not None

    with Proxy(postgres.port, PostgresRequests) as proxy:
        owner_url = with_port(service.environment["HANNUN_OWNER_DATABASE_URL"], proxy.port)
        restore = service.start("restore", name, "--yes", HANNUN_OWNER_DATABASE_URL=owner_url)
        with proxy.inject(Crash(fault, 1, is_step), restore.pid) as crash:
            restore.wait()
        assert crash.happened.is_set(), restore.log
    again = service.run("restore", name, "--yes")
    if again.status == 2:  # the killed one had renamed both, and the database that it has replaced is kept
        assert "drop-replaced" in again.err
        assert service.run("restore", "--finish", "--yes").status == 0
    else:
        assert again.status == 0, again.out + again.err
    assert service.figures(early.id) == service.dashboard(early.id) == early.expected_figures
    assert service.figures(late.id) is service.dashboard(late.id) is None
    service.assert_no_drift()
    # The client sends again what is in no log.
    service.post_until_accepted(late.expected_messages)
    assert service.dashboard(late.id) == late.expected_figures
