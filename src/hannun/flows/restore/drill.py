"""A restore drill: a backup is restored into a scratch database, compared, recomputed, timed and dropped.

load, compare with the manifest ─► reconcile ─► drop ─► record: the date and the minutes become metrics
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hannun.backups.manifest import Manifest
from hannun.domain.channels import ChannelTable
from hannun.errors import HannunError, OperatorError
from hannun.flows.restore.loading import BackupSource, Loaded, Shown, holds_encrypted_amounts, load
from hannun.store import amount_state, operation_runs, restore_target
from hannun.store.database import Connection, Database
from hannun.store.restore_target import RestoreTarget

DRIFTS_SHOWN_MAX = 20
Recompute = Callable[[Connection, Callable[[str], None]], Iterable[object]]
"""Recomputes every aggregate of a database, and returns every figure that differs."""


@dataclass(slots=True)
class DrillResult:
    """What a drill has shown. `drift` are the first figures that differ from their recomputation."""

    name: str
    loaded: Loaded = field(default_factory=Loaded)
    drift: list[str] = field(default_factory=list)
    drift_count: int = 0
    seconds: float = 0.0

    @property
    def detail(self) -> dict[str, Any]:
        """What is kept on record."""
        return {"seconds": self.loaded.seconds, "drift": self.drift_count}


class DrillFailed(OperatorError):
    """The restored database differs from its own ledgers."""

    def __init__(self, result: DrillResult) -> None:
        super().__init__(
            f"the drill of {result.name} has failed: {result.drift_count:,} figures differ from their recomputation",
            hint="does the live database drift too? hannun reconcile",
        )
        self.result = result


def drill(
    target: RestoreTarget,
    manifest: Manifest,
    source: BackupSource,
    channels: ChannelTable,
    recompute: Recompute,
    shown: Shown,
) -> DrillResult:
    """Restore a backup into a scratch database, which is dropped at the end, and prove it.

    Args:
        target: a database beside others, or on a server of its own. It has the keys of encrypted amounts.

    Raises:
        DrillFailed: some figures differ from their recomputation.
        OperatorError: the backup is damaged or does not fit, or a right, an identity or a key is missing.
        Transient: another drill runs there, or the server went away.
    """
    if holds_encrypted_amounts(manifest) and not target.amounts.key_ids:
        raise OperatorError(
            f"cannot prove {manifest.name}: its amounts are encrypted, and this process has no key ring",
            hint="HANNUN_KEY_RING_FILE names the file with the keys",
        )
    begun = time.monotonic()
    result = DrillResult(manifest.name)
    with target.as_server_owner() as server, source.folder.reading():
        restore_target.lock(server, target.name)
        try:
            result.loaded = load(target, manifest, source, channels, shown)
            recomputed_from = time.monotonic()
            with target.as_owner(target.name) as conn:
                amount_state.check_keys(conn)
                for drift in recompute(conn, shown.step):
                    result.drift_count += 1
                    result.drift += [str(drift)] if len(result.drift) < DRIFTS_SHOWN_MAX else []
            result.loaded.seconds["recompute"] = round(time.monotonic() - recomputed_from, 1)
        finally:
            target.drop(target.name)
    result.seconds = time.monotonic() - begun
    if result.drift_count:
        raise DrillFailed(result)
    return result


@contextmanager
def recorded(records: Database, manifest: Manifest) -> Iterator[Callable[[DrillResult], None]]:
    """Record the block as a drill in the live database: succeeded where its result is given, failed where it raises.

    Raises:
        StoreUnavailable: the live database is away. A drill that nobody can record is not begun.
    """
    with records.transaction() as conn:
        run_no = operation_runs.begin(conn, "drill", manifest.name)

    def succeed(result: DrillResult) -> None:
        with records.transaction() as conn:
            operation_runs.end(conn, run_no, "succeeded", size_bytes=manifest.size_bytes, detail=result.detail)

    try:
        yield succeed
    except BaseException as error:
        detail = {
            "error": str(error.args[0]) if isinstance(error, HannunError) and error.args else type(error).__name__
        }
        with records.transaction() as conn:
            operation_runs.end(conn, run_no, "failed", detail=detail)
        raise
