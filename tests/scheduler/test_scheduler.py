"""Timed jobs, with clocks and waits that the test hands in: no test sleeps."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs
from world import gauges

from hannun.errors import OperatorError, StoreUnavailable
from hannun.scheduler import FAILURES_IN_A_ROW_MAX, Every, Job, JobFailed, Result, Scheduler

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Clock:
    """A clock that moves only where the scheduler sleeps; after `sleeps_max` sleeps it stops the scheduler."""

    def __init__(self, sleeps_max: int = 1_000) -> None:
        self.at_s = 0.0
        self.sleeps: list[float] = []
        self._sleeps_max = sleeps_max

    def seconds(self) -> float:
        return self.at_s

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.at_s)

    async def sleep(self, seconds: float) -> None:
        if len(self.sleeps) == self._sleeps_max:
            raise asyncio.CancelledError
        self.sleeps.append(seconds)
        self.at_s += seconds


def scheduler(
    jobs: Sequence[Job], clock: Clock | None = None, sleep: Callable[[float], Awaitable[object]] | None = None
) -> Scheduler:
    clock = clock or Clock()
    return Scheduler(jobs, now=clock.now, clock=clock.seconds, sleep=sleep or clock.sleep)


def run_until_the_clock_stops(jobs: Sequence[Job], clock: Clock) -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scheduler(jobs, clock).run())


def test_a_job_runs_at_once_and_again_after_each_period() -> None:
    runs: list[datetime] = []

    def work(now: datetime) -> Result:
        runs.append(now)
        return Result()

    clock = Clock(sleeps_max=3)
    run_until_the_clock_stops([Job("tick", Every(20), work)], clock)
    assert runs == [NOON + timedelta(seconds=seconds) for seconds in (0, 20, 40, 60)]
    assert clock.sleeps == [20, 20, 20]


def test_a_period_may_depend_on_the_time_of_day() -> None:
    class AtMidnight:
        def wait_s(self, now: datetime) -> float:
            return (now.replace(hour=0, minute=0) + timedelta(days=1) - now).total_seconds()

    clock = Clock(sleeps_max=2)
    run_until_the_clock_stops([Job("nightly", AtMidnight(), lambda _: Result())], clock)
    assert clock.sleeps == [12 * 3_600, 24 * 3_600]


def test_a_transient_failure_is_one_log_line_and_the_job_runs_again() -> None:
    answers = iter([StoreUnavailable("the server is starting"), Result(), Result()])

    def work(_: datetime) -> Result:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with capture_logs() as logs:
        run_until_the_clock_stops([Job("mends itself", Every(5), work)], Clock(sleeps_max=2))
    warnings = [line for line in logs if line["log_level"] != "debug"]
    assert [(line["job"], line["error"]) for line in warnings] == [("mends itself", "the server is starting")]
    assert list(answers) == []


def test_a_job_that_fails_unexpectedly_is_logged_once_and_runs_again() -> None:
    """The cause may be one row that a caller sent: the process must outlive it."""
    answers = iter([Result(), ValueError("an odd row"), TypeError("the same row"), Result(), ValueError("another")])

    def work(_: datetime) -> Result:
        answer = next(answers, Result())
        if isinstance(answer, Exception):
            raise answer
        return answer

    with capture_logs() as logs:
        run_until_the_clock_stops([Job("meets an odd row", Every(5), work)], Clock(sleeps_max=6))
    errors = [(line["job"], str(line["exc_info"])) for line in logs if line["log_level"] == "error"]
    assert errors == [("meets an odd row", "an odd row"), ("meets an odd row", "another")]
    assert gauges("hannun_job_failures_total")['{job="meets an odd row"}'] == 3


def test_a_job_that_fails_many_times_in_a_row_ends_the_scheduler_and_is_named() -> None:
    runs = 0

    def work(_: datetime) -> Result:
        nonlocal runs
        runs += 1
        raise ZeroDivisionError("a mistake of ours")

    with pytest.raises(JobFailed, match="broken") as failed:
        asyncio.run(scheduler([Job("broken", Every(5), work)]).run())
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert runs == FAILURES_IN_A_ROW_MAX


@pytest.mark.parametrize("error", [OperatorError("a privilege is missing", hint="grant it"), MemoryError()])
def test_an_error_that_only_an_operator_can_mend_ends_the_scheduler_at_once(error: Exception) -> None:
    def work(_: datetime) -> Result:
        raise error

    with pytest.raises(JobFailed, match="permanent") as failed:
        asyncio.run(scheduler([Job("permanent", Every(5), work)]).run())
    assert failed.value.__cause__ is error


def test_a_slow_job_delays_no_other() -> None:
    release, fast_runs = threading.Event(), 0

    def slow(_: datetime) -> Result:
        assert release.wait(30)
        return Result()

    def fast(_: datetime) -> Result:
        nonlocal fast_runs
        fast_runs += 1
        return Result()

    async def sleep(_: float) -> None:
        if fast_runs == 100:
            release.set()
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scheduler([Job("slow", Every(5), slow), Job("fast", Every(0.5), fast)], sleep=sleep).run())
    assert fast_runs == 100, "while the first run of the slow job had not ended"


def test_a_stopped_scheduler_waits_for_the_run_in_progress_and_begins_no_other() -> None:
    began, release, runs = threading.Event(), threading.Event(), 0

    def work(_: datetime) -> Result:
        nonlocal runs
        began.set()
        assert release.wait(30)
        runs += 1
        return Result()

    async def stop_in_the_middle() -> None:
        running = asyncio.create_task(scheduler([Job("unhurried", Every(0), work)]).run())
        await asyncio.to_thread(began.wait)
        running.cancel()
        await asyncio.sleep(0)
        assert not running.done()
        release.set()
        await asyncio.wait([running])
        assert running.cancelled()

    asyncio.run(stop_in_the_middle())
    assert runs == 1


def test_a_scheduler_that_failed_does_not_wait_for_a_job_that_hangs() -> None:
    began, release = threading.Event(), threading.Event()

    def hangs(_: datetime) -> Result:
        began.set()
        release.wait(30)
        return Result()

    def fails(_: datetime) -> Result:
        began.wait(30)
        raise OperatorError("a privilege is missing", hint="grant it")

    try:
        with pytest.raises(JobFailed, match="broken"):
            asyncio.run(scheduler([Job("hangs", Every(5), hangs), Job("broken", Every(5), fails)]).run())
        assert not release.is_set()
    finally:
        release.set()


def test_two_jobs_of_one_name_are_refused() -> None:
    job = Job("twin", Every(1), lambda _: Result())
    with pytest.raises(AssertionError, match="two jobs"):
        scheduler([job, job])


def test_runs_failures_seconds_and_the_last_success_are_metrics_by_job() -> None:
    answers = iter([Result(changed=3), StoreUnavailable("away"), Result()])
    clock = Clock(sleeps_max=2)

    def work(_: datetime) -> Result:
        clock.at_s += 2
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    run_until_the_clock_stops([Job("measured", Every(10), work)], clock)
    label = '{job="measured"}'
    assert gauges("hannun_job_runs_total")[label] == 3
    assert gauges("hannun_job_failures_total")[label] == 1
    assert gauges("hannun_job_seconds_sum")[label] == 6
    assert gauges("hannun_job_last_success_timestamp_seconds")[label] == (NOON + timedelta(seconds=26)).timestamp()
