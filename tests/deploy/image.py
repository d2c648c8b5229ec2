"""What the image runs, without a container engine: the tree of its install script, its user and its environment."""

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = ROOT / "deploy/docker/Dockerfile"
STOP_S: Final = 30.0


def dockerfile_environment() -> dict[str, str]:
    """The variables that the Dockerfile sets, without PATH."""
    text = DOCKERFILE.read_text("utf-8").replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    found = dict(part.split("=", 1) for part in line.split())
    del found["PATH"]
    return found


def dockerfile_user() -> int:
    """The id of the user and of its group."""
    (user, group) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)[0]
    assert user == group
    return int(user)


def dockerfile_command(keyword: str) -> list[str]:
    """The words of an instruction in its JSON form, as ENTRYPOINT, or HEALTHCHECK's CMD."""
    pattern = rf"^{keyword} .*?(\[.*\])$"
    return [str(word) for word in ast.literal_eval(re.findall(pattern, DOCKERFILE.read_text("utf-8"), re.MULTILINE)[0])]


def python_for_everybody() -> str:
    """A Python that the image's user may run too: one below /root is closed to it."""
    for path in ("/usr/bin/python3.11", shutil.which("python3.11"), shutil.which("python3")):
        if path and _may_run(path):
            return path
    raise AssertionError("no Python here can be run by the image's user: install Debian's python3 and python3-venv")


def _may_run(python: str) -> bool:
    user = dockerfile_user()
    command = [python, "-c", "import venv, ensurepip"]
    try:
        return subprocess.run(command, user=user, group=user, extra_groups=[], cwd="/", check=False).returncode == 0
    except OSError:
        return False


@dataclass(frozen=True)
class InstalledImage:
    """The installed tree, and a folder of the user's own: the image's /var/lib/hannun and /tmp.

    Programs run in a mount namespace in which only the user's own folder is writable, and with the image's user in
    /etc/passwd.
    """

    tree: Path
    own: Path

    @property
    def user(self) -> int:
        return dockerfile_user()

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the image's entry point with these arguments, to its end."""
        return self.run_program(str(self.tree / "bin" / dockerfile_command("ENTRYPOINT")[0]), *arguments, **environment)

    def run_program(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run any program as the image's user, to its end."""
        return subprocess.run(
            [*self._contained(), *command],
            env=self._environment(environment),
            cwd=self.own,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start the image's entry point; its output goes to a file in the user's folder."""
        (program,) = dockerfile_command("ENTRYPOINT")
        command = [*self._contained(), str(self.tree / "bin" / program), *arguments]
        with (self.own / f"{arguments[0]}.log").open("wb") as log:
            return subprocess.Popen(command, env=self._environment(environment), cwd=self.own, stdout=log, stderr=log)

    def is_alive(self, **environment: str) -> bool:
        """What the image's health check says."""
        interpreter, script = dockerfile_command("HEALTHCHECK")
        program = str(ROOT / "deploy/docker" / Path(script).name)
        return self.run_program(str(self.tree / "bin" / interpreter), program, **environment).returncode == 0

    def _environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        path = f"{self.tree / 'bin'}:/usr/bin:/bin"
        return {**dockerfile_environment(), "PATH": path, "TMPDIR": str(self.own / "tmp"), **environment}

    def _contained(self) -> list[str]:
        user = dockerfile_user()
        as_user = f'exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs "$@"'
        mounts = (
            f"mount --bind '{self.own}' '{self.own}'",
            f"mount --bind '{self.own.parent / 'passwd'}' /etc/passwd",
            "mount -o remount,bind,ro /",
            f"cd '{self.own}'",
            "umask 077",
        )
        return ["unshare", "--mount", "sh", "-c", " && ".join((*mounts, as_user)), "sh"]


def install(folder: Path) -> InstalledImage:
    """Run the image's install script. `folder` must be open to everybody."""
    tree, own = folder / "tree", folder / "own"
    script = ["sh", "deploy/docker/install.sh", str(ROOT), str(tree)]
    subprocess.run(script, cwd=ROOT, env={**os.environ, "PYTHON": python_for_everybody()}, check=True)
    for path in (own, own / "tmp"):
        path.mkdir(mode=0o700)
        os.chown(path, dockerfile_user(), dockerfile_user())
    known = Path("/etc/passwd").read_text("utf-8")
    (folder / "passwd").write_text(f"{known}hannun:x:{dockerfile_user()}:{dockerfile_user()}::{own}:/bin/false\n")
    return InstalledImage(tree, own)


def files_of_user(user: int, folder: Path) -> list[Path]:
    """Every file and folder below a folder that belongs to the user."""
    return [path for path in folder.rglob("*") if path.lstat().st_uid == user]
