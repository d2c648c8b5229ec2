"""How far behind we are, beside the reading: also true while nothing comes, a partition waits, or PostgreSQL is away.

    what the readers believe ─► what PostgreSQL has ─┬─ lower: it was restored ─► its reader begins there
                                                      └─► the ends of the logs ─► the gauges

It runs in a thread of its own, so that a broker that does not answer holds up no batch.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from hannun.domain.positions import KnownPosition
from hannun.errors import KafkaUnavailable, StoreUnavailable
from hannun.kafka.broker import Broker
from hannun.kafka.records import Partition
from hannun.store import positions
from hannun.store.database import Database
from hannun.telemetry import metrics, replace_series


class Reads(Protocol):
    """What reads partitions (`flows.ingest.Ingest`): handed in by the wiring, since no flow knows another."""

    @property
    def believed(self) -> Mapping[Partition, KnownPosition | None]: ...

    def doubt(self, partitions: Collection[Partition]) -> None: ...


def measure(readers: Sequence[Reads], database: Database, broker: Broker) -> None:
    """Tell the gauge of the lag, and the readers where PostgreSQL stands lower than they believe.

    The gauge says nothing of a partition of which no broker tells.

    Raises:
        StreamUnavailable: no broker answers; then the gauge says that nothing is known.
    """
    # Before PostgreSQL is asked: as long as a partition is ours, it only rises.
    believed = [reader.believed for reader in readers]
    known = {partition: at for ours in believed for partition, at in ours.items() if at is not None}
    told: Collection[Partition] = {partition for ours in believed for partition in ours}
    try:
        with database.transaction() as conn:
            found = positions.known(conn, told)
    except StoreUnavailable:
        told = known.keys()  # what was counted last is still true; of the others nothing is known
    else:
        lower = {at for at, was in known.items() if at not in found or found[at].next_offset < was.next_offset}
        for reader, ours in zip(readers, believed, strict=True):
            reader.doubt(lower & ours.keys())
        known = found
    try:
        logs = broker.partition_logs(told, allow_missing=True)
    except KafkaUnavailable:
        replace_series(metrics.lag, {})
        raise
    replace_series(
        metrics.lag, {(topic, str(no)): log.not_counted(known.get((topic, no))) for (topic, no), log in logs.items()}
    )
