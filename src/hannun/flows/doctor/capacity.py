"""Checks of what can run out: connections, the pool of readers, locks, disks."""

import os
from collections.abc import Iterator
from contextlib import suppress

from hannun.domain.findings import Finding, Severity
from hannun.errors import DiskFull
from hannun.flows.doctor.examined import Examined
from hannun.store import database_statistics, diagnosis, disk_room

CONNECTIONS_SHARE_MAX = 0.9
DISK_FREE_WARNING = 0.15
DISK_FREE_CRITICAL = 0.05
ROOM_BYTES = 20 * 2**30
"""With more room than this no share of a large disk is trouble."""


def connections(examined: Examined) -> Iterator[Finding]:
    """Whether PostgreSQL has connections left for this role and database."""
    for use in diagnosis.connection_use(examined.conn):
        if use.used >= use.most * CONNECTIONS_SHARE_MAX:
            yield Finding(
                Severity.CRITICAL if use.used >= use.most else Severity.WARNING,
                use.scope,
                "{used} of the {most} connections of {scope} are open: new ones will be refused",
                "see which programs hold them; then lower HANNUN_POOL_SIZE_MAX of the processes, run fewer of them, or "
                "raise the limit",
                use._asdict(),
                (
                    "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 "
                    "ORDER BY 4 DESC;",
                ),
            )


def pool(examined: Examined) -> Iterator[Finding]:
    """Whether all connections of a pool of `serve` are busy with slow statements, so that requests wait for one."""
    size = examined.expected.pool_size_max
    busy = diagnosis.busy_readers(examined.conn, examined.expected.busy_s)
    if busy.busy < size:
        return
    yield Finding(
        Severity.WARNING,
        "hannun-serve-read",
        "{busy} connections of readers have been busy for {seconds} s and more, {locked} of them wait for locks, and "
        "the pool of a serve has {size}: requests wait for a connection",
        "see what they run: a missing index or a lock explains most of it. HANNUN_POOL_SIZE_MAX makes the pool larger, "
        "where PostgreSQL has processors to spare",
        {
            "busy": busy.busy,
            "seconds": f"{examined.expected.busy_s:g}",
            "longest_s": round(busy.longest_s, 1),
            "locked": busy.waiting_for_locks,
            "size": size,
        },
        (
            "SELECT pid, wait_event_type, clock_timestamp() - query_start AS takes, left(query, 60) FROM "
            "pg_stat_activity WHERE application_name = 'hannun-serve-read' AND state <> 'idle' ORDER BY 3 DESC;",
        ),
    )


def locks(examined: Examined) -> Iterator[Finding]:
    """Whether a session holds a lock that others have been waiting for."""
    for each in diagnosis.blockers(examined.conn, examined.expected.lock_waited_s):
        yield Finding(
            Severity.WARNING,
            f"session {each.pid}",
            "{waiting} sessions wait for a lock of session {pid} ({application}, {state}), the longest for {waited} s; "
            "its transaction began {transaction} s ago",
            "end its transaction where it belongs; else end the session",
            {
                "waiting": each.waiting,
                "pid": each.pid,
                "application": each.application or "unnamed",
                "state": each.state,
                "waited": round(each.waited_s, 1),
                "transaction": round(each.transaction_s, 1),
            },
            (f"SELECT pg_terminate_backend({each.pid});",),
        )


def postgresql_disk(examined: Examined) -> Iterator[Finding]:
    """Whether PostgreSQL's disk has room: by writing to it."""
    try:
        examined.database.run(disk_room.check_room)
    except DiskFull as error:
        yield Finding(
            Severity.CRITICAL,
            "PostgreSQL",
            "PostgreSQL's disk is full, and nothing is counted until there is room: {error}",
            "{hint}",
            {"error": error.args[0], "hint": error.hint},
        )


def disk(examined: Examined) -> Iterator[Finding]:
    """Whether a disk is nearly full: of the folders that this machine can see, and of the database by its limit."""
    for name, path in examined.expected.folders.items():
        yield from _folder(name, path)
    limit = examined.expected.database_bytes_max
    if limit:
        size = database_statistics.database_bytes(examined.conn)
        if size >= limit * (1 - DISK_FREE_WARNING):
            yield Finding(
                Severity.CRITICAL if size >= limit * (1 - DISK_FREE_CRITICAL) else Severity.WARNING,
                "the database",
                "the database takes {size_mb} MB of the {limit_mb} MB of HANNUN_DATABASE_BYTES_MAX",
                "enlarge its disk and the setting; or keep fewer months of the timeline: HANNUN_MONTHS_KEPT, then "
                "`hannun partitions`",
                {"size_mb": size // 1_000_000, "limit_mb": limit // 1_000_000},
                ("hannun partitions plan",),
            )


def _folder(name: str, path: str) -> Iterator[Finding]:
    with suppress(OSError):
        disk_ = os.statvfs(path)
        room = disk_.f_bavail + (disk_.f_blocks - disk_.f_bfree)
        free = disk_.f_bavail / room if room else 0.0
        if free < DISK_FREE_WARNING and disk_.f_bavail * disk_.f_frsize < ROOM_BYTES:
            yield Finding(
                Severity.CRITICAL if free < DISK_FREE_CRITICAL else Severity.WARNING,
                path,
                "the disk of {path} ({name}) has {free_percent} % free: {free_mb} MB",
                "make room or enlarge it before it is full: a full disk of PostgreSQL stops all counting",
                {
                    "path": path,
                    "name": name,
                    "free_percent": round(free * 100, 1),
                    "free_mb": disk_.f_bavail * disk_.f_frsize // 1_000_000,
                },
                (f"df -h {path}", f"du -xh --max-depth=2 {path} | sort -h | tail"),
            )


def replication_slots(examined: Examined) -> Iterator[Finding]:
    """Whether a replication slot that nobody reads keeps WAL on PostgreSQL's disk."""
    for slot in diagnosis.retaining_slots(examined.conn):
        if slot.bytes > examined.expected.slot_bytes_max:
            yield Finding(
                Severity.WARNING,
                slot.name,
                "nobody reads the replication slot {slot}, and it keeps {mb} MB of WAL on PostgreSQL's disk, which "
                "grow until the disk is full",
                "start its reader again (the one that archives WAL, for example), or drop the slot",
                {"slot": slot.name, "mb": round(slot.bytes / 1_000_000, 1)},
                (f"SELECT pg_drop_replication_slot('{slot.name}');",),
            )
