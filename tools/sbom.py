"""The bill of materials of the image: each package that its lock installs, in CycloneDX's form.

    .venv-sbom/bin/python tools/sbom.py .venv-image/bin/python build/sbom.cdx.json

The environment that is read also holds what installed it (pip, uv); only what the lock names is kept.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from licences import ROOT, locked


def read(python: str) -> dict[str, Any]:
    """What cyclonedx-py finds in the environment of this Python."""
    command = [Path(sys.prefix) / "bin/cyclonedx-py", "environment", "--output-reproducible", "--of", "JSON", python]
    ran = subprocess.run(
        [*map(str, command), "--pyproject", "pyproject.toml"], cwd=ROOT, capture_output=True, check=True
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def of_the_lock(bill: dict[str, Any], packages: dict[str, str]) -> dict[str, Any]:
    """The bill without the components that the lock does not name; every other one has the version of the lock."""
    kept = [component for component in bill["components"] if _name(component) in packages]
    for component in kept:
        if component["version"] != packages[_name(component)]:
            raise ValueError(
                f"{component['name']} {component['version']} is installed, not {packages[_name(component)]}"
            )
    refs = {component["bom-ref"] for component in kept}
    root = bill["metadata"]["component"]["bom-ref"]
    edges = [
        edge | {"dependsOn": [ref for ref in edge.get("dependsOn", []) if ref in refs]}
        for edge in bill["dependencies"]
        if edge["ref"] in refs | {root}
    ]
    return bill | {"components": kept, "dependencies": edges}


def _name(component: dict[str, Any]) -> str:
    return str(component["name"]).lower().replace("_", "-").replace(".", "-")


def main(python: str, file: str) -> None:
    bill = of_the_lock(read(python), locked())
    bill["metadata"]["component"]["version"] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "version"
    ]
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(bill, indent=2) + "\n", "utf-8")
    print(f"sbom: {len(bill['components'])} packages in {file}")


if __name__ == "__main__":
    main(*sys.argv[1:])
