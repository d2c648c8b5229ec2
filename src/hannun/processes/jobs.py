"""The timed jobs: name, period, and what one run does. `docs/operating.md` lists them.

Those of `schedule` alone are in `schedule_jobs.py`: backups and partitions need many modules, which `serve` would
import for nothing. Each job has a connection to PostgreSQL of its own, so that none waits for another.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from hannun.cache.server_statistics import ServerInspector
from hannun.counting import outbox_relay
from hannun.flows import gauges, maintenance
from hannun.flows.access_records import AccessRecords
from hannun.flows.doctor.standing import HealthChecks
from hannun.flows.health_checks import DiskHealth, Health
from hannun.processes.writing import Writing
from hannun.scheduler import Every, Job, Result
from hannun.store.database import Database

OUTBOX_EVERY_S = 0.5
"""The invalidations that a dead writer left are delivered within 2 s: 0.5 s until they count as old (1 s for
many events), and a run."""
PROBE_EVERY_S = 0.5
"""How soon a cached answer says that PostgreSQL is away."""
RECORD_EVERY_S = 1.0
"""How much of the audit log a killed process loses."""
GAUGES_EVERY_S = 5.0
"""More often than Prometheus usually reads the gauges."""
SERVERS_EVERY_S = 30.0
"""How often the gauges of sizes and of Redis are set: reading the sizes takes some milliseconds of PostgreSQL."""
CONSISTENCY_EVERY_S = 10.0
"""How soon the page for operators shows a cached answer that differs from the database."""
LOOKUPS_EVERY_S = 60.0
"""The doctor compares ten minutes with the time before them."""
DISK_EVERY_S = 10.0
"""How soon a full disk of PostgreSQL is in the health report and its gauge. The check writes 1 MB."""
REFRESH_EVERY_S = 10.0
"""How soon gauges and the health report show what has become of the refresh. It reads a row of each pair of an ACTIVE
event and a channel, so not more often."""


def on_database(name: str, every_s: float, database: Database, work: Callable[[Database, datetime], object]) -> Job:
    """A job on its own connection. `work` may return how many things it changed."""

    def run_once(now: datetime) -> Result:
        changed = work(database, now)
        return Result(changed if isinstance(changed, int) else 0)

    return Job(name, Every(every_s), run_once)


def deliver_pending_invalidations(writing: Writing) -> Job:
    """Deliver what writers that died, or an absence of Redis, left in the outbox. Every process does it."""
    return on_database(
        "deliver-pending-invalidations",
        OUTBOX_EVERY_S,
        writing.database(),
        lambda database, _: outbox_relay.deliver_pending(database, writing.invalidator),
    )


def update_gauges(writing: Writing) -> Job:
    """Set the gauges that are read from PostgreSQL."""
    return on_database(
        "update-gauges", GAUGES_EVERY_S, writing.database("-gauges"), lambda db, _: maintenance.update_gauges(db)
    )


def update_refresh_gauges(writing: Writing, stale_after: timedelta) -> Job:
    """Set the gauges of the refresh."""
    return on_database(
        "update-refresh-gauges",
        REFRESH_EVERY_S,
        writing.database("-refresh-gauges"),
        lambda db, _: maintenance.update_refresh_gauges(db, stale_after),
    )


def update_database_gauges(writing: Writing) -> Job:
    """Set the gauges of sizes, months ahead, dead letters and operations on record."""
    return on_database(
        "update-database-gauges",
        SERVERS_EVERY_S,
        writing.database("-sizes"),
        lambda db, now: gauges.update_database_gauges(db, now.date()),
    )


def record_lookups(inspector: ServerInspector) -> Job:
    """Record what Redis has counted of look-ups, so that the doctor sees what has changed."""

    def record(_: datetime) -> Result:
        inspector.record_lookups()
        return Result()

    return Job("record-lookups", Every(LOOKUPS_EVERY_S), record)


def record_consistency(inspector: ServerInspector, shares: Callable[[], Mapping[float, float]]) -> Job:
    """Record how many cached answers equal the database, so that `serve` can show it."""

    def record(_: datetime) -> Result:
        inspector.record_consistency(shares())
        return Result()

    return Job("record-consistency", Every(CONSISTENCY_EVERY_S), record)


def update_redis_gauges(inspector: ServerInspector) -> Job:
    """Set the gauges of Redis."""

    def update(_: datetime) -> Result:
        gauges.update_redis_gauges(inspector)
        return Result()

    return Job("update-redis-gauges", Every(SERVERS_EVERY_S), update)


def check_health(checks: HealthChecks) -> Job:
    """Run the doctor's checks of the health report."""

    def check(_: datetime) -> Result:
        checks.check()
        return Result()

    return Job("check-health", Every(REFRESH_EVERY_S), check)


def check_disk(health: DiskHealth) -> Job:
    """Find out whether PostgreSQL's disk has room."""

    def check(_: datetime) -> Result:
        health.check()
        return Result()

    return Job("check-disk", Every(DISK_EVERY_S), check)


def record_accesses(records: AccessRecords) -> Job:
    """Write who has read the data of others into the audit log."""
    return Job("record-accesses", Every(RECORD_EVERY_S), lambda _: Result(records.write()))


def probe_postgresql(health: Health) -> Job:
    """Find out whether PostgreSQL answers."""

    def probe(_: datetime) -> Result:
        health.check_postgres()
        return Result()

    return Job("probe-postgresql", Every(PROBE_EVERY_S), probe)
