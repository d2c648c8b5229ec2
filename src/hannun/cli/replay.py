"""`hannun replay`: count again what Kafka holds."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hannun.cli.positions import parse_log_point
from hannun.cli.terminal import HomeOption, Progress, operator, print_folded, read_settings, with_home
from hannun.domain.replay import Difference
from hannun.domain.replay import Progress as ReplayProgress
from hannun.errors import OperatorError, Transient
from hannun.processes.signals import stop_on_signal

if TYPE_CHECKING:
    from hannun.flows.replay.recount import ReplayResult
    from hannun.flows.replay.swap import ShadowComparison
    from hannun.processes.commands.replay import ShadowServices
    from hannun.settings import Settings

app = typer.Typer(
    help="Count again what Kafka holds: into a shadow database, or into the live tables.",
    invoke_without_command=True,
)


class Into(StrEnum):
    """The tables that a replay counts into."""

    LIVE = "live"
    SHADOW = "shadow"


@app.callback()
def replay(
    context: typer.Context,
    from_: Annotated[
        str, typer.Option("--from", help="earliest, an offset, or an instant with an offset")
    ] = "earliest",
    into: Annotated[Into, typer.Option(help="a shadow that can be compared and swapped in, or the live tables")] = (
        Into.SHADOW
    ),
    topic: Annotated[list[str] | None, typer.Option(help="only this topic; only into live")] = None,
    include_skipped: Annotated[
        bool, typer.Option("--include-skipped", help="also what operators have skipped; only into live")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Count again what Kafka holds, up to its end now. After an interruption run the same command again."""
    if context.invoked_subcommand is not None:
        return
    settings = read_settings(with_log=True)
    start = _parse_start(from_)
    topics = topic or list(settings.topics)
    unknown = sorted(set(topics) - set(settings.topics))
    if unknown:
        raise OperatorError(
            f"{unknown[0]} is not a topic of the settings", hint=f"one of {', '.join(sorted(settings.topics))}"
        )
    if into is Into.LIVE:
        result = _replay_into_live(settings, topics, start, include_skipped=include_skipped)
    elif include_skipped:
        raise OperatorError(
            "the live tables do not hold what was skipped, so a shadow that does could not be compared",
            hint="leave --include-skipped out, or add --into live",
        )
    elif topic:
        raise OperatorError(
            "a shadow of some topics only could not be compared", hint="leave --topic out, or replay --into live"
        )
    else:
        result = _replay_into_shadow(settings, start, f"--from {from_}")
    outcomes = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.outcomes.items())) or "nothing to read"
    print_folded(f"{result.messages:,} messages read into {into}: {outcomes}")
    if result.resolved:
        print_folded(f"{result.resolved:,} dead letters could be used by now and are resolved")
    if result.skipped:
        read = "; --include-skipped reads them" if into is Into.LIVE else ""
        print_folded(f"passed over {result.skipped:,} offsets that operators have skipped{read}")
    for why in [*result.not_read, *result.unusable]:
        print_folded(f"not read: {why}")
    if not result.complete:
        again = "continues where this one stopped" if into is Into.SHADOW else "begins again; it does no harm"
        raise Transient(f"the replay was stopped before its end. Hint: the same command {again}")
    if into is Into.SHADOW:
        from hannun.processes.commands.replay import shadow_of

        name = shadow_of(settings).name
        print_folded(with_home(f"the shadow is {name}; `hannun replay compare` shows what differs"))
    if result.unusable:
        raise typer.Exit(1)


def _replay_into_live(
    settings: "Settings",
    topics: list[str],
    start: Literal["earliest"] | int | datetime,
    *,
    include_skipped: bool,
) -> "ReplayResult":
    from hannun.processes.commands.replay import open_live_replay

    with (
        stop_on_signal() as stop,
        Progress(_log_progress) as progress,
        open_live_replay(settings, progress.update, stop, operator()) as replay,
    ):
        return replay.run(topics, start, include_skipped=include_skipped)


