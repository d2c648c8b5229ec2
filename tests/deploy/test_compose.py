"""compose.yaml: what it names exists in this tree, and nothing in it is open to the network."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.image import ROOT

from hannun.sandbox.channels.access import access_toml
from hannun.sandbox.channels.shape import load_all
from hannun.settings import Settings, variable_of

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("hannun:")}
PASSWORDS = {"HANNUN_ANALYTICS_READWRITE_PASSWORD_FILE"}


def test_the_three_processes_and_all_their_servers_are_there() -> None:
    assert {"serve", "ingest", "schedule", "migrate", "channels", "platform"} == set(OURS)
    assert {"postgres", "valkey", "kafka", "prometheus", "grafana", "topics"} == set(SERVICES) - set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    known = {variable_of(field) for field in Settings.model_fields} | PASSWORDS
    assert set(OURS[name].get("environment", {})) <= known


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_version_and_every_port_is_local(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/]+:v?\d[\w.]*", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_file_that_is_mounted_exists() -> None:
    mounted = [part.split(":")[0] for service in SERVICES.values() for part in service.get("volumes", [])]
    files = [path for path in mounted if path.startswith("./")] + [COMPOSE["configs"]["channels"]["file"]]
    assert len(files) >= 6
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_the_script_makes_every_secret_for_its_group_only(tmp_path: Path) -> None:
    script = tmp_path / "deploy/compose/secrets.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy/compose/secrets.sh", script)

    def run() -> dict[str, str]:
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
        return {path.name: path.read_text("utf-8") for path in (tmp_path / ".hannun-compose").iterdir()}

    made = run()
    assert run() == made
    wanted = {name: tmp_path / secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert {path.name for path in wanted.values()} == set(made)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o640 for path in wanted.values())
    assert made["readwrite_password"] in made["database_url"]
    assert len(made["jwt_secret"]) >= 32
    assert (tmp_path / ".env").read_text("utf-8").count("HANNUN_SECRETS_GROUP=") == 1


def test_the_channels_are_those_of_the_sandbox() -> None:
    assert (ROOT / "deploy/compose/channels.toml").read_text("utf-8") == access_toml(
        load_all(), "http://127.0.0.1:8090"
    )


def test_the_topics_are_those_that_ingest_reads() -> None:
    (listed,) = re.findall(r"for topic in (.*); do", (ROOT / "deploy/compose/topics.sh").read_text("utf-8"))
    assert set(listed.split()) == set(Settings(_env_file=None).topics)
