"""`hannun channels breaker`: what an operator reads and decides about the breaker of a channel."""

import re

import pytest
from typer.testing import CliRunner, Result
from world import World

from hannun.cli.application import app
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


# -- outages


def outages(world: World) -> list[tuple[bool, str]]:
    """Whether each outage has ended, and its reason, the oldest first."""
    rows = world.rows("SELECT ended_at IS NOT NULL AS ended, reason FROM hannun.channel_outages ORDER BY began_at")
    return [(row.ended, row.reason) for row in rows]


def test_an_outage_lasts_from_the_opening_of_a_breaker_to_its_closing(world: World) -> None:
    shared = SharedBreakers(world.another_database(), {TV: "WooriTV"}, Policy(open_s=0.001, open_s_max=0.001))
    end_calls(shared, Outcomes(20, failed=12))
    assert outages(world) == [(False, "failures")]
    world.wait_for("a trial", lambda: shared.admit(TV, 3).granted == 3)
    assert outages(world) == [(False, "failures")], "a half-open breaker is not closed"
    end_calls_of_trials(shared, Outcomes(3, failed=3))
    assert outages(world) == [(False, "failures")], "it opened again in the same outage"
    run(world, "WooriTV", "--reset")
    assert outages(world) == [(True, "failures")]
    run(world, "WooriTV", "--open")
    assert outages(world) == [(True, "failures"), (False, "held")]


def end_calls_of_trials(shared: SharedBreakers, outcomes: Outcomes) -> None:
    shared.record(TV, shared.admit(TV).generation, outcomes)
    shared.flush()


def test_two_processes_that_open_a_breaker_at_once_begin_one_outage(world: World) -> None:
    processes = [breakers(world), breakers(world)]
    admissions = [shared.admit(TV, 20) for shared in processes]
    for shared, admission in zip(processes, admissions, strict=True):
        shared.record(TV, admission.generation, Outcomes(20, failed=20))
    for shared in processes:
        shared.flush()
    assert outages(world) == [(False, "failures")]


def test_an_outage_whose_end_an_older_version_did_not_record_ends_with_the_next_save(world: World) -> None:
    world.rows("INSERT INTO hannun.channel_outages VALUES (%s, '2026-11-01', NULL, 'failures')", TV)
    end_calls(breakers(world), Outcomes(1))
    assert outages(world) == [(True, "failures")]


def test_only_the_newest_thousand_outages_of_a_channel_are_kept(world: World) -> None:
    world.rows(
        "INSERT INTO hannun.channel_outages SELECT %s, at, at, '' FROM generate_series(timestamp '2026-01-01', "
        "'2026-02-15', '1 hour') AS at",
        TV,
    )
    world.rows("INSERT INTO hannun.channel_outages VALUES ('other', '2025-01-01', '2025-01-02', '')")
    end_calls(breakers(world), Outcomes(20, failed=12))
    kept = world.rows(
        "SELECT channel, count(*) AS outages FROM hannun.channel_outages GROUP BY channel ORDER BY channel"
    )
    assert [(row.channel, row.outages) for row in kept] == [("other", 1), (TV, 1_001)]
