"""Whatever channels do: the others are measured, nothing absurd is written, and the last good numbers stay."""

from typing import Any

import pytest
from channel_rounds import CHANNELS, Rounds

from hannun.domain.channel_totals import COUNTS
from hannun.sandbox.channels.behaviours import BEHAVIOURS

EVENTS = [f"5b0c2f64-0000-4000-8000-00000000000{n}" for n in range(1, 4)]
GOOD = {"changed", "unchanged"}
DAY_S = 86_400.0
COUNT_MAX = 10_000_000
"""More than any simulated event has in a week."""
OPTIONS: dict[str, dict[str, object]] = {
    "slow": {"delay_s": 600.0},
    "usage": {"from_percent": 100.0},
    "removed": {"metric": "comments"},
}
HANGING = ("hang", "slow", "trickle")
HARMLESS = ("cut-tls", "removed", "shift", "strings")
"""Behaviours that do not touch the numbers of three events over HTTP."""
REFUSED = ("negative", "huge", "wrong-type")
IN_TURN = [(behaviour, CHANNELS[n % len(CHANNELS)]) for n, behaviour in enumerate(BEHAVIOURS)]
REST = [(behaviour, channel) for behaviour in BEHAVIOURS for channel in CHANNELS if (behaviour, channel) not in IN_TURN]


def outcomes_of(behaviour: str, channel: str) -> set[str]:
    """How a round counts the events of a channel that behaves so."""
    if behaviour in HARMLESS or (behaviour == "more-completed" and channel != "RingoBiz"):
        return GOOD | ({"falling"} if behaviour == "removed" and channel == "NaverBlog" else set())
    if behaviour in ("quota", "usage"):
        return {"over-quota"}
    if behaviour == "empty":
        return {"failed", "refused"}
    if behaviour in REFUSED or behaviour == "more-completed":
        return {"refused"}
    return {"falling"} if behaviour == "fall" else {"failed"}


def counts_of(rounds: Rounds, channel: str) -> list[dict[str, Any]]:
    """The counts of a channel as PostgreSQL has them, event by event."""
    totals = rounds.totals()
    return [{name: totals[event, channel].get(name) for name in COUNTS} for event in EVENTS]


def assert_plausible(rounds: Rounds) -> None:
    for totals in rounds.totals().values():
        assert all(0 <= totals.get(name, 0) <= COUNT_MAX for name in COUNTS)
        assert totals.get("completed_calls", 0) <= totals.get("total_calls", 0)
    assert rounds.world.drift() == []


def assert_measured(rounds: Rounds, *channels: str) -> None:
    """The newest round has ended in time, and has measured every event on these channels."""
    newest, counts = rounds.newest(), rounds.counts()
    assert newest.ended_at is not None and "overdue" not in newest.result
    for channel in channels:
        assert sum(counts[channel][outcome] for outcome in GOOD) == len(EVENTS), (channel, counts[channel])


def check_behaviour(rounds: Rounds, behaviour: str, channel: str) -> None:
    rounds.distribute(*EVENTS)
    rounds.run()
    assert_measured(rounds, *CHANNELS)

    rounds.control.tell(channel, behaviour, {"options": OPTIONS.get(behaviour, {})})
    if behaviour in HANGING:
        rounds.make_hasty(channel)
    rounds.pass_time()
    before, counts_before = rounds.totals(), counts_of(rounds, channel)
    of_channel = rounds.run()[channel]
    expected = outcomes_of(behaviour, channel)
    assert sum(of_channel[outcome] for outcome in expected) == len(EVENTS), of_channel
    assert_measured(rounds, *(other for other in CHANNELS if other != channel))
    assert_plausible(rounds)
    if not expected & GOOD:
        assert counts_of(rounds, channel) == counts_before, "the last good numbers stay"
    if not expected & {*GOOD, "falling"}:
        after = rounds.totals()
        for event in EVENTS:
            assert after[event, channel]["measured_at"] == before[event, channel]["measured_at"], "with their age"
            assert "over-quota" in expected or after[event, channel]["refused"], "and with the reason"

    rounds.control.forget(channel)
    rounds.make_patient(channel)
    rounds.pass_time(2 * DAY_S)  # longer than any budget is blocked
    rounds.run()
    assert_measured(rounds, *CHANNELS)
    assert_plausible(rounds)
    assert all("refused" not in totals for totals in rounds.totals().values())


@pytest.mark.parametrize(("behaviour", "channel"), IN_TURN)
def test_whatever_a_channel_does_a_round_keeps_its_last_good_numbers_and_measures_the_others(
    rounds: Rounds, behaviour: str, channel: str
) -> None:
    check_behaviour(rounds, behaviour, channel)


@pytest.mark.faults
@pytest.mark.parametrize(("behaviour", "channel"), REST)
def test_whatever_each_channel_does_a_round_keeps_its_last_good_numbers_and_measures_the_others(
    rounds: Rounds, behaviour: str, channel: str
) -> None:
    check_behaviour(rounds, behaviour, channel)


def test_a_channel_that_fails_often_is_left_out_by_its_breaker_and_tried_again(rounds: Rounds) -> None:
    events = [f"5b0c2f64-0000-4000-8000-0000000001{n:02}" for n in range(30)]
    rounds.distribute(*events, channels=["Instagram"])
    rounds.control.tell("Instagram", "html", {})
    first = rounds.run()["Instagram"]
    assert first["failed"] + first["breaker-open"] == 30
    rounds.make_due()  # while the breaker's time is not over
    calls = rounds.calls("Instagram")
    assert rounds.run()["Instagram"] == {"breaker-open": 30}
    assert rounds.calls("Instagram") == calls, "nobody waits for it"
    rounds.control.forget("Instagram")
    last = rounds.next()["Instagram"]
    assert sum(last[outcome] for outcome in GOOD) == 30, last
