"""Kafka ingestion: counts what the topics hold, with its positions in the transaction of the counts.

    worker ──► pipeline ──► assignments ──► database_thread ──► consumer (kafka)
    the loop   one batch     which             every call to
               in flight     partitions,       PostgreSQL
                             from where

Calls go from left to right only. `topics` checks that the topics exist. `progress` is the one value that other threads
read.
"""

from hannun.flows.kafka_ingestion.worker import IngestionWorker as IngestionWorker
