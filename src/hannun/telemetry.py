"""Logs and metrics, set up once for each process.

Logs are JSON lines on standard error: an event name and fields. They hold no personal data: ids of events and
positions, never the content of a message. `Metrics` holds every metric of all processes.
"""

import logging
import math
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from hannun.imports import as_if_missing

with as_if_missing("rich"):  # for logs in colour, which we do not write
    import structlog
    from structlog.typing import EventDict, FilteringBoundLogger

REGISTRY = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


Series = Mapping[tuple[str, ...], float]
"""Values of a metric, by the values of its labels."""


class Sampled(Collector):
    """A metric whose values are read from other objects when Prometheus asks: it costs the hot paths nothing.

    The values of several sources under the same labels are added.
    """

    def __init__(
        self, kind: Literal["counter", "gauge"], name: str, documentation: str, labels: Sequence[str], /
    ) -> None:
        self._family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        self._name, self._documentation, self.labels = name, documentation, labels
        self._sources: list[Callable[[], Series]] = []
        REGISTRY.register(self)

    def add_source(self, read: Callable[[], Series]) -> None:
        """Read values here, too, from now on."""
        self._sources.append(read)

    def remove_source(self, read: Callable[[], Series]) -> None:
        """Read no values here any more. Harmless where none were read, as of a cache that never opened."""
        if read in self._sources:
            self._sources.remove(read)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The metric with its values now."""
        values: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for read in list(self._sources):
            for labels, value in read().items():
                values[labels] += value
        family = self._family(self._name, self._documentation, labels=self.labels)
        for labels, value in values.items():
            family.add_metric(labels, value)
        yield family


def _unknown(name: str, documentation: str) -> Gauge:
    """A gauge without labels that is NaN until it is set: prometheus_client would begin with 0."""
    gauge = Gauge(name, documentation, registry=REGISTRY)
    gauge.set(math.nan)
    return gauge


class Metrics:
    """Every metric, registered at import. A gauge without a value means "not known", never 0."""

    messages = Counter(
        "hannun_messages_total",
        "Messages by interface (http, kafka, servicebus) and by result (read, dead-letter)",
        ["door", "result"],
        registry=REGISTRY,
    )
    batch_seconds = Histogram(
        "hannun_batch_seconds",
        "Seconds from the start of a batch's transaction until its cached answers were invalidated",
        buckets=_SECONDS,
        registry=REGISTRY,
    )
    invalidations = Counter(
        "hannun_invalidations_total",
        "Events whose cached answers were invalidated, by outcome",
        ["outcome"],
        registry=REGISTRY,
    )
    requests = Counter(
        "hannun_requests_total", "HTTP requests by route and status", ["route", "status"], registry=REGISTRY
    )
    http_refusals = Counter(
        "hannun_http_refusals_total",
        "Connections that the HTTP server refused or ended, by reason",
        ["reason"],
        registry=REGISTRY,
    )
    watchers = Gauge("hannun_watchers", "Open event streams of pages that wait for changes", registry=REGISTRY)
    token_keys_read = Gauge(
        "hannun_token_keys_read_timestamp_seconds",
        "When the token issuer's public keys were last read, in seconds since 1970; 0 before the first time",
        registry=REGISTRY,
    )
    health_problem = Gauge(
        "hannun_health_problem",
        "1 for each check of the health report that has found a warning or worse; no series for the others",
        ["check"],
        registry=REGISTRY,
    )
    newest_counted = Gauge(
        "hannun_newest_counted_timestamp_seconds",
        "When Kafka or Service Bus received the newest counted message of a topic, in seconds since 1970; no series "
        "for a topic of which this process reads nothing",
        ["topic"],
        registry=REGISTRY,
    )
    lag = Gauge(
        "hannun_lag_messages",
        "Offsets of an assigned partition that are not counted yet; no series while no broker answers",
        ["topic", "partition"],
        registry=REGISTRY,
    )
    oldest_waiting = Gauge(
        "hannun_oldest_waiting_timestamp_seconds",
        "When Service Bus received the oldest message of a queue, in seconds since 1970; no series for an empty queue, "
        "nor while Service Bus is away",
        ["topic"],
        registry=REGISTRY,
    )
    stopped = Gauge(
        "hannun_stopped_partitions",
        "Partitions of a topic that wait for an operator, all of them where the topic does not exist; no series while "
        "PostgreSQL is away",
        ["topic"],
        registry=REGISTRY,
    )
    consistency_checks = Counter(
        "hannun_consistency_checks_total",
        "Cached answers compared with the database, by seconds after an invalidation and by result: consistent, "
        "inconsistent, absent",
        ["after", "result"],
        registry=REGISTRY,
    )
    consistent = Gauge(
        "hannun_consistent_ratio",
        "Share of the last 1,000 compared answers that equalled the database, by seconds after an invalidation",
        ["after"],
        registry=REGISTRY,
    )
    channel_calls = Counter(
        "hannun_channel_calls_total",
        "HTTP calls to a channel's API, by outcome: measured, over-quota, or why it failed",
        ["channel", "outcome"],
        registry=REGISTRY,
    )
    channel_call_seconds = Histogram(
        "hannun_channel_call_seconds",
        "Seconds that an HTTP call to a channel's API took, with its connection and its token",
        ["channel"],
        buckets=_SECONDS,
        registry=REGISTRY,
    )
    owed = _unknown(
        "hannun_owed_invalidations",
        "Batches whose invalidations are not delivered to Redis yet; NaN while PostgreSQL is away",
    )
    channel_breaker_state = Gauge(
        "hannun_channel_breaker_state",
        "The circuit breaker of a channel: 0 closed, 1 half-open, 2 open",
        ["channel"],
        registry=REGISTRY,
    )
    channel_budget_units = Gauge(
        "hannun_channel_budget_units",
        "Units taken of a budget of a channel's API in its current window, by all processes, as of the last call",
        ["scope", "budget"],
        registry=REGISTRY,
    )
    audit_entries_lost = Counter(
        "hannun_audit_entries_lost_total",
        "Entries of the audit log that could not be written, because PostgreSQL was away for too long or refused them",
        registry=REGISTRY,
    )
    job_runs = Counter("hannun_job_runs_total", "Runs of a timed job that have ended", ["job"], registry=REGISTRY)
    job_failures = Counter(
        "hannun_job_failures_total",
        "Runs of a timed job that failed and are tried again after the job's period",
        ["job"],
        registry=REGISTRY,
    )
    job_seconds = Histogram(
        "hannun_job_seconds", "Seconds that a run of a timed job took", ["job"], buckets=_SECONDS, registry=REGISTRY
    )
    job_last_success = Gauge(
        "hannun_job_last_success_timestamp_seconds",
        "When a timed job last succeeded in this process, in seconds since 1970; no series before the first time",
        ["job"],
        registry=REGISTRY,
    )
    channel_measurements = Counter(
        "hannun_channel_measurements_total",
        "Measurements of an event on a channel, by what became of them: changed, unchanged, falling, older, refused, "
        "failed, and others that docs/channels.md lists",
        ["channel", "outcome"],
        registry=REGISTRY,
    )
    refresh_rounds = Counter(
        "hannun_refresh_rounds_total",
        "Rounds of the refresh that this process has ended, by result: complete, overdue",
        ["result"],
        registry=REGISTRY,
    )
    refresh_seconds = Histogram(
        "hannun_refresh_round_seconds",
        "Seconds that a round of the refresh took, from its begin to its end",
        buckets=(0.5, 1, 2.5, 5, 10, 15, 30, 60, 100, 150, 200, 250, 300),
        registry=REGISTRY,
    )
    refresh_pairs = Gauge(
        "hannun_refresh_pairs",
        "Pairs of event and channel that the newest round has done, by state: measured, unchanged, failed, refused, "
        "over-quota, skipped; no series while PostgreSQL is away",
        ["state"],
        registry=REGISTRY,
    )
    refresh_pieces_open = _unknown(
        "hannun_refresh_pieces_open",
        "Pieces of the running round that are not done, 0 where none runs; NaN while PostgreSQL is away",
    )
    refresh_oldest_measurement = Gauge(
        "hannun_refresh_oldest_measurement_seconds",
        "Age of the oldest measurement that the answers of ACTIVE events show of a channel; no series where there is "
        "none, and while PostgreSQL is away",
        ["channel"],
        registry=REGISTRY,
    )
    refresh_last_end = _unknown(
        "hannun_refresh_last_end_timestamp_seconds",
        "When a round of the refresh last ended, in seconds since 1970; NaN before the first, and while PostgreSQL is "
        "away",
    )
    cache_reads = Sampled(
        "counter",
        "hannun_cache_reads_total",
        "Reads of a cached answer, by result: local (found in this process), redis (found in Redis), miss, unavailable "
        "(Redis did not answer)",
        ["result"],
    )
    cache_fills = Sampled(
        "counter",
        "hannun_cache_fills_total",
        "Answers that were sent to Redis, by result: filled, refused (the lease was gone, or a newer answer cached)",
        ["result"],
    )
    pool_connections = Sampled(
        "gauge",
        "hannun_pool_connections",
        "Connections of a pool to PostgreSQL, by state: used, idle, and max, the most that it may open",
        ["pool", "state"],
    )
    pool_waiting = Sampled(
        "gauge", "hannun_pool_waiting_requests", "Requests that wait for a connection of a pool", ["pool"]
    )
    pool_timeouts = Sampled(
        "counter",
        "hannun_pool_timeouts_total",
        "Requests that got no connection of a pool in time",
        ["pool"],
    )
    replica_reads = Counter(
        "hannun_replica_reads_total",
        "Reads for files that the replica may do, by the server that did them: replica, primary",
        ["server"],
        registry=REGISTRY,
    )
    relation_bytes = Gauge(
        "hannun_relation_bytes",
        "Size of a table, by part: table (with TOAST), indexes. A partitioned table is the sum of its partitions",
        ["table", "part"],
        registry=REGISTRY,
    )
    disk_full = _unknown(
        "hannun_postgresql_disk_full",
        "Whether PostgreSQL's disk has no room for a temporary file of 1 MB: 1 or 0; NaN while PostgreSQL is away",
    )
    database_bytes = _unknown("hannun_database_bytes", "Size of the database on disk; NaN while PostgreSQL is away")
    months_ahead = _unknown(
        "hannun_timeline_months_ahead",
        "Months after the current one (UTC) for which the timeline has a partition, without a gap; NaN while "
        "PostgreSQL is away",
    )
    dead_letters_open = _unknown(
        "hannun_dead_letters_open",
        "Dead letters that nobody has retried or dropped, at most 100,000; NaN while PostgreSQL is away",
    )
    operation_last_success = Gauge(
        "hannun_operation_last_success_timestamp_seconds",
        "When an operation last succeeded, by kind (backup-logical, backup-physical, backup-redis, wal-archive, "
        "verify, drill, restore, reconcile), in seconds since 1970; no series before the first time, and while "
        "PostgreSQL is away",
        ["kind"],
        registry=REGISTRY,
    )
    operation_last_seconds = Gauge(
        "hannun_operation_last_seconds",
        "Seconds that the newest success of an operation took; no series as above",
        ["kind"],
        registry=REGISTRY,
    )
    operation_last_bytes = Gauge(
        "hannun_operation_last_bytes",
        "Size of what the newest success of an operation made; no series where it made nothing, and as above",
        ["kind"],
        registry=REGISTRY,
    )
    backup_scheduled = Gauge(
        "hannun_backup_scheduled",
        "1 for each kind of backup (backup-logical, backup-physical, backup-redis) that schedule makes at set times; "
        "no series for the others",
        ["kind"],
        registry=REGISTRY,
    )
    log_archive_slot = _unknown(
        "hannun_log_archive_slot",
        "Whether PostgreSQL keeps write-ahead log for `hannun backup wal`: 1 or 0; NaN while PostgreSQL is away",
    )
    drift = _unknown(
        "hannun_drift_figures",
        "Figures that differed in the newest run of `hannun reconcile` that is on record; NaN before the first, and "
        "while PostgreSQL is away",
    )
    redis_used_bytes = _unknown("hannun_redis_used_bytes", "Memory that Redis uses for data; NaN while Redis is away")
    redis_max_bytes = _unknown("hannun_redis_max_bytes", "Redis's maxmemory, 0 for no limit; NaN while Redis is away")
    redis_evicted_keys = _unknown(
        "hannun_redis_evicted_keys",
        "Keys that Redis has evicted for lack of memory since it started; NaN while Redis is away",
    )
    redis_hit_ratio = _unknown(
        "hannun_redis_hit_ratio",
        "Share of Redis's key look-ups that found a key since it started; NaN before the first, and while Redis is "
        "away",
    )


metrics = Metrics()


def replace_series(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Give a gauge exactly these series, by the values of their labels, and remove all others."""
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    for metric in gauge.collect():
        for sample in metric.samples:
            labels = tuple(sample.labels.values())
            if labels not in values:
                gauge.remove(*labels)


def _format_exception(_: object, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the exception with its traceback and its causes, and without the values of rows."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = "".join(_exception_lines(error)).rstrip("\n")
    return event


def _exception_lines(error: BaseException) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _exception_lines(cause)
        yield "which led to:\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__qualname__}: {_text_without_values(error)}\n"


def _text_without_values(error: BaseException) -> str:
    """The text of an error. PostgreSQL's first line says what is wrong; further lines, and those of errors about a row
    (classes 22 and 23), hold the values of the row."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return str(error)
    if state[:2] in ("22", "23"):
        return f"SQLSTATE {state} {getattr(error.diag, 'constraint_name', None) or ''}".rstrip()  # type: ignore[attr-defined]
    return (str(error).splitlines() or [""])[0]


def configure(level: str) -> None:
    """Set up logging at this level; call it once, at the start of a process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _format_exception,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        cache_logger_on_first_use=False,
    )


# Commands that do not configure logging print their results to standard output, where no log line may stand.
# Standard error as it is at that moment: whoever runs a command in its own process may replace it, and close it later.
structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
log: FilteringBoundLogger = structlog.get_logger()
