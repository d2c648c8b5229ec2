"""docs/capacity.md shows what `hannun capacity` prints, and what a machine reads is the same."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hannun.cli.application import app
from hannun.domain.capacity import LOAD_BOUNDS
from hannun.domain.prices import PRICES_FILE
from hannun.errors import OperatorError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/capacity.md").read_text()
SHOWN = re.findall(r"^```\n\$ hannun (capacity .*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
PRODUCTION = "capacity --users 10000 --events 10000 --participants-a-day 1000000"


def output(command: str) -> str:
    ran = CliRunner().invoke(app, command.split(), env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.fixture(autouse=True)
def _terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from hannun.cli.terminal import out

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(out, "width", 80)


def test_the_page_shows_what_the_command_prints() -> None:
    assert [command for command, _ in SHOWN][-1] == PRODUCTION
    for command, shown in SHOWN:
        assert [line.rstrip() for line in output(command).splitlines()] == shown.splitlines()


def test_the_summary_of_the_page_has_the_figures_of_the_command() -> None:
    cells = dict(re.findall(r"^\| (.+?) \| (.+) \|$", PAGE, re.MULTILINE))
    bills = [
        json.loads(output(f"{command} --json"))["environments"][environment]["usdAMonth"]
        for (command, _), environment in zip(SHOWN, ("development", "production"), strict=True)
    ]
    assert cells["this service, USD a month"] == " | ".join(f"{bill['total']:,.0f}" for bill in bills)
    assert cells["the whole platform, USD a month"] == " | ".join(f"{bill['platform']:,}" for bill in bills)
    assert cells["share"] == " | ".join(f"{bill['total'] / bill['platform'] * 100:,.0f} %" for bill in bills)


@pytest.mark.parametrize(
    "load", ["0 0 0 1 1", "100 100 10000 365 10", "10000 10000 1000000 365 10", "1000000 1000000 1000000000 3660 1000"]
)
def test_every_line_fits_80_columns(load: str) -> None:
    options = ("--users", "--events", "--participants-a-day", "--days-kept", "--peak")
    command = " ".join(f"{option} {value}" for option, value in zip(options, load.split(), strict=True))
    assert [line for line in output(f"capacity {command}").splitlines() if len(line) > 80] == []


def test_json_names_the_day_of_the_prices_and_how_many_are_unverified() -> None:
    answer = json.loads(output(f"{PRODUCTION} --json"))
    assert answer["prices"]["oldestDay"] <= "2026-11-27"
    assert answer["prices"]["unverified"] <= answer["prices"]["of"]
    assert answer["prices"]["oldestDay"] in answer["warnings"][0]


def test_every_price_names_its_source_and_its_day_and_none_claims_more_than_its_source() -> None:
    stated = json.loads((ROOT / "src/hannun/domain" / PRICES_FILE).read_text())
    entries = {"regionFactor": stated["regionFactor"], **stated["prices"]}
    for name, entry in entries.items():
        date.fromisoformat(entry["day"])
        assert len(entry["source"]) > 20, name
        assert not (entry["verified"] and re.search(r"memory|estimate", entry["source"])), name
    assert ("**No price is verified.**" in PAGE) == (not any(entry["verified"] for entry in entries.values()))


def test_another_file_of_prices_is_used_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    stated = json.loads((ROOT / "src/hannun/domain" / PRICES_FILE).read_text())
    stated["regionFactor"]["factor"] = 0
    free, wrong = tmp_path / "free.json", tmp_path / "wrong.json"
    free.write_text(json.dumps(stated))
    wrong.write_text("{}")
    bill = json.loads(output(f"{PRODUCTION} --json --prices {free}"))["environments"]["production"]["usdAMonth"]
    assert bill["total"] == 0
    for file, found in ((wrong, "cannot be used"), (tmp_path / "none.json", "cannot read")):
        refused = CliRunner().invoke(app, [*PRODUCTION.split(), "--prices", str(file)])
        assert isinstance(refused.exception, OperatorError)
        assert found in str(refused.exception)


def test_each_option_has_the_bounds_of_the_load() -> None:
    for parameter in typer.main.get_command(app).commands["capacity"].params:  # type: ignore[attr-defined]
        if parameter.name in LOAD_BOUNDS:
            assert (parameter.min, parameter.max) == LOAD_BOUNDS[parameter.name]
            least, most = LOAD_BOUNDS[parameter.name]
            for value in (least - 1, most + 1):
                refused = CliRunner().invoke(app, [*PRODUCTION.split(), parameter.opts[0], str(value)])
                assert refused.exit_code == 2
                assert "Invalid value" in refused.output
