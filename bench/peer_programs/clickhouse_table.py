"""ClickHouse by chdb: a ReplacingMergeTree in a folder.

variant "consumer": a plain consumer inserts batches of JSON, and commits its offsets after that
variant "engine": ClickHouse's own Kafka engine and a materialized view
"""

import sys
import time

from chdb import session
from confluent_kafka import Consumer
from progress import Progress

BATCH_MESSAGES = 50_000
ENGINE_S_MAX = 30.0
"""How long the engine has to deliver the first row."""
COLUMNS = "eventId UUID, participantId UUID, registeredAt DateTime64(3), channelName LowCardinality(String)"


def main() -> None:
    progress = Progress()
    # It does not flush inserts to the disk unless it is told to (fsync_after_insert), so this does not either.
    database = session.Session(f"{progress.home}/clickhouse")
    database.query("CREATE DATABASE bench")
    database.query(
        f"CREATE TABLE bench.ledger ({COLUMNS}) ENGINE = ReplacingMergeTree ORDER BY (eventId, participantId)"
    )
    database.query("SET date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1")
    if progress.variant == "engine":
        read_with_engine(progress, database)
    else:
        read_with_consumer(progress, database)
    progress.end(count(database))


def read_with_consumer(progress: Progress, database: session.Session) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": progress.bootstrap,
            "group.id": f"{progress.topic}-clickhouse",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([progress.topic])
    read = 0
    while read < progress.messages:
        messages = consumer.consume(BATCH_MESSAGES, timeout=1.0)
        if not messages:
            continue
        progress.begin()
        values = b"\n".join([message.value() for message in messages])
        database.query(f"INSERT INTO bench.ledger FORMAT JSONEachRow {values.decode()}")
        consumer.commit(asynchronous=False)
        read += len(messages)
    consumer.close()


def read_with_engine(progress: Progress, database: session.Session) -> None:
    database.query(
        f"CREATE TABLE bench.source ({COLUMNS}) ENGINE = Kafka SETTINGS kafka_broker_list = '{progress.bootstrap}', "
        f"kafka_topic_list = '{progress.topic}', kafka_group_name = '{progress.topic}-clickhouse-engine', "
        "kafka_format = 'JSONEachRow', kafka_max_block_size = 65536"
    )
    database.query("CREATE MATERIALIZED VIEW bench.reader TO bench.ledger AS SELECT * FROM bench.source")
    deadline = time.monotonic() + ENGINE_S_MAX
    while (counted := count(database)) < progress.messages:
        if counted:
            progress.begin()
        elif time.monotonic() > deadline:
            sys.exit(f"the Kafka engine delivered no row within {ENGINE_S_MAX:.0f} s")
        time.sleep(0.1)


def count(database: session.Session) -> int:
    return int(database.query("SELECT count() FROM bench.ledger FINAL", "CSV").bytes())


if __name__ == "__main__":
    main()