def _replay_into_shadow(
    settings: "Settings", start: Literal["earliest"] | int | datetime, begun: str
) -> "ReplayResult":
    from hannun.processes.channels import channel_table
    from hannun.processes.commands.replay import open_shadow_replay

    with (
        stop_on_signal() as stop,
        Progress(_log_progress) as progress,
        open_shadow_replay(settings, progress.update, stop, operator()) as services,
    ):
        return services.replay.run(channel_table(settings), start, begun, progress.show_step)


@app.command("compare")
def compare_replay(
    limit: Annotated[int, typer.Option(min=0, help="differences shown of each part, at most")] = 20,
    home: HomeOption = None,
) -> None:
    """Bring the shadow to the positions of the live tables, and show what differs. Status 1 where something does."""
    from hannun.flows.replay.swap import compare

    with _open_shadow() as (services, progress):
        comparison = compare(services.replay, progress.show_step)
    _show(comparison, limit)
    if comparison.found:
        raise typer.Exit(1)


@app.command("swap")
def swap_replay(
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="also lose what only the live tables hold")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="differences shown of each part, at most")] = 20,
    home: HomeOption = None,
) -> None:
    """Put the shadow in the place of the live database, which is kept. The service waits for a moment."""
    from hannun.flows.replay.swap import WouldLose, swap

    try:
        with _open_shadow() as (services, progress):
            comparison = swap(services.replay, progress.show_step, services.deliver_pending, accept=accept_differences)
            shadow = services.replay.shadow
    except WouldLose as error:  # behind the block, which shows the progress on the line of the cursor
        _show(error.compared, limit)
        raise
    _show(comparison, limit)
    print_folded(f"swapped: {shadow.live} now holds what was replayed, {shadow.before} what was there before")
    if comparison.lost:
        print_folded(f"{len(comparison.lost):,} rows are in {shadow.before} only")
    print_folded(with_home("to check every figure: hannun reconcile"))
    print_folded(with_home("to drop the old database for good: hannun replay drop --before"))


@app.command("drop")
def drop_replay(
    before: Annotated[bool, typer.Option("--before", help="what a swap has left, instead of the shadow")] = False,
    home: HomeOption = None,
) -> None:
    """Drop the shadow, or what a swap has left."""
    from hannun.processes.commands.replay import shadow_of

    shadow = shadow_of(read_settings())
    name = shadow.before if before else shadow.name
    if shadow.drop(name):
        print_folded(f"{name} is dropped")
    elif before:
        print_folded(f"nothing to drop: there is no {name}, which a swap would have left")
    else:
        print_folded(f"nothing to drop: there is no shadow {name}")


@contextmanager
def _open_shadow() -> Iterator[tuple["ShadowServices", Progress[ReplayProgress]]]:
    """The replay into a shadow that exists, and the display of its progress."""
    from hannun.processes.commands.replay import open_shadow_replay

    settings = read_settings(with_log=True)
    with (
        stop_on_signal() as stop,
        Progress(_log_progress) as progress,
        open_shadow_replay(settings, progress.update, stop, operator(), must_exist=True) as services,
    ):
        yield services, progress


def _show(comparison: "ShadowComparison", limit: int) -> None:
    """Print the differences, at most `limit` of each part, and how many there are."""
    parts: defaultdict[str, list[Difference]] = defaultdict(list)
    for difference in comparison.found:
        parts[difference.part].append(difference)
    for part, differences in parts.items():
        for difference in differences[:limit]:
            print_folded(str(difference))
        if len(differences) > limit:
            print_folded(f"{part}: and {len(differences) - limit:,} more")
    found, lost = len(comparison.found), len(comparison.lost)
    if comparison.carried_over:
        kept = ", ".join(f"{count:,} {what}" for what, count in comparison.carried_over.items())
        print_folded(f"a swap carries over: {kept}")
    print_folded(f"differences: {found:,}, of which only the live ledgers know {lost:,}")


def _parse_start(text: str) -> Literal["earliest"] | int | datetime:
    """The value of --from.

    Raises:
        OperatorError: nothing can be read from there.
    """
    start = parse_log_point(text, "--from")
    if start == "latest":
        raise OperatorError("--from latest would read nothing", hint="earliest, an offset, or an instant")
    return start


def _log_progress(progress: ReplayProgress) -> None:
    from hannun.telemetry import log

    log.info("replay", progress=str(progress), done=progress.done, total=progress.total)
