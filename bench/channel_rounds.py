"""`channels`: rounds of the refresh, by a real `hannun schedule` and a real channel sandbox.

    database with 10,000 ACTIVE events ─► schedule ──HTTP──► sandbox, whose answers take 20 ms
                                             └─► measurements, rebuilt answers ─► the round is ended

One round after the other, on the same database: single calls without budgets (the first poll of every event), the same
while 30 % of the calls hang, then the declarations of the package, with their batches and budgets. The rows of a round
are deleted behind it, so the next process begins a round at once.

PostgreSQL logs the statements of this database with the application that sent them: each part of the round has a
connection, and so an application's name, of its own. BEGIN, COMMIT and SET are no queries.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from operator import sub
from pathlib import Path
from typing import Any

import psycopg

from bench.figures import Figure
from bench.process_usage import cpu_s, peak_memory_bytes, tree_cpu_s
from bench.servers import BenchDatabase, ChannelSandbox, Servers, wait_for
from hannun.domain.measurements import Outcome
from hannun.domain.rounds import POLL, REBUILD

CHANNELS = 6
ANSWER_S = 0.02
HANGING_SHARE = 0.3
ROUND_S_MAX = 290.0
HANGING_READ_S = 1.0
"""How long the bench's declarations wait for a response that takes 20 ms."""
HANGING_CALLS_AT_ONCE = 64
"""Of 10,000 calls 4,170 attempts hang, retries included: for 1 s each, and so for 65 s with 64 places."""


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of rounds."""
    events = 1_000 if quick else 10_000
    database = servers.create_database("bench_channels")
    _fill(servers, database, events)
    single = _single_calls(servers.home / "single-calls")
    with servers.channel_sandbox() as sandbox:
        bench = _Bench(servers, database, sandbox, events)
        sandbox.control.tell("all", "slow", {"options": {"delay_s": ANSWER_S}})
        first = bench.round("single calls", HANNUN_CHANNEL_DECLARATIONS=str(single))
        sandbox.control.tell("all", "hang", {"share": HANGING_SHARE})
        hanging = bench.round(
            "single calls of which 30 % hang",
            HANNUN_CHANNEL_DECLARATIONS=str(single),
            HANNUN_CHANNEL_CALLS_AT_ONCE=str(HANGING_CALLS_AT_ONCE),
        )
        sandbox.control.forget("all", "hang")
        batches = bench.round("batches", until_rebuilt=True)
    servers.drop_database(database)
    return [
        *_figures("single calls", first, events, "100"),
        *_figures("30 % of them hang", hanging, events, "150"),
        *_figures("batches and real budgets", batches, events, "15"),
    ]


@dataclass(slots=True)
class Round:
    """What one round took. CPU times are of the whole process, from its start on."""

    seconds: float = 0.0
    queries: Mapping[str, int] = field(default_factory=dict)
    memory_bytes: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    breakers: Mapping[str, str] = field(default_factory=dict)

    @property
    def polled(self) -> int:
        """The pairs of an event and a channel that were asked for, whatever came of it."""
        return sum(count for name, count in self.counts.items() if name.rpartition("/")[2] in _ASKED)


_ASKED = {str(outcome) for outcome in Outcome}


class _Bench:
    """Runs rounds on one database."""

    def __init__(self, servers: Servers, database: BenchDatabase, sandbox: ChannelSandbox, events: int) -> None:
        self._servers = servers
        self._database = database
        self._sandbox = sandbox
        self._events = events

    def round(self, name: str, *, until_rebuilt: bool = False, **settings: str) -> Round:
        """Run one round in a new `schedule`.

        Args:
            until_rebuilt: do not wait for the channels whose budgets space their calls.
        """
        self._servers.log_progress(f"channels: a round of {self._events:,} events, {name}")
        measured = Round()
        environment = {
            "HANNUN_CHANNEL_ACCESS_FILE": str(self._sandbox.access_file),
            "HANNUN_CHANNEL_PRIVATE_ADDRESSES": "true",
            "HANNUN_CONSISTENCY_SAMPLES_A_SECOND": "0",
        }
        with psycopg.connect(self._superuser_url(), autocommit=True) as conn:
            conn.execute("DELETE FROM hannun.round_work; DELETE FROM hannun.rounds; DELETE FROM hannun.channel_budgets")
            logged = self._log_bytes()
            condition = _REBUILT if until_rebuilt else _ENDED
            with self._servers.schedule(self._database, **environment | settings) as pid, self._cpu(measured, pid):
                wait_for(lambda: _value(conn, _BEGUN), f"a round begins: {name}")
                wait_for(lambda: _value(conn, condition) is not None, f"a round ends: {name}", ROUND_S_MAX)
                measured.seconds = _value(conn, condition)
                measured.queries = self._queries_since(logged)
                self._servers.log_progress(f"channels: {dict(sorted(measured.queries.items()))} queries")
                measured.memory_bytes = peak_memory_bytes(pid)
            measured.counts = _value(conn, _COUNTS) or {}
            measured.breakers = dict(conn.execute("SELECT channel, state FROM hannun.channel_breakers").fetchall())
        return measured

    @contextmanager
    def _cpu(self, measured: Round, schedule: int) -> Iterator[None]:
        postgres, sandbox = self._servers.postgres.pid or 0, self._sandbox.pid
        before = cpu_s(schedule), cpu_s(sandbox), tree_cpu_s(postgres)
        yield
        after = cpu_s(schedule), cpu_s(sandbox), tree_cpu_s(postgres)
        measured.cpu_s = dict(zip(("schedule", "sandbox", "PostgreSQL"), map(sub, after, before), strict=True))

    def _log_bytes(self) -> int:
        return (self._servers.postgres.home / "postgres.log").stat().st_size

    def _queries_since(self, position: int) -> dict[str, int]:
        """The queries of the round that `schedule` has sent since the log had this size, by application."""
        with (self._servers.postgres.home / "postgres.log").open("rb") as log:
            log.seek(position)
            found = (_QUERY.search(line.decode(errors="replace")) for line in log)
            return dict(Counter(query[1] for query in found if query))

    def _superuser_url(self) -> str:
        return self._servers.postgres.url(self._database.name)


def _value(conn: psycopg.Connection, query: str) -> Any:
    row = conn.execute(query).fetchone()
    return None if row is None else row[0]


_BEGUN = "SELECT true FROM hannun.rounds"
_ENDED = "SELECT extract(epoch FROM ended_at - began_at)::float8 FROM hannun.rounds WHERE ended_at IS NOT NULL LIMIT 1"
_REBUILT = f"""
SELECT CASE WHEN bool_and(w.done_at IS NOT NULL) FILTER (WHERE w.kind IN ('{POLL}', '{REBUILD}'))
            THEN extract(epoch FROM max(w.done_at) FILTER (WHERE w.kind IN ('{POLL}', '{REBUILD}'))
                                    - r.began_at)::float8
       END FROM hannun.rounds r JOIN hannun.round_work w USING (job, due_at) GROUP BY r.began_at
