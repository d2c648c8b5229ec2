"""`hannun channels`: the channels' APIs."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hannun.cli.terminal import (
    HomeOption,
    Progress,
    err,
    operator,
    print_folded,
    print_progress,
    read_settings,
    with_home,
)
from hannun.errors import OperatorError

if TYPE_CHECKING:
    from hannun.domain.breaker import Outcomes
    from hannun.domain.channels import Channel
    from hannun.domain.refresh_status import ChannelAge
    from hannun.flows.channel_breakers import Breaker
    from hannun.flows.channel_status import BudgetUse, ChannelStatus
    from hannun.flows.channel_trials import ChannelTrials, Tried
    from hannun.settings import Settings

app = typer.Typer(help="The channels' APIs, and whether they are called.", no_args_is_help=True)
APPLICATION = "hannun-channels"
BAD_LINES_SHOWN = 20
_INDENT = "  "
_IMPORTED = {
    "changed": "changed the totals",
    "unchanged": "say what was known",
    "falling": "say less than before: this is taken over when newer lines say it again",
    "older": "are not newer than what is stored, and change nothing",
    "minute-full": "did not fit into their minute: import them with another measured_at",
}
_REASONS = {
    "": "of an unknown reason",
    "failures": "calls failed",
    "slow-calls": "calls were slow",
    "trials-failed": "trial calls failed",
    "trials-slow": "trial calls were slow",
    "trials-lost": "trial calls never ended",
    "held": "an operator holds it open",
}


@app.command("list")
def list_channels(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    home: HomeOption = None,
) -> None:
    """List every channel: set up or not, breaker, budgets, newest round, age. Status 1 where one needs you."""
    from hannun.flows.channel_status import overview
    from hannun.processes.channels import operated_channels
    from hannun.processes.commands.database import open_connection

    settings = read_settings()
    channels = operated_channels(settings)
    with open_connection(settings, APPLICATION) as conn:
        found = overview(conn, channels, settings.refresh_timetable, settings.stale_after)
    for status in found.channels:
        print(json.dumps(_as_json(status), ensure_ascii=False)) if as_json else _print_status(status, found.now)
    if any(status.problem for status in found.channels):
        raise typer.Exit(1)


def _print_status(status: "ChannelStatus", now: datetime) -> None:
    """What an operator sees of one channel: a line with its state, and what is known below it."""
    operated = status.operated
    if not operated.has_api:
        state = f"no API: hannun channels import {operated.channel.name} FILE"
    elif not operated.set_up:
        state = "not set up: the access file has no entry for it"
    else:
        state = f"set up, {_breaker_state(status)}"
    print_folded(with_home(f"{operated.channel.name} ({operated.channel.type}): {state}"))
    if status.problem:
        print_folded(f"it {status.problem}", indent=_INDENT)
        print_folded(with_home(f"to find out why: hannun channels check {operated.channel.name}"), indent=_INDENT)
    for use in status.budgets if operated.set_up else ():
        print_folded(_described_budget(use), indent=_INDENT)
    if status.pairs is not None:
        counts = [f"{count:,} {state.replace('-', ' ')}" for state, count in status.pairs.items() if count]
        left = [f"{status.pairs_left:,} left"] if status.pairs_left else []
        print_folded(f"newest round: {', '.join(counts + left) or 'no event'}", indent=_INDENT)
    if status.age is not None:
        print_folded(_described_age(status.age, now), indent=_INDENT)
    if status.next_poll_at is not None:
        print_folded(f"next poll: {_utc(status.next_poll_at)}", indent=_INDENT)


def _breaker_state(status: "ChannelStatus") -> str:
    """The breaker in a few words."""
    breaker = status.breaker
    if breaker is None:
        return "never called"
    since = f" since {_utc(breaker.since)}" if breaker.since and breaker.state.name != "closed" else ""
    trial = f", next trial from {_utc(breaker.next_trial_at)}" if breaker.next_trial_at else ""
    return f"breaker {breaker.state.name}{since}{trial}"


def _described_budget(use: "BudgetUse") -> str:
    units, ends_at_s, blocked_until_s = use.usage
    until = f" until {_utc_of(ends_at_s)}" if ends_at_s else ""
    blocked = f"; the API refuses more until {_utc_of(blocked_until_s)}" if blocked_until_s else ""
    return f"budget {use.budget.name}: {units:,} of {use.budget.units:,} taken{until}{blocked}"


def _described_age(age: "ChannelAge", now: datetime) -> str:
    events = f"{age.active:,} ACTIVE {'event' if age.active == 1 else 'events'}"
    if age.oldest_at is None:
        return f"{events}, none measured"
    stale = f", {age.stale:,} stale" if age.stale else ""
    unmeasured = f", {age.active - age.measured:,} not measured" if age.measured < age.active else ""
    old = f"oldest measurement {_utc(age.oldest_at)}, {max((now - age.oldest_at).total_seconds(), 0):,.0f} s ago"
    return f"{events}{stale}{unmeasured}; {old}"


def _as_json(status: "ChannelStatus") -> dict[str, Any]:
    """All that is known of a channel. Instants end in Z."""
    operated, breaker, age = status.operated, status.breaker, status.age
    return {
        "name": operated.channel.name,
        "type": operated.channel.type,
        "api": operated.has_api,
        "setUp": operated.set_up,
        "breaker": breaker
        and {
            "state": breaker.state.name,
            "since": _iso(breaker.since),
            "reason": breaker.state.reason or None,
            "held": breaker.state.held,
            "nextTrialAt": _iso(breaker.next_trial_at),
        },
        "budgets": [
            {
                "scope": use.budget.scope,
                "name": use.budget.name,
                "taken": use.usage.units,
                "units": use.budget.units,
                "until": _iso_of(use.usage.ends_at_s),
                "blockedUntil": _iso_of(use.usage.blocked_until_s),
            }
            for use in status.budgets
        ],
        "newestRound": None if status.pairs is None else _camel(status.pairs) | {"left": status.pairs_left},
        "activeEvents": 0 if age is None else age.active,
        "measuredEvents": 0 if age is None else age.measured,
        "staleEvents": 0 if age is None else age.stale,
        "oldestMeasurementAt": None if age is None else _iso(age.oldest_at),
        "nextPollAt": _iso(status.next_poll_at),
        "problem": status.problem,
    }


def _camel(pairs: Mapping[str, int]) -> dict[str, int]:
    return {"overQuota" if state == "over-quota" else state: count for state, count in pairs.items()}


def _utc(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M:%S}Z"


def _utc_of(seconds: float) -> str:
    return _utc(datetime.fromtimestamp(seconds, UTC))


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.isoformat()}Z"


def _iso_of(seconds: float | None) -> str | None:
    return None if seconds is None else _iso(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None))


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="the channel, in any known spelling")],
    home: HomeOption = None,
) -> None:
    """Go the steps of a call, the last with a real one, and say what to do where one fails. Status 1 where one does."""
    import asyncio

    from hannun.flows.channel_trials import PROBE_ID
    from hannun.processes.commands.channel_trials import has_api, open_trials

    settings = read_settings()
    channel = _channel(settings, name)
    print_folded(f"{channel.name}: declaration: ok")
    if not has_api(settings, channel):
        print_folded(with_home(f"no API: hannun channels import {channel.name} FILE"), indent=_INDENT)
        return
    with open_trials(settings, APPLICATION, channel) as (trials, event_id):
        print_folded("access: ok, its entry is complete", indent=_INDENT)
        if not asyncio.run(_print_steps(trials, event_id or PROBE_ID)):
            raise typer.Exit(1)


async def _print_steps(trials: "ChannelTrials", event_id: str) -> bool:
    """Print each step as it ends. Returns whether all are good."""
    ok = True
    async for step in trials.check(event_id):
        ok = ok and step.ok
        print_folded(f"{step.name}: {'ok' if step.ok else 'failed'}: {step.found}", indent=_INDENT)
        if step.hint:
            print_folded(step.hint, indent=2 * _INDENT)
    return ok


@app.command("try")
def try_channel(
    name: Annotated[str, typer.Argument(help="the channel, in any known spelling")],
    event: Annotated[str, typer.Option(help="the id of an event; it need not be one of ours")],
    home: HomeOption = None,
) -> None:
    """Ask a channel for one event, and show all of the call. It uses one call of the budget, and writes nothing."""
    import asyncio

    from hannun.domain.ids import ID_LENGTH_MAX, addressable_id
    from hannun.processes.commands.channel_trials import open_trials

    event_id = addressable_id(event) if 0 < len(event) <= ID_LENGTH_MAX else None
    if event_id is None:
        raise OperatorError(
            f"--event {event[:80]!r} is no id of an event", hint=f"1 to {ID_LENGTH_MAX} characters, without a slash"
        )
    settings = read_settings()
    with open_trials(settings, APPLICATION, _channel(settings, name)) as (trials, _):
        tried = asyncio.run(trials.try_(event_id))
    _print_tried(tried)
    if not tried.ok:
        raise typer.Exit(1)


def _print_tried(tried: "Tried") -> None:
    for number, line in enumerate(tried.request):
        print_folded(line, indent=_INDENT if number else "")
    print_folded(f"response: {tried.response}")
    for line in tried.body.splitlines():
        print_folded(line.lstrip(), indent=_INDENT + line[: len(line) - len(line.lstrip())])
    if tried.columns:
        print_folded("columns, as the channel says them and as they are taken:")
    for column in tried.columns:
        print_folded(f"{column.name}: {column.raw} -> {column.accepted}", indent=_INDENT)
    print_folded(tried.verdict)
    if tried.hint:
        print_folded(tried.hint, indent=_INDENT)
    calls = f"{tried.calls} {'call' if tried.calls == 1 else 'calls'}"
    print_folded(f"{calls} of the budget used; nothing is written, and nothing counts for the breaker")


@app.command()
def breaker(
    name: Annotated[str, typer.Argument(help="the channel, in any known spelling")],
    hold: Annotated[bool, typer.Option("--open", help="hold it open: the channel is not called until --reset")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="close it: the channel is called again")] = False,
    home: HomeOption = None,
) -> None:
    """Show the circuit breaker of a channel: its state, since when, why, and when it is tried again."""
    from hannun.flows import channel_breakers
    from hannun.processes.commands.database import open_connection

    if hold and reset:
        raise OperatorError("--open and --reset contradict each other", hint="give one of them")
    settings = read_settings()
    channel = _channel(settings, name)
    with open_connection(settings, APPLICATION) as conn:
        if hold or reset:
            decide = channel_breakers.hold_open if hold else channel_breakers.reset
            found = decide(conn, channel.key, operator())
        else:
            found = channel_breakers.read(conn, channel.key)
    _print_breaker(channel, found)


@app.command("import")
def import_file(
    name: Annotated[str, typer.Argument(help="the channel, in any known spelling")],
    file: Annotated[Path, typer.Argument(help="a CSV file: event_id, measured_at, and counts", metavar="FILE")],
    home: HomeOption = None,
) -> None:
    """Import totals of a channel from a CSV file: all of its lines, or none. The same file again changes nothing."""
    from hannun.flows.channel_import import BadFile, import_totals
    from hannun.processes.commands.channel_import import open_measurement_counter

    settings = read_settings()
    channel = _channel(settings, name)
    with (
        open_measurement_counter(settings, APPLICATION) as counter,
        Progress[object](print_progress) as progress,
    ):
        try:
            outcomes = import_totals(file, channel.key, counter, operator(), progress.update)
        except BadFile as error:
            for line in error.lines[:BAD_LINES_SHOWN]:
                print_folded(f"line {line.number}: {line.reason}", console=err)
            if len(error.lines) > BAD_LINES_SHOWN:
                print_folded(f"and {len(error.lines) - BAD_LINES_SHOWN:,} more", console=err)
            raise
    print_folded(f"{channel.name}: {outcomes.total():,} {'line' if outcomes.total() == 1 else 'lines'}")
    for outcome, count in sorted(outcomes.items()):
        print_folded(f"{count:,} {_IMPORTED.get(outcome, outcome)}", indent="  ")


def _channel(settings: "Settings", name: str) -> "Channel":
    from hannun.processes.channels import channel_table

    table = channel_table(settings)
    channel = table.named(name)
    if channel is None or channel not in table.known:
        known = ", ".join(sorted(each.name for each in table.known))
        raise OperatorError(f"no channel is named {name[:80]!r}", hint=f"one of {known}")
    return channel


def _print_breaker(channel: "Channel", found: "Breaker") -> None:
    state = found.state
    since = f" since {found.since:%Y-%m-%d %H:%M:%S} UTC" if found.since else ""
    print_folded(f"{channel.name}: {state.name}{since}")
    if state.held:
        print_folded(_REASONS["held"], indent="  ")
        print_folded(with_home(f"close it: hannun channels breaker {channel.name} --reset"), indent="  ")
    elif state.name != "closed":
        print_folded(f"opened because {_REASONS[state.reason]}: {_seen(state.opened_by)}", indent="  ")
        print_folded(f"openings since it was last closed: {state.openings}", indent="  ")
    if found.next_trial_at:
        print_folded(f"next trial from {found.next_trial_at:%Y-%m-%d %H:%M:%S} UTC on", indent="  ")
    if state.name == "half-open":
        trials = state.trials
        print_folded(
            f"trials: {trials.admitted} of {found.policy.trials} begun, {trials.running} running, "
            f"{trials.ended.failed} failed, {trials.ended.slow} slow",
            indent="  ",
        )
    if state.name == "closed":
        print_folded(f"last {found.policy.window_s:g} s: {_seen(found.window)}", indent="  ")


def _seen(outcomes: "Outcomes") -> str:
    return f"{outcomes.calls} calls, {outcomes.failed} failed, {outcomes.slow} slow"
