"""Checks of the data itself: drift of the aggregates, damaged pages, and damaged indexes."""

from collections.abc import Iterator
from typing import Final

from hannun import deadlines
from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor.examined import Examined, Skipped
from hannun.store import diagnosis, operation_runs

SAMPLED_EVENTS: Final = 20
SAMPLED_PARTICIPANTS_MAX: Final = 20_000
"""Larger events are left to `hannun reconcile`: counting one would take longer than the check may."""
PAGES_MAX: Final = 500
"""Of each table. 4 MB are read within some tens of milliseconds from a cold disk."""
INDEX_PAGES_MAX: Final = 2_000
"""Larger indexes are left to pg_amcheck. 16 MB are checked within some tens of milliseconds."""
INDEXES_MAX: Final = 200
LEFT_S_MIN: Final = 0.5
SHOWN: Final = 5


def drift(examined: Examined) -> Iterator[Finding]:
    """Whether the figures of some events differ from their ledgers, or the newest `hannun reconcile` found drift."""
    differing = diagnosis.sampled_drift(
        examined.conn,
        events=SAMPLED_EVENTS,
        participants_max=SAMPLED_PARTICIPANTS_MAX,
        seed=examined.now().minute,
    )
    if differing:
        first = differing[0]
        yield Finding(
            Severity.CRITICAL,
            first.table,
            "{count} figures of {events} sampled events differ from the ledger; event number {event_no}: {table} has "
            "{found} participants, the ledger {expected}",
            "see all of it; then count again from the logs into a shadow, compare, and swap. It is a defect, or "
            "somebody wrote to the tables by hand",
            {
                "count": len(differing),
                "events": SAMPLED_EVENTS,
                "event_no": first.event_no,
                "table": first.table,
                "found": first.found,
                "expected": first.expected,
            },
            ("hannun reconcile", "hannun replay --into shadow"),
        )
        return
    recorded = operation_runs.newest_drift(examined.conn)
    if recorded:
        yield Finding(
            Severity.CRITICAL,
            "hannun reconcile",
            "the newest reconcile found {count} figures that differ from the ledgers",
            "run it again to see which; then count again from the logs into a shadow, compare, and swap",
            {"count": recorded},
            ("hannun reconcile", "hannun replay --into shadow"),
        )


def damaged_pages(examined: Examined) -> Iterator[Finding]:
    """Whether a page of a table is damaged: by the checksums of those that this check or others have read."""
    conn = examined.conn
    damaged = []
    for table, pages in diagnosis.table_pages(conn):
        if deadlines.remaining_s() < LEFT_S_MIN:
            break
        error = diagnosis.unreadable_page(conn, table, PAGES_MAX, pages)
        if error:
            damaged.append(table)
            yield Finding(
                Severity.CRITICAL,
                table,
                "a page of {table} is damaged: {error}",
                "stop writing to it, find out all that is damaged, and restore the newest good backup; the disk or "
                "the memory of PostgreSQL's machine is broken",
                {"table": table, "error": error},
                (f"pg_amcheck --heapallindexed -d {conn.info.dbname}", "hannun backup list"),
            )
    checksums = diagnosis.checksums(conn)
    if checksums.failures and not damaged:
        yield Finding(
            Severity.CRITICAL,
            "the database",
            "PostgreSQL has read {failures} pages with a wrong checksum, the last at {last_at} UTC",
            "find out what is damaged, and restore the newest good backup; the disk or the memory of PostgreSQL's "
            "machine is broken",
            {"failures": checksums.failures, "last_at": f"{checksums.last_at:%Y-%m-%d %H:%M:%S}"},
            (f"pg_amcheck --heapallindexed -d {conn.info.dbname}",),
        )
    if not checksums.enabled:
        yield Finding(
            Severity.NOTICE,
            "the server",
            "pages have no checksums, so a damaged one is noticed late or never",
            "switch them on while PostgreSQL is stopped",
            {},
            ("pg_checksums --enable -D DATA_DIRECTORY",),
        )


def damaged_indexes(examined: Examined) -> Iterator[Finding]:
    """Whether an index is damaged, by the extension amcheck: unique ones first, as many as fit into the time."""
    conn = examined.conn
    check = diagnosis.index_check(conn)
    if check is None:
        raise Skipped("the extension amcheck is not installed: CREATE EXTENSION amcheck, as a superuser")
    if not check.allowed:
        raise Skipped(
            "{role} may not check indexes: GRANT EXECUTE ON FUNCTION {function}(regclass) TO {role}, as a superuser",
            role=conn.info.user,
            function=check.function,
        )
    for index in diagnosis.checkable_indexes(conn, pages_max=INDEX_PAGES_MAX, count_max=INDEXES_MAX):
        if deadlines.remaining_s() < LEFT_S_MIN:
            return
        error = diagnosis.index_damage(conn, check.function, index)
        if error:
            yield Finding(
                Severity.CRITICAL,
                index,
                "the index {index} is damaged: {error}",
                "find out all that is damaged, then build it again, as the owner: a unique one may have let rows be "
                "counted twice, which its build and `hannun reconcile` find",
                {"index": index, "error": error},
                (
                    f"pg_amcheck --heapallindexed -d {conn.info.dbname}",
                    f"REINDEX INDEX CONCURRENTLY {index};",
                    "hannun reconcile",
                ),
            )
