"""Logs and metrics. Logs are one JSON object a line on standard error and carry no personal data: ids of events and
positions, never what a message says. Every metric stands in the table below with its meaning."""

import logging
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

metrics = SimpleNamespace(
    messages=Counter(
        "hannun_messages_total",
        "Messages by door (http, kafka) and by what became of them",
        ["door", "result"],
        registry=REGISTRY,
    ),
    batch_seconds=Histogram(
        "hannun_batch_seconds",
        "From the beginning of a batch's transaction until the cache was told",
        buckets=_SECONDS,
        registry=REGISTRY,
    ),
    invalidations=Counter(
        "hannun_invalidations_total",
        "Events whose answers were invalidated, by outcome",
        ["outcome"],
        registry=REGISTRY,
    ),
    requests=Counter(
        "hannun_requests_total", "HTTP requests by route and status", ["route", "status"], registry=REGISTRY
    ),
    watchers=Gauge("hannun_watchers", "Pages that are woken when something changes", registry=REGISTRY),
    token_keys_read=Gauge(
        "hannun_token_keys_read_timestamp_seconds",
        "When the issuer's public keys were last read, seconds since 1970; 0 where none were",
        registry=REGISTRY,
    ),
    newest_counted=Gauge(
        "hannun_newest_counted_timestamp_seconds",
        "When the newest message of a topic was received that is counted, seconds since 1970; none of a topic of which "
        "this process reads nothing",
        ["topic"],
        registry=REGISTRY,
    ),
    lag=Gauge(
        "hannun_lag_messages",
        "Offsets of a partition of ours that are not counted yet; none while no broker answers",
        ["topic", "partition"],
        registry=REGISTRY,
    ),
    stopped=Gauge(
        "hannun_stopped_partitions",
        "Partitions of a topic that wait for an operator; none while PostgreSQL is away",
        ["topic"],
        registry=REGISTRY,
    ),
    consistency_checks=Counter(
        "hannun_consistency_checks_total",
        "Kept answers held against the database, by seconds after an invalidation and by result: consistent, "
        "inconsistent, absent",
        ["after", "result"],
        registry=REGISTRY,
    ),
    consistent=Gauge(
        "hannun_consistent_ratio",
        "Share of the last 1,000 kept answers that said what the database said, by seconds after an invalidation",
        ["after"],
        registry=REGISTRY,
    ),
    owed=Gauge(
        "hannun_owed_invalidations",
        "Batches whose invalidations are not paid yet; NaN while PostgreSQL is away",
        registry=REGISTRY,
    ),
)


def show(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Let a gauge have these series, by the values of their labels, and no others."""
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    for metric in gauge.collect():
        for sample in metric.samples:
            labels = tuple(sample.labels.values())
            if labels not in values:
                gauge.remove(*labels)


def configure(level: str) -> None:
    """Write logs from here on; once for each process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


log: Any = structlog.get_logger()