"""
_COUNTS = """
SELECT jsonb_object_agg(name, amount) FROM (
    SELECT coalesce(channel, kind) || '/' || name AS name, sum(amount::bigint) AS amount FROM hannun.round_work w
     CROSS JOIN LATERAL jsonb_each_text(w.result) AS counted (name, amount) GROUP BY 1) counted
"""
_QUERY = re.compile(
    r"analytics_readwrite@bench_channels hannun-schedule-(?!(?:refresh-)?gauges)(\S+) "
    r"LOG:  (?:statement|execute [^:]+): (?!BEGIN|COMMIT|ROLLBACK|SET )"
)
"""A logged query of a round. The other jobs of `schedule` have no suffix, and the gauges their own."""


def _single_calls(folder: Path) -> Path:
    """The declarations of the package, for one event a call and without budgets."""
    folder.mkdir(exist_ok=True)
    for entry in resources.files("hannun.channels").joinpath("declarations").iterdir():
        if entry.name.endswith(".toml"):
            text = re.sub(r"^batch = \d+", "batch = 1", entry.read_text("utf-8"), flags=re.MULTILINE)
            text = re.sub(r"^(\[\[budget\]\]|\[limits\])$.*?(?=^\[|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
            (folder / entry.name).write_text(f"{text}\n[limits]\nread_s = {HANGING_READ_S}\n", "utf-8")
    return folder


def _fill(servers: Servers, database: BenchDatabase, events: int) -> None:
    with psycopg.connect(
        servers.postgres.url(database.name), autocommit=True, cursor_factory=psycopg.ClientCursor
    ) as conn:
        conn.execute(f"ALTER DATABASE {database.name} SET log_statement = 'all'")
        conn.execute(f"ALTER DATABASE {database.name} SET log_parameter_max_length = 0")
        conn.execute(_EVENTS, {"events": events, "channels": CHANNELS})
        conn.execute("VACUUM (ANALYZE)")


_EVENTS = """
INSERT INTO hannun.events (event_id, user_id, title, version, first_seen_at, starts_at, ends_at, total_investment,
                           expected_revenue, plan_at)
