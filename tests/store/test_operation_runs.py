"""The record of backups, restores and other operations."""

import pytest
from world import World

from hannun.domain.operation_runs import Kind
from hannun.store import operation_runs


def run(world: World, kind: Kind, outcome: str | None, name: str = "") -> int:
    """A run of an operation that ended so, or that was killed (None)."""
    with world.database.transaction() as conn:
        run_no = operation_runs.begin(conn, kind, name)
    if outcome is not None:
        with world.database.transaction() as conn:
            operation_runs.end(conn, run_no, outcome, size_bytes=7)  # type: ignore[arg-type]
    return run_no


def test_the_newest_success_of_each_kind_is_found_whatever_failed_or_was_killed_after_it(world: World) -> None:
    run(world, "drill", "succeeded", "first")
    run(world, "drill", "succeeded", "second")
    for outcome in ("failed", None):
        run(world, "drill", outcome, "third")
        run(world, "restore", outcome)
    run(world, "backup-logical", "succeeded", "dump")
    with world.database.transaction() as conn:
        found = operation_runs.newest_successes(conn)
        newest = operation_runs.newest(conn, limit=1)
    assert {kind: (success.name, success.size_bytes) for kind, success in found.items()} == {
        "drill": ("second", 7),
        "backup-logical": ("dump", 7),
    }
    assert all(success.seconds >= 0 and 0 <= success.age_s < 3_600 for success in found.values())
    assert [(done.kind, done.outcome) for done in newest] == [("backup-logical", "succeeded")]


def test_a_run_keeps_its_first_outcome(world: World) -> None:
    run_no = run(world, "verify", "failed")
    with world.database.transaction() as conn:
        operation_runs.end(conn, run_no, "succeeded")
        assert [done.outcome for done in operation_runs.newest(conn, limit=9)] == ["failed"]


def test_the_newest_thousand_runs_and_the_newest_success_of_each_kind_stay(world: World) -> None:
    for name in ("first", "second"):
        run(world, "drill", "succeeded", name)
    world.rows(
        "INSERT INTO hannun.operation_runs (kind, started_at) SELECT 'verify', now() FROM generate_series(1, 1500)"
    )
    run(world, "reconcile", "succeeded")
    names = [row.name for row in world.rows("SELECT name FROM hannun.operation_runs WHERE kind = 'drill'")]
    assert names == ["second"]
    assert len(world.rows("SELECT run_no FROM hannun.operation_runs")) == 1_001


def test_an_unknown_kind_of_operation_is_refused(world: World) -> None:
    with pytest.raises(Exception, match="operation_runs_kind_check"):
        run(world, "unknown", None)  # type: ignore[arg-type]
