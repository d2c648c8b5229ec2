"""The dashboards of deploy/grafana: promtool parses each query, each metric is documented, each panel has a unit."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[2]
FILES = sorted((TOP / "deploy" / "grafana").glob("*.json"))
UNITS = {"short", "s", "bytes", "percentunit", "ops", "reqps"}
"""Names of units in Grafana that our panels use."""


def boards() -> list[dict[str, Any]]:
    return [json.loads(file.read_text("utf-8")) for file in FILES]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for board in boards():
        for panel in board["panels"]:
            yield f"{board['title']}: {panel['title']}", panel


def expressions() -> Iterator[tuple[str, str]]:
    for name, panel in panels():
        for target in panel["targets"]:
            yield name, target["expr"]


def test_each_dashboard_has_a_title_and_panels_with_numbers_of_their_own() -> None:
    assert len(FILES) >= 5
    for file, board in zip(FILES, boards(), strict=True):
        assert board["uid"] == file.stem
        assert board["title"] and board["description"]
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(numbers) == len(set(numbers))


def test_each_panel_has_a_title_a_unit_and_queries_with_a_legend() -> None:
    for name, panel in panels():
        assert panel["title"], name
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, name
        assert panel["targets"], name
        assert all(target["legendFormat"] for target in panel["targets"]), name


def test_no_panel_lies_upon_another() -> None:
    for board in boards():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24
            assert not cells & taken, panel["title"]
            taken |= cells


def test_each_query_reads_metrics_of_the_table() -> None:
    documented = set(re.findall(r"^\| `(hannun_\w+)`", (TOP / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))
    for name, expression in expressions():
        metrics = {re.sub(r"_(bucket|sum|count)$", "", each) for each in re.findall(r"\bhannun_\w+", expression)}
        assert metrics <= documented, name
        assert metrics or "up{" in expression, name


@pytest.mark.promtool
def test_promtool_parses_each_query(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": each} for number, (_, each) in enumerate(expressions())]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))  # JSON is YAML
    ran = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
