"""`hannun migrate`: bring the schema to the newest version, or say what that would do."""

import json
import os
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from hannun.cli.terminal import HomeOption, check_number, err, operator, print_folded, read_settings

if TYPE_CHECKING:
    from hannun.domain.migration_plan import MigrationPlan, PlannedLock

LOCK_WAIT_S_MAX = 3_600
GIVE_UP_S_MAX = 7 * 86_400
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def migrate(
    plan: Annotated[bool, typer.Option("--plan", help="print what is missing, what it locks and for how long")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the plan as one JSON object")] = False,
    lock_wait: Annotated[float, typer.Option(help="seconds for which one try waits for a lock")] = 2.0,
    give_up_after: Annotated[float, typer.Option(help="seconds after which it gives up to wait for locks")] = 600.0,
    pack_participants: Annotated[
        bool | None,
        typer.Option(
            "--pack-participants/--pack-no-more",
            help="pack participants of quiet events from now on, once every process runs this version: older ones can "
            "start no more",
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Migrate the database to the newest schema, as its owner, beside a running service. Running it again changes
    nothing; after a break it goes on."""
    from hannun.processes.commands import database

    check_number("--lock-wait", lock_wait, LOCK_WAIT_S_MAX)
    check_number("--give-up-after", give_up_after, GIVE_UP_S_MAX)
    settings = read_settings()
    if plan or as_json:
        found = database.migration_plan(settings)
        print(json.dumps(asdict(found), indent=2)) if as_json else _print(found)
        return
    progress = partial(print_folded, console=err)
    version = database.migrate(settings, os.environ, lock_wait, give_up_after, progress, operator(), pack_participants)
    print_folded(f"the schema is of version {version}")
    if pack_participants is not None:
        print_folded("participants of quiet events are packed" if pack_participants else "nothing more is packed")


def _print(plan: "MigrationPlan") -> None:
    found = f"the schema is of version {plan.found}" if plan.found else "there is no schema of Hannun"
    if not plan.migrations:
        print_folded(f"{found}; nothing is missing")
        return
    print_folded(f"{found}; `hannun migrate` brings it to {plan.migrations[-1].name[:4]}")
    for migration in plan.migrations:
        print_folded(f"{migration.name}: {migration.purpose}")
        for line in map(_line, migration.locks):
            print_folded(line, indent="  ")
        if plan.found and not migration.locks:
            print_folded("locks no table of before", indent="  ")
    seconds, disk = _seconds(plan.seconds), _size(plan.disk_bytes)
    print_folded(f"altogether {seconds} at work, and at most {disk} more disk meanwhile; both are rough")


def _line(planned: "PlannedLock") -> str:
    lock = planned.lock
    work = f", {lock.work}: {_seconds(planned.seconds)}" if lock.work else ""
    disk = f", {_size(planned.disk_bytes)} of disk" if planned.disk_bytes else ""
    held = f"; held now by {', '.join(planned.held_by)}" if planned.held_by else ""
    return f"{lock.table} ({_size(planned.size_bytes)}), {lock.mode}: {planned.stops}{work}{disk}{held}"


def _seconds(seconds: float) -> str:
    return (
        "under 1 s" if seconds < 1 else f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"
    )


def _size(size: float) -> str:
    unit = 0
    while size >= 1_000 and unit < len(_UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 10 else f"{size:.1f} {_UNITS[unit]}"
