"""PostgreSQL, Valkey and Kafka on one machine, for newcomers and for tests; never for production.

Each server keeps its files in a folder, its home. A start continues with the data of that home, however the server
ended before. Only `processes`, the command line, tests and benches may use this package.
"""

from hannun.embedded.home_lock import HomeLock
from hannun.embedded.kafka import KafkaServer, fetch_kafka, java_missing_reason, kafka_version
from hannun.embedded.postgres import PostgresServer
from hannun.embedded.postgres_wheel import postgres_binaries
from hannun.embedded.valkey import ValkeyServer, valkey_program

__all__ = [
    "HomeLock",
    "KafkaServer",
    "PostgresServer",
    "ValkeyServer",
    "fetch_kafka",
    "java_missing_reason",
    "kafka_version",
    "postgres_binaries",
    "valkey_program",
]
