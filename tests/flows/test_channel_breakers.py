"""`hannun channels breaker`: what an operator reads and decides about the breaker of a channel."""

import re

import pytest
from typer.testing import CliRunner, Result
from world import World

from hannun.cli import app
from hannun.counting.channel_limits import SharedBreakers
from hannun.domain.breaker import Outcomes, Policy
from hannun.errors import OperatorError

TV = "wooritv"


def run(world: World, *words: str) -> Result:
    return CliRunner().invoke(
        app, ["channels", "breaker", *words], env={"DATABASE_URL": world.url, "COLUMNS": "80"}, catch_exceptions=False
    )


def breakers(world: World) -> SharedBreakers:
    return SharedBreakers(world.another_database(), {TV: "WooriTV"}, Policy())


def end_calls(shared: SharedBreakers, outcomes: Outcomes) -> None:
    shared.record(TV, shared.admit(TV).generation, outcomes)
    shared.flush()


def test_a_channel_that_was_never_polled_is_closed(world: World) -> None:
    assert run(world, "WooriTV").output == "WooriTV: closed\n  last 60 s: 0 calls, 0 failed, 0 slow\n"


def test_an_operator_sees_why_a_breaker_opened_and_when_it_is_tried_again(world: World) -> None:
    end_calls(breakers(world), Outcomes(20, failed=12, slow=3))
    shown = run(world, "woori tv").output
    assert re.match(r"WooriTV: open since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", shown)
    assert "  opened because calls failed: 20 calls, 12 failed, 3 slow\n" in shown
    assert re.search(r"  next trial from \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC on\n", shown)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_breaker_that_an_operator_holds_open_admits_nothing_until_it_is_reset(world: World) -> None:
    shared = breakers(world)
    end_calls(shared, Outcomes(1))
    held = run(world, "WooriTV", "--open").output
    assert "an operator holds it open" in held and "hannun channels breaker WooriTV --reset" in held
    shared.flush()
    assert shared.admit(TV, 5).granted == 0
    assert run(world, "WooriTV", "--reset").output.startswith("WooriTV: closed since ")
    shared.flush()
    assert shared.admit(TV, 5).granted == 5


@pytest.mark.parametrize("words", [("NoSuchTV",), ("WooriTV", "--open", "--reset")])
def test_an_unknown_channel_and_a_contradiction_are_refused(world: World, words: tuple[str, ...]) -> None:
    with pytest.raises(OperatorError):
        run(world, *words)
    assert world.rows("SELECT 1 FROM hannun.channel_breakers") == []
