"""`hannun settings`: what is in force, from where, and no secret."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from hannun.cli.application import app
from hannun.errors import OperatorError
from hannun.processes.commands.settings_in_force import (
    ONLY_COMMANDS_READ,
    unknown_variables,
    warn_of_unknown_variables,
)
from hannun.settings import SECRETS, Settings, read, variable_of

SOURCE = Path(__file__).parents[1] / "src" / "hannun"
HIDDEN = "do-not-show-this-secret-of-any-kind"
URL = f"postgresql://service:{HIDDEN}@db.example:5433/analytics_db?sslmode=require&sslpassword={HIDDEN}"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {variable_of(name) for name in Settings.model_fields}
    for variable in [name for name in os.environ if name in ours or name.startswith("HANNUN_")]:
        monkeypatch.delenv(variable)


def shown(environment: dict[str, str], *options: str, columns: int = 80) -> Any:
    return CliRunner().invoke(app, ["settings", *options], env={**environment, "COLUMNS": str(columns)})


def as_json(environment: dict[str, str]) -> dict[str, tuple[str, str, str]]:
    report = json.loads(shown(environment, "--json").stdout)
    return {each["variable"]: (each["value"], each["source"], each["file"]) for each in report["settings"]}


def test_every_setting_is_shown_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{HIDDEN}-1\n{HIDDEN}-2\n")
    found = as_json({"HANNUN_PORT": "9090", "HANNUN_SECURE_COOKIES": "1", "HANNUN_JWT_SECRET_FILE": str(file)})
    assert set(found) == {variable_of(name) for name in Settings.model_fields}
    assert found["HANNUN_PORT"] == ("9090", "environment", "")
    assert found["HANNUN_SECURE_COOKIES"] == ("true", "environment", "")
    assert found["HANNUN_HOST"] == ("127.0.0.1", "default", "")
    assert found["HANNUN_MONTHS_KEPT"] == ("", "default", "")
    assert found["HANNUN_JWT_SECRET"] == ("*** (2 secrets)", "file", str(file))


def test_settings_that_are_empty_are_named_together() -> None:
    text = shown({"HANNUN_JWT_SECRET_FILE": "", "HANNUN_REFRESH_AT": "", "HANNUN_PORT": "9090"}).stdout
    given, _, not_set = text.partition("not set: ")
    assert "=\n" not in given.replace("HANNUN_REFRESH_AT=\n", "", 1), (
        "an empty timetable is no default: it makes no rounds"
    )
    assert {"HANNUN_JWT_SECRET_FILE", "HANNUN_MONTHS_KEPT"} <= set(not_set.replace(",", " ").split())
    assert "from the environment:\n  HANNUN_PORT=9090\n  HANNUN_REFRESH_AT=\n" in text


def test_a_value_that_cannot_be_used_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANNUN_POOL_SIZE_MAX", "abc")
    with pytest.raises(OperatorError, match="HANNUN_POOL_SIZE_MAX cannot be used: 'abc' is no whole number"):
        read()


def test_a_missing_key_ring_is_made_by_the_command_that_the_hint_names() -> None:
    with pytest.raises(OperatorError, match="`hannun keys new FILE`"):
        read().needed("key_ring_file")


@pytest.mark.parametrize("in_files", [True, False])
def test_no_secret_is_shown_in_any_form(in_files: bool, tmp_path: Path) -> None:
    environment = {}
    for name in SECRETS:
        value = URL if name.endswith("url") else HIDDEN
        if in_files:
            path = tmp_path / name
            path.write_text(value)
            environment[variable_of(f"{name}_file")] = str(path)
        else:
            environment[variable_of(name)] = value
    for options in ((), ("--json",)):
        result = shown(environment, *options)
        assert result.exit_code == 0, result.output
        assert HIDDEN not in result.output
        assert "postgresql://service:***@db.example:5433/analytics_db" in result.output


@pytest.mark.parametrize("url", [f"host=db password={HIDDEN} user=service", f"no url at all {HIDDEN}", f"{HIDDEN}=x"])
def test_a_url_of_another_form_hides_its_password_too(url: str) -> None:
    assert HIDDEN not in shown({"DATABASE_URL": url}).output


def test_a_misspelled_setting_is_pointed_out() -> None:
    environment = {
        "HANNUN_REFERSH_AT": "0 0 * * * *",
        "hannun_port": "9090",
        "HANNUN_QQ": "1",
        "HANNUN_API": "http://x",
    }
    result = shown(environment)
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "HANNUN_REFERSH_AT is no setting, and nothing reads it; do you mean HANNUN_REFRESH_AT?" in text
    assert "HANNUN_QQ is no setting, and nothing reads it" in text
    assert "hannun_port is no setting" not in text
    assert "HANNUN_PORT=9090" in text
    report = json.loads(shown(environment, "--json").stdout)
    assert {each["variable"]: each["meant"] for each in report["unknown"]}["HANNUN_REFERSH_AT"] == "HANNUN_REFRESH_AT"


def test_a_file_with_a_secret_that_others_may_read_is_pointed_out_with_the_command(tmp_path: Path) -> None:
    variables = [
        "HANNUN_JWT_SECRET_FILE",
        "HANNUN_DRILL_IDENTITY_FILE",
        "HANNUN_ADMIN_TOKEN_FILE",
        "REDIS_PASSWORD_FILE",
    ]
    files = {variable: tmp_path / variable.lower() for variable in variables}
    for file in files.values():
        file.write_text(HIDDEN)
        file.chmod(0o644)
    files["REDIS_PASSWORD_FILE"].chmod(0o640)
    environment = {variable: str(file) for variable, file in files.items()}
    text = " ".join(shown(environment).stdout.split())
    exposed = json.loads(shown(environment, "--json").stdout)["exposed"]
    assert exposed == [
        {"variable": variable, "path": str(files[variable]), "mode": "0644"} for variable in variables[:3]
    ]
    for variable in variables[:3]:
        assert f"{variable} names: chmod o= {files[variable]}" in text
        files[variable].chmod(0o600)
    assert "any user of this machine" not in shown(environment).stdout


def test_a_process_warns_of_a_misspelled_setting(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_unknown_variables(["HANNUN_POTR", "PATH", "HANNUN_PORT"])
    written = capsys.readouterr()
    assert "HANNUN_POTR" in written.err + written.out
    assert "PATH" not in written.err + written.out


def test_every_variable_that_a_command_reads_is_known() -> None:
    """An option of a command may have a variable; so may the tools of a home."""
    texts = [path.read_text("utf-8") for part in ("cli", "processes") for path in (SOURCE / part).rglob("*.py")]
    read = {name for text in texts for name in re.findall(r"envvar=\"(HANNUN_[A-Z_]+)\"", text)}
    assert read <= ONLY_COMMANDS_READ
    named = {name for text in texts for name in re.findall(r"\bHANNUN_[A-Z_]+[A-Z]\b", text)}
    assert unknown_variables(named) == []


def test_it_fits_80_columns_as_far_as_the_values_do() -> None:
    lines = shown({"HANNUN_CORS_ORIGINS": "https://a.example", "HANNUN_REFERSH_AT": "x"}).stdout.splitlines()
    assert [line for line in lines if cell_len(line) > 80] == []
