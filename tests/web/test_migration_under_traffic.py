"""The schema is migrated under traffic, with a long transaction in the way: no request fails."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from polling import wait_for
from served import open_site
from test_rotated_secrets import PATIENT, Traffic, token_of_owner
from world import World

from hannun.domain.channels import load_table
from hannun.settings import Settings
from hannun.store import migrate, schema_upgrade
from hannun.store.migration_guard import Patience
from hannun.store.version import migration_files, newest_version


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migration more, which locks the table that every batch and every answer uses."""
    number = f"{int(newest_version()) + 1:04}"
    file = tmp_path / f"{number}_next.sql"
    file.write_text("ALTER TABLE hannun.events ADD COLUMN next_version integer NOT NULL DEFAULT 7;")
    files = [*migration_files(), file]
    monkeypatch.setattr(schema_upgrade, "migration_files", lambda: files)
    monkeypatch.setattr(migrate, "newest_version", lambda: number)
    return number


def test_a_migration_that_waits_for_a_lock_under_traffic_fails_no_request(world: World, next_version: str) -> None:
    world.count(world.created())
    lines: list[str] = []
    patience = Patience(lock_wait_s=0.5, pause_s=0.2, give_up_s=120)
    with (
        open_site(world, **PATIENT) as site,
        Traffic(site, token_of_owner).running() as traffic,
        psycopg.connect(world.url, application_name="long-report") as report,
        ThreadPoolExecutor(1) as pool,
    ):
        report.execute("SELECT count(*) FROM hannun.events")
        migrated = pool.submit(migrate.migrate, world.owner_url, load_table(), {}, patience, lines.append)
        wait_for("three tries", lambda: any("try 3" in line for line in lines))
        traffic.wait_for_more()
        assert not migrated.done()
        report.rollback()
        migrated.result(60)
        traffic.wait_for_more()
    assert set(traffic.statuses) == {200}
    assert world.rows("SELECT version_num AS found FROM hannun.schema_version")[0].found == next_version
    assert world.event_stats().total_participants == traffic.posted
    assert world.drift() == []


def test_a_try_is_shorter_than_what_a_request_may_wait_for_a_lock() -> None:
    assert Patience().lock_wait_s < Settings().request_pool.lock_wait_s  # type: ignore[call-arg]
