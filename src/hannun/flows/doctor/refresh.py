"""Checks of the refresh and of the channels: late rounds, channels that fail, breakers and time-outs."""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Final

from hannun.domain.breaker import Policy, State
from hannun.domain.findings import Finding, Severity
from hannun.domain.refresh_status import ChannelWork, RefreshStatus, pairs_by_state
from hannun.flows.doctor.examined import Examined
from hannun.store import refresh_status

FAILED_MIN: Final = 3
FAILED_SHARE_MIN: Final = 0.5
TIMEOUT: Final = "timeout"


def rounds(examined: Examined) -> Iterator[Finding]:
    """Whether a round of the refresh has ended lately."""
    status = refresh_status.read(examined.conn, examined.expected.stale_after)
    period_s, since = examined.expected.refresh_period_s, examined.watched_since
    # A new installation, and a process that has just started without an end before, are given two periods.
    last = status.last_end or (since and since.astimezone(UTC).replace(tzinfo=None))
    age_s = (status.now - last).total_seconds() if last else 0.0
    if age_s <= 2 * period_s:
        return
    running = any(each.ended_at is None for each in status.rounds)
    yield Finding(
        Severity.WARNING,
        "refresh",
        "no round of the refresh has ended for {minutes} minutes, and one runs: figures of channels keep their age"
        if running
        else "no round of the refresh has ended for {minutes} minutes, and none runs: does a schedule run?",
        "see which channel the round waits for" if running else "start a schedule; the next round catches up",
        {"minutes": round(age_s / 60)},
        ("hannun watch",) if running else ("hannun schedule",),
    )


def channels(examined: Examined) -> Iterator[Finding]:
    """Whether a channel fails that the newest round asks: its breaker, its time-out, its age."""
    status = refresh_status.read(examined.conn, examined.expected.stale_after)
    refusals = refresh_status.newest_refusals(examined.conn)
    for key, work in sorted(status.work.items()):
        yield from _channel(examined, status, key, work, refusals.get(key, {}))


def _channel(
    examined: Examined, status: RefreshStatus, key: str, work: ChannelWork, refusals: Mapping[str, int]
) -> Iterator[Finding]:
    state = status.breakers.get(key, State())
    pairs = pairs_by_state(work.counts)
    failed, asked = pairs["failed"], sum(pairs.values()) - pairs["skipped"]
    evidence: dict[str, object] = {
        "channel": work.name,
        "failed": failed,
        "asked": asked,
        "reasons": ", ".join(f"{reason}: {count}" for reason, count in refusals.items()) or "not known",
    }
    if state.held:
        yield Finding(
            Severity.WARNING,
            work.name,
            "an operator holds the breaker of {channel} open: it is not called, and its figures grow old",
            "close it when the maintenance is over",
            evidence,
            (f"hannun channels breaker {work.name} --reset",),
        )
    elif next(iter(refusals), "") == TIMEOUT and (state.name == "open" or failed >= FAILED_MIN):
        yield _timeout(examined, key, work, evidence)
    elif state.name == "open":
        yield _open(work, state, evidence)
    elif failed >= FAILED_MIN and failed >= asked * FAILED_SHARE_MIN:
        yield _closed_and_failing(work, evidence)
    age = status.ages.get(key)
    if age is not None and age.all_stale and not failed and state.name != "open":
        yield Finding(
            Severity.WARNING,
            work.name,
            "all {measured} measurements of {channel} are stale, though its calls do not fail: its budget does not "
            "reach",
            "see what became of the newest round; raise its quota with the channel and in its declaration",
            {"channel": work.name, "measured": age.measured},
            ("hannun channels list",),
        )


def _timeout(examined: Examined, key: str, work: ChannelWork, evidence: dict[str, object]) -> Finding:
    read_s, call_s = examined.expected.call_limits.get(key, (0.0, 0.0))
    return Finding(
        Severity.WARNING,
        work.name,
        "calls to {channel} end at their time-out (read_s = {read_s}, call_s = {call_s}): {reasons}",
        "see how long a call takes. If the channel answers later than that, raise [limits] in its declaration; if it "
        "does not answer at all, ask the channel",
        evidence | {"read_s": f"{read_s:g}", "call_s": f"{call_s:g}"},
        (f"hannun channels check {work.name}",),
    )


def _open(work: ChannelWork, state: State, evidence: dict[str, object]) -> Finding:
    seen = state.opened_by
    return Finding(
        Severity.WARNING,
        work.name,
        "{channel} is not called, its breaker is open: of {calls} calls {failed_calls} failed and {slow_calls} were "
        "slow; reasons of the newest failures: {reasons}",
        "nothing, if the channel itself is down: trial calls close the breaker. The check says which step of a call "
        "fails",
        evidence | {"calls": seen.calls, "failed_calls": seen.failed, "slow_calls": seen.slow},
        (f"hannun channels check {work.name}", f"hannun channels breaker {work.name}"),
    )


def _closed_and_failing(work: ChannelWork, evidence: dict[str, object]) -> Finding:
    return Finding(
        Severity.WARNING,
        work.name,
        "{failed} of {asked} events failed on {channel} in the newest round, and its breaker is closed: it opens at "
        "half of at least {calls_min} calls in {window} s, and these were fewer; reasons: {reasons}",
        "the check says which step of a call fails. Until it is corrected, hold the breaker open, so that no call is "
        "made",
        evidence | {"calls_min": Policy().failure_calls_min, "window": f"{Policy().window_s:g}"},
        (f"hannun channels check {work.name}", f"hannun channels breaker {work.name} --open"),
    )
