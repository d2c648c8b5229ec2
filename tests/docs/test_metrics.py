"""docs/metrics.md lists every metric of telemetry.py with its kind and labels, and no other."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from hannun.telemetry import Metrics, Sampled

DOCS = Path(__file__).parents[2] / "docs"


class Documented(NamedTuple):
    kind: str
    labels: frozenset[str]


def registered() -> dict[str, Documented]:
    found = {}
    for metric in vars(Metrics).values():
        if isinstance(metric, Sampled):
            family = next(iter(metric.collect()))
            labels = frozenset(metric.labels)
        elif isinstance(metric, MetricWrapperBase):
            family = next(iter(metric.describe()))
            labels = frozenset(metric._labelnames)
        else:
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = Documented(family.type, labels)
    return found


def rows() -> list[list[str]]:
    lines = (DOCS / "metrics.md").read_text("utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `hannun_")]


def test_the_table_of_metrics_lists_every_metric_with_its_kind_and_labels_and_no_other() -> None:
    listed = {row[0].strip("`"): Documented(row[1], frozenset(re.findall(r"`(\w+)`", row[2]))) for row in rows()}
    assert listed == registered()


def test_every_metric_has_a_number_of_series_a_unit_a_process_and_a_meaning() -> None:
    for row in rows():
        assert len(row) == 7, row[0]
        assert all(row[3:]), row[0]


def test_a_name_ends_with_its_unit() -> None:
    """By the conventions of Prometheus: seconds, bytes and shares are said in the name."""
    ends = {"seconds": "_seconds", "bytes": "_bytes", "share": "_ratio", "seconds since 1970": "_timestamp_seconds"}
    for row in rows():
        if row[4] in ends:
            assert row[0].strip("`").removesuffix("_total").endswith(ends[row[4]]), row[0]


def test_a_process_that_sets_no_gauge_reports_no_0() -> None:
    """0 would be read as a figure. The key set says itself what its 0 means, and a process without pages has none."""
    program = "from prometheus_client import generate_latest; from hannun.telemetry import REGISTRY, Metrics;"
    shown = subprocess.run(
        [sys.executable, "-c", program + "print(generate_latest(REGISTRY).decode())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    gauges = set(re.findall(r"^# TYPE (\w+) gauge$", shown, re.MULTILINE))
    zeros = {line.split()[0] for line in shown.splitlines() if line.endswith(" 0.0")}
    assert gauges & zeros == {"hannun_watchers", "hannun_token_keys_read_timestamp_seconds"}
