"""`hannun replay`: count again what Kafka holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from hannun import settings as settings_
from hannun import telemetry
from hannun.cli.positions import place_in_time
from hannun.cli.terminal import Progress, operator, out
from hannun.errors import OperatorError, Transient
from hannun.processes.signals import stop_on_signal

replays = typer.Typer(
    help="Count again what Kafka holds: into a shadow beside the live tables, or into the live ones.",
    invoke_without_command=True,
)


class Into(StrEnum):
    """The tables that a replay counts into."""

    LIVE = "live"
    SHADOW = "shadow"


@replays.callback()
def replay(
    context: typer.Context,
    from_: Annotated[
        str, typer.Option("--from", help="earliest, an offset, or an instant with an offset")
    ] = "earliest",
    into: Annotated[Into, typer.Option(help="a shadow that can be compared and swapped in, or the live tables")] = (
        Into.SHADOW
    ),
    topic: Annotated[list[str] | None, typer.Option(help="only this topic; only into live")] = None,
) -> None:
    """Count again what Kafka holds, up to where it ends now. Interrupted, the same command goes on or does no harm."""
    from hannun.processes.commands import open_replaying
    from hannun.processes.writing import channel_table

    if context.invoked_subcommand is not None:
        return
    settings = settings_.read()
    telemetry.configure(settings.log_level)
    start = _beginning(from_)
    topics = topic or list(settings.topics)
    unknown = sorted(set(topics) - set(settings.topics))
    if unknown:
        raise OperatorError(f"{unknown[0]} is no topic of ours", hint=f"one of {', '.join(sorted(settings.topics))}")
    if topic and into is Into.SHADOW:
        raise OperatorError(
            "a shadow of some topics only could never be compared", hint="leave --topic out, or replay --into live"
        )
    with (
        stop_on_signal() as stop,
        Progress(_log_replay) as progress,
        open_replaying(settings, progress.tell, stop, operator()) as replaying,
    ):
        shadow = replaying.shadow
        if into is Into.LIVE:
            done = replaying.replay.into_live(replaying.database, replaying.counter, topics, start)
        else:
            new = shadow.create(channel_table(settings), f"--from {from_}")
            if not new:
                progress.note(
                    f"{shadow.name} is there already: going on where it stands (`hannun replay drop` drops it)"
                )
            with shadow.as_owner(shadow.live) as live:
                live.autocommit = True  # a transaction left open would keep `hannun migrate` waiting until the end
                done = replaying.replay.into_shadow(live, *replaying.count_shadow(), topics, start)
    became = ", ".join(f"{count:,} {result}" for result, count in sorted(done.became.items())) or "nothing to read"
    out.print(f"{done.messages:,} messages read into {into}: {became}", highlight=False)
    if done.closed:
        out.print(f"{done.closed:,} dead letters could be used by now and are resolved", highlight=False)
    if not done.whole:
        again = "goes on where this one stopped" if into is Into.SHADOW else "begins again; it does no harm"
        raise Transient(f"the replay was told to stop before its end. Hint: the same command {again}")
    if into is Into.SHADOW:
        out.print(f"the shadow is {shadow.name}; `hannun replay compare` says what differs", highlight=False)


@replays.command("compare")
def compare_replay(
    limit: Annotated[int, typer.Option(help="differences shown of each part, at most")] = 20,
) -> None:
    """Bring the shadow to where the live tables stand, and say what differs. Status 1 where something does."""
    from hannun.flows.replay.swap import compare

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    with _at_the_shadow(settings) as (shadow, catch_up, tells, _):
        compared = compare(shadow, catch_up, tells)
    _show(compared, limit)
    if compared.found:
        raise typer.Exit(1)


@replays.command("swap")
def swap_replay(
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="also lose what only the live tables know")
    ] = False,
    limit: Annotated[int, typer.Option(help="differences shown of each part, at most")] = 20,
) -> None:
    """Put the shadow in the place of the live database, which is kept. The service waits for a moment."""
    from hannun.flows.replay.swap import WouldLose, swap

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    with _at_the_shadow(settings) as (shadow, catch_up, tells, pay_debts):
        try:
            compared = swap(shadow, catch_up, tells, operator(), accept=accept_differences)
        except WouldLose as error:
            _show(error.compared, limit)
            raise
        pay_debts()
    _show(compared, limit)
    out.print(f"swapped: {shadow.live} is what was replayed, {shadow.before} what it was before", highlight=False)
    out.print("`hannun reconcile` proves it; `hannun replay drop --before` drops the old one", highlight=False)


@replays.command("drop")
def drop_replay(
    before: Annotated[bool, typer.Option("--before", help="what a swap has left, instead of the shadow")] = False,
) -> None:
    """Drop the shadow, or what a swap has left."""
    from hannun.processes.commands import open_shadow

    shadow = open_shadow(settings_.read())
    name = shadow.before if before else shadow.name
    out.print(f"{name} is dropped" if shadow.drop(name) else f"there is no {name}", highlight=False)


@contextmanager
def _at_the_shadow(settings: settings_.Settings) -> Iterator[tuple[Any, Any, Any, Any]]:
    """The shadow, what brings it to where live stands, what tells of it, and what pays the cache."""
    from hannun.processes.commands import open_replaying, open_shadow
    from hannun.store.database_swap import reopen_live

    shadow = open_shadow(settings)
    if shadow.find(shadow.name) is None:
        raise OperatorError(f"there is no shadow {shadow.name}", hint="`hannun replay --from earliest` makes one")
    reopen_live(shadow)  # a swap that was killed may have left it shut
    shadow.check_complete()
    with (
        stop_on_signal() as stop,
        Progress(_log_replay) as progress,
        open_replaying(settings, progress.tell, stop, operator()) as replaying,
    ):
        database, counter = replaying.count_shadow()

        def catch_up(live: Any) -> None:
            done = replaying.replay.into_shadow(live, database, counter, list(settings.topics), "earliest")
            if not done.whole:
                raise Transient("told to stop before the shadow had caught up; nothing has changed")

        yield shadow, catch_up, progress.note, replaying.pay_debts


def _show(compared: Any, limit: int) -> None:
    """Differences, some of each part, and how many there are."""
    parts: dict[str, list[Any]] = {}
    for difference in compared.found:
        parts.setdefault(difference.part, []).append(difference)
    for part, found in parts.items():
        for difference in found[:limit]:
            out.print(str(difference), markup=False, highlight=False)
        if len(found) > limit:
            out.print(f"{part}: and {len(found) - limit:,} more", highlight=False)
    lost = len(compared.lost)
    out.print(f"differences: {len(compared.found):,}, of which only the live ledgers know {lost:,}", highlight=False)


def _beginning(text: str) -> Any:
    if text == "latest":
        raise OperatorError("--from latest would read nothing", hint="earliest, an offset, or an instant")
    return place_in_time(text, "--from")


def _log_replay(progress: Any) -> None:
    telemetry.log.info("replay", progress=str(progress), done=progress.done, total=progress.total)
