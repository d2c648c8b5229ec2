"""The chart's values and what they set are those of this version of the service."""

import re
from pathlib import Path

import pytest
import yaml
from deploy.image import ROOT, dockerfile_environment, dockerfile_user

from hannun.settings import Settings, variable_of
from hannun.store.roles import ROLES

CHART = ROOT / "deploy/helm/hannun"
VALUES = [
    CHART / "values.yaml",
    CHART / "values-dev.yaml",
    CHART / "values-prod.yaml",
    ROOT / "deploy/helm/example.yaml",
    *sorted((ROOT / "deploy/azure").glob("values*.yaml")),
]
SETTINGS = {variable_of(field) for field in Settings.model_fields}
OF_MIGRATE = {f"HANNUN_{role.upper()}_PASSWORD_FILE" for role in ROLES}


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.name)
def test_every_setting_of_the_values_exists(path: Path) -> None:
    values = yaml.safe_load(path.read_text("utf-8"))
    named = set(values.get("settings", {}))
    for process in ("serve", "ingest", "schedule"):
        named |= set(values.get(process, {}).get("settings", {}))
    for files in values.get("secrets", {}).get("files", {}).values():
        named |= {f"{name}_FILE" for name in files}
    assert named <= SETTINGS | OF_MIGRATE


def test_every_setting_of_the_templates_exists() -> None:
    text = "".join(path.read_text("utf-8") for path in (CHART / "templates").iterdir())
    assert set(re.findall(r"\"(HANNUN_[A-Z_]+)\"", text)) <= SETTINGS


def test_the_chart_knows_the_ports_and_the_user_of_the_image() -> None:
    environment = dockerfile_environment()
    ports = {
        "serve": environment["HANNUN_PORT"],
        "ingest": environment["HANNUN_METRICS_PORT"],
        "schedule": environment["HANNUN_SCHEDULE_METRICS_PORT"],
    }
    for process, port in ports.items():
        text = (CHART / f"templates/{process}.yaml").read_text("utf-8")
        assert f"containerPort: {port}" in text
        assert f'"{process}" {port}' in (CHART / "templates/networkpolicies.yaml").read_text("utf-8")
    users = re.findall(
        r"(?:runAsUser|runAsGroup|fsGroup): (\d+)", (CHART / "templates/_helpers.tpl").read_text("utf-8")
    )
    assert set(users) == {str(dockerfile_user())}


def test_the_topics_that_scale_ingest_are_those_that_it_reads() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    scaling = values["ingest"]["scaling"]
    settings = Settings(_env_file=None)
    assert set(scaling["topics"]) == set(settings.topics)
    assert scaling["group"] == settings.kafka_group
