"""`growth`: how rate and latency change as events, the ledger, the workers and the live pages grow, with plots.

    events in a batch ─┐
    rows in the ledger ┤► batches of 20,000 by `BatchCounter`, as `count` drives it
    workers           ─┤► a backlog in Kafka, counted by one to four `hannun ingest`
    live pages        ─┴► pages that wait for a change, connected to one `serve`

Each axis is one plot in docs/growth (build/growth with --quick). A latency is that of a batch: from its messages to its
commit with the answers invalidated; of live pages, from the commit until the last page is notified.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench import live_pages
from bench.counting import BATCH_MESSAGES, InProcessIngestion, WorkTime, interpreter_settings_of_ingest
from bench.figures import Figure, percentile
from bench.flat import FILLINGS, fill
from bench.kafka_ingestion import measure_backlog
from bench.messages import batches, registrations
from bench.plots import write_plot
from bench.servers import Servers

ROOT = Path(__file__).parents[1]
SEED = 180
LEDGER_EVENTS = 100
WARM_UP_BATCHES = 2
BYTES_A_ROW = 250
"""What a row takes while the ledger is filled: table, index and WAL."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The values of each axis, and how much is measured at each of them."""

    events: tuple[int, ...] = (1, 10, 100, 1_000, 10_000, 100_000)
    rows: tuple[int, ...] = (0, 20_000_000, 100_000_000)
    workers: tuple[int, ...] = (1, 2, 3, 4)
    pages: tuple[int, ...] = (100, 1_000, 5_000, 10_000)
    batches: int = 30
    backlog: int = 400_000
    changes: int = 10


SAMPLES = {
    "events": "{0.batches} batches, and as many one by one",
    "ledger": "{0.batches} batches, and as many one by one",
    "workers": "a backlog of {0.backlog:,} messages",
    "pages": "{0.changes} changes",
}
"""What the figures of an axis are computed from."""
FULL = Sizes()
QUICK = Sizes((1, 10, 100, 1_000), (0, 200_000, 1_000_000), (1, 2), (50, 200), batches=3, backlog=20_000, changes=3)


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at one value of an axis: `measured` has a value for each line of the plot."""

    x: int
    measured: dict[str, float]


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `growth`; it writes the plots too."""
    sizes = QUICK if quick else FULL
    folder = ROOT / ("build" if quick else "docs") / "growth"
    with interpreter_settings_of_ingest():
        by_events = _measure_all(servers, sizes, sizes.events, _measure_events)
        by_rows = _measure_rows(servers, sizes)
    by_workers = _measure_all(servers, sizes, sizes.workers, _measure_workers)
    by_pages = _measure_all(servers, sizes, sizes.pages, _measure_pages)
    axes = {
        "events": ("events in the topic", by_events),
        "ledger": ("participants in the ledger", by_rows),
        "workers": ("ingest processes", by_workers),
        "pages": ("live pages", by_pages),
    }
    figures = []
    for name, (x_title, points) in axes.items():
        _plot(folder, name, x_title, points)
        for point in points:
            for line, value in point.measured.items():
                what, _, unit = line.partition(", ")
                figures.append(
                    Figure("growth", f"{what}, {point.x:,} {x_title}", value, unit, SAMPLES[name].format(sizes))
                )
    servers.log_progress(f"growth: the plots are in {folder.relative_to(ROOT)}")
    return figures


def _measure_all(
    servers: Servers, sizes: Sizes, values: Sequence[int], measure: Callable[[Servers, Sizes, int], Point]
) -> list[Point]:
    """A point for each value. One that cannot be measured is reported and left out: the others took long."""
    points = []
    for value in values:
        try:
            points.append(measure(servers, sizes, value))
        except Exception as error:
            servers.log_progress(f"NOT MEASURED: the point of {value:,}: {str(error)[:300]}")
    return points


# -- batches ----------------------------------------------------------------------------------------------------------


def _measure_events(servers: Servers, sizes: Sizes, events: int) -> Point:
    servers.log_progress(f"growth: {events:,} events")
    with ExitStack() as stack:
        database = servers.create_database("bench_growth")
        stack.callback(servers.drop_database, database)
        ingestion = InProcessIngestion(database, stack)
        ingestion.create_events(SEED, events)
        return Point(events, _measure_batches(ingestion, sizes, _Load(events, sizes)))


