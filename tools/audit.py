"""Compares the image's lock with the published vulnerabilities, by pip-audit.

    .venv-sbom/bin/python tools/audit.py

Status 0: every locked package was looked up, and none has a known vulnerability. 1: one has. 3: some could not be
looked up, so nothing is known. pip-audit alone also says "no known vulnerabilities" of packages that it skipped.
"""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from licences import LOCK, locked

FOUND, UNKNOWN = 1, 3


def verdict(output: str, expected: Collection[str]) -> tuple[int, str]:
    """The status and a sentence, from what pip-audit writes as JSON and the packages that it should have looked up."""
    try:
        answered = {each["name"]: each for each in json.loads(output)["dependencies"]}
    except (ValueError, KeyError, TypeError):
        return UNKNOWN, "NOT KNOWN: pip-audit gave no result"
    vulnerable = sorted(name for name, each in answered.items() if each.get("vulns"))
    if vulnerable:
        return FOUND, f"VULNERABLE: {', '.join(vulnerable)}"
    missing = sorted(name for name in expected if "vulns" not in answered.get(name, {}))
    if missing:
        return (
            UNKNOWN,
            f"NOT KNOWN: {len(missing)} of {len(expected)} packages could not be looked up ({missing[0]}, ...)",
        )
    return 0, f"no known vulnerability in {len(expected)} packages"


def main() -> int:
    program = Path(sys.prefix) / "bin/pip-audit"
    options = ["--strict", "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    ran = subprocess.run([program, *options, "-r", LOCK], capture_output=True, text=True, timeout=900, check=False)
    status, sentence = verdict(ran.stdout, _expected())
    print(f"audit: {sentence}")
    if status == UNKNOWN:
        print("\n".join(ran.stderr.strip().splitlines()[-3:]))
        print("Run it where the advisories of PyPI or OSV can be reached: until then nobody has looked.")
    return status


def _expected() -> set[str]:
    """The locked packages that are installed on this system: pip-audit leaves out those for others."""
    others = {line.split("==")[0] for line in LOCK.read_text("utf-8").splitlines() if "; " in line}
    return set(locked()) - others


if __name__ == "__main__":
    sys.exit(main())
