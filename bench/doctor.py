"""`doctor`: all checks over a database with 10,000 events and a Kafka, from the start of the command to its end.

SQL fills the database as for `views` ─► `hannun doctor --json`, again and again ─► seconds of the command, and of its
slowest check
"""

import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime

from bench import views
from bench.figures import Figure, percentile
from bench.servers import BenchDatabase, Servers

RUNS = 5
FULL = views.Size(10_000, 1_000, 1_000_000, 1)


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `doctor`."""
    database = servers.create_database("bench_doctor")
    try:
        end = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
        views.fill(servers, database, views.QUICK if quick else FULL, end)
        return _measure(servers, database)
    finally:
        servers.drop_database(database)


def _measure(servers: Servers, database: BenchDatabase) -> list[Figure]:
    environment = servers.environment(database) | {"KAFKA_BOOTSTRAP_SERVERS": servers.kafka().bootstrap}
    took_s, slowest = [], []
    unfinished = 0
    cpu_before_s = children_cpu_s()
    for _ in range(RUNS):
        began = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "hannun", "doctor", "--json"], env=environment, capture_output=True, check=False
        )
        took_s.append(time.monotonic() - began)
        checks = json.loads(ended.stdout)["checks"]
        slowest.append(max(checks, key=lambda each: each["seconds"]))
        unfinished += sum(each["state"] == "unfinished" for each in checks)
    worst = max(slowest, key=lambda each: each["seconds"])
    cpu_s = (children_cpu_s() - cpu_before_s) / RUNS
    samples = f"{RUNS} runs of {len(checks)} checks"
    return [
        Figure("doctor", "the command, median", percentile(took_s, 50), "s", samples),
        Figure("doctor", "the command, the slowest run", max(took_s), "s", samples),
        Figure("doctor", "the command, processor time", cpu_s, "s", samples),
        Figure("doctor", f"the slowest check ({worst['check']})", worst["seconds"], "s", samples),
        Figure("doctor", "checks that were not finished", unfinished, "checks", samples),
    ]


def children_cpu_s() -> float:
    """Processor time of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
