"""Backups for tests: made by the flow, of a world's database, in a folder of the test's own."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from world import DATABASE_OWNER, PASSWORD, World

from hannun.backups.folder import BackupFolder
from hannun.backups.manifest import Manifest
from hannun.domain.channels import load_table
from hannun.embedded import postgres_binaries
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.create import create
from hannun.flows.reconcile import reconcile
from hannun.flows.restore.drill import DrillResult, drill
from hannun.flows.restore.loading import BackupSource, Shown
from hannun.flows.restore.plan import ReadLogs, plan
from hannun.flows.restore.replacing import Restore, Restored
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.restore_target import RestoreTarget

NOT_SHOWN = Shown()
PROGRAMS: Sequence[Path] = (postgres_binaries(18),)


def owner_url(world: World) -> str:
    return world.postgres.url(world.name, DATABASE_OWNER, PASSWORD)


def make_backup(world: World, folder: Path, recipient: str | None = None) -> Manifest:
    """A logical backup of the world's database."""
    folder.mkdir(exist_ok=True)
    context = BackupContext(
        BackupFolder(folder), world.another_database(), owner_url(world), PROGRAMS, "test", lambda: datetime.now(UTC)
    )
    return create(context, "logical", world.redis, recipient=recipient)


def restore(
    world: World,
    folder: Path,
    backup: Manifest,
    *,
    into: str | None = None,
    reads_live: bool = True,
    shown: Shown = NOT_SHOWN,
    read_logs: ReadLogs | None = None,
    delete_cached: Callable[[], int] = lambda: 0,
    identities: list[Any] | None = None,
    planned: Callable[[list[str]], object] = bool,
) -> Restored:
    """Restore a backup in the place of the world's database, or into another one.

    Args:
        planned: called with the lines of the plan.
    """
    source = BackupSource(BackupFolder(folder), identities, PROGRAMS)
    target = RestoreTarget(owner_url(world), world.url, into, world.amounts)
    made = plan(target, backup, source, read_logs, replaces=into is None, reads_live=reads_live)
    planned(list(made.lines()))
    return Restore(
        made, target, source, load_table(), "an operator", delete_cached, world.deliver_pending, ring=None
    ).run(shown)


def run_drill(
    world: World,
    folder: Path,
    backup: Manifest,
    *,
    amounts: Amounts = WITHOUT_KEYS,
    identities: list[Any] | None = None,
    shown: Shown = NOT_SHOWN,
) -> DrillResult:
    """Prove a backup in a scratch database beside the world's."""
    url = world.postgres.superuser_url
    target = RestoreTarget(url, url, f"{world.name}_drill", amounts)
    source = BackupSource(BackupFolder(folder), identities, PROGRAMS)
    return drill(target, backup, source, load_table(), reconcile, shown)
