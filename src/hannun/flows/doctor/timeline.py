"""Checks of the timeline: its months, its indexes, and how PostgreSQL reads it."""

from collections.abc import Iterator

from hannun.domain import partitions as months
from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor.examined import Examined
from hannun.store import partitions


def months_ahead(examined: Examined) -> Iterator[Finding]:
    """Whether the partitions of the coming months exist, and no detachment was interrupted."""
    existing = partitions.existing_months(examined.conn)
    today = examined.now().date()
    missing = months.plan(existing, today, ahead=examined.expected.months_ahead, keep=None).create
    if missing:
        next_month = months.month_after(today.replace(day=1), 1)
        yield Finding(
            Severity.CRITICAL if missing[0] <= next_month else Severity.WARNING,
            "public.timeline_data",
            "the timeline lacks the months {missing}: does a schedule run? Its job create-months-ahead makes them",
            "start a schedule, or make them now as the owner",
            {"missing": ", ".join(f"{month:%Y-%m}" for month in missing)},
            ("hannun schedule", "hannun partitions"),
        )
    for month in partitions.detach_pending_months(examined.conn):
        yield Finding(
            Severity.WARNING,
            f"public.timeline_data_{month:%Y_%m}",
            "the detachment of {month} was interrupted: no query reads its minutes, and no other month can be detached",
            "finish it, as the owner",
            {"month": f"{month:%Y-%m}"},
            ("hannun partitions",),
        )
