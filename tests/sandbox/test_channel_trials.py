"""`hannun channels check | try`: what an operator learns from one call; and no credential, and nothing is written."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from channel_calls import CHANNELS, PLATFORM, Api, running_api, without_budgets
from typer.testing import CliRunner, Result
from world import World

from hannun import settings
from hannun.cli.application import app
from hannun.counting.channel_limits import SharedBudgets
from hannun.errors import OperatorError, Transient
from hannun.processes.channels import operated_channels
from hannun.sandbox.channels.access import access_toml
from hannun.sandbox.channels.shape import load_all

EVENT = PLATFORM.events[0].id


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with running_api(without_budgets(load_all())) as api:
        yield api


class Operator(NamedTuple):
    """Somebody who calls channels of the sandbox, whose access file is at `access`."""

    world: World
    api: Api
    access: Path

    def run(self, *words: str) -> Result:
        environment = {
            "DATABASE_URL": self.world.url,
            "COLUMNS": "80",
            "HANNUN_CHANNEL_ACCESS_FILE": str(self.access),
            "HANNUN_CHANNEL_PRIVATE_ADDRESSES": "true",
        }
        shown = CliRunner().invoke(app, ["channels", *words], env=environment, catch_exceptions=False)
        assert self.secrets_in(shown.output) == []
        return shown

    def try_(self, channel: str, event: str = EVENT) -> Result:
        return self.run("try", channel, "--event", event)

    def secrets_in(self, text: str) -> list[str]:
        """The credentials of the access file that a text holds."""
        entries = tomllib.loads(self.access.read_text()).values()
        values = [value for entry in entries for name, value in entry.items() if "address" not in name]
        return [value for value in values if len(value) > 5 and value in text]

    def nothing_is_written(self) -> bool:
        tables = ("channel_measurements", "channel_breakers", "increments", "rounds")
        return all(self.world.rows(f"SELECT 1 FROM hannun.{table}") == [] for table in tables)

    def budgets(self, channel: str) -> SharedBudgets:
        (found,) = [each for each in operated_channels(settings.read()) if each.channel.name == channel]
        return SharedBudgets(self.world.another_database(), {found.channel.key: found.budgets}, 300.0)


@pytest.fixture
def operator(world: World, server: Api, tmp_path: Path) -> Operator:
    server.reset()
    access = tmp_path / "access.toml"
    access.write_text(access_toml(load_all(), server.address))
    return Operator(world, server, access)


def tell(operator: Operator, channel: str, behaviour: str, **options: object) -> None:
    operator.api.tell(channel, behaviour, options=options)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_that_works_passes_every_step(operator: Operator, channel: str) -> None:
    shown = operator.run("check", channel)
    assert re.findall(r"(\w+): ok", shown.output) == ["declaration", "access", "address", "connection", "call"]
    assert (shown.exit_code, max(map(len, shown.output.splitlines())) <= 80) == (0, True)
    assert operator.nothing_is_written()


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_call_is_shown_without_credentials_and_uses_one_unit(operator: Operator, channel: str) -> None:
    shown = operator.try_(channel)
    assert shown.exit_code == 0
    assert re.search(r"^response: status 200 in [\d.]+ s$", shown.output, re.MULTILINE)
    assert re.search(r"^  (views|impressions|total_calls): (\d+) -> \2$", shown.output, re.MULTILINE)
    assert "accepted: these totals can be counted\n1 call of the budget used" in shown.output
    assert operator.world.rows("SELECT sum(units) AS units FROM hannun.channel_budgets")[0].units >= 1
    assert operator.nothing_is_written()


@pytest.mark.parametrize(
    ("behaviour", "options", "status", "says"),
    [
        ("status", {"status": 401}, 1, "failed: status-401 check the credentials in the access file"),
        ("html", {}, 1, "failed: not-json check the path of the declaration"),
        ("redirect", {}, 1, "failed: redirect enter the new address"),
        ("error-body", {}, 1, "failed: error-body read the error in the body"),
        ("negative", {}, 1, "refused: negative (impressions) ask the channel; the last good totals stay"),
        ("quota", {}, 0, "over quota: the channel works, and refuses more calls"),
        ("empty", {}, 0, f"the channel does not know the event {EVENT}"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    operator: Operator, behaviour: str, options: dict[str, object], status: int, says: str
) -> None:
    tell(operator, "WooriTV", behaviour, **options)
    shown = operator.try_("WooriTV")
    assert shown.exit_code == status
    assert says in " ".join(shown.output.split())
    assert operator.run("check", "WooriTV").exit_code == status


def test_a_retry_is_not_made(operator: Operator) -> None:
    tell(operator, "WooriTV", "status", status=503)
    assert "1 call of the budget used" in operator.try_("WooriTV").output
    assert operator.api.state("WooriTV")["calls"] == 1


def test_a_server_without_tls_behind_https_fails_at_the_connection(operator: Operator) -> None:
    operator.access.write_text(operator.access.read_text().replace("http://", "https://"))
    shown = operator.run("check", "WooriTV")
    assert shown.exit_code == 1
    assert "address: ok" in shown.output and "connection: failed" in shown.output
    assert "check `address`; for an authority of your own set SSL_CERT_FILE" in shown.output
    assert operator.world.rows("SELECT 1 FROM hannun.channel_budgets") == [], "no call was made"


def test_a_budget_without_a_call_left_asks_for_patience(operator: Operator) -> None:
    operator.budgets("WooriTV").block("wooritv", 600.0)
    with pytest.raises(Transient, match="the budget of WooriTV has no call left"):
        operator.try_("WooriTV")
    assert operator.api.state("WooriTV")["calls"] == 0


def test_a_channel_that_is_not_set_up_names_what_is_missing(operator: Operator) -> None:
    operator.access.write_text("")
    with pytest.raises(OperatorError) as error:
        operator.run("check", "GenieTV")
    assert error.value.hint.startswith("add [GenieTV] with address, api_key, customer, secret_key to ")


@pytest.mark.parametrize("event", ["", "a/b", "x" * 37, "."])
def test_what_is_no_id_is_refused(operator: Operator, event: str) -> None:
    with pytest.raises(OperatorError, match="is no id of an event"):
        operator.try_("WooriTV", event)
