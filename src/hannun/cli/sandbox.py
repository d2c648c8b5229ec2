"""`hannun sandbox`: the APIs of the channels, simulated, and what they are told to do wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hannun.cli.terminal import BIGINT_MAX, check_number, print_folded
from hannun.errors import OperatorError
from hannun.processes.signals import stop_on_signal

app = typer.Typer(help="The APIs of the channels, simulated; tell them to fail or to lie.", no_args_is_help=True)
DEFAULT_PORT = 8090
SECONDS_MAX = 31 * 86_400
CALLS_MAX = 1_000_000_000
MOVE_S_MAX = 3_660 * 86_400
_INDENT = "  "

Home = Annotated[Path | None, typer.Option("--home", help="the folder of the sandbox or of `hannun up --demo`")]
At = Annotated[str | None, typer.Option("--at", help="its address, as in http://127.0.0.1:8090")]


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any free one")] = DEFAULT_PORT,
    home: Annotated[Path | None, typer.Option(help="the folder of the simulated platform, for its events")] = None,
    shapes: Annotated[Path | None, typer.Option(help="a folder with the shapes of more channels")] = None,
    access: Annotated[Path | None, typer.Option(help="write HANNUN_CHANNEL_ACCESS_FILE here")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="also over TLS, a port for each channel")] = False,
    no_budgets: Annotated[bool, typer.Option("--no-budgets", help="allow any number of calls")] = False,
    fd: Annotated[int | None, typer.Option(min=0, help="an open socket to listen on", hidden=True)] = None,
    demo: Annotated[bool, typer.Option("--demo", help="as in `hannun up --demo`", hidden=True)] = False,
) -> None:
    """Serve the APIs of all channels on this machine, until a signal stops it."""
    from hannun.sandbox.channels.run import SandboxOptions, running

    options = SandboxOptions(home, port, fd, shapes, access, tls=tls, budgets=not no_budgets, demo=demo)
    with stop_on_signal() as stop, running(options) as address:
        print_folded(f"the channels are served at {address}")
        stop.wait()


@app.command()
def tell(
    channel: Annotated[str, typer.Argument(help="the name of a channel, or all")],
    behaviour: Annotated[str, typer.Argument(help="what it does; `hannun sandbox behaviours` lists them")],
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="an option of the behaviour")
    ] = None,
    share: Annotated[float, typer.Option(help="the part of the calls, as in 0.3")] = 1.0,
    seconds: Annotated[float | None, typer.Option(help="for how long; without it until you reset it")] = None,
    calls: Annotated[int | None, typer.Option(min=1, max=CALLS_MAX, help="for how many calls")] = None,
    after_calls: Annotated[int, typer.Option(min=0, max=CALLS_MAX, help="how many calls pass before")] = 0,
    event: Annotated[list[str] | None, typer.Option(help="only for this event; may be given more than once")] = None,
    seed: Annotated[int, typer.Option(min=0, max=BIGINT_MAX, help="chooses the calls of the share")] = 0,
    home: Home = None,
    at: At = None,
) -> None:
    """Tell a channel to do something wrong. Another behaviour adds to it; the same one is replaced."""
    check_number("--share", share, 1)
    if seconds is not None:
        check_number("--seconds", seconds, SECONDS_MAX)
    instruction: dict[str, object] = {
        "options": dict(_parse_option(text) for text in option or []),
        "share": share,
        "seconds": seconds,
        "calls": calls,
        "afterCalls": after_calls,
        "events": event or [],
        "seed": seed,
    }
    state = _client(home, at).tell(channel, behaviour, instruction)
    _print_channels(state, only=channel)


@app.command()
def reset(
    channel: Annotated[str | None, typer.Argument(help="a channel, or all; without it everything")] = None,
    behaviour: Annotated[str | None, typer.Argument(help="a behaviour; without it all of the channel")] = None,
    home: Home = None,
    at: At = None,
) -> None:
    """Stop behaviours. Without a channel also begin the counts, the budgets and the clock anew."""
    client = _client(home, at)
    state = client.reset() if channel is None else client.forget(channel, behaviour)
    _print_channels(state, only=channel or "all")


@app.command("list")
def list_channels(
    as_json: Annotated[bool, typer.Option("--json", help="all that is known, as one JSON object")] = False,
    home: Home = None,
    at: At = None,
) -> None:
    """List what each channel was called and told."""
    state = _client(home, at).state()
    if as_json:
        print(json.dumps(state))
        return
    print_folded(f"clock: {state['clock']}{', stopped' if state['clockStopped'] else ''}")
    _print_channels(state, only="all")


@app.command()
def clock(
    to: Annotated[str | None, typer.Option(help="an instant with an offset")] = None,
    move: Annotated[
        int | None, typer.Option(min=-MOVE_S_MAX, max=MOVE_S_MAX, help="seconds forward, or back below 0")
    ] = None,
    stopped: Annotated[bool, typer.Option("--stopped", help="and let it stand still")] = False,
    home: Home = None,
    at: At = None,
) -> None:
    """Set or move the clock of the sandbox: its numbers and its budgets follow it."""
    setting: dict[str, object] = {"stopped": stopped}
    if to is not None:
        setting["now"] = to
    if move is not None:
        setting["moveS"] = move
    print_folded(f"clock: {_client(home, at).set_clock(setting)['clock']}")


@app.command()
def behaviours() -> None:
    """List what a channel can be told, with the options and their defaults."""
    from hannun.sandbox.channels.behaviours import BEHAVIOURS

    for behaviour in BEHAVIOURS.values():
        options = "".join(f" --set {option.name}={option.default}" for option in behaviour.options)
        print_folded(f"{behaviour.name}{options}: {behaviour.summary}")


def _client(home: Path | None, at: str | None) -> Any:
    from hannun.sandbox.channels.access import read_address
    from hannun.sandbox.channels.control_client import ControlClient

    if at is not None and home is not None:
        raise OperatorError("--home and --at both name a sandbox", hint="give one of them")
    if at is None:
        at = read_address(home) if home is not None else f"http://127.0.0.1:{DEFAULT_PORT}"
    if not at.startswith(("http://", "https://")):
        raise OperatorError(f"{at} is no address of a sandbox", hint="--at as in http://127.0.0.1:8090")
    return ControlClient(at)


def _parse_option(text: str) -> tuple[str, object]:
    """Name and value; a value that is a number becomes one.

    Raises:
        OperatorError: it has no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise OperatorError(f"--set {text} has no value", hint="as in --set delay_s=2")
    try:
        number = json.loads(value, parse_constant=lambda constant: constant)
    except (ValueError, RecursionError):
        return name, value
    return name, number if isinstance(number, int | float) and not isinstance(number, bool) else value


