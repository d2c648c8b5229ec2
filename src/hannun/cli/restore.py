"""`hannun restore`: a backup becomes the live database, a drill proves it, or a restore by other means is finished."""

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hannun.cli.terminal import (
    HomeOption,
    Progress,
    confirm,
    operator,
    out,
    print_folded,
    print_progress,
    read_settings,
    with_home,
)
from hannun.domain.restores import format_duration
from hannun.errors import OperatorError, RedisUnavailable, Transient
from hannun.processes.signals import stop_on_signal

if TYPE_CHECKING:
    from hannun.domain.restores import RestoredPosition
    from hannun.flows.restore.loading import Loaded, Shown
    from hannun.processes.commands.restore import RestoreOptions


def restore(
    name: Annotated[str | None, typer.Argument(help="of the backup, as `hannun backup list` shows it")] = None,
    into: Annotated[
        str | None, typer.Option(help="a new database of this name, which replaces nothing", metavar="DATABASE")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="physical: an empty folder, which becomes PostgreSQL's data folder")
    ] = None,
    to_time: Annotated[
        str | None, typer.Option(help="physical: recover to this instant, with an offset; else to the end of the log")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="the file of the age identity that opens an encrypted backup")
    ] = None,
    ignore_live: Annotated[
        bool, typer.Option("--ignore-live", help="read nothing of the live database: it is damaged")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do it, and do not ask")] = False,
    drill: Annotated[
        bool,
        typer.Option("--drill", help="prove a backup on a scratch server, by default the newest, and replace nothing"),
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="something else has restored the live database: make it fit to go on")
    ] = False,
    drop_replaced: Annotated[
        bool, typer.Option("--drop-replaced", help="drop the database that the last restore has replaced")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Restore a backup in the place of the live database. Shows the plan first, and asks."""
    if sum((drill, finish, drop_replaced)) > 1:
        raise OperatorError("--drill, --finish and --drop-replaced exclude each other", hint="give one of them")
    if finish:
        _finish(yes=yes)
    elif drill:
        run_drill(name, identity)
    elif drop_replaced:
        _drop_replaced(yes=yes)
    elif name is None:
        raise OperatorError("nothing to restore is named", hint="`hannun backup list` shows the backups")
    elif folder is not None:
        _restore_physical(name, folder, to_time, identity)
    elif to_time is not None:
        raise OperatorError("--to-time needs a physical backup", hint="add --folder FOLDER, an empty one")
    else:
        from hannun.processes.commands.restore import RestoreOptions

        _restore(RestoreOptions(name, into, reads_live=not ignore_live, identity=identity), yes=yes)


def _restore(options: "RestoreOptions", *, yes: bool) -> None:
    from hannun.processes.commands.restore import open_restore

    settings = read_settings(with_log=True)
    with open_restore(settings, options, operator()) as restore:
        plan = restore.plan
        for line in plan.lines():
            print_folded(line)
        confirm("Restore it?", otherwise="nothing was restored", yes=yes)
        with _shown() as shown:
            done = restore.run(shown)
    _print_loaded(done.loaded)
    if not plan.replaces:
        print_folded(f"{plan.target} holds {plan.manifest.name}, and equals its manifest")
        return
    print_folded(f"{plan.live_name} now holds {plan.manifest.name}")
    _print_positions(done.positions)
    if plan.live is not None:
        print_folded(f"{plan.before} holds what was there before; hannun restore --drop-replaced")
    if done.missing_keys:
        keys = ", ".join(done.missing_keys)
        print_folded(f"amounts are encrypted with {keys}: a process starts only with that in its key ring")
    if done.plain_again:
        print_folded(f"amounts are plain again, which were encrypted: {with_home('hannun amounts encrypt')}")
    _print_cached(done.cached_keys)


def _restore_physical(name: str, folder: Path, to_time: str | None, identity: Path | None) -> None:
    from hannun.flows.restore.physical import restore_physical
    from hannun.processes.commands.restore import backup_source

    settings = read_settings(with_log=True)
    moment = None if to_time is None else _moment(to_time)
    source = backup_source(settings, identity)
    manifest = source.folder.find(name)
    with _shown() as shown:
        done = restore_physical(manifest, source, folder.resolve(), moment, shown)
    print_folded(f"{done.path} holds {manifest.name}, and pg_verifybackup finds every file as it was copied")
    if done.recovers_to is None:
        print_folded("there is no archived log: it starts with what it held when the backup ended")
    else:
        print_folded(f"at its start it recovers to {done.recovers_to}")
    port, data = 5433, shlex.quote(str(done.path))
    what = "the folder" if done.wal is None else "the folder and the archived log"
    print_folded(f"1. as root, give the user of PostgreSQL (here postgres) {what}:")
    for command in done.access_commands("postgres"):
        out.print(f"   {command}", markup=False, highlight=False)
    print_folded("2. as that user, start it on another port than the old server:")
    out.print(f"   {done.programs.path('pg_ctl')} -D {data} -o '-p {port}' -w start", markup=False, highlight=False)
    print_folded("3. look whether it holds what you want; then let it take the place of the old server")
    print_folded(f"4. with DATABASE_URL on it: {with_home('hannun restore --finish')}")


def _moment(text: str) -> datetime:
    """
    Raises:
        OperatorError: it is no instant with an offset.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise OperatorError(
            f"--to-time {text} is no instant with an offset from UTC", hint="as in 2026-11-27T09:30:00+09:00"
        )
    return moment


def run_drill(name: str | None, identity: Path | None) -> None:
    """Prove a backup, by default the newest logical one, and print what was found."""
    from hannun.flows.restore.drill import DrillFailed
    from hannun.processes.commands.restore import open_drill

    settings = read_settings(with_log=True)
    try:
        with open_drill(settings, name, identity) as drill, _shown() as shown:
            result = drill.run(shown)
    except DrillFailed as error:  # behind the block, which shows the progress on the line of the cursor
        for drift in error.result.drift:
            print_folded(drift)
        raise
    _print_loaded(result.loaded)
    print_folded(
        f"{result.name} was restored in {format_duration(result.seconds)}: it equals its manifest, and every figure "
        "its recomputation. Nothing of it is left."
    )


@contextmanager
def _shown() -> Iterator["Shown"]:
    """Shows steps and progress, and ends the work where the operator stops it."""
    from hannun.flows.restore.loading import Shown

    with stop_on_signal() as stop, Progress[str](print_progress) as progress:
        yield Shown(progress.show_step, progress.update, _check(stop))


def _check(stop: threading.Event) -> Callable[[], None]:
    def check() -> None:
        if stop.is_set():
            raise Transient("the restore was stopped; the live database is as it was", hint="the same command goes on")

    return check


def _print_loaded(loaded: "Loaded") -> None:
    if loaded.new_roles:
        print_folded(f"not restored: the passwords of roles that are new here: {', '.join(loaded.new_roles)}")
    for what in loaded.left_out:
        print_folded(f"not restored: {what}")
    if loaded.seconds:
        steps = ", ".join(f"{step} {format_duration(seconds)}" for step, seconds in loaded.seconds.items())
        print_folded(f"took {format_duration(sum(loaded.seconds.values()))}: {steps}")


def _finish(*, yes: bool) -> None:
    from hannun.flows.restore.finish import finish
    from hannun.processes.commands.restore import open_cache_cleanup, open_live, restore_target

    settings = read_settings()
    print_folded(f"prepare {restore_target(settings).live}, which something else has restored:")
    print_folded(
        "consumers resume at its positions, every event gets a new version, its sign-in codes are void", indent="  "
    )
    print_folded("every cached answer in Redis is deleted", indent="  ")
    confirm("Prepare it?", otherwise="nothing was changed", yes=yes)
    with open_cache_cleanup(settings) as cleanup, open_live(settings) as conn:
        finished = finish(conn, operator(), cleanup.delete_cached, cleanup.deliver_pending)
    print_folded("the restored database is prepared: its events have new versions")
    _print_positions(finished.positions)
    _print_cached(finished.cached_keys)


def _drop_replaced(*, yes: bool) -> None:
    from hannun.processes.commands.restore import drop_replaced, restore_target

    target = restore_target(read_settings())
    if target.find(target.before) is not None:
        print_folded(f"drop {target.before}: what {target.live} was before the last restore. Nothing brings it back.")
        confirm("Drop it?", otherwise="nothing was dropped", yes=yes)
    name, dropped = drop_replaced(read_settings(), operator())
    if dropped:
        print_folded(f"{name} is dropped")
    else:
        print_folded(f"nothing to drop: there is no {name}, which a restore would have kept")


def _print_positions(positions: Sequence["RestoredPosition"]) -> None:
    for position in positions:
        again = f", {position.to_read_again:,} messages are read again" if position.to_read_again else ""
        place = f"{position.topic}[{position.partition}]"
        print_folded(f"{place} resumes at offset {position.next_offset}{again}", indent="  ")
    if not positions:
        print_folded("no partition of Kafka had been read", indent="  ")


def _print_cached(cached_keys: int | None) -> None:
    """Print what became of the cache, and what to do next.

    Raises:
        RedisUnavailable: the cached answers could not be deleted.
    """
    if cached_keys is None:
        raise RedisUnavailable(
            "Redis did not answer, so it may still hold answers of the database before",
            hint=f"when it answers: {with_home('hannun restore --finish')}",
        )
    print_folded(f"{cached_keys:,} keys were deleted in Redis")
    print_folded(with_home("to check every figure: hannun reconcile"))
