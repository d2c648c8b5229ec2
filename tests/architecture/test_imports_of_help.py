"""What `hannun --help` imports: it answers at once, so it loads no driver, no web framework and no settings."""

import subprocess
import sys

import pytest

PRINTING = {
    "typer",
    "rich",
    "markdown_it",
    "mdurl",
    "pygments",
    "shellingham",
    "annotated_doc",
    "typing_extensions",
    "msgspec",
}
"""Typer and what it prints with; and msgspec, which declares types of the domain."""
CHECKING_OPTIONS = {"pydantic", "pydantic_core", "annotated_types", "typing_inspection"}
"""With which typer checks the value of an option."""
ALLOWED_OF_OURS = ("hannun.cli", "hannun.domain", "hannun.errors", "hannun.imports", "hannun.processes.signals")
PROGRAM = """
import sys
before = set(sys.modules)
from hannun.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
print("imported:", *(set(sys.modules) - before))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_only_what_prints_it(arguments: list[str]) -> None:
    assert packages_imported_by(arguments) <= PRINTING


@pytest.mark.parametrize("arguments", [["channels", "--help"], ["watch", "--help"], ["doctor", "--help"]])
def test_help_of_a_command_imports_only_what_prints_it_and_checks_options(arguments: list[str]) -> None:
    assert packages_imported_by(arguments) <= PRINTING | CHECKING_OPTIONS


def packages_imported_by(arguments: list[str]) -> set[str]:
    """The packages of others that a call imports. Of ours it may import only those of the command line."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True, text=True)
    modules = ran.stdout.splitlines()[-1].split()[1:]
    assert {name for name in modules if name.startswith("hannun.") and not is_allowed(name)} == {"hannun.processes"}
    packages = {name.partition(".")[0] for name in modules if not name.startswith("_")} - {"hannun"}
    return packages - sys.stdlib_module_names


def is_allowed(module: str) -> bool:
    return any(module == allowed or module.startswith(f"{allowed}.") for allowed in ALLOWED_OF_OURS)
