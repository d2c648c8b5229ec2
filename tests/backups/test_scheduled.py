"""Backups at set times: once, whoever makes them, and again where one failed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from world import World

from hannun.backups.folder import BackupFolder
from hannun.domain.timetable import Timetable
from hannun.errors import Transient
from hannun.flows.backup.context import BackupContext
from hannun.flows.backup.scheduled import ScheduledBackup
from hannun.store.due_work import DueWork

YEARLY = Timetable("0 0 0 1 1 *")
"""So that nothing else becomes due while a test runs."""
NOW = datetime(2026, 11, 27, 18, 0, 30, tzinfo=UTC)


@pytest.fixture
def scheduled(world: World, context: BackupContext) -> Callable[..., ScheduledBackup]:
    """Makes the scheduled backup as one process has it."""

    def make(owner: str, folder: Path | None = None, lost_after_s: float = 3_600.0) -> ScheduledBackup:
        own = context if folder is None else replace(context, folder=BackupFolder(folder))
        work = DueWork(world.database, "backup-logical", YEARLY, owner, lost_after_s)
        return ScheduledBackup("logical", work, lambda: own, world.redis, recipient=None, daily=7, weekly=4)

    return make


def pass_a_year(world: World) -> None:
    """The work of this year becomes that of the last, so that another one is due."""
    world.rows("UPDATE hannun.rounds SET due_at = due_at - interval '1 year'")


def made(world: World) -> int:
    """How many backups have succeeded."""
    return len(world.rows("SELECT FROM hannun.operation_runs WHERE outcome = 'succeeded'"))


def test_what_is_due_is_made_once_by_one_of_several_processes(
    scheduled: Callable[..., ScheduledBackup], world: World
) -> None:
    processes = [scheduled(f"process-{number}") for number in range(3)]
    assert [process.run_once(NOW) for process in processes] == [1, 0, 0]
    assert [process.run_once(NOW) for process in processes] == [0, 0, 0]
    pass_a_year(world)
    assert [process.run_once(NOW) for process in reversed(processes)] == [1, 0, 0]
    assert made(world) == 2


def test_a_process_that_died_leaves_the_backup_to_another(
    scheduled: Callable[..., ScheduledBackup], world: World
) -> None:
    class Killed(BaseException):
        pass

    def die() -> BackupContext:
        raise Killed

    work = DueWork(world.database, "backup-logical", YEARLY, "dies", 3_600.0)
    dying = ScheduledBackup("logical", work, die, world.redis, recipient=None, daily=7, weekly=4)
    with pytest.raises(Killed):
        dying.run_once(NOW)
    assert scheduled("waits").run_once(NOW) == 0, "the dead one is not lost yet"
    assert scheduled("takes over", lost_after_s=0.0).run_once(NOW) == 1
    assert scheduled("is late", lost_after_s=0.0).run_once(NOW) == 0
    assert made(world) == 1


def test_a_failure_is_tried_again_after_an_hour_and_does_not_end_the_process(
    scheduled: Callable[..., ScheduledBackup], world: World, tmp_path: Path
) -> None:
    process = scheduled("process", tmp_path / "unmounted", lost_after_s=0.0)
    with pytest.raises(Transient, match="which does not exist"):
        process.run_once(NOW)
    (tmp_path / "unmounted").mkdir()
    assert process.run_once(NOW + timedelta(minutes=59)) == 0
    assert process.run_once(NOW + timedelta(minutes=60)) == 1


def test_a_scheduled_backup_prunes_those_that_are_not_kept(
    scheduled: Callable[..., ScheduledBackup], context: BackupContext, world: World
) -> None:
    killed = context.folder.path / "logical" / "20260101T000000Z"
    killed.mkdir(parents=True)
    assert scheduled("process").run_once(NOW) == 1
    assert not killed.exists()
