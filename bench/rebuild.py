"""`rebuild`: the cached answers of thousands of events, rebuilt together, beside single reads that refresh.

SQL fills 10,000 events with six measured channels each ─► all rebuilt, 250 in a statement ─► some read one by one
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg

from bench.figures import Figure
from bench.servers import BenchDatabase, Servers
from hannun.cache import AnswerCache
from hannun.domain.authorization import Principal
from hannun.domain.channels import load_table
from hannun.domain.questions import EventDashboardQuestion, EventSubject
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader
from hannun.flows.report.rebuild import Rebuilder
from hannun.store.database import AsyncConnection, PoolLimits, ReadPool

STALE_AFTER = timedelta(minutes=10)
SINGLE_READS = 500
OPERATOR = Principal("bench", frozenset({"ADMIN"}))

_EVENTS = """
INSERT INTO hannun.events (event_id, user_id, title, version, starts_at, participants, total_investment,
                           expected_revenue, plan_at)
SELECT 'event-' || no, 'merchant-' || no / 10, 'event ' || no, no, now(), 600, 1000000, 3000000, now()
  FROM generate_series(1, %(events)s) AS no;
INSERT INTO public.event_stats (event_id, event_title, user_id, total_participants, total_views, total_investment,
                                expected_revenue)
SELECT event_id, title, user_id, participants, 30000, total_investment, expected_revenue FROM hannun.events;
INSERT INTO hannun.distributions (event_no, channel_no, channel_type, state, completed_at, expected_views, cost,
                                  succeeded_at)
SELECT event_no, channel_no, channel_type, 'SUCCESS', now(), 10000, 50000, now()
  FROM hannun.events CROSS JOIN (SELECT * FROM hannun.channels ORDER BY channel_no LIMIT 6) c;
INSERT INTO public.channel_stats (event_id, channel_name, channel_type, participants, impressions, views, clicks,
                                  conversions, distribution_cost)
SELECT event_id, name, c.channel_type, 100, 9000, 5000, 700, 90, 50000
  FROM hannun.events JOIN hannun.distributions USING (event_no) JOIN hannun.channels c USING (channel_no);
INSERT INTO hannun.channel_measurements (event_no, channel_no, measured_at, polled_at, impressions, views, clicks,
                                         conversions)
SELECT event_no, channel_no, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', 9000, 5000, 700, 90
  FROM hannun.distributions;
"""


class CountingReadPool(ReadPool):
    """Counts how often it is used for one or several statements."""

    uses = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        self.uses += 1
        async with super().connection() as conn:
            yield conn


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `rebuild`."""
    count = 1_000 if quick else 10_000
    database = servers.create_database("bench_rebuild")
    try:
        servers.log_progress(f"rebuild: filling {count:,} events")
        with psycopg.connect(database.owner_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
            conn.execute(_EVENTS, {"events": count})
            conn.execute("VACUUM (ANALYZE)")
        return asyncio.run(_measure(servers, database, [f"event-{no}" for no in range(1, count + 1)]))
    finally:
        servers.drop_database(database)


async def _measure(servers: Servers, database: BenchDatabase, ids: Sequence[str]) -> list[Figure]:
    pool = CountingReadPool(database.url, PoolLimits(), application="bench")
    cache = AnswerCache(database.redis, lifetime_s=3_600)
    await pool.open()
    await cache.open()
    try:
        rebuilder = Rebuilder(pool, cache, lambda: datetime.now(UTC), load_table(), STALE_AFTER)
        await rebuilder.rebuild(ids[:250])  # so that connections and scripts are there
        servers.log_progress(f"rebuild: {len(ids):,} events together")
        pool.uses, cpu_before, began = 0, time.process_time(), time.monotonic()
        answers = await rebuilder.rebuild(ids)
        together_s, cpu_s, uses = time.monotonic() - began, time.process_time() - cpu_before, pool.uses
        assert answers == 2 * len(ids), answers
        servers.log_progress(f"rebuild: {SINGLE_READS} single reads")
        reports = Reports(pool, CachedReader(cache), lambda: datetime.now(UTC), load_table(), STALE_AFTER)
        began = time.monotonic()
        for id_ in ids[:SINGLE_READS]:
            await reports.answer(OPERATOR, EventDashboardQuestion(EventSubject(id_)), refresh=True)
        single_s = (time.monotonic() - began) / SINGLE_READS
    finally:
        await cache.close()
        await pool.close()
    events = f"{len(ids):,} events, six channels each"
    return [
        Figure("rebuild", "dashboards and ROI rebuilt", together_s, "s (target: 10 for 10,000 events)", events),
        Figure("rebuild", "  events a second", len(ids) / together_s, "1/s", events),
        Figure("rebuild", "  CPU of the process", cpu_s / len(ids) * 1e3, "ms an event", events),
        Figure("rebuild", "  events a statement", len(ids) / uses, "(target: 50 and more)", events),
        Figure(
            "rebuild",
            "events rebuilt a second / single reads a second",
            len(ids) / together_s * single_s,
            "",
            f"{SINGLE_READS} single reads that refresh, one after the other",
        ),
    ]
