"""`hannun backup`: make, list, verify and prune backups."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hannun.cli.restore import run_drill
from hannun.cli.terminal import (
    DryRunOption,
    HomeOption,
    Progress,
    err,
    operator,
    out,
    print_folded,
    print_progress,
    read_settings,
)
from hannun.domain.restores import format_sum
from hannun.errors import OperatorError, Transient
from hannun.processes.signals import stop_on_signal

if TYPE_CHECKING:
    from hannun.flows.backup.context import BackupContext
    from hannun.settings import Settings

app = typer.Typer(help="Make, list, verify and prune backups.", no_args_is_help=True)
FREE_MB_MIN = 1_000


class BackupKind(StrEnum):
    """What a backup holds."""

    LOGICAL = "logical"
    PHYSICAL = "physical"
    REDIS = "redis"


@app.command()
def create(
    kind: Annotated[
        BackupKind, typer.Option(help="the database (pg_dump), the whole server (pg_basebackup), or Redis (RDB)")
    ] = BackupKind.LOGICAL,
    encrypt: Annotated[
        bool | None, typer.Option("--encrypt/--plain", help="by default where HANNUN_BACKUP_RECIPIENT is set")
    ] = None,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="physical: only what changed since the newest one")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Make a backup into HANNUN_BACKUP_FOLDER."""
    from hannun.flows.backup.create import create as run

    settings = read_settings()
    if encrypt and not settings.backup_recipient:
        raise OperatorError(
            "--encrypt needs a public key, and HANNUN_BACKUP_RECIPIENT is not set",
            hint="`hannun backup keys FILE` makes an identity, and prints its public key",
        )
    recipient = settings.backup_recipient if encrypt is not False else ""
    with _backups(settings) as context:
        made = run(context, kind.value, settings.redis, recipient=recipient or None, incremental=incremental)
    seconds = (made.ended_at - made.started_at).total_seconds()
    print_folded(f"{made.name}  {_size(made.size_bytes)} in {seconds:,.1f} s{', encrypted' if made.encrypted else ''}")
    if made.snapshot_counts:
        rows = sum(made.snapshot_counts.values())
        print_folded(f"{rows:,} rows of {len(made.snapshot_counts)} tables; " + ", ".join(
            f"{name.replace('_', ' ')} {format_sum(value)}" for name, value in made.sums.items()
        ), indent="  ")  # fmt: skip


@app.command("list")
def list_backups(home: HomeOption = None) -> None:
    """List the backups, oldest first, and what cannot be used. `verify` also finds changed bytes."""
    from hannun.processes.commands.backup import backup_folder

    folder = backup_folder(read_settings())
    contents = folder.contents()
    usable = False
    for backup in contents.backups:
        if wrong := folder.wrong_sizes(backup):
            print_folded(f"{backup.name:<26} cannot be used: {'; '.join(wrong)}")
            continue
        usable = True
        marks = [mark for mark, has in (("encrypted", backup.encrypted), ("incremental", backup.parent)) if has]
        line = f"{backup.name:<26} {_size(backup.size_bytes):>10}  {_age(backup.started_at):>9}  {' '.join(marks)}"
        out.print(line.rstrip(), highlight=False)
    for unusable in contents.unusable:
        print_folded(f"{unusable.name:<26} cannot be used: {unusable.why}")
    if not usable:
        print_folded(f"no complete backup in {folder.path}")
        raise typer.Exit(1)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="of the backup, as `hannun backup list` shows it")],
    identity: Annotated[Path | None, typer.Option(help="the file of the identity that opens encrypted ones")] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="logical: also restore it on a scratch server, as a drill")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Compare a backup with its hashes, and let PostgreSQL's programs read it."""
    from hannun.flows.backup.verification import verify as run

    with _backups(read_settings()) as context:
        manifest, checked = run(context, name, identity)
    for line in checked:
        print_folded(line)
    print_folded(f"{manifest.name} is whole")
    if restore:
        run_drill(manifest.name, identity)


@app.command()
def prune(dry_run: DryRunOption = False, home: HomeOption = None) -> None:
    """Remove backups that are not kept, and unfinished ones."""
    from hannun.flows.backup.prune import prune as run
    from hannun.processes.commands.backup import backup_folder, record_removed

    settings = read_settings()
    folder = backup_folder(settings)
    plan = run(folder, daily=settings.backup_daily_kept, weekly=settings.backup_weekly_kept, dry_run=dry_run)
    if not dry_run:
        record_removed(settings, plan, operator())
    verb = "would be removed" if dry_run else "removed"
    for backup in plan.backups:
        print_folded(f"{backup.name}  {_size(backup.size_bytes)}  {verb}")
    for unfinished in plan.unfinished:
        print_folded(f"{unfinished.name}  unfinished  {verb}")
    if plan.segments:
        print_folded(f"{len(plan.segments):,} segments of archived write-ahead log  {verb}")
    for damaged in plan.damaged:
        print_folded(f"{damaged.name}  stays: {damaged.why}", console=err)
    if not (plan.backups or plan.unfinished or plan.segments):
        print_folded("every backup is kept")


@app.command()
def wal(
    free_mb: Annotated[int, typer.Option(min=0, help="ends with less room than this in the folder")] = FREE_MB_MIN,
    home: HomeOption = None,
) -> None:
    """Archive the write-ahead log until stopped, for restores to a point in time."""
    from hannun.flows.backup.wal import archive
    from hannun.processes.commands.backup import open_backups

    settings = read_settings(with_log=True)
    with stop_on_signal() as stop, open_backups(settings, operator()) as context:
        archive(context, stopped=stop.is_set, wait=stop.wait, free_bytes_min=free_mb * 1_000_000)


@app.command()
def keys(file: Annotated[Path, typer.Argument(help="a new file; keep it where the backups are not")]) -> None:
    """Make an identity that opens encrypted backups, and print its public key."""
    from hannun.processes.commands.backup import new_identity

    public = new_identity(file)
    print(public)
    print_folded(
        f"{file} opens the backups: keep it away from them, and a copy of it where a fire does not reach both. "
        "HANNUN_BACKUP_RECIPIENT is the line above.",
        console=err,
    )


@contextmanager
def _backups(settings: "Settings") -> "Iterator[BackupContext]":
    """What a command on backups needs, with progress on the terminal, until the operator stops it."""
    from hannun.processes.commands.backup import open_backups

    with stop_on_signal() as stop, Progress[str](print_progress) as progress:

        def check() -> None:
            if stop.is_set():
                raise Transient("stopped", hint="nothing is left behind; run it again")

        with open_backups(settings, operator(), progress.update, check) as context:
            yield context


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} B"


def _age(since: datetime) -> str:
    age_s = (datetime.now(since.tzinfo) - since).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= 2 * size:
            return f"{age_s / size:,.0f} {unit} ago"
    return "now"
