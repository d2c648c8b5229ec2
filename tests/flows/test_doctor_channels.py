"""The doctor finds a channel that fails, and says whether its breaker or its time-out is wrong. Over HTTP."""

from dataclasses import replace
from pathlib import Path

import pytest
from channel_rounds import HASTY, Rounds, open_rounds
from examining import Scene

from hannun.domain.findings import Finding

EVENTS = [f"5b0c2f64-0000-4000-8000-0000000001{n:02}" for n in range(12)]


@pytest.fixture
def scene_rounds(scene: Scene, tmp_path: Path) -> Rounds:
    return scene.undo.enter_context(open_rounds(scene.world, tmp_path))


def finding(scene: Scene) -> Finding:
    found = scene.examine("channels", "refresh")
    assert set(found) == {"channels"}
    (only,) = found["channels"]
    assert only.subject == "Instagram"
    return only


def test_a_channel_that_is_measured_yields_no_finding(scene: Scene, scene_rounds: Rounds) -> None:
    scene_rounds.distribute(*EVENTS, channels=["Instagram"])
    scene_rounds.run()
    assert scene.examine("channels", "refresh") == {}


def test_a_channel_whose_breaker_opened_is_found_with_the_reasons_of_its_failures(
    scene: Scene, scene_rounds: Rounds
) -> None:
    scene_rounds.distribute(*EVENTS, channels=["Instagram"])
    scene_rounds.control.tell("Instagram", "html", {})
    scene_rounds.run()
    found = finding(scene)
    assert "is not called, its breaker is open: " in found.cause_text
    assert found.evidence["failed_calls"] == found.evidence["calls"]
    assert "not-json" in found.cause_text


def test_a_channel_that_fails_too_seldom_for_its_breaker_is_found(scene: Scene, scene_rounds: Rounds) -> None:
    """Five calls a round are fewer than any ratio of the breaker needs, so it stays closed for ever."""
    scene_rounds.distribute(*EVENTS[:4], channels=["Instagram"])
    scene_rounds.control.tell("Instagram", "html", {})
    scene_rounds.run()
    found = finding(scene)
    assert "5 of 5 events failed on Instagram in the newest round, and its breaker is closed" in found.cause_text
    assert "hannun channels breaker Instagram --open" in found.statements


def test_a_time_out_that_is_too_short_is_found_with_its_setting(scene: Scene, scene_rounds: Rounds) -> None:
    """The channel answers after a second, and the declaration waits for 0.3 s."""
    scene.expected = replace(scene.expected, call_limits={"instagram": (0.3, 0.6)})
    scene_rounds.distribute(*EVENTS[:4], channels=["Instagram"])
    assert "read_s = 0.3" in HASTY
    scene_rounds.make_hasty("Instagram")
    scene_rounds.control.tell("Instagram", "slow", {"options": {"delay_s": 1.0}})
    scene_rounds.run()
    found = finding(scene)
    assert "end at their time-out (read_s = 0.3, call_s = 0.6): timeout: 5" in found.cause_text
    assert "raise [limits]" in found.remedy_text
