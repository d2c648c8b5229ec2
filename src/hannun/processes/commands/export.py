"""What `hannun export` needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from hannun.domain.audit_chain import NewEntry
from hannun.flows import health_checks
from hannun.flows.export import Exports
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import DirectReader
from hannun.flows.report.file_reports import FileReports
from hannun.processes.amounts import amounts
from hannun.processes.channels import channel_table
from hannun.processes.file_reports import open_file_reports
from hannun.settings import Settings
from hannun.store import audit_log
from hannun.store.database import ReadPool, connected


class Exporting(NamedTuple):
    """What writes views to files. `reports` reads what names the file, `file_reports` what it holds."""

    reports: Reports
    file_reports: FileReports
    exports: Exports


@asynccontextmanager
async def open_exporting(settings: Settings, entry: NewEntry) -> AsyncIterator[Exporting]:
    """What writes views to files: PostgreSQL, checked, its replica where there is one, and no cache.

    Args:
        entry: of the audit log.

    Raises:
        StoreUnavailable: PostgreSQL cannot be reached now.
        OperatorError: it is not as it must be, with what to do.
    """
    url, of_process = settings.service_url, amounts(settings)
    with connected(url, application="hannun-export", amounts=of_process) as conn:
        health_checks.check_database(conn)
        audit_log.record(conn, entry)
    limits = replace(settings.request_pool, size_max=1, size_min=1)
    reader = ReadPool(url, limits, application="hannun-export", amounts=of_process)
    await reader.open()
    try:
        reports = Reports(
            reader, DirectReader(), lambda: datetime.now(UTC), channel_table(settings), settings.stale_after
        )
        async with open_file_reports(
            settings, reader, reports, application="hannun-export", size_max=1
        ) as file_reports:
            yield Exporting(reports, file_reports, Exports(concurrent_max=1))
    finally:
        await reader.close()