def _print_channels(state: Mapping[str, Any], *, only: str) -> None:
    """A line for each channel, and one for each behaviour in force."""
    for name, channel in state["channels"].items():
        if only not in (name, "all"):
            continue
        counts = f"{channel['calls']:,} calls, {channel['good']:,} with numbers of {channel['events']:,} events"
        over = f", {channel['budgetViolations']:,} over its budget" if channel["budgetViolations"] else ""
        print_folded(f"{name}: {counts}{over}")
        for told in channel["behaviours"]:
            print_folded(_described(told), indent=_INDENT)


def _described(told: Mapping[str, Any]) -> str:
    """A behaviour in force, its options, and what bounds it."""
    parts = [f"{name}={value}" for name, value in told["options"].items()]
    if told["share"] < 1:
        parts.append(f"{told['share']:.0%} of the calls")
    if told["secondsLeft"] is not None:
        parts.append(f"{told['secondsLeft']:.0f} s left")
    if told["calls"] is not None:
        parts.append(f"{told['calls']:,} calls")
    if told["afterCalls"]:
        parts.append(f"after {told['afterCalls']:,} calls")
    if told["events"]:
        parts.append(f"{len(told['events']):,} events")
    bounds = f" ({', '.join(parts)})" if parts else ""
    return f"{told['behaviour']}{bounds}: applied {told['applied']:,} times"
