"""Measures how far counting is behind the logs: also while no message comes, a partition waits, or PostgreSQL is away.

It runs in a thread of its own, so that a broker that does not answer delays no batch.
"""

from collections.abc import Collection, Mapping, Sequence

from hannun.domain.positions import KnownPosition, Partition
from hannun.errors import KafkaUnavailable, StoreUnavailable
from hannun.kafka.broker import Broker
from hannun.store import positions
from hannun.store.database import Database
from hannun.telemetry import metrics, replace_series


def measure(assigned: Sequence[Mapping[Partition, KnownPosition | None]], database: Database, broker: Broker) -> None:
    """Set the gauge of the lag, for each partition that a broker reports.

    Args:
        assigned: for each worker, the last known position of each of its partitions.

    Raises:
        KafkaUnavailable: no broker answers; then the gauge has no series.
    """
    known = {partition: at for ours in assigned for partition, at in ours.items() if at is not None}
    reported: Collection[Partition] = {partition for ours in assigned for partition in ours}
    try:
        with database.transaction() as conn:
            known = positions.known_positions(conn, reported)
    except StoreUnavailable:
        reported = known.keys()  # the last committed positions are still true; those of other partitions are not known
    try:
        logs = broker.partition_logs(reported, allow_missing=True)
    except KafkaUnavailable:
        replace_series(metrics.lag, {})
        raise
    replace_series(
        metrics.lag,
        {(topic, str(number)): log.not_counted(known.get((topic, number))) for (topic, number), log in logs.items()},
    )
