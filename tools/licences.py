"""The list of the packages in the image with their licences, docs/licences.md.

    .venv-image/bin/python tools/licences.py write      of the packages in the environment that runs it

Uses the standard library only, because it runs in the environment that it lists.
"""

import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements/image.txt"
PAGE = ROOT / "docs/licences.md"
READ = {
    "async-timeout": "Apache-2.0",
    "confluent-kafka": "Apache-2.0",
    "cronsim": "BSD-3-Clause",
    "isodate": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "pyrage": "MIT",
}
"""Licences that were read in the licence file of the package: its metadata name none exactly, or only the first
releases of Python 3.11 install it, so that it may be missing here."""
WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
"""What packages write instead of an identifier of SPDX."""
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
}
ALLOWED_FOR = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only", "psycopg-pool": "LGPL-3.0-only"}
"""Weak copyleft, for packages that are installed unchanged and can be replaced by whoever gets the image."""
HEAD = """\
# Licences

For those who pass the image on: each package of `requirements/image.txt` that is installed on Linux, and the licence
that it states. `make licences` writes this page; tests compare it with the lock, with the installed packages, and with
the licences that are allowed (`tools/licences.py`).

Hannun is Apache-2.0. No package is under the GPL or the AGPL. psycopg is under the LGPL: it is installed unchanged, in
files of its own, and can be replaced. The page's libraries have a [list of their
own](../src/hannun/web/static/vendor/README.md). The fonts of the PDF report are under the SIL Open Font License.

Not listed: libraries inside of wheels (as OpenSSL in psycopg-binary, or PostgreSQL's programs), and the packages of the
base image.

| package | version | licence |
|---|---|---|
"""


def locked() -> dict[str, str]:
    """The packages that the lock names, with their versions."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text("utf-8"), re.MULTILINE))


def installed() -> dict[str, str]:
    """The licences of the locked packages that are installed here in the locked version, and of those in `READ`."""
    found = dict(READ)
    for package, version in locked().items():
        try:
            about = metadata.distribution(package)
        except metadata.PackageNotFoundError:
            continue
        if about.version == version:
            found[package] = licence_of(package, about.metadata)
    return found


def licence_of(package: str, about: metadata.PackageMetadata) -> str:
    """The licence that a package states, as an expression of SPDX; "unknown" where it states none."""
    stated = READ.get(package) or about["License-Expression"] or about["License"] or "unknown"
    return WORDS.get(stated, stated)


def forbidden(licences: Mapping[str, str]) -> dict[str, str]:
    """The packages whose licence is not one of the allowed ones."""
    return {package: licence for package, licence in licences.items() if not _is_allowed(package, licence)}


def _is_allowed(package: str, licence: str) -> bool:
    allowed = ALLOWED | {ALLOWED_FOR.get(package, "MIT")}
    return any(set(choice.split(" AND ")) <= allowed for choice in licence.split(" OR "))


def page() -> str:
    """The list of what is installed here."""
    versions = locked()
    rows = (f"| {package} | {versions[package]} | {licence} |\n" for package, licence in sorted(installed().items()))
    return HEAD + "".join(rows)


def main(verb: str) -> int:
    if refused := forbidden(installed()):
        print(f"licences that are not allowed: {refused}")
        return 1
    if verb == "write":
        PAGE.write_text(page(), "utf-8")
    elif page() != PAGE.read_text("utf-8"):
        print("docs/licences.md is not the list of what is installed here: make licences")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
