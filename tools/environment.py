"""Creates a virtual environment and installs a lock file and this project into it.

    python tools/environment.py .venv requirements/run.txt
    python tools/environment.py .venv-deploy requirements/deploy.txt --only-packages    without this project

uv installs in parallel: the whole environment takes seconds where pip takes minutes. It is itself locked
(requirements/uv.txt). pip installs everything where there is no uv for this machine, or where uv fails. Both get the
same lock and the same hashes. Everything is compiled to bytecode at once: else the first start of each process does it,
and where PYTHONDONTWRITEBYTECODE is set, every start. Uses the standard library only.
"""

import ast
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV_LOCK = ROOT / "requirements" / "uv.txt"
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""pip's settings by their names, and the variables in which uv reads the same. uv does not read pip's files."""


def main(folder: Path, lock: Path, *, with_project: bool = True) -> None:
    started_s = time.monotonic()
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"creating {folder} ...", flush=True)
        venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    locked = ["--no-deps", "--require-hashes", "-r", str(lock)]
    project = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    steps = (locked, project) if with_project else (locked,)
    count = sum(line[:1].isalnum() for line in lock.read_text().splitlines())
    print(f"installing {count} packages of {lock} ...", flush=True)
    if _install_uv(pip):
        uv = [str(folder / "bin" / "uv"), "pip", "install", "--python", str(python)]
        if not sys.stderr.isatty():
            uv.append("--quiet")  # in a terminal it shows its progress
        environment = {"UV_LINK_MODE": "copy", "UV_COMPILE_BYTECODE": "1", **os.environ, **_settings_of_pip(pip)}
        if all(_succeeds([*uv, *arguments], environment) for arguments in steps):
            _compile_sources(python)
            print(f"installed in {time.monotonic() - started_s:.0f} s", flush=True)
            return
    print("uv cannot install here, so pip does: this takes some minutes ...", flush=True)
    for arguments in steps:
        subprocess.run([*pip, "install", "--quiet", *arguments], check=True)
    _compile_sources(python)


def _compile_sources(python: Path) -> None:
    """Compile this project's own sources; those of packages are compiled as they are installed."""
    subprocess.run([str(python), "-m", "compileall", "-q", "-j", "0", str(ROOT / "src")], check=True)


def _install_uv(pip: list[str]) -> bool:
    return _succeeds([*pip, "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", str(UV_LOCK)])


def _succeeds(command: list[str], environment: dict[str, str] | None = None) -> bool:
    try:
        return subprocess.run(command, env=environment, check=False).returncode == 0
    except OSError:
        return False


def _settings_of_pip(pip: list[str]) -> dict[str, str]:
    """pip's settings, from its files and variables, as variables for uv. Those that are set for uv stay."""
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    found = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        variable = SETTINGS.get(name.rpartition(".")[2])
        if variable is not None and variable not in os.environ:
            words = str(ast.literal_eval(value)).split()
            found[variable] = ("," if variable == "UV_FIND_LINKS" else " ").join(words)
    return found


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  # make runs this with whatever Python it is given
        sys.exit(
            f"hannun needs Python 3.11 or newer, and this is {sys.version.split()[0]}: make ... PYTHON=/path/to/python3"
        )
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), with_project="--only-packages" not in sys.argv)
    except subprocess.CalledProcessError as error:
        sys.exit(f"cannot install the requirements: pip ended with status {error.returncode}; its output is above")
