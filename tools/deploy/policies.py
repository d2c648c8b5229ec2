"""What checkov and kube-score say of the chart's objects, the Dockerfile and the Terraform files.

Every finding that is not taken has its reason here.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml
from chart import KUBERNETES, ROOT, Object

PROGRAMS: Final = Path(sys.prefix) / "bin"
REASONS: Final = {
    "CKV_K8S_9": "readiness: only serve is reached by others; jobs end, ingest and schedule answer nobody",
}
"""Checks of checkov that are left out, and why."""
AZURE_REASONS: Final = {
    "CKV_AZURE_41": "no date ends a secret, or the service would end with it: a higher secrets_version replaces them",
    "CKV_AZURE_117": "Azure's own keys encrypt the disks, and the nodes their own: no data stays in the cluster",
    "CKV_AZURE_135": "the check knows the older OWASP rules only; Microsoft's rule set 2.1 has the rule for Log4j",
    "CKV_AZURE_199": "a second encryption with Azure's keys, of messages that wait for minutes",
    "CKV_AZURE_201": "the same, with a key of one's own",
    "CKV_AZURE_204": "closed in production; the Standard tier of development cannot be (azure_policies.py checks it)",
    "CKV2_AZURE_31": "every subnet has its rules, by a for_each that checkov does not follow (azure_policies.py does)",
    "CKV2_AZURE_57": "the server is in a subnet of its own, which takes the place of a private endpoint",
}
"""The same for the Terraform files."""
_SPREAD: Final = {
    "deployment-has-host-podantiaffinity": "the pods are spread over zones and nodes by topologySpreadConstraints",
}
IGNORED_SCORES: Final = {
    "prod": _SPREAD,
    "dev": _SPREAD
    | {
        "deployment-has-poddisruptionbudget": "one pod of each process: a budget would only block the drain of a node",
        "horizontalpodautoscaler-replicas": "one pod is enough for 95 %",
    },
}
"""Checks of kube-score that are left out of an environment, and why."""


def checkov(
    paths: Sequence[Path], framework: str, reasons: dict[str, str] = REASONS, variables: Path | None = None
) -> list[str]:
    """The findings of checkov, each in a line. It asks no server.

    Args:
        variables: the values of an environment, for Terraform files.
    """
    arguments = [part for path in paths for part in (("-d" if path.is_dir() else "-f"), str(path))]
    arguments += ["--var-file", str(variables)] if variables else []
    skipped = ["--skip-check", ",".join(reasons)] if reasons else []
    command = [PROGRAMS / "checkov", *arguments, "--framework", framework, *skipped, "--skip-download", "--quiet"]
    result = subprocess.run(
        [*command, "--compact", "-o", "json"], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
    )
    try:
        report = json.loads(result.stdout)
    except ValueError as error:
        raise RuntimeError(f"checkov did not check {paths}: {result.stdout[-2000:]}{result.stderr[-2000:]}") from error
    reports = report if isinstance(report, list) else [report]
    if not any(one.get("summary", {}).get("passed") for one in reports):
        raise RuntimeError(f"checkov found nothing to check in {paths}")
    failed = [finding for one in reports for finding in one["results"]["failed_checks"]]
    return sorted({f"{finding['check_id']} {finding['check_name']}: {finding['resource']}" for finding in failed})


def checkov_of_objects(*environments: Sequence[Object], reasons: dict[str, str] = REASONS) -> list[str]:
    """The findings of checkov in the objects of some environments, which it reads in one run: its start is slow."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"objects-{number}.yaml") for number in range(len(environments))]
        for path, objects in zip(paths, environments, strict=True):
            path.write_text(yaml.safe_dump_all(objects), "utf-8")
        return checkov(paths, "kubernetes", reasons)


def kube_score(objects: Sequence[Object], ignored_scores: dict[str, str]) -> list[str]:
    """The findings of kube-score, each in a line: critical ones and warnings."""
    ignored = [part for name in ignored_scores for part in ("--ignore-test", name)]
    command = [PROGRAMS / "kube-score", "score", "-", "--output-format", "ci", "--kubernetes-version", _minor()]
    result = subprocess.run(
        [*command, *ignored],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = result.stdout.splitlines()
    if not any(line.startswith("[OK]") for line in lines):
        raise RuntimeError(f"kube-score checked nothing: {result.stdout}{result.stderr}")
    return [line for line in lines if line.startswith(("[CRITICAL]", "[WARNING]"))]


def _minor() -> str:
    return KUBERNETES.rpartition(".")[0]


def hadolint(path: Path) -> list[str]:
    """The findings of hadolint in a Dockerfile, each in a line."""
    command = [PROGRAMS / "hadolint", "--no-color", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [line for line in result.stdout.splitlines() if line.strip()]


def compose(path: Path) -> list[str]:
    """What the specification of compose files refuses in one, each in a line."""
    # The validator reads no environment, so that a variable that must be set would be refused.
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", "1000", path.read_text("utf-8"))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=path.parent, prefix=".compose-") as copy:
        copy.write(text)
        copy.flush()
        command = [PROGRAMS / "cmd", copy.name]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [] if result.returncode == 0 else (result.stdout + result.stderr).splitlines()
