"""Query a dataset of `hannun export --lake` with ClickHouse and Spark, and print the sums of each as JSON.

Runs in the environment of requirements/lake.txt, not in that of the service: `query_lake.py FOLDER`.
"""

import json
import sys
from pathlib import Path
from typing import Any

TABLES = {
    "arrivals": ("participants",),
    "measurements": ("views", "likes"),
    "timeline": ("participants", "views", "engagement"),
}
"""The tables and the figures that are summed by month and event."""


def query(table: str, source: str) -> str:
    sums = ", ".join(f"SUM({name}) AS {name}" for name in TABLES[table])
    return f"SELECT month, event_id, {sums} FROM {source} GROUP BY month, event_id ORDER BY month, event_id"  # noqa: S608


def of_clickhouse(folder: Path) -> dict[str, list[list[Any]]]:
    import chdb

    found = {}
    for table in TABLES:
        source = f"file('{folder}/{table}/month=*/*.parquet', 'Parquet')"
        settings = "SETTINGS use_hive_partitioning = 1"
        rows = chdb.query(f"{query(table, source)} {settings}", "JSONCompact")
        found[table] = [[str(row[0]), row[1], *map(int, row[2:])] for row in json.loads(str(rows))["data"]]
    return found


def of_spark(folder: Path) -> dict[str, list[list[Any]]]:
    from pyspark.sql import SparkSession

    options = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    }
    builder = SparkSession.builder.master("local[1]")
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        found = {}
        for table in TABLES:
            spark.read.parquet(str(folder / table)).createOrReplaceTempView(table)
            found[table] = [
                [str(row[0]), row[1], *map(int, row[2:])] for row in spark.sql(query(table, table)).collect()
            ]
        return found
    finally:
        spark.stop()


if __name__ == "__main__":
    lake = Path(sys.argv[1]) / "current"
    print(json.dumps({"clickhouse": of_clickhouse(lake.resolve()), "spark": of_spark(lake)}))
