"""What `hannun restore` needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hannun.backups import encryption
from hannun.backups.manifest import Manifest
from hannun.cache import flush, opening
from hannun.counting import outbox_relay
from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.flows.reconcile import reconcile
from hannun.flows.restore.drill import DrillResult, drill, recorded
from hannun.flows.restore.loading import BackupSource, Shown, major_of
from hannun.flows.restore.plan import ReadLogs, plan
from hannun.flows.restore.replacing import Restore
from hannun.kafka.broker import Broker
from hannun.processes.amounts import amounts, optional_key_ring
from hannun.processes.channels import channel_table
from hannun.processes.commands.backup import backup_folder, program_folders
from hannun.processes.commands.database import open_database, open_owner_connection, owner_url
from hannun.processes.commands.scratch_server import open_scratch_server
from hannun.settings import Settings
from hannun.store import audit_log
from hannun.store.database import Connection, Database
from hannun.store.restore_target import RestoreTarget

RESTORE = "hannun-restore"
"""The application name of a restore in `pg_stat_activity`."""
DRILL_DATABASE = "hannun_drill"
"""The scratch database of a drill."""


@dataclass(frozen=True, slots=True)
class CacheCleanup:
    """What removes the cached answers of the database that was there before."""

    delete_cached: Callable[[], int]
    deliver_pending: Callable[[], object]


@contextmanager
def open_cache_cleanup(settings: Settings) -> Iterator[CacheCleanup]:
    """The cleanup of the cache. Neither PostgreSQL nor Redis is connected to before it is used."""
    database = Database(settings.service_url, settings.pool, application=RESTORE)
    invalidator = opening.invalidator(settings.redis)
    try:
        yield CacheCleanup(
            partial(flush.delete_everything, settings.redis),
            partial(outbox_relay.deliver_pending, database, invalidator, older_than_s=0),
        )
    finally:
        invalidator.close()
        database.close()


@contextmanager
def open_live(settings: Settings) -> Iterator[Connection]:
    """The live database, for its owner."""
    with open_owner_connection(settings, RESTORE) as conn:
        yield conn


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What an operator wants restored.

    Args:
        name: of the backup; None for the newest logical one.
        into: a database beside the live one, which is not replaced then.
        reads_live: whether what was decided since is copied from the live database.
        identity: the file that opens an encrypted backup.
    """

    name: str | None
    into: str | None
    reads_live: bool
    identity: Path | None


@contextmanager
def open_restore(settings: Settings, options: RestoreOptions, by: str) -> Iterator[Restore]:
    """A restore that may begin: the backup, the versions, the rights and the live database are checked."""
    source = backup_source(settings, options.identity)
    manifest = source.folder.find(options.name) if options.name else source.folder.newest("logical")
    target = restore_target(settings, options.into)
    made = plan(
        target,
        manifest,
        source,
        _read_logs(settings),
        replaces=options.into is None,
        reads_live=options.reads_live,
    )
    with open_cache_cleanup(settings) as cleanup:
        yield Restore(
            made,
            target,
            source,
            channel_table(settings),
            by,
            cleanup.delete_cached,
            cleanup.deliver_pending,
            optional_key_ring(settings),
        )


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill that may begin. `run` does and records it."""

    manifest: Manifest
    run: Callable[[Shown], DrillResult]


@contextmanager
def open_drill(settings: Settings, name: str | None, identity: Path | None) -> Iterator[Drill]:
    """A drill of a backup, by default of the newest logical one, on a scratch server.

    Args:
        identity: opens an encrypted backup; None for the file that HANNUN_DRILL_IDENTITY_FILE names, if any.

    Raises:
        StoreUnavailable: the live database, which records the drill, is away.
        OperatorError: there is no backup, no scratch server, or the backup is of another kind.
    """
    if identity is None and settings.drill_identity_file:
        identity = Path(settings.drill_identity_file)
    source = backup_source(settings, identity)
    manifest = source.folder.find(name) if name else source.folder.newest("logical")
    with open_database(settings, RESTORE) as records:

        def run(shown: Shown) -> DrillResult:
            with (
                recorded(records, manifest) as succeed,
                open_scratch_server(settings, major_of(manifest.server_version)) as url,
            ):
                target = RestoreTarget(url, url, DRILL_DATABASE, amounts(settings))
                result = drill(target, manifest, source, channel_table(settings), reconcile, shown)
                if not settings.secret("drill_database_url"):
                    result.loaded.new_roles.clear()  # they go with the scratch server
                succeed(result)
                return result

        yield Drill(manifest, run)


def has_logical_backup(settings: Settings) -> bool:
    """Whether there is a logical backup, which a drill can prove."""
    return any(made.kind == "logical" for made in backup_folder(settings).contents().backups)


def restore_target(settings: Settings, into: str | None = None) -> RestoreTarget:
    """The database that a restore fills, whether it exists or not."""
    return RestoreTarget(owner_url(settings), settings.service_url, into, amounts(settings))


def drop_replaced(settings: Settings, by: str) -> tuple[str, bool]:
    """Drop the database that a restore has kept. Returns its name, and whether there was one."""
    target = restore_target(settings)
    with open_live(settings) as live:
        dropped = target.drop(target.before)
        if dropped:
            audit_log.record(live, NewEntry(operator(by), Action.REPLACED_DROPPED, f"database {target.before}"))
    return target.before, dropped


def backup_source(settings: Settings, identity: Path | None) -> BackupSource:
    """Where backups are read from.

    Raises:
        OperatorError: no setting says where, or the identity cannot be read.
    """
    identities = None if identity is None else encryption.read_identities(identity)
    return BackupSource(backup_folder(settings), identities, program_folders(settings))


def _read_logs(settings: Settings) -> ReadLogs | None:
    if not settings.kafka_bootstrap_servers:
        return None
    broker = Broker(settings.kafka)
    return lambda partitions, known: broker.partition_logs(partitions, known, allow_missing=True)
