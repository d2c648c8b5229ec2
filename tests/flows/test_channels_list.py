"""`hannun channels list`: what an operator sees of every channel, and status 1 where one needs somebody."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from refresh_rounds import Round, ended_round
from typer.testing import CliRunner, Result
from world import World

from hannun import settings
from hannun.cli.application import app
from hannun.counting.channel_limits import SharedBreakers, SharedBudgets
from hannun.domain.breaker import Outcomes
from hannun.processes.channels import operated_channels

TOKEN = "secret-token-of-instagram"


@pytest.fixture
def access(tmp_path: Path) -> Path:
    """An access file with one channel."""
    path = tmp_path / "access.toml"
    path.write_text(f'[Instagram]\naddress = "https://graph.example.com"\ntoken = "{TOKEN}"\n')
    return path


@pytest.fixture
def spring(world: World) -> World:
    world.count(world.created(), world.distributed(channelName="Instagram", channelType="SNS"))
    return world


def run(world: World, access: Path, *words: str) -> Result:
    environment = {"DATABASE_URL": world.url, "COLUMNS": "80", "HANNUN_CHANNEL_ACCESS_FILE": str(access)}
    shown = CliRunner().invoke(app, ["channels", "list", *words], env=environment, catch_exceptions=False)
    assert TOKEN not in shown.output
    return shown


def as_json(world: World, access: Path) -> dict[str, dict[str, Any]]:
    """The JSON of each channel, by its name."""
    lines = run(world, access, "--json").output.splitlines()
    return {channel["name"]: channel for channel in map(json.loads, lines)}


def of_instagram(shown: Result) -> str:
    """The part of a listing that is about Instagram, without line ends."""
    return " ".join(shown.output.split("Instagram (SNS): ")[1].split("KakaoChannel")[0].split())


def test_every_channel_is_listed_and_one_without_access_is_not_set_up(spring: World, access: Path) -> None:
    shown = run(spring, access)
    assert shown.exit_code == 0
    assert "WooriTV (TV): not set up: the access file has no entry for it\n" in shown.output
    assert of_instagram(shown).startswith("set up, never called budget calls: 0 of 48,000 taken")
    assert "1 ACTIVE event, none measured next poll: " in of_instagram(shown)
    assert max(map(len, shown.output.splitlines())) <= 80


def test_what_the_newest_round_did_budgets_and_ages_are_shown(spring: World, access: Path) -> None:
    now = spring.measurement_counter.now()
    spring.measure(spring.measurement("Instagram", at=str(now - timedelta(seconds=90)), views=5))
    round_ = Round(spring, "instagram", "instagram")
    round_.finish(changed=1, failed=1, calls=2)
    (budgets,) = [each.budgets for each in operated_channels(settings.read()) if each.channel.key == "instagram"]
    SharedBudgets(spring.another_database(), {"instagram": budgets}, 300.0).take("instagram", 3)
    shown = of_instagram(run(spring, access))
    assert "newest round: 1 measured, 1 failed, 2 left" in shown
    assert "budget calls: 3 of 48,000 taken until " in shown
    assert "1 ACTIVE event; oldest measurement " in shown
    channel = as_json(spring, access)["Instagram"]
    assert channel["newestRound"] | {"left": 0} == {
        **dict.fromkeys(["unchanged", "refused", "overQuota", "skipped", "left"], 0),
        "measured": 1,
        "failed": 1,
    }
    assert channel["budgets"][0]["taken"] == 3
    assert channel["oldestMeasurementAt"].endswith("Z") and channel["staleEvents"] == 0


def test_an_open_breaker_needs_an_operator(spring: World, access: Path) -> None:
    shared = SharedBreakers(spring.another_database(), {"instagram": "Instagram"})
    shared.record("instagram", shared.admit("instagram").generation, Outcomes(20, failed=20))
    shared.flush()
    shown = run(spring, access)
    assert shown.exit_code == 1
    assert "breaker open since " in of_instagram(shown)
    assert "it is not called, its breaker is open to find out why: hannun channels check Instagram" in of_instagram(
        shown
    )
    assert as_json(spring, access)["Instagram"]["breaker"]["reason"] == "failures"


def test_only_stale_measurements_need_an_operator(spring: World, access: Path) -> None:
    at = spring.measurement_counter.now() - timedelta(hours=1)
    spring.measure(spring.measurement("Instagram", at=str(at), views=5))
    ended_round(spring, "instagram")
    shown = run(spring, access)
    assert shown.exit_code == 1
    assert "it has only stale measurements, of 1 ACTIVE event" in of_instagram(shown)
