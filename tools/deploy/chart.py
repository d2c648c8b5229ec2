"""The chart's objects as Helm renders them, and what Helm's lint says. Without a cluster."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/hannun"
EXAMPLE = ROOT / "deploy/helm/example.yaml"
AZURE = ROOT / "deploy/azure"
SOURCES = ("event-hubs", "service-bus")
KUBERNETES = "v1.34.0"
ENVIRONMENTS = ("dev", "prod")

Object = dict[str, Any]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Helm merges them: maps are merged, everything else is replaced."""
    both = dict(base)
    for key, value in over.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def defaults() -> dict[str, Any]:
    """The values of the chart itself."""
    return dict(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")))


def values_of(environment: str, over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The values of an environment with those of the example, and others over them."""
    own = yaml.safe_load((CHART / f"values-{environment}.yaml").read_text("utf-8"))
    return merged(merged(own, yaml.safe_load(EXAMPLE.read_text("utf-8"))), over or {})


def values_on_azure(environment: str, source: str = "event-hubs") -> dict[str, Any]:
    """The same with those of an installation on Azure, whose messages come from one of SOURCES."""
    values = values_of(environment)
    del values["settings"]["KAFKA_BOOTSTRAP_SERVERS"]  # the files for Azure name their own
    for path in (AZURE / "values.yaml", AZURE / f"values-{source}.yaml"):
        values = merged(values, yaml.safe_load(path.read_text("utf-8")))
    return values


def render(values: Mapping[str, Any], chart: Path = CHART) -> list[Object]:
    """The objects of the chart with these values.

    Raises:
        helm_python.HelmError: the values do not fit the schema, or a template fails.
    """
    loaded = helm_python.Chart.load(str(chart))
    loaded.validate_schema(dict(values))
    rendered = loaded.render(dict(values), name="hannun", namespace="hannun")
    return [found for path in sorted(rendered) for found in yaml.safe_load_all(rendered[path]) if found]


def lint(values: Mapping[str, Any], chart: Path = CHART) -> list[str]:
    """What Helm's strict lint finds, each in a line."""
    report = helm_python.lint(str(chart), dict(values), strict=True, kube_version=KUBERNETES, quiet=True)
    said = [f"{message['path']}: {message['error']}" for message in report["messages"] if message["severity"] >= 2]
    return said + [re.sub(r"\s+", " ", error) for error in report["errors"]]
