"""What the doctor examines, opened from the settings."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from hannun.cache import opening
from hannun.flows.doctor.examination import Examination
from hannun.flows.doctor.examined import CHECK_S_MAX, Expected, Servers
from hannun.kafka.address import KafkaAddress
from hannun.processes.amounts import examined_amounts
from hannun.processes.channels import channel_declarations
from hannun.service_bus.inspection import QueueInspector
from hannun.settings import Settings
from hannun.store.connections import url_now
from hannun.store.database import Connection, Database, connected
from hannun.store.database_urls import parse_url
from hannun.store.replica import connected_replica, written_by

if TYPE_CHECKING:
    from hannun.kafka.broker import Broker

APPLICATION = "hannun-doctor"


@contextmanager
def open_examination(settings: Settings, *, watched_since: datetime | None = None) -> Iterator[Examination]:
    """An examination of this installation. Nothing is opened before a check needs it, so it starts whatever is away.

    Args:
        watched_since: since when a process watches, with its zone: counts as the end of a round of the refresh.

    Raises:
        OperatorError: no setting says where PostgreSQL is, or its URL cannot be parsed.
    """
    url, of_process = settings.database_source, examined_amounts(settings)
    parse_url(url_now(url))
    kafka, bus = settings.kafka if settings.kafka_bootstrap_servers else None, settings.service_bus
    limits = replace(settings.pool, lock_wait_s=CHECK_S_MAX, statement_s=CHECK_S_MAX, answer_s=CHECK_S_MAX)

    def connect() -> None:
        with connected(url, application=APPLICATION):
            pass

    def check_replica(primary: Connection) -> None:
        replica, wait_s = settings.source("replica_database_url"), settings.replica_wait_s
        with connected_replica(written_by(primary), replica, wait_s=wait_s, application=APPLICATION):
            pass

    redis = opening.server_inspector(replace(settings.redis, timeout_s=min(settings.redis.timeout_s, CHECK_S_MAX)))
    try:
        yield Examination(
            Servers(
                database=lambda: Database(url, limits, application=APPLICATION, amounts=of_process),
                connect=connect,
                redis=redis,
                broker=None if kafka is None else partial(_broker, kafka),
                queues=None if bus is None else QueueInspector(bus, tuple(settings.topics), CHECK_S_MAX),
                reads_kafka=settings.ingest_source == "kafka",
                check_replica=check_replica if settings.secret("replica_database_url") else None,
            ),
            expected(settings),
            watched_since=watched_since,
        )
    finally:
        redis.close()


def _broker(kafka: KafkaAddress) -> "Broker":
    from hannun.kafka.broker import Broker  # only where Kafka is examined

    return Broker(kafka)


def expected(settings: Settings) -> Expected:
    """What the settings say that the system should be like."""
    folders = {"temporary files": tempfile.gettempdir()}
    if settings.backup_folder:
        folders["backups"] = settings.backup_folder
    watched = [path.strip() for path in settings.watched_folders.split(",") if path.strip()]
    return Expected(
        months_ahead=settings.months_ahead,
        pool_size_max=settings.pool_size_max,
        folders=folders | {f"HANNUN_WATCHED_FOLDERS, {number}": path for number, path in enumerate(watched, 1)},
        database_bytes_max=settings.database_bytes_max,
        backups=settings.scheduled_backups,
        answer_lifetime_s=settings.answer_lifetime_s,
        refresh_period_s=settings.refresh_timetable.period.total_seconds(),
        topics=tuple(settings.topics),
        call_limits={
            key: (each.limits.read_s, each.limits.call_s) for key, each in channel_declarations(settings).items()
        },
    )
