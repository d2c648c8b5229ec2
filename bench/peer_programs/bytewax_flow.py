"""bytewax: Kafka source, decoded with json, counted by event, with recovery as its manual sets it up.

variant "counts": running counts by key, a stateful step
variant "ledger": a sink of its own for PostgreSQL, as bytewax has none: participants once, and the counts of new ones
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bytewax.operators as op
import psycopg
from bytewax.connectors.kafka import KafkaSourceMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from progress import Progress

ADD = """
WITH added AS (
    INSERT INTO ledger SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::text[])
        ON CONFLICT DO NOTHING RETURNING event_id
)
INSERT INTO counts AS c SELECT event_id, count(*) FROM added GROUP BY 1
    ON CONFLICT (event_id) DO UPDATE SET participants = c.participants + excluded.participants
"""
Row = tuple[str, str, str, str | None]


class LedgerPartition(StatelessSinkPartition[Row]):
    def __init__(self, url: str) -> None:
        self._conn = psycopg.connect(url)

    def write_batch(self, items: list[Row]) -> None:
        with self._conn.transaction():
            self._conn.execute(ADD, [list(column) for column in zip(*items, strict=True)])


class LedgerSink(DynamicSink[Row]):
    def __init__(self, url: str) -> None:
        self._url = url

    def build(self, step_id: str, worker_index: int, worker_count: int) -> LedgerPartition:
        return LedgerPartition(self._url)


class LatestPartition(StatelessSinkPartition[tuple[str, int]]):
    def __init__(self, latest: dict[str, int]) -> None:
        self._latest = latest

    def write_batch(self, items: list[tuple[str, int]]) -> None:
        self._latest.update(items)


class LatestSink(DynamicSink[tuple[str, int]]):
    """Keeps the latest count of each event."""

    def __init__(self) -> None:
        self.latest: dict[str, int] = {}

    def build(self, step_id: str, worker_index: int, worker_count: int) -> LatestPartition:
        return LatestPartition(self.latest)


def main() -> None:
    progress = Progress()

    def decode(message: KafkaSourceMessage[Any, Any]) -> Row:
        progress.begin()
        value = json.loads(message.value)
        return value["eventId"], value["participantId"], value["registeredAt"], value.get("channelName")

    flow = Dataflow("peer")
    source = kafka.input("read", flow, brokers=[progress.bootstrap], topics=[progress.topic], tail=False)
    rows = op.map("decode", source.oks, decode)
    counts = LatestSink()
    if progress.variant == "ledger":
        op.output("ledger", rows, LedgerSink(progress.database_url))
    else:
        keyed = op.key_on("by event", rows, lambda row: row[0])
        counted = op.stateful_map("count", keyed, lambda count, _: ((count or 0) + 1, (count or 0) + 1))
        op.output("counts", counted, counts)
    recovery = Path(progress.home) / "recovery"
    recovery.mkdir()
    init_db_dir(recovery, 1)
    cli_main(flow, recovery_config=RecoveryConfig(recovery))
    progress.end(rows_in(progress.database_url) if progress.variant == "ledger" else sum(counts.latest.values()))


def rows_in(url: str) -> int:
    with psycopg.connect(url) as conn:
        row: Iterable[Any] | None = conn.execute("SELECT sum(participants) FROM counts").fetchone()
    return int(next(iter(row or [0])))


if __name__ == "__main__":
    main()
