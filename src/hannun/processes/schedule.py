"""The process `schedule`: the timed jobs, the refresh, and the comparison of cached answers with the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from hannun.cache import opening
from hannun.flows.cache_consistency import ConsistencyChecker
from hannun.flows.health_checks import DiskHealth
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import DirectReader
from hannun.flows.report.registry import dashboard_key, dashboard_question
from hannun.processes import jobs, schedule_jobs
from hannun.processes.amounts import amounts
from hannun.processes.background import TRANSACTIONS_STOP_S_MAX, run_in_task, run_jobs
from hannun.processes.channels import channel_table
from hannun.processes.metrics_endpoint import metrics_endpoint
from hannun.processes.refresh import open_refresh
from hannun.processes.signals import stop_on_signal
from hannun.processes.tracing import tracing_to_collector
from hannun.processes.writing import open_writing
from hannun.scheduler import Job
from hannun.settings import Settings
from hannun.store.database import ReadPool
from hannun.telemetry import log


def run(settings: Settings) -> None:
    """Run the timed jobs until a signal stops the process."""
    with tracing_to_collector(settings, "hannun-schedule"):
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    with stop_on_signal(lambda: loop.call_soon_threadsafe(stopped.set)):
        async with open_schedule(settings):
            log.info("schedule runs")
            await stopped.wait()


@asynccontextmanager
async def open_schedule(settings: Settings) -> AsyncIterator[None]:
    """Run the timed jobs until the block ends, with PostgreSQL and Redis checked.

    Raises:
        Transient: one of them cannot be reached now.
        OperatorError: one of them is not as it must be, with what to do.
    """
    async with AsyncExitStack() as stack:
        writing = stack.enter_context(open_writing(settings, "hannun-schedule"))
        maintenance = schedule_jobs.maintenance_jobs(settings, writing)
        backups = schedule_jobs.backup_jobs(settings, writing)
        metrics = metrics_endpoint(
            settings.schedule_metrics_port, settings.page_requests_a_minute, host=settings.metrics_host
        )
        await stack.enter_async_context(metrics)
        comparisons: list[Job] = []
        if settings.consistency_samples_a_second > 0:
            consistency = await stack.enter_async_context(_open_consistency(settings))
            await stack.enter_async_context(run_in_task("compare the cache with the database", consistency.run()))
            shares_inspector = opening.server_inspector(settings.redis)
            stack.callback(shares_inspector.close)
            comparisons.append(jobs.record_consistency(shares_inspector, lambda: consistency.shares))
        inspector = opening.server_inspector(settings.redis)
        stack.callback(inspector.close)
        lookups_inspector = opening.server_inspector(settings.redis)  # each job has a thread, an inspector is for one
        stack.callback(lookups_inspector.close)
        refresh = await stack.enter_async_context(open_refresh(settings, writing))
        await stack.enter_async_context(run_in_task("refresh", refresh.run()))
        await stack.enter_async_context(
            run_jobs(
                jobs.deliver_pending_invalidations(writing),
                jobs.update_gauges(writing),
                jobs.update_refresh_gauges(writing, settings.stale_after),
                jobs.update_database_gauges(writing),
                jobs.update_redis_gauges(inspector),
                jobs.record_lookups(lookups_inspector),
                jobs.check_disk(DiskHealth(writing.database("-disk"))),
                *comparisons,
                *maintenance,
                *backups,
            )
        )
        stack.callback(writing.end_transactions_after, TRANSACTIONS_STOP_S_MAX)
        yield


@asynccontextmanager
async def _open_consistency(settings: Settings) -> AsyncIterator[ConsistencyChecker]:
    """The comparison, with a cache and a read pool of its own."""
    limits = replace(settings.pool, size_max=2, size_min=1)
    reader = ReadPool(settings.database_source, limits, application="hannun-schedule-read", amounts=amounts(settings))
    cache = opening.answer_cache(
        settings.redis, lifetime_s=settings.answer_lifetime_s, timeout_s=settings.redis_read_wait_s
    )
    reports = Reports(reader, DirectReader(), lambda: datetime.now(UTC), channel_table(settings), settings.stale_after)
    await reader.open()
    await cache.open()
    try:
        async with run_in_task("check that Redis accepts invalidations", cache.watch_writes()):
            yield ConsistencyChecker(
                cache.announcements,
                lambda topic: cache.get(dashboard_key(topic)),
                lambda topic: reports.from_database(dashboard_question(topic)),
                samples_a_second=settings.consistency_samples_a_second,
            )
    finally:
        await cache.close()
        await reader.close()
