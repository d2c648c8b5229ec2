"""Checks of the timeline: its months, its indexes, and how PostgreSQL reads it."""

from collections.abc import Iterator

from hannun.domain import partitions as months
from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor.examined import Examined, Skipped
from hannun.store import diagnosis, partitions

_TIMELINE = "public.timeline_data"


def months_ahead(examined: Examined) -> Iterator[Finding]:
    """Whether the partitions of the coming months exist, and no detachment was interrupted."""
    _need_partitions(examined)
    existing = partitions.existing_months(examined.conn)
    today = examined.now().date()
    missing = months.plan(existing, today, ahead=examined.expected.months_ahead, keep=None).create
    if missing:
        yield Finding(
            Severity.WARNING,  # a message for a month without a partition makes one
            _TIMELINE,
            "the timeline lacks the months {missing}: does a schedule run? Its job create-months-ahead makes them",
            "start a schedule, or make them now as the owner",
            {"missing": ", ".join(f"{month:%Y-%m}" for month in missing)},
            ("hannun schedule", "hannun partitions"),
        )
    for month in partitions.detach_pending_months(examined.conn):
        yield Finding(
            Severity.WARNING,
            f"{_TIMELINE}_{month:%Y_%m}",
            "the detachment of {month} was interrupted: no query reads its minutes, and no other month can be detached",
            "finish it, as the owner",
            {"month": f"{month:%Y-%m}"},
            ("hannun partitions",),
        )


def _need_partitions(examined: Examined) -> None:
    if not diagnosis.timeline_is_partitioned(examined.conn):
        raise Skipped("{table} is not partitioned", table=_TIMELINE)


def partitioned(examined: Examined) -> Iterator[Finding]:
    """Whether the timeline is a partitioned table."""
    if not diagnosis.timeline_is_partitioned(examined.conn):
        yield Finding(
            Severity.CRITICAL,
            _TIMELINE,
            "public.timeline_data is a plain table, so each query of a time range reads the index of all years",
            "count it again into a new database and swap it in: a replay makes the partitions; or restore a backup",
            {},
            ("hannun replay --into shadow", "hannun replay swap"),
        )


def pruning(examined: Examined) -> Iterator[Finding]:
    """Whether PostgreSQL reads only the months of a time range."""
    _need_partitions(examined)
    month = examined.now().date().replace(day=1)
    read = diagnosis.partitions_of_a_months_plan(examined.conn, month)
    if read > 1:
        database = examined.conn.info.dbname
        yield Finding(
            Severity.WARNING,
            _TIMELINE,
            "PostgreSQL plans to read {read} partitions for one month of an event: it prunes none "
            "(enable_partition_pruning)",
            "switch pruning on again where it was switched off: for the database, a role, or the server",
            {"read": read},
            (f"ALTER DATABASE {database} RESET enable_partition_pruning;", "SHOW enable_partition_pruning;"),
        )


def indexes(examined: Examined) -> Iterator[Finding]:
    """Whether the indexes of the contract exist, BRIN among them, and PostgreSQL uses all indexes."""
    missing = diagnosis.missing_indexes(examined.conn)
    for each in missing:
        brin = " USING brin " in each.statement
        yield Finding(
            Severity.WARNING,
            each.table,
            "the BRIN index of the timeline's timestamps is missing, so reports over long ranges read whole partitions"
            if brin
            else "an index of the contract is missing on {table}, so its queries read the whole table",
            "create it, as the owner, at a quiet time: it locks out writers while it is built",
            {"table": each.table},
            (each.statement,),
        )
    for name in diagnosis.invalid_indexes(examined.conn):
        yield Finding(
            Severity.WARNING,
            name,
            "PostgreSQL does not use the index {index}: its creation was interrupted",
            "build it again, as the owner; writers go on meanwhile",
            {"index": name},
            (f"REINDEX INDEX CONCURRENTLY {name};",),
        )


def statistics(examined: Examined) -> Iterator[Finding]:
    """Whether PostgreSQL's statistics of a table are so old that it may choose bad plans."""
    for each in diagnosis.stale_statistics(examined.conn, examined.expected.changed_rows_min):
        yield Finding(
            Severity.WARNING,
            each.table,
            "autovacuum is off for {table}, and {changed} rows changed since it was analysed, when it had {rows}: "
            "plans are guesses"
            if each.unwatched
            else "{changed} rows of {table} changed since it was analysed, when it had {rows}: plans are guesses",
            "as the owner, analyse it, and switch autovacuum on for it"
            if each.unwatched
            else "analyse it, as the owner",
            {"table": each.table, "changed": each.changed, "rows": each.rows},
            (
                f"ANALYZE {each.table};",
                *((f"ALTER TABLE {each.table} RESET (autovacuum_enabled);",) if each.unwatched else ()),
            ),
        )
