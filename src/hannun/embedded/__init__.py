"""PostgreSQL, Valkey and Kafka on one machine, for a newcomer and for tests; never for production.

Each server lives in a folder, its home, and goes on with the data of that home however it ended before. Only
wiring, the command line and tests may use this package.
"""

from hannun.embedded.kafka import KafkaServer, fetch_kafka, java_missing_reason, kafka_version
from hannun.embedded.postgres import PostgresServer, postgres_binaries
from hannun.embedded.process import HomeLock
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
