"""`hannun channels`: the channels' APIs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hannun import settings as settings_
from hannun.cli.terminal import HomeOption, Progress, err, print_folded, with_home
from hannun.domain.channels import Channel
from hannun.errors import OperatorError

if TYPE_CHECKING:
    from hannun.domain.breaker import Outcomes
    from hannun.flows.channel_breakers import Breaker
    from hannun.settings import Settings

app = typer.Typer(help="The channels' APIs, and whether they are called.", no_args_is_help=True)
APPLICATION = "hannun-channels"
BAD_LINES_SHOWN = 20
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
    settings = settings_.read()
    channel = _channel(settings, name)
    act = channel_breakers.hold_open if hold else channel_breakers.reset if reset else channel_breakers.read
    with open_connection(settings, APPLICATION) as conn:
        found = act(conn, channel.key)
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

    settings = settings_.read()
    channel = _channel(settings, name)
    with (
        open_measurement_counter(settings, APPLICATION) as counter,
        Progress[object](lambda line: err.print(str(line))) as progress,
    ):
        try:
            outcomes = import_totals(file, channel.key, counter, progress.update)
        except BadFile as error:
            for line in error.lines[:BAD_LINES_SHOWN]:
                print_folded(f"line {line.number}: {line.reason}", console=err)
            if len(error.lines) > BAD_LINES_SHOWN:
                print_folded(f"and {len(error.lines) - BAD_LINES_SHOWN:,} more", console=err)
            raise
    print_folded(f"{channel.name}: {outcomes.total():,} {'line' if outcomes.total() == 1 else 'lines'}")
    for outcome, count in sorted(outcomes.items()):
        print_folded(f"{count:,} {_IMPORTED.get(outcome, outcome)}", indent="  ")


def _channel(settings: "Settings", name: str) -> Channel:
    from hannun.processes.channels import channel_table

    table = channel_table(settings)
    channel = table.named(name)
    if channel is None or channel not in table.known:
        known = ", ".join(sorted(each.name for each in table.known))
        raise OperatorError(f"no channel is named {name[:80]!r}", hint=f"one of {known}")
    return channel


def _print_breaker(channel: Channel, found: "Breaker") -> None:
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
