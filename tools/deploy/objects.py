"""Whether the API server would take the chart's objects: every field known, of the right type.

Objects of Kubernetes itself are compared with its schemas (kubernetes-validate). Custom objects are compared with the
types that are generated of their definitions (@kubernetes-models), by TypeScript, which also names unknown fields.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import kubernetes_validate
from chart import KUBERNETES, Object

FOLDER: Final = Path(__file__).parent
PACKAGES: Final = {
    "keda.sh": "keda",
    "gateway.networking.k8s.io": "gateway-api",
    "external-secrets.io": "external-secrets",
    "monitoring.coreos.com": "prometheus-operator",
}
"""The package with the types of each group of custom objects."""
WITHOUT_SCHEMA: Final = {"SecretProviderClass": {"provider", "parameters", "secretObjects"}}
"""Objects whose definition is in no package, and what may stand in their specification."""
_TYPES: Final = ("--noEmit", "--module", "nodenext", "--skipLibCheck", "--pretty", "false")


def name_of(found: Object) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def problems(objects: Sequence[Object]) -> list[str]:
    """What is wrong with these objects, each in a line."""
    custom = [found for found in objects if "." in found["apiVersion"].split("/")[0] and _is_custom(found)]
    own = [found for found in objects if found not in custom]
    return [*_problems_of_kubernetes(own), *_problems_of_custom(custom), *_repeated(objects)]


def _is_custom(found: Object) -> bool:
    return not found["apiVersion"].split("/")[0].endswith(".k8s.io") or found["apiVersion"].startswith("gateway.")


def _problems_of_kubernetes(objects: Sequence[Object]) -> list[str]:
    said = []
    for found in objects:
        try:
            kubernetes_validate.validate(found, KUBERNETES.removeprefix("v").rpartition(".")[0], strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            where = "/".join(str(part) for part in getattr(error, "path", []))
            said.append(f"{name_of(found)}: {where}: {getattr(error, 'message', error)}")
    return said


def _problems_of_custom(objects: Sequence[Object]) -> list[str]:
    said, typed = [], []
    for found in objects:
        if found["kind"] in WITHOUT_SCHEMA:
            unknown = set(found["spec"]) - WITHOUT_SCHEMA[found["kind"]]
            said += [f"{name_of(found)}: spec/{field}: unknown" for field in sorted(unknown)]
        elif found["apiVersion"].split("/")[0] in PACKAGES:
            typed.append(found)
        else:
            said.append(f"{name_of(found)}: no types are known for {found['apiVersion']}")
    return said + _type_errors(typed)


def _type_errors(objects: Sequence[Object]) -> list[str]:
    """What TypeScript says of the objects, one a line of a module, so that a line names its object."""
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".objects-") as folder:
        lines = []
        for found in objects:
            group, version = found["apiVersion"].split("/")
            kind = found["kind"]
            module = f"@kubernetes-models/{PACKAGES[group]}/{group}/{version}/{kind}"
            lines.append(f'export const o{len(lines)}: import("{module}").I{kind} = {json.dumps(found)};')
        path = Path(folder, "objects.ts")
        path.write_text("\n".join(lines) + "\n", "utf-8")
        compiler = FOLDER / "node_modules/.bin/tsc"
        result = subprocess.run([compiler, *_TYPES, path], capture_output=True, text=True, timeout=120, check=False)
        found_errors = re.findall(r"^\S*objects\.ts\((\d+),\d+\): error \S+ (.*)$", result.stdout, re.MULTILINE)
        if result.returncode != 0 and not found_errors:
            raise RuntimeError(f"tsc cannot check the custom objects: {result.stdout}{result.stderr}")
    return [f"{name_of(objects[int(line) - 1])}: {text}" for line, text in found_errors]


def _repeated(objects: Sequence[Object]) -> list[str]:
    names = [(found["apiVersion"], name_of(found)) for found in objects]
    return [f"{name} is rendered twice" for version, name in sorted({one for one in names if names.count(one) > 1})]