def _measure_rows(servers: Servers, sizes: Sizes) -> list[Point]:
    """Points over one ledger, which is filled between them with rows of events that are over."""
    points = []
    with ExitStack() as stack:
        database = servers.create_database("bench_growth")
        stack.callback(servers.drop_database, database)
        with ExitStack() as creation:
            InProcessIngestion(database, creation).create_events(SEED, LEDGER_EVENTS)
        load = _Load(LEDGER_EVENTS, sizes, points=len(sizes.rows))
        for rows in sizes.rows:
            free = shutil.disk_usage(servers.home).free
            if rows * BYTES_A_ROW > free:
                servers.log_progress(f"SKIPPED: {rows:,} rows need some {rows * BYTES_A_ROW / 1e9:.0f} GB of disk")
                break
            if rows:
                fill(servers, database, rows, FILLINGS[0])
            servers.log_progress(f"growth: over {rows:,} rows")
            with ExitStack() as measuring:
                points.append(Point(rows, _measure_batches(InProcessIngestion(database, measuring), sizes, load)))
    return points


class _Load:
    """The batches of a database, one after the other: as many as its points take."""

    def __init__(self, events: int, sizes: Sizes, points: int = 1) -> None:
        messages = BATCH_MESSAGES * points * (WARM_UP_BATCHES + 2 * sizes.batches)
        self.batches = batches(registrations(SEED, events=events, count=messages), BATCH_MESSAGES)


def _measure_batches(ingestion: InProcessIngestion, sizes: Sizes, load: _Load) -> dict[str, float]:
    """The rate with one batch in flight, as `ingest` works, and then the latency of batches without that."""
    ingestion.count(list(islice(load.batches, WARM_UP_BATCHES)))
    counting = WorkTime(ingestion.backend_pid)
    measured = list(islice(load.batches, sizes.batches))
    with counting.measure(sum(map(len, measured))):
        ingestion.count(measured)
    latencies_s = []
    for batch in islice(load.batches, sizes.batches):
        started = time.perf_counter()
        ingestion.counter.count(batch, ingestion.offset_ranges(batch))
        latencies_s.append(time.perf_counter() - started)
    return {
        "rate, messages/s": counting.rate,
        "CPU of ingest, us/message": counting.own_cpu_us,
        "CPU of PostgreSQL, us/message": counting.backend_cpu_us,
        "a batch p50, ms": percentile(latencies_s, 50) * 1e3,
        "a batch p95, ms": percentile(latencies_s, 95) * 1e3,
    }


# -- processes --------------------------------------------------------------------------------------------------------


def _measure_workers(servers: Servers, sizes: Sizes, workers: int) -> Point:
    rate, own, postgres, _ = measure_backlog(
        servers, LEDGER_EVENTS, sizes.backlog, processes=workers, prefix="bench_growth"
    )
    return Point(
        workers,
        {
            "rate, messages/s": rate.value,
            "CPU of ingest, us/message": own.value,
            "CPU of PostgreSQL, us/message": postgres.value,
        },
    )


def _measure_pages(servers: Servers, sizes: Sizes, pages: int) -> Point:
    servers.log_progress(f"growth: {pages:,} live pages")
    median, worst, _, cpu, memory, *_ = live_pages.measure(servers, pages, sizes.changes, 2.0)
    return Point(
        pages,
        {
            "notified p50, ms": median.value * 1e3,
            "notified worst, ms": worst.value * 1e3,
            "CPU of serve for a change, ms": cpu.value,
            "memory of serve a page, kB": memory.value,
        },
    )


# -- plots ------------------------------------------------------------------------------------------------------------


def _plot(folder: Path, axis: str, x_title: str, points: list[Point]) -> None:
    """One plot for each unit of the axis."""
    by_unit: dict[str, dict[str, list[float | None]]] = {}
    for line in points[0].measured if points else ():
        what, _, unit = line.partition(", ")
        by_unit.setdefault(unit, {})[what] = [point.measured[line] for point in points]
    for unit, lines in by_unit.items():
        name = f"{axis}-{unit.replace('/', '-per-')}.svg"
        title = f"{unit} by {x_title}"
        write_plot(folder / name, title, x_title, unit, [f"{point.x:,}" for point in points], lines)