SELECT 'c4a11e15-0000-4000-8000-' || lpad(no::text, 12, '0'),
       'c4a11e15-0000-4000-8000-' || lpad((1000000 + no / 10)::text, 12, '0'), 'event ' || no,
       (extract(epoch FROM now() - interval '1 day') * 1000000)::bigint + no, now() - interval '1 day',
       now() - interval '1 day', now() + interval '30 days', 1000000, 3000000, now() - interval '1 day'
  FROM generate_series(1, %(events)s) AS no;

INSERT INTO hannun.distributions (event_no, channel_no, channel_type, state, completed_at, expected_views, cost,
                                  succeeded_at)
SELECT event_no, channel_no, channel_type, 'SUCCESS', first_seen_at, 10000, 50000, first_seen_at
  FROM hannun.events CROSS JOIN (SELECT * FROM hannun.channels ORDER BY channel_no LIMIT %(channels)s) c;

INSERT INTO public.channel_stats (event_id, channel_name, channel_type, distribution_cost)
SELECT event_id, name, channel_type, 50000
  FROM hannun.events CROSS JOIN (SELECT * FROM hannun.channels ORDER BY channel_no LIMIT %(channels)s) c;

INSERT INTO public.event_stats (event_id, event_title, user_id, total_investment, expected_revenue, created_at)
SELECT event_id, title, user_id, total_investment, expected_revenue, first_seen_at FROM hannun.events ORDER BY event_no;
"""


def _figures(name: str, measured: Round, events: int, target_s: str) -> list[Figure]:
    polls = events * CHANNELS
    samples = f"{events:,} events"
    calls = sum(count for name, count in measured.counts.items() if name.endswith("/calls"))
    breakers = ", ".join(sorted(set(measured.breakers.values())))
    return [
        Figure("channels", f"a round: {name}", measured.seconds, f"s (target: {target_s})", samples),
        Figure("channels", "  asked for", 100 * measured.polled / polls, "%", f"{calls:,} calls; breakers {breakers}"),
        Figure(
            "channels", "  queries for 50 events", sum(measured.queries.values()) / events * 50, "(target: 1)", samples
        ),
        Figure("channels", "  peak memory, schedule", measured.memory_bytes / 1e6, "MB (target: 300)", ""),
        *(
            Figure("channels", f"  CPU for a call, {process}", seconds / max(calls, 1) * 1e6, "us", f"{calls:,} calls")
            for process, seconds in measured.cpu_s.items()
        ),
    ]
