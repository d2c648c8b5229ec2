"""docs/licences.md lists the locked packages of the image, all under licences that are allowed."""

import json
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import audit
import licences
import sbom

ROWS = re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \| (.+) \|$", licences.PAGE.read_text("utf-8"), re.MULTILINE)[1:]
LISTED = {package: (version, licence) for package, version, licence in ROWS}


def test_the_list_names_the_packages_of_the_lock_that_linux_installs() -> None:
    lines = [line.rstrip("\\ ") for line in licences.LOCK.read_text("utf-8").splitlines() if line[:1].isalnum()]
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "python_full_version": "3.11.0"}
    requirements = [Requirement(line) for line in lines]
    installed = [each for each in requirements if each.marker is None or each.marker.evaluate(linux)]
    assert {each.name: str(each.specifier) for each in installed} == {
        package: f"=={version}" for package, (version, _) in LISTED.items()
    }


def test_each_package_that_is_installed_here_states_the_listed_licence() -> None:
    found = licences.installed()
    assert len(found) > 60
    assert found == {package: LISTED[package][1] for package in found}


def test_every_licence_is_allowed() -> None:
    assert licences.forbidden({package: licence for package, (_, licence) in LISTED.items()}) == {}


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "AGPL-3.0-or-later", "LGPL-3.0-only", "unknown", "MIT AND GPL-2.0-only"]
)
def test_a_package_under_another_licence_is_refused(licence: str) -> None:
    assert licences.forbidden({"a-package": licence, "click": "BSD-3-Clause"}) == {"a-package": licence}


def test_a_choice_of_licences_is_allowed_where_one_of_them_is() -> None:
    assert licences.forbidden({"a-package": "GPL-2.0-only OR MIT"}) == {}


def answer(name: str, **fields: object) -> dict[str, object]:
    return {"name": name, "version": "1", **fields}


@pytest.mark.parametrize(
    ("dependencies", "status"),
    [
        ([answer("a", vulns=[]), answer("b", vulns=[])], 0),
        ([answer("a", vulns=[]), answer("b", vulns=[{"id": "PYSEC-1"}])], 1),
        ([answer("a", vulns=[{"id": "PYSEC-1"}]), answer("b", skip_reason="not found")], 1),
        ([answer("a", vulns=[]), answer("b", skip_reason="not found")], 3),
        ([answer("a", vulns=[])], 3),
        ([], 3),
    ],
    ids=["none is vulnerable", "one is", "one is and one was skipped", "one was skipped", "one is missing", "nothing"],
)
def test_an_audit_is_green_only_if_every_package_was_looked_up(
    dependencies: list[dict[str, object]], status: int
) -> None:
    assert audit.verdict(json.dumps({"dependencies": dependencies}), {"a", "b"})[0] == status


@pytest.mark.parametrize("output", ["", "Traceback", "[]", "{}", '{"dependencies": null}'])
def test_an_audit_without_a_result_is_not_green(output: str) -> None:
    assert audit.verdict(output, {"a"})[0] == audit.UNKNOWN


def test_the_bill_of_materials_holds_what_the_lock_names_and_nothing_else() -> None:
    def component(name: str, version: str) -> dict[str, str]:
        return {"name": name, "version": version, "bom-ref": f"{name}=={version}"}

    bill = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [component("Babel", "2"), component("typing_extensions", "4"), component("pip", "26")],
        "dependencies": [{"ref": "root", "dependsOn": ["Babel==2", "pip==26"]}, {"ref": "pip==26"}],
    }
    kept = sbom.of_the_lock(bill, {"babel": "2", "typing-extensions": "4"})
    assert [each["name"] for each in kept["components"]] == ["Babel", "typing_extensions"]
    assert kept["dependencies"] == [{"ref": "root", "dependsOn": ["Babel==2"]}]
    with pytest.raises(ValueError, match="is installed, not"):
        sbom.of_the_lock(bill, {"babel": "3"})
