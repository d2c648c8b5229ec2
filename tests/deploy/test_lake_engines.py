"""The dataset of `hannun export --lake`, read by ClickHouse and Spark: their sums are ours."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from deploy.image import ROOT
from world import SPRING, World

from hannun.files.lake import Lake
from hannun.flows.lake_export import export_lake
from hannun.store.database import connected

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]
ENVIRONMENT = ROOT / ".venv-lake"
SUMMER = "5b0c2f64-0000-4000-8000-00000000000a"


@pytest.fixture
def dataset(world: World, tmp_path: Path) -> Path:
    """Two events with participants and measurements in three months, exported twice."""
    dice = random.Random(7)
    world.count(world.created(), world.created(SUMMER))
    days = [f"2026-{dice.randint(8, 10):02}-{dice.randint(1, 28):02}T10:00:00Z" for _ in range(300)]
    world.count(world.registered(at=days[0], channel="Instagram"))
    messages = [
        world.registered(event=dice.choice((SPRING, SUMMER)), at=at, channel=dice.choice(("NaverBlog", "Instagram")))
        for at in days[1:]
    ]
    for month in ("08", "10"):
        world.record_measurement(SPRING, "Instagram", f"2026-{month}-03T10:00", {"views": 1_234, "likes": 5})
    for half in (messages[:150], messages[150:]):
        world.count(*half)
        lake = Lake(tmp_path / "lake", "a test")
        with connected(world.url, application="a test") as conn, lake.locked():
            export_lake(conn, lake, lambda _: None)
    return tmp_path / "lake"


def test_clickhouse_and_spark_add_up_to_what_we_count(world: World, dataset: Path, tmp_path: Path) -> None:
    if not (ENVIRONMENT / ".done").exists():
        reason = "there is no environment of requirements/lake.txt: make deploy-check makes it"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    python = str(ENVIRONMENT / "bin/python")
    asked = subprocess.run(
        [python, str(ROOT / "tools/lake/query_lake.py"), str(dataset)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "PYSPARK_PYTHON": python},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert asked.returncode == 0, asked.stderr[-3_000:]
    answers = json.loads(asked.stdout.splitlines()[-1])
    minutes = world.rows(
        "SELECT to_char(timestamp, 'YYYY-MM') AS month, event_id, sum(participants)::int AS participants, "
        "sum(views)::int AS views, sum(engagement)::int AS engagement "
        "FROM public.timeline_data GROUP BY 1, 2 ORDER BY 1, 2"
    )
    timeline = [[row.month, row.event_id, row.participants, row.views, row.engagement] for row in minutes]
    assert sum(row[2] for row in timeline) == 300
    measured = [[row.month, row.event_id, row.views, row.engagement] for row in minutes if row.views]
    assert [row[2:] for row in measured] == [[1_234, 5], [1_234, 5]]
    assert world.drift() == []
    for answer in answers.values():
        assert answer["timeline"] == timeline
        assert answer["arrivals"] == [row[:3] for row in timeline]
        assert answer["measurements"] == measured
