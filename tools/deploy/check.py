"""make deploy-check: what can be known of the deployment without a cluster and without an engine of containers.

    .venv-deploy/bin/python tools/deploy/check.py

Each check prints its findings and its time. Status 0: no check found anything; 1: one did.
"""

import sys
import time
from collections.abc import Callable, Sequence

import azure_policies
import azurerm
import chart
import objects
import policies
import terraform
from azurerm import FILES
from chart import ENVIRONMENTS, ROOT, Object

Check = tuple[str, Callable[[], Sequence[str]]]


def checks() -> list[Check]:
    """Every check with its name, in order."""
    return [
        ("Dockerfile: hadolint", lambda: policies.hadolint(ROOT / "deploy/docker/Dockerfile")),
        ("Dockerfile: checkov", lambda: policies.checkov([ROOT / "deploy/docker/Dockerfile"], "dockerfile", {})),
        ("compose.yaml: its specification", lambda: policies.compose(ROOT / "compose.yaml")),
        *(check for environment in ENVIRONMENTS for check in _checks_of_chart(environment)),
        *(check for source in chart.SOURCES for check in _checks_on_azure(source)),
        ("chart: checkov", lambda: policies.checkov_of_objects(*map(_objects_of, ENVIRONMENTS))),
        (f"Azure: format ({_formatters()})", terraform.badly_formatted),
        ("Azure: names of variables, outputs, attributes", terraform.unknown_names),
        ("Azure: arguments, as pulumi-azure knows them", azurerm.problems),
        ("Azure: tags", azure_policies.without_tags),
        ("Azure: what the Internet reaches", azure_policies.open_to_the_internet),
        ("Azure: checkov", _checkov_of_azure),
    ]


def _formatters() -> str:
    return "hclfmt and terraform" if terraform.terraform() else "hclfmt; no terraform on this machine"


def _checkov_of_azure() -> list[str]:
    # One environment is enough: checkov does not carry their values into the modules.
    return policies.checkov([FILES], "terraform", policies.AZURE_REASONS, FILES / "environments/prod.tfvars")


def _checks_of_chart(environment: str) -> list[Check]:
    values = chart.values_of(environment)
    return [
        (f"chart, {environment}: Helm's lint", lambda: chart.lint(values)),
        (f"chart, {environment}: schemas of the objects", lambda: objects.problems(_objects_of(environment))),
        (f"chart, {environment}: the same with the CSI driver", lambda: objects.problems(_with_csi(environment))),
        (
            f"chart, {environment}: kube-score",
            lambda: policies.kube_score(_objects_of(environment), policies.IGNORED_SCORES[environment]),
        ),
    ]


def _checks_on_azure(source: str) -> list[Check]:
    values = chart.values_on_azure("prod", source)
    return [
        (f"chart on Azure, {source}: Helm's lint", lambda: chart.lint(values)),
        (f"chart on Azure, {source}: schemas of the objects", lambda: objects.problems(chart.render(values))),
    ]


def _objects_of(environment: str) -> list[Object]:
    return chart.render(chart.values_of(environment))


def _with_csi(environment: str) -> list[Object]:
    parameters = {"keyvaultName": "hannun", "tenantId": "00000000-0000-0000-0000-000000000000"}
    secrets = {"secrets": {"provider": "csi", "csi": {"parameters": parameters}}}
    return chart.render(chart.values_of(environment, secrets))


def main() -> int:
    failed = 0
    for name, check in checks():
        began = time.monotonic()
        findings = check()
        print(f"{'FOUND' if findings else 'ok   '} {name} ({time.monotonic() - began:.1f} s)", flush=True)
        for finding in findings:
            print(f"      {finding}", flush=True)
        failed += bool(findings)
    print(f"deploy-check: {failed} checks found something" if failed else "deploy-check: all well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
