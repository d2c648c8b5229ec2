"""The answers for files, with their own connections to the streaming replica, where the settings name one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import DirectReader
from hannun.flows.report.file_reports import FileReports
from hannun.processes.amounts import amounts
from hannun.processes.channels import channel_table
from hannun.settings import Settings
from hannun.store.database import ReadPool
from hannun.store.replica import ReplicaPool


@asynccontextmanager
async def open_file_reports(
    settings: Settings, primary: ReadPool, reports: Reports, *, application: str, size_max: int
) -> AsyncIterator[FileReports]:
    """The answers for files. A replica that is away is no error: the primary is read meanwhile.

    Args:
        primary: reads the primary, as `reports` does.
        size_max: the most connections to the replica.

    Raises:
        OperatorError: the URL of the replica cannot be parsed.
    """
    if not settings.secret("replica_database_url"):
        yield FileReports(reports)
        return
    pool = ReplicaPool(
        primary,
        settings.source("replica_database_url"),
        replace(settings.request_pool, size_max=size_max, size_min=0),
        wait_s=settings.replica_wait_s,
        application=f"{application}-replica",
        amounts=amounts(settings),
    )
    await pool.open()
    try:
        of_replica = Reports(
            pool, DirectReader(), lambda: datetime.now(UTC), channel_table(settings), settings.stale_after
        )
        yield FileReports(reports, of_replica)
    finally:
        await pool.close()
