"""Every check of the doctor, by its name. `docs/operating.md` lists them.

To add one: a generator of findings in a module of this package, and its line here.
"""

from typing import Final

from hannun.errors import OperatorError
from hannun.flows.doctor import (
    amounts,
    backups,
    cache,
    capacity,
    counting,
    data,
    lag,
    refresh,
    schema,
    servers,
    service_bus,
    timeline,
)
from hannun.flows.doctor.examined import Check

CHECKS: Final = {
    each.name: each
    for each in (
        Check("postgresql", "postgresql", servers.postgresql),
        Check("schema", "postgresql", schema.schema),
        Check("rights", "postgresql", schema.rights),
        Check("time-zone", "postgresql", schema.time_zone),
        Check("months-ahead", "postgresql", timeline.months_ahead),
        Check("partitioned", "postgresql", timeline.partitioned),
        Check("pruning", "postgresql", timeline.pruning),
        Check("indexes", "postgresql", timeline.indexes),
        Check("statistics", "postgresql", timeline.statistics),
        Check("connections", "postgresql", capacity.connections, in_health=True),
        Check("pool", "postgresql", capacity.pool, in_health=True),
        Check("locks", "postgresql", capacity.locks),
        Check("postgresql-disk", "postgresql", capacity.postgresql_disk),
        Check("disk", "postgresql", capacity.disk, in_health=True),
        Check("replication-slots", "postgresql", capacity.replication_slots, in_health=True),
        Check("stopped-partitions", "postgresql", counting.stopped),
        Check("dead-letters", "postgresql", counting.dead_letters, in_health=True),
        Check("invalidations", "postgresql", counting.invalidations),
        Check("uncreated-events", "postgresql", counting.uncreated),
        Check("backups", "postgresql", backups.backups, in_health=True),
        Check("restore-drill", "postgresql", backups.drills, in_health=True),
        Check("drift", "postgresql", data.drift),
        Check("key-ring", "postgresql", amounts.key_ring, in_health=True),
        Check("amounts", "postgresql", amounts.amounts),
        Check("damaged-pages", "pages", data.damaged_pages),
        Check("damaged-indexes", "pages", data.damaged_indexes),
        Check("refresh", "postgresql", refresh.rounds, in_health=True),
        Check("channels", "postgresql", refresh.channels, in_health=True),
        Check("replica", "replica", servers.replica),
        Check("redis", "redis", servers.redis),
        Check("cache-misses", "redis", cache.misses),
        Check("redis-memory", "redis", cache.memory),
        Check("clocks", "redis", servers.clocks),
        Check("kafka", "kafka", servers.kafka),
        Check("lag", "kafka", lag.lag),
        Check("record-times", "kafka", lag.record_times),
        Check("service-bus", "service-bus", service_bus.queues),
        Check("service-bus-dead-letters", "service-bus", service_bus.dead_letters),
    )
}
"""Checks of one group run in this order."""


def named(names: list[str]) -> list[Check]:
    """The checks of these names; all of them where none is given.

    Raises:
        OperatorError: no check has one of the names.
    """
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise OperatorError(f"no check is named {unknown[0][:80]!r}", hint=f"one of {', '.join(CHECKS)}")
    return [CHECKS[name] for name in names] or list(CHECKS.values())
