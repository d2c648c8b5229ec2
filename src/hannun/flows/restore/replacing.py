"""Restore a backup in the place of the live database.

    load into NAME_restored, check ─► lock out the writers of live ─► prepare: epochs, versions, what was decided since
        ─► close both ─► delete what Redis holds ─► rename both ─► deliver the invalidations

An interrupted restore is repeated: what was loaded and checked is kept, everything else begins anew.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hannun.backups.manifest import Manifest
from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.channels import ChannelTable
from hannun.domain.restores import RestoredPosition
from hannun.flows.restore.finish import delete_or_none
from hannun.flows.restore.loading import BackupSource, Loaded, Shown, load
from hannun.flows.restore.plan import RestorePlan
from hannun.key_ring import KeyRing
from hannun.store import amount_state, audit_log, database_swap, operation_runs, restore_target, restored
from hannun.store.database import Connection
from hannun.store.forgotten_again import check_ring
from hannun.store.restore_target import RestoreTarget, Stage


@dataclass(slots=True)
class Restored:
    """What a restore has done.

    Args:
        cached_keys: how many cached answers were deleted; None where Redis did not answer.
        missing_keys: keys of encrypted amounts that this process lacks, and every process of the service needs.
        plain_again: whether some amounts are plain that were encrypted in the database that was replaced.
    """

    loaded: Loaded
    positions: list[RestoredPosition] = field(default_factory=list)
    cached_keys: int | None = None
    missing_keys: list[str] = field(default_factory=list)
    plain_again: bool = False


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore that may begin.

    Args:
        by: the operator, for the record.
        delete_cached: deletes every cached answer.
        deliver_pending: delivers the pending invalidations of the new live database.
        ring: the keys by which people were forgotten; None where none is set.
    """

    plan: RestorePlan
    target: RestoreTarget
    source: BackupSource
    channels: ChannelTable
    by: str
    delete_cached: Callable[[], int]
    deliver_pending: Callable[[], object]
    ring: KeyRing | None

    @property
    def _manifest(self) -> Manifest:
        return self.plan.manifest

    def run(self, shown: Shown) -> Restored:
        """Do what the plan says.

        Raises:
            Transient: another restore runs, a writer held its locks for too long, or a server went away. The live
                database is as it was; the same restore goes on.
            OperatorError: the backup is damaged or does not fit, the key ring lacks a key by which somebody was
                forgotten since, or the databases cannot be renamed. The live database is as it was.
        """
        target = self.target
        with target.as_server_owner() as server, self.source.folder.reading():
            restore_target.lock(server, target.live)
            self._check_ring()
            with self._on_record():
                done = Restored(self._load(shown))
                if self.plan.replaces:
                    self._replace(done, shown)
        if self.plan.replaces:
            self.deliver_pending()
        return done

    def _check_ring(self) -> None:
        """Before the load, which may take hours."""
        if self.plan.replaces and self.plan.live is not None:
            with self._live() as live:
                if live is not None:
                    check_ring(live, self._manifest.snapshot_counts.get("hannun.forgotten", 0), self.ring)

    def _load(self, shown: Shown) -> Loaded:
        if self.target.stage_of(self._manifest.name) is Stage.CHECKED:
            return Loaded()
        return load(self.target, self._manifest, self.source, self.channels, shown)

    def _replace(self, done: Restored, shown: Shown) -> None:
        target = self.target
        with target.as_owner(target.name) as conn:
            done.missing_keys = amount_state.missing_keys(conn)
            done.plain_again = self.plan.live_seals and not amount_state.all_sealed(conn)
            if self.plan.live is None:
                shown.step(f"giving it the name {target.live}")
                done.positions = restored.prepare(conn, None, self.by, self.ring)
                conn.commit()
                done.cached_keys = delete_or_none(self.delete_cached)
                database_swap.take_name(target, conn)
                return
            with self._live() as live:
                shown.step("preparing it: epochs, versions, what was decided since the backup")
                if live is not None:
                    # Of its own, so that the audit log names a restore that does not succeed, too.
                    audit_log.record(live, self._entry(Action.RESTORE_BEGUN))
                    live.commit()
                    database_swap.lock_out_writers(live)
                done.positions = restored.prepare(conn, live, self.by, self.ring)
                conn.commit()
                shown.step("deleting the cached answers, and renaming both databases")

                def delete_cached() -> None:
                    done.cached_keys = delete_or_none(self.delete_cached)

                database_swap.swap_names(target, live, conn, delete_cached)

    @contextmanager
    def _live(self) -> Iterator[Connection | None]:
        """The live database where something is read of it."""
        if not self.plan.reads_live:
            yield None
            return
        with self.target.as_owner(self.target.live) as live:
            yield live

    @contextmanager
    def _on_record(self) -> Iterator[None]:
        """Record the restore in the live database, which hands its records to the one that replaces it."""
        target, name = self.target, self._manifest.name
        run_no = None
        if self.plan.live is not None and self.plan.reads_live:
            with target.as_owner(target.live) as live:
                run_no = operation_runs.begin(live, "restore", name)
        try:
            yield
        except BaseException:
            if run_no is not None:
                with target.as_owner(target.live) as live:
                    operation_runs.end(live, run_no, "failed")
            raise
        if self.plan.replaces or run_no is not None:
            with target.as_owner(target.live) as live:
                number = operation_runs.begin(live, "restore", name) if run_no is None else run_no
                operation_runs.end(live, number, "succeeded", size_bytes=self._manifest.size_bytes)
                if self.plan.replaces:
                    audit_log.record(live, self._entry(Action.RESTORED))

    def _entry(self, action: Action) -> NewEntry:
        how = f"from {self._manifest.name}"
        if self.plan.live is None:
            how += ", the live database was lost"
        elif not self.plan.reads_live:
            how += ", nothing was read of the live database"
        return NewEntry(operator(self.by), action, f"database {self.plan.live_name}", reason=how)
