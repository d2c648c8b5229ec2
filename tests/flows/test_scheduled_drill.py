"""Restore drills at set times: once, whoever does them, and again where one failed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from world import World

from hannun.domain.timetable import Timetable
from hannun.errors import OperatorError, Transient
from hannun.flows.restore.scheduled import ScheduledDrill
from hannun.store.due_work import RETRY_AFTER, DueWork

YEARLY = Timetable("0 0 0 1 1 *")
"""So that nothing else becomes due while a test runs."""
NOW = datetime(2026, 11, 29, 20, 0, 30, tzinfo=UTC)


def scheduled(
    world: World, owner: str, drill: Callable[[], object], has_backup: Callable[[], bool] = lambda: True
) -> ScheduledDrill:
    return ScheduledDrill(DueWork(world.database, "restore-drill", YEARLY, owner, 0.0), has_backup, drill)


def test_a_drill_that_is_due_is_done_once_by_one_of_several_processes(world: World) -> None:
    done: list[str] = []
    processes = [scheduled(world, f"process-{number}", lambda: done.append("drill")) for number in range(3)]
    assert [process.run_once(NOW) for process in processes] == [1, 0, 0]
    assert done == ["drill"]


def test_a_drill_that_failed_is_repeated(world: World) -> None:
    answers = iter([OperatorError("drift", hint="look"), None])

    def drill() -> None:
        error = next(answers)
        if error is not None:
            raise error

    process = scheduled(world, "process", drill)
    with pytest.raises(Transient, match="drift"):
        process.run_once(NOW)
    assert process.run_once(NOW + timedelta(minutes=1)) == 0
    assert process.run_once(NOW + RETRY_AFTER) == 1


def test_nothing_is_due_before_the_first_backup(world: World) -> None:
    backups: list[str] = []
    process = scheduled(world, "process", lambda: None, lambda: bool(backups))
    assert process.run_once(NOW) == 0
    backups.append("the first")
    assert process.run_once(NOW) == 1
