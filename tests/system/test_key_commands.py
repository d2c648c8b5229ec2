"""`hannun keys` makes a ring, adds keys to it and lets one of them encrypt."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hannun", "keys", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "COLUMNS": "80",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_ring_is_made_extended_and_activated_and_shows_no_key(tmp_path: Path) -> None:
    ring = tmp_path / "keys.toml"
    made = run("new", str(ring), "--id", "first")
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(ring.stat().st_mode) == 0o600
    assert "Keep a copy" in made.stderr

    added = run("new", "--id", "second", HANNUN_KEY_RING_FILE=str(ring))
    assert "hannun keys activate second" in added.stderr
    assert [line.split()[0] for line in added.stdout.splitlines()] == ["first", "second"]
    activated = run("activate", "second", str(ring))
    listed = run("list", str(ring))
    assert listed.stdout == activated.stdout
    assert re.fullmatch(r"second +[0-9a-f]{8}  active\nfirst +[0-9a-f]{8}\n", listed.stdout)

    secrets = re.findall(r'= "([^"]{40,})"', ring.read_text())
    assert len(secrets) == 2
    assert not any(secret in ran.stdout + ran.stderr for secret in secrets for ran in (made, added, activated, listed))


def test_what_an_operator_gets_wrong_is_said(tmp_path: Path) -> None:
    nothing_set = run("list")
    assert nothing_set.returncode == 2
    assert "HANNUN_KEY_RING_FILE is not set" in nothing_set.stderr
    missing = run("list", str(tmp_path / "none.toml"))
    assert missing.returncode == 2
    assert "hannun keys new FILE" in " ".join(missing.stderr.split())
    no_folder = run("new", str(tmp_path / "none" / "keys.toml"))
    assert no_folder.returncode == 2
    assert "cannot be written" in " ".join(no_folder.stderr.split())
    assert re.fullmatch(r'"2026-11" = "[A-Za-z0-9+/]{43}="\n', run("new", "--print", "--id", "2026-11").stdout)
