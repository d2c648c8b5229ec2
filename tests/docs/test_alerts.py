"""The alerts of deploy/prometheus: each is tested by promtool, reads metrics of the table, and is in the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).parents[2]
FOLDER = TOP / "deploy" / "prometheus"
QUESTIONS = ("Means", "Owners see", "Look at", "Do", "Over when")
FOREIGN = {"up", "ALERTS"}
"""Series that Prometheus makes itself."""


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def sections() -> dict[str, str]:
    """The text of each section of the runbook by its heading."""
    _, *parts = re.split(r"^### (\w+)\n", (TOP / "docs" / "alerts.md").read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression reads, without the suffixes of histograms."""
    found = set(re.findall(r"\b(hannun_\w+|up)\b(?=[{\[)\s]|$)", re.sub(r"\"[^\"]*\"", '""', expression)))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found} - FOREIGN


def documented_metrics() -> set[str]:
    return set(re.findall(r"^\| `(hannun_\w+)`", (TOP / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))


def promtool(*arguments: str) -> str:
    ran = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_each_alert_has_a_section_that_answers_every_question_and_no_section_is_left_over() -> None:
    found = sections()
    assert list(found) == list(alerts())
    for name, text in found.items():
        assert all(f"**{question}**" in text for question in QUESTIONS), name


def test_each_alert_leads_to_its_section_and_says_whether_it_wakes_somebody() -> None:
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_the_overview_and_every_link_of_the_runbook_lead_to_a_section() -> None:
    text = (TOP / "docs" / "alerts.md").read_text("utf-8")
    assert set(re.findall(r"\(#(hannun\w+)\)", text)) == {name.lower() for name in alerts()}


def test_each_alert_reads_metrics_of_the_table() -> None:
    for name, rule in alerts().items():
        read = metrics_of(rule["expr"])
        assert read <= documented_metrics(), name
        assert read or "up{" in rule["expr"], name


def test_each_alert_is_tested_with_series_that_fire_it_and_with_series_that_do_not() -> None:
    tested = {True: set[str](), False: set[str]()}
    for file in FOLDER.glob("*_test.yml"):
        for test in yaml.safe_load(file.read_text("utf-8"))["tests"]:
            for case in test["promql_expr_test"]:
                (name,) = re.findall(r'alertname="(\w+)"', case["expr"])
                tested[bool(case["exp_samples"])].add(name)
    assert tested[True] == tested[False] == set(alerts())


@pytest.mark.promtool
@pytest.mark.parametrize("file", ["rules_test.yml", "rules_slow_test.yml"])
def test_each_alert_fires_when_it_should_and_only_then(file: str) -> None:
    promtool("check", "rules", "rules.yml")
    promtool("test", "rules", file)


@pytest.mark.promtool
def test_prometheus_accepts_the_example_of_its_configuration() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")
