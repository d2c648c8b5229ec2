"""The pages of the physical design say what the chart says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hannun.cli.application import app

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/physical-design"
CHART = ROOT / "deploy/helm/hannun"
ENVIRONMENTS = {"development": "values-dev.yaml", "production": "values-prod.yaml"}
KINDS = ("requests", "limits")
LOADS = {
    "development": "--users 100 --events 100 --participants-a-day 10000",
    "production": "--users 10000 --events 10000 --participants-a-day 1000000",
}


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Values as Helm merges them."""
    return below | {
        key: merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }


def values_of(environment: str) -> dict[str, Any]:
    files = ["values.yaml", ENVIRONMENTS[environment]]
    below, above = (yaml.safe_load((CHART / file).read_text("utf-8")) for file in files)
    return merged(below, above)


def pods(values: dict[str, Any]) -> str:
    replicas = values.get("replicas", "")
    return f"{replicas['min']} to {replicas['max']}" if isinstance(replicas, dict) else str(replicas)


def rows(page: str, cells: int) -> list[list[str]]:
    """The rows of tables with so many cells."""
    lines = (PAGES / page).read_text("utf-8").splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in found if len(row) == cells]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_sizes_of_an_environment_are_those_of_its_values(environment: str) -> None:
    values = values_of(environment)
    expected = []
    for process in ("serve", "ingest", "schedule", "migrate", "backup"):
        of = values[process]
        asks, most = (f"{of['resources'][kind]['cpu']}, {of['resources'][kind]['memory']}" for kind in KINDS)
        end = of.get("terminationGracePeriodSeconds")
        expected.append([f"`{process}`", pods(of), asks, most, f"{end} s" if end else ""])
    assert [row for row in rows(f"{environment}.md", 5) if row[0].startswith("`")] == expected


def test_the_comparison_has_the_pods_and_the_room_of_both_environments() -> None:
    compared = {row[0]: row[1:] for row in rows("index.md", 3)}
    both = [values_of(environment) for environment in ENVIRONMENTS]
    for process in ("serve", "ingest", "schedule"):
        assert compared[f"pods of `{process}`"] == [pods(values[process]) for values in both]
    assert compared["room for backups"] == [values["backup"]["size"] for values in both]


def test_the_table_of_connections_is_that_of_the_network_policies() -> None:
    template = (CHART / "templates/networkpolicies.yaml").read_text("utf-8")
    reaches = {
        process: re.findall(r'"(\w+)"', systems)
        for process, systems in re.findall(r'^  "(\w+)" \(list ([^)]*)\)', template, re.MULTILINE)
    }
    (ports,) = re.findall(r"\$ports := dict (.*) }}", template)
    expected = {
        process: (dict(re.findall(r'"(\w+)" (\d+)', ports)).get(process, ""), systems)
        for process, systems in reaches.items()
    }
    found = {
        row[0].strip("`"): (row[2], re.findall(r"`(\w+)`", row[3]))
        for row in rows("index.md", 4)
        if row[0].startswith("`")
    }
    assert len(expected) == 5
    assert found == expected


def test_the_diagrams_show_the_pods_of_the_environment() -> None:
    for environment in ENVIRONMENTS:
        values, text = values_of(environment), (PAGES / f"{environment}.md").read_text("utf-8")
        for process in ("serve", "ingest", "schedule"):
            shown = re.findall(rf'\["{process}<br>([\d to]+?)(?: pods?)?"\]', text)
            assert shown, (environment, process)
            assert set(shown) <= {pods(values[process]), pods(values[process]).removesuffix(" to 1")}


def computed(environment: str) -> dict[str, Any]:
    """What `hannun capacity` says an environment needs for its load."""
    ran = CliRunner().invoke(app, ["capacity", *LOADS[environment].split(), "--json"])
    assert ran.exit_code == 0, ran.output
    needed: dict[str, Any] = json.loads(ran.output)["environments"][environment]
    return needed


def test_the_loads_of_both_environments_need_what_the_page_says() -> None:
    said = {row[0]: row[1:] for row in rows("index.md", 3)}
    needed = [computed(environment) for environment in ENVIRONMENTS]
    for process in ("serve", "ingest", "schedule"):
        assert said[f"`{process}` needs"] == [str(each[process]["pods"]) for each in needed]
    assert said["vCores of PostgreSQL, each server"] == [str(each["postgresVcores"]) for each in needed]
    assert said["storage of PostgreSQL, GiB, each server"] == [str(each["storage"]["provisioned"]) for each in needed]
    assert said["dumps that are kept, GiB"] == [f"{each['storage']['dumps']:.1f}" for each in needed]
    assert said["Redis, GiB, each node"] == [f"{each['redisGib']:.1f}" for each in needed]
    assert said["partitions of a topic"] == [str(each["partitions"]) for each in needed]
    assert said["connections to PostgreSQL"] == [str(each["connections"]) for each in needed]
    costs = [f"{each['usdAMonth']['total']:,.0f}" for each in needed]
    assert said["this service, USD a month, unverified prices"] == costs


def test_the_chart_allows_what_its_load_needs() -> None:
    for environment in ENVIRONMENTS:
        values, needed = values_of(environment), computed(environment)
        for process in ("serve", "ingest", "schedule"):
            replicas = values[process]["replicas"]
            least, most = (replicas["min"], replicas["max"]) if isinstance(replicas, dict) else (replicas, replicas)
            assert least <= needed[process]["pods"] <= most, (environment, process)
        room = float(values["backup"]["size"].removesuffix("Gi"))
        assert needed["storage"]["dumps"] <= room, environment
