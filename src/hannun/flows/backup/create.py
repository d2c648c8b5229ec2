"""Make a backup.

    lock ─► record the run ─► folder ─► PostgreSQL's program ─► hashes ─► manifest, written last
                                 └─ anything fails, or the process dies ─► no manifest: no backup

What fails removes its folder, so that a full disk has room again. What a killed process has left, `prune` removes.
"""

from collections.abc import Callable
from typing import Final

from hannun.backups import encryption
from hannun.backups.manifest import Kind, Manifest
from hannun.cache import RedisAddress
from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.operation_runs import Kind as OperationKind
from hannun.errors import OperatorError
from hannun.flows.backup import logical, physical, redis
from hannun.flows.backup.context import BackupContext, recorded
from hannun.store import database_facts
from hannun.store.database import Connection, connected

APPLICATION: Final = "hannun-backup"
_OPERATIONS: Final[dict[Kind, OperationKind]] = {
    "logical": "backup-logical",
    "physical": "backup-physical",
    "redis": "backup-redis",
}


def create(
    context: BackupContext, kind: Kind, address: RedisAddress, *, recipient: str | None, incremental: bool = False
) -> Manifest:
    """Make a backup of a kind. Returns its manifest.

    Args:
        address: of Redis, for its backup.
        recipient: the public key for which the backup is encrypted; None leaves it plain.
        incremental: a physical backup of what has changed since the newest one.

    Raises:
        Transient: another backup is being made, or a server is away.
        OperatorError: a right, a program or room is missing. Nothing is left behind.
    """
    if incremental and kind != "physical":
        raise OperatorError(f"a {kind} backup cannot be incremental", hint="add --kind physical")
    if recipient is not None:
        encryption.parse_recipient(recipient)
    context.folder.check()
    with context.folder.making(), connected(context.url, application=APPLICATION) as conn:
        database_facts.lock_backup(conn)
        with recorded(context.records, _OPERATIONS[kind]) as run:
            manifest = _make(context, kind, _maker(kind, context, conn, address, recipient, incremental=incremental))
            run.name, run.size_bytes = manifest.name, manifest.size_bytes
            how = f"encrypted for {recipient}" if recipient else "not encrypted"
            run.entry = NewEntry(operator(context.by), Action.BACKUP_MADE, manifest.name, reason=how)
    return manifest


def _maker(
    kind: Kind,
    context: BackupContext,
    conn: Connection,
    address: RedisAddress,
    recipient: str | None,
    *,
    incremental: bool,
) -> Callable[[str], Manifest]:
    """Makes the backup in the folder of this name, all but the manifest's file."""
    if kind == "logical":
        return lambda name: logical.dump(context, conn, name, recipient)
    if kind == "physical":
        return lambda name: physical.copy(context, conn, name, recipient, incremental=incremental)
    return lambda name: redis.copy(context, address, name, recipient)


def _make(context: BackupContext, kind: Kind, make: Callable[[str], Manifest]) -> Manifest:
    name = context.folder.begin(kind, context.now())
    try:
        manifest = make(name)
        context.folder.finish(manifest)
    except BaseException:
        context.folder.discard(name)
        raise
    return context.folder.read(name)
