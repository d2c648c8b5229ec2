"""Each trouble is produced for real, and the doctor finds it: alone, and two at once. A healthy system yields none."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from examining import examination, found, run
from typer.testing import CliRunner
from world import World

from hannun.cli import app
from hannun.domain.findings import Severity
from hannun.domain.positions import KnownPosition, PartitionLog, WaitForOperator, resume_or_stop
from hannun.flows.doctor.examined import Expected
from hannun.store import positions
from hannun.store.database import connect
from hannun.store.partitions import create_months


@dataclass
class Scene:
    """A healthy system, and how the doctor reaches it. A trouble changes either."""

    world: World
    expected: Expected = field(default_factory=Expected)
    clock_ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    def examine(self, *names: str) -> dict[str, list[str]]:
        """The subjects of the findings, by check."""
        with examination(self.world, self.expected, now=self.now) as prepared:
            results = run(prepared, *names)
        return {check: [finding.subject for finding in findings] for check, findings in found(results).items()}


@pytest.fixture
def scene(world: World) -> Scene:
    today = datetime.now(UTC).date().replace(day=1)
    with connect(world.url, application="test") as conn:
        create_months(conn, [(today + timedelta(days=31 * ahead)).replace(day=1) for ahead in range(4)])
    world.rows(f"ALTER DATABASE {world.name} SET timezone = 'UTC'")  # a copy of a template has no settings
    return Scene(world)


def a_month_is_missing(scene: Scene) -> None:
    """As where no schedule runs: the newest month of those ahead was never created."""
    (newest,) = scene.world.rows(
        "SELECT max(inhrelid::regclass::text) AS name FROM pg_inherits WHERE inhparent = "
        "'public.timeline_data'::regclass"
    )
    scene.world.rows(f"DROP TABLE {newest.name}")


def the_schema_is_older(scene: Scene) -> None:
    scene.world.rows("UPDATE hannun.schema_version SET version_num = '0001'")


def a_right_is_revoked(scene: Scene) -> None:
    scene.world.rows("REVOKE UPDATE ON hannun.events FROM analytics_readwrite")


def readers_lack_a_right(scene: Scene) -> None:
    scene.world.rows("REVOKE SELECT ON public.channel_stats FROM analytics_readonly")


def the_database_is_in_seoul(scene: Scene) -> None:
    scene.world.rows(f"ALTER DATABASE {scene.world.name} SET timezone = 'Asia/Seoul'")


def the_time_zone_is_lost(scene: Scene) -> None:
    """As after pg_restore: a dump leaves out the settings of the database."""
    scene.world.rows(f"ALTER DATABASE {scene.world.name} RESET timezone")


def a_partition_stops(scene: Scene) -> None:
    """As a consumer stops it whose partition's log ends before its position."""
    with connect(scene.world.url, application="test") as conn:
        log = PartitionLog("a-topic", 0, 9)
        stop = resume_or_stop(("sales-recorded", 0), log, KnownPosition("a-topic", 10, None), "", added=False)
        assert isinstance(stop, WaitForOperator)
        positions.stop(conn, "a consumer", "sales-recorded", 0, stop)


def this_machine_is_late(scene: Scene) -> None:
    scene.clock_ahead = timedelta(seconds=-30)


TROUBLES: dict[str, Callable[[Scene], None]] = {
    "months-ahead": a_month_is_missing,
    "schema": the_schema_is_older,
    "rights": a_right_is_revoked,
    "time-zone": the_database_is_in_seoul,
    "stopped-partitions": a_partition_stops,
    "clocks": this_machine_is_late,
}
"""A trouble for each check, by the check's name."""


def test_a_healthy_system_yields_no_finding(scene: Scene) -> None:
    assert scene.examine() == {}


@pytest.mark.parametrize("check", TROUBLES)
def test_a_trouble_is_found_by_its_check_and_by_no_other(scene: Scene, check: str) -> None:
    TROUBLES[check](scene)
    assert set(scene.examine()) == {check}


@pytest.mark.parametrize("pair", list(pairwise([*TROUBLES, next(iter(TROUBLES))])))
def test_two_troubles_at_once_are_both_found(scene: Scene, pair: tuple[str, str]) -> None:
    for check in pair:
        TROUBLES[check](scene)
    assert set(scene.examine()) == set(pair)


@pytest.mark.parametrize(
    ("trouble", "check", "subject"),
    [
        (readers_lack_a_right, "rights", "analytics_readonly"),
        (the_time_zone_is_lost, "time-zone", None),
    ],
)
def test_another_trouble_of_the_same_check_is_found(
    scene: Scene, trouble: Callable[[Scene], None], check: str, subject: str | None
) -> None:
    trouble(scene)
    assert scene.examine() == {check: [subject or scene.world.name]}


def test_the_command_prints_what_to_do_and_its_status_is_the_severity(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", scene.world.url)
    monkeypatch.setenv("REDIS_PORT", str(scene.world.redis.port))
    monkeypatch.setenv("REDIS_PASSWORD", scene.world.redis.password)
    healthy = CliRunner().invoke(app, ["doctor", "--only", "rights", "--only", "schema"])
    assert (healthy.exit_code, healthy.output) == (0, "2 checks: 2 found nothing, 0 findings\n")
    readers_lack_a_right(scene)
    warned = CliRunner().invoke(app, ["doctor"])
    assert warned.exit_code == 1
    assert "GRANT SELECT ON channel_stats TO analytics_readonly;" in warned.output
    a_right_is_revoked(scene)
    critical = CliRunner().invoke(app, ["doctor", "--json", "--only", "rights"])
    assert critical.exit_code == 2
    answer = json.loads(critical.stdout)
    assert answer["severity"] == str(Severity.CRITICAL)
    assert [finding["subject"] for finding in answer["findings"]] == ["analytics_readonly", "analytics_readwrite"]
    assert answer["findings"][1]["statements"] == ["GRANT UPDATE ON hannun.events TO analytics_readwrite;"]
