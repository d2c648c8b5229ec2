"""Runs timed jobs: each job by its own period, all in one event loop.

    run_once ─┬─ result ────────────► metrics ─► wait for the period ─► run_once ...
              ├─ Transient ─► a log line, metrics ─► wait for the period ─► run_once ...
              ├─ any other exception ─► an error in the log, metrics ─► wait for the period ─► run_once ...
              └─ OperatorError, MemoryError, or FAILURES_IN_A_ROW_MAX other exceptions without a success between them
                 ─► JobFailed: `run` ends, and with it the process

A job blocks (it writes to PostgreSQL), so each run has a thread of its own: a slow job delays no other. A job never
runs twice at the same time. The threads are daemons, so that a job that hangs cannot keep the process from ending.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from hannun.errors import OperatorError, Transient
from hannun.telemetry import log, metrics

FAILURES_IN_A_ROW_MAX = 10
"""So many unforeseen failures of a job, without a success between them, are taken for permanent.

One failure is not: its cause may be one row, which a caller sent, and the process must outlive it.
"""
STOP_S_MAX = 10.0
"""How long the scheduler waits for runs in progress when it is stopped. PostgreSQL's lock wait ends within this."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of a job did. `changed` counts what it wrote or delivered; 0 where it only looked."""

    changed: int = 0


class Period(Protocol):
    """When a job runs again."""

    def wait_s(self, now: datetime) -> float:
        """Seconds to wait from `now` (UTC), when a run has just ended, until the next run."""


@dataclass(frozen=True, slots=True)
class Every:
    """Runs a job again so many seconds after its last run has ended."""

    seconds: float

    def wait_s(self, now: datetime) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that repeats.

    Args:
        name: the label `job` of the metrics, and the job's name in the log.
        period: when it runs again. The first run is at once.
        run_once: does the work, in a thread of its own; `now` is in UTC. It raises `Transient` where the next run may
            succeed, and `OperatorError` where no run can before an operator has acted, which ends the process.
    """

    name: str
    period: Period
    run_once: Callable[[datetime], Result]


class JobFailed(Exception):
    """A job failed, and no later run can be expected to succeed."""

    def __init__(self, job: str) -> None:
        super().__init__(f"the job {job} failed")
        self.job = job


class Scheduler:
    """Runs the jobs of a table.

    Args:
        now: the time of day, in UTC.
        clock: seconds that only increase; they measure how long a run takes.
        sleep: waits in the event loop.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        names = [job.name for job in jobs]
        assert len(set(names)) == len(names), "two jobs of one name"
        self._jobs = jobs
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._in_progress: set[asyncio.Future[Result]] = set()
        self._failures_in_a_row = dict.fromkeys(names, 0)

    async def run(self) -> None:
        """Run all jobs until cancelled; then wait for the runs in progress, at most `STOP_S_MAX` seconds.

        Raises:
            JobFailed: a job has failed permanently. The other jobs are not waited for.
        """
        loops = [asyncio.create_task(self._repeat(job), name=job.name) for job in self._jobs]
        try:
            await asyncio.gather(*loops)
        except asyncio.CancelledError:
            if self._in_progress:
                await asyncio.wait(self._in_progress, timeout=STOP_S_MAX)
            raise
        finally:
            for loop in loops:
                loop.cancel()

    async def _repeat(self, job: Job) -> None:
        while True:
            await self.run_once(job)
            await self._sleep(job.period.wait_s(self._now()))

    async def run_once(self, job: Job) -> Result | None:
        """Run a job once, and record the run. Returns what it did; None where it failed for the moment.

        Raises:
            JobFailed: it has failed permanently.
        """
        began_s = self._clock()
        try:
            result = await self._in_thread(job)
        except Transient as error:
            self._record(job, self._clock() - began_s, failed=True)
            log.warning("a job failed and will run again", job=job.name, error=str(error))
            return None
        except Exception as error:
            self._record(job, self._clock() - began_s, failed=True)
            self._failures_in_a_row[job.name] += 1
            failures = self._failures_in_a_row[job.name]
            if isinstance(error, OperatorError | MemoryError) or failures >= FAILURES_IN_A_ROW_MAX:
                raise JobFailed(job.name) from error
            if failures == 1:  # the next ones in a row are in the metrics
                log.error("a job failed unexpectedly and will run again", job=job.name, exc_info=error)
            return None
        self._failures_in_a_row[job.name] = 0
        took_s = self._clock() - began_s
        self._record(job, took_s, failed=False)
        log.debug("a job ran", job=job.name, changed=result.changed, seconds=round(took_s, 3))
        return result

    def _record(self, job: Job, took_s: float, *, failed: bool) -> None:
        metrics.job_runs.labels(job.name).inc()
        metrics.job_seconds.labels(job.name).observe(took_s)
        failures = metrics.job_failures.labels(job.name)  # at 0 from the first run on, so that a rise is seen
        if failed:
            failures.inc()
        else:
            metrics.job_last_success.labels(job.name).set(self._now().timestamp())

    async def _in_thread(self, job: Job) -> Result:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Result] = loop.create_future()
        now = self._now()

        def work() -> None:
            try:
                result = job.run_once(now)
            except Exception as error:
                report(ended.set_exception, error)
            else:
                report(ended.set_result, result)

        def report(settle: Callable[..., None], value: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: the scheduler no longer waits for this run
                loop.call_soon_threadsafe(settle, value)

        self._in_progress.add(ended)
        ended.add_done_callback(self._forget)
        threading.Thread(target=work, name=job.name, daemon=True).start()
        return await asyncio.shield(ended)  # a cancelled scheduler still waits for the run

    def _forget(self, ended: asyncio.Future[Result]) -> None:
        self._in_progress.discard(ended)
        if not ended.cancelled():
            ended.exception()  # retrieved, or asyncio logs it once more where nobody waits any longer
