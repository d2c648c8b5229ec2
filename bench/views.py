"""`views`: uncached answers, over a database of a year.

    SQL fills the database as the service would have: minute by minute, with the rows of all events mixed
    ─► misses: dashboards and insights that were never requested; 200 clients that request one at the same time
    ─► the timeline of an event with every minute of a year, in four zones; compared with the same event alone in a
       database, and with itself read from minutes, as it is while its 15-minute roll-up is pending
    ─► a merchant with a thousand events
    ─► the job that writes the 15-minute roll-up

Requests go over HTTP to a real `hannun serve`, one after the other. What is compared takes turns.
"""

import http.client
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg

from bench.figures import Figure, percentile
from bench.process_usage import cpu_s, tree_cpu_s
from bench.servers import BenchDatabase, ServeProcess, Servers
from hannun.cache import Invalidator
from hannun.domain.batch import ChangedEvent
from hannun.domain.partitions import month_after
from hannun.store import timeline_rollup
from hannun.store.database import Database, PoolLimits
from hannun.store.packed_arrivals import CHANNELS, packed
from hannun.store.partitions import create_months

ZONES = ("Asia/Seoul", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York")
GRANULARITIES = ("daily", "hourly")
STAMPEDE_CLIENTS = 200
YEAR_MINUTES = 525_600
YEAR_EVENT = 1
"""The number of the event with every minute of a year. The merchant's events have the numbers after it."""
OWNER, MERCHANT = "0d1e8a52-0000-4000-8000-00000000000a", "0d1e8a52-0000-4000-8000-00000000000b"
IDLE_S_MAX = 2.0
PENDING_MINUTES = 10
"""More than a running event has pending between two rounds of the job."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much the database holds besides the event of a year, and how often each request is sent."""

    events: int
    merchant_events: int
    participants: int
    other_rows_per_minute: int
    misses: int = 0
    timelines: int = 0
    merchant_requests: int = 0
    stampedes: int = 0


FULL = Size(10_000, 1_000, 10_000_000, 39, misses=1_000, timelines=40, merchant_requests=300, stampedes=10)
QUICK = Size(1_000, 100, 100_000, 1, misses=100, timelines=2, merchant_requests=30, stampedes=2)
ALONE = Size(0, 0, 0, 0)


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `views`."""
    size = QUICK if quick else FULL
    end = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    with ExitStack() as stack:
        alone, full = servers.create_database("bench_views_alone"), servers.create_database("bench_views")
        for database in (alone, full):
            stack.callback(servers.drop_database, database)
        fill(servers, alone, ALONE, end)
        fill(servers, full, size, end)
        unlimited = {"HANNUN_REFRESHES_A_MINUTE": "1000000"}
        serves = [stack.enter_context(servers.serve(full, **unlimited)) for _ in range(2)]
        serve_alone = stack.enter_context(servers.serve(alone, **unlimited))
        client, client_alone = (LiveClient(servers, serve) for serve in (serves[0], serve_alone))
        stack.callback(client.close)
        stack.callback(client_alone.close)
        return [
            *_measure_timelines(servers, full, client, client_alone, size, end),
            *_measure_misses(servers, client, size),
            *_measure_insights(servers, client, size),
            *_measure_stampedes(servers, full, serves, size),
            *_measure_merchant(servers, client, size),
            *_measure_job(servers, full, end, 5 if quick else 200),
        ]


# -- the client ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RequestTimes:
    """How long requests took, and the CPU time of `serve` and of PostgreSQL for all of them."""

    waits_s: list[float] = field(default_factory=list)
    serve_cpu_s: float = 0.0
    postgres_cpu_s: float = 0.0

    def figures(self, name: str, target: str = "") -> list[Figure]:
        count = len(self.waits_s)
        samples = f"{count:,} requests, one after the other"
        unit = f"ms (target: {target})" if target else "ms"
        return [
            Figure("views", f"{name}, p99", percentile(self.waits_s, 99) * 1e3, unit, samples),
            Figure("views", f"{name}, p50", percentile(self.waits_s, 50) * 1e3, "ms", samples),
            Figure("views", "  CPU, serve", self.serve_cpu_s / count * 1e3, "ms", samples),
            Figure("views", "  CPU, PostgreSQL", self.postgres_cpu_s / count * 1e3, "ms", samples),
        ]


class LiveClient:
    """A client of one `serve` with a persistent connection, whose requests no cache may answer."""

    def __init__(self, servers: Servers, serve: ServeProcess) -> None:
        self._pid, self._postgres = serve.pid, servers.postgres.pid or 0
        self._headers = {"Authorization": f"Bearer {servers.admin_token()}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", serve.port, timeout=120)
        self._used_at = 0.0

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str) -> None:
        """Send a request, and check that its answer was read from PostgreSQL."""
        if time.monotonic() - self._used_at > IDLE_S_MAX:
            self._connection.close()  # the server may have closed it; the next request opens another
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, f"{path}: {response.status}: {body[:500]!r}"
        assert response.headers["X-Data-Source"] == "live", f"{path} was answered from a cache"
        self._used_at = time.monotonic()

    def get_timed(self, path: str, times: RequestTimes) -> None:
        """Send a request, and add how long it takes."""
        started = time.perf_counter()
        self.get(path)
        times.waits_s.append(time.perf_counter() - started)

    @contextmanager
    def cpu_added_to(self, times: RequestTimes) -> Iterator[None]:
        """Add the CPU time that the block costs `serve` and PostgreSQL."""
        serve_before_s, postgres_before_s = cpu_s(self._pid), tree_cpu_s(self._postgres)
        yield
        times.serve_cpu_s += cpu_s(self._pid) - serve_before_s
        times.postgres_cpu_s += tree_cpu_s(self._postgres) - postgres_before_s


# -- what is requested ---------------------------------------------------------------------------------------------


def _measure_timelines(
    servers: Servers,
    database: BenchDatabase,
    client: LiveClient,
    client_alone: LiveClient,
    size: Size,
    end: datetime,
) -> list[Figure]:
    start = f"{end - timedelta(minutes=YEAR_MINUTES):%Y-%m-%dT%H:%MZ}"  # an answer for a range is never cached
    paths = [
        f"{_analytics_path(YEAR_EVENT)}/timeline?startDate={start}&granularity={granularity}&tz={zone}"
        for zone in ZONES
        for granularity in GRANULARITIES
    ]
    rolled_up, alone, from_minutes = RequestTimes(), RequestTimes(), RequestTimes()
    by_granularity = {granularity: RequestTimes() for granularity in GRANULARITIES}
    for turn in range(size.timelines + 1):
        servers.log_progress(f"views: timelines of a year, turn {turn} of {size.timelines}")
        for path in paths:
            if turn == 0:
                client.get(path)
                client_alone.get(path)
                continue
            with client.cpu_added_to(rolled_up):
                client.get_timed(path, rolled_up)
            by_granularity["hourly" if "hourly" in path else "daily"].waits_s.append(rolled_up.waits_s[-1])
            with client_alone.cpu_added_to(alone):
                client_alone.get_timed(path, alone)
        if turn % 8 == 1:
            _set_watermark(database, datetime(1970, 1, 1))
            for path in paths:
                with client.cpu_added_to(from_minutes):
                    client.get_timed(path, from_minutes)
            _set_watermark(database, end - timedelta(minutes=PENDING_MINUTES))
    rows = size.other_rows_per_minute * YEAR_MINUTES
    samples = f"p50, {len(rolled_up.waits_s)} and {len(alone.waits_s)} requests in turn"
    return [
        _ratio(f"a year / without {rows:,} other rows", rolled_up, alone, 50, "at most 1.5", samples),
        _ratio("  the same, p99", rolled_up, alone, 99, "at most 1.5", samples.replace("p50", "p99")),
        _ratio("a year from the roll-up / from minutes", rolled_up, from_minutes, 50, "", "p50, in turn"),
        *rolled_up.figures("a year, daily and hourly in 4 zones", "100"),
        *(
            Figure(
                "views", f"  {each}, p99", percentile(times.waits_s, 99) * 1e3, "ms", f"{len(times.waits_s)} requests"
            )
            for each, times in by_granularity.items()
        ),
        *from_minutes.figures("a year while its roll-up is pending"),
    ]


def _ratio(name: str, one: RequestTimes, other: RequestTimes, percent: float, target: str, samples: str) -> Figure:
    ratio = percentile(one.waits_s, percent) / percentile(other.waits_s, percent)
    return Figure("views", name, ratio, f"ratio (target: {target})" if target else "ratio", samples)


def _measure_misses(servers: Servers, client: LiveClient, size: Size) -> list[Figure]:
    servers.log_progress(f"views: {size.misses:,} dashboards that were never requested")
    times, warm_up = RequestTimes(), 20
    for number in range(warm_up):
        client.get(_analytics_path(2 + number))
    step = (size.events - warm_up) / size.misses
    with client.cpu_added_to(times):
        for number in range(size.misses):
            client.get_timed(_analytics_path(2 + warm_up + int(number * step)), times)
    return times.figures("a miss", "15")


def _measure_insights(servers: Servers, client: LiveClient, size: Size) -> list[Figure]:
    """What the figures of an event mean: of events that were never requested, and of the event of a year."""
    servers.log_progress(f"views: {size.misses:,} insights that were never requested")
    times, of_year = RequestTimes(), RequestTimes()
    step = (size.events - 1) / size.misses
    with client.cpu_added_to(times):
        for number in range(size.misses):
            client.get_timed(f"{_analytics_path(2 + int(number * step))}/insights", times)
    path = f"{_analytics_path(YEAR_EVENT)}/insights?refresh=true"
    client.get(path)
    with client.cpu_added_to(of_year):
        for _ in range(size.timelines):
            client.get_timed(path, of_year)
    return [*times.figures("a miss of insights"), *of_year.figures("insights of the event of a year")]


def _measure_stampedes(
    servers: Servers, database: BenchDatabase, serves: Sequence[ServeProcess], size: Size
) -> list[Figure]:
    """All clients request one uncached key, half of them from each process. Counts the answers that PostgreSQL gave."""
    loads: list[int] = []
    took_s: list[float] = []
    invalidator = Invalidator(database.redis)
    for number in range(size.stampedes):
        servers.log_progress(f"views: {STAMPEDE_CLIENTS} clients of one uncached key, {number + 1} of {size.stampedes}")
        with psycopg.connect(database.url) as conn:
            row = conn.execute("SELECT version FROM hannun.events WHERE event_no = %s", [YEAR_EVENT]).fetchone()
        assert row is not None
        assert invalidator.invalidate([ChangedEvent(_event_id(YEAR_EVENT), OWNER, row[0], ())])
        stampede = Stampede(servers, serves, f"{_analytics_path(YEAR_EVENT)}/timeline?granularity=daily")
        started = time.perf_counter()
        loads.append(stampede.run())
        took_s.append(time.perf_counter() - started)
    invalidator.close()
    samples = f"{size.stampedes} times a timeline of a year, half of the clients at each of two processes"
    return [
        Figure("views", f"loads by {STAMPEDE_CLIENTS} clients, at most", max(loads), "loads (target: 1)", samples),
        Figure("views", "  until the last is answered, p50", percentile(took_s, 50) * 1e3, "ms", samples),
    ]


class Stampede:
    """Clients that are connected first, and then send the same request at the same time."""

    def __init__(self, servers: Servers, serves: Sequence[ServeProcess], path: str) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {servers.admin_token()}\r\n"
        self._request = f"{request}Connection: close\r\n\r\n".encode()
        self._sockets = [
            socket.create_connection(("127.0.0.1", serves[number % len(serves)].port), timeout=60)
            for number in range(STAMPEDE_CLIENTS)
        ]

    def run(self) -> int:
        """Send all requests and read all responses. Returns how many answers were loaded from PostgreSQL."""
        for each in self._sockets:
            each.sendall(self._request)
        return sum(self._read_data_source(each) == b"live" for each in self._sockets)

    @staticmethod
    def _read_data_source(client: socket.socket) -> bytes:
        """Read a response to its end. Returns its X-Data-Source header."""
        received = b""
        with client:
            while part := client.recv(1 << 20):
                received += part
        head = received.partition(b"\r\n\r\n")[0].lower()
        assert head.startswith(b"http/1.1 200"), received[:300]
        return head.partition(b"x-data-source: ")[2].partition(b"\r\n")[0]


def _measure_merchant(servers: Servers, client: LiveClient, size: Size) -> list[Figure]:
    servers.log_progress(f"views: a merchant with {size.merchant_events:,} events, {size.merchant_requests} times")
    times = RequestTimes()
    path = f"/api/v1/users/{MERCHANT}/analytics?refresh=true"
    for _ in range(10):
        client.get(path)
    with client.cpu_added_to(times):
        for _ in range(size.merchant_requests):
            client.get_timed(path, times)
    timeline = RequestTimes()
    for _ in range(max(3, size.merchant_requests // 30)):
        client.get_timed(f"/api/v1/users/{MERCHANT}/analytics/timeline?granularity=daily", timeline)
    events = f"{size.merchant_events:,} events"
    return [
        *times.figures(f"a merchant's {events}", "50"),
        Figure("views", f"timeline of a merchant's {events}, p50", percentile(timeline.waits_s, 50) * 1e3, "ms", ""),
    ]


def _measure_job(servers: Servers, database: BenchDatabase, end: datetime, rounds: int) -> list[Figure]:
    """What the roll-up job costs: of a whole timeline, after a participant who came 40 days late, and in each round."""
    servers.log_progress("views: rolling up timelines")
    pool = Database(database.url, PoolLimits(), application="bench")
    _set_watermark(database, datetime(1970, 1, 1))
    whole_s = _roll_up_year_event(pool)
    with psycopg.connect(database.url) as conn:
        conn.execute(
            "UPDATE public.timeline_data SET participants = participants + 1 WHERE event_id = %s AND timestamp = %s",
            [_event_id(YEAR_EVENT), end - timedelta(days=40)],
        )
        conn.execute("UPDATE hannun.events SET participants = participants + 1 WHERE event_no = %s", [YEAR_EVENT])
    _set_watermark(database, end - timedelta(days=40))
    late_s = _roll_up_year_event(pool)
    rounds_s: list[float] = []
    for _ in range(rounds):
        _set_watermark(database, end - timedelta(minutes=PENDING_MINUTES))
        rounds_s += _roll_up_year_event(pool)
    pool.close()
    return [
        Figure("views", "roll-up job: a whole year", sum(whole_s), "s", f"{len(whole_s)} transactions"),
        Figure("views", "  the longest transaction", max(whole_s) * 1e3, "ms", ""),
        Figure("views", "roll-up job: a participant 40 days late", sum(late_s), "s", f"{len(late_s)} transactions"),
        Figure("views", "  the longest transaction", max(late_s) * 1e3, "ms", ""),
        Figure(
            "views",
            f"roll-up job: {PENDING_MINUTES} minutes, p50",
            percentile(rounds_s, 50) * 1e3,
            "ms",
            f"{rounds} rounds",
        ),
    ]


def _roll_up_year_event(pool: Database) -> list[float]:
    """Roll up the event of a year until nothing of it is pending. Returns the seconds of each transaction."""
    took_s: list[float] = []
    more = True
    while more:
        started = time.perf_counter()
        with pool.transaction() as conn:
            more = timeline_rollup.roll_up_event(conn, YEAR_EVENT).more
        took_s.append(time.perf_counter() - started)
    return took_s


def _set_watermark(database: BenchDatabase, since: datetime) -> None:
    """Make the roll-up of the event of a year pending from `since` on."""
    with psycopg.connect(database.url) as conn:
        conn.execute("UPDATE hannun.events SET cumulative_owed_from = %s WHERE event_no = %s", [since, YEAR_EVENT])


def _event_id(number: int) -> str:
    return f"5b0c2f64-0000-4000-8000-{number:012}"


def _analytics_path(number: int) -> str:
    return f"/api/v1/events/{_event_id(number)}/analytics"


# -- filling -------------------------------------------------------------------------------------------------------

_EVENTS = """
INSERT INTO hannun.events (event_no, event_id, user_id, title, version, first_seen_at, starts_at, participants,
                           unattributed, total_investment, expected_revenue, plan_at, cumulative_owed_from)
OVERRIDING SYSTEM VALUE
SELECT no, '5b0c2f64-0000-4000-8000-' || lpad(no::text, 12, '0'),
       CASE WHEN no = %(year)s THEN %(owner)s WHEN no <= %(merchant_events)s + 1 THEN %(merchant)s
            ELSE '0d1e8a52-0000-4000-8000-' || lpad((1000 + no / 10)::text, 12, '0') END,
       'event ' || no, (extract(epoch FROM %(ends)s::timestamp) * 1000000)::bigint + no, %(begins)s, %(begins)s,
       CASE WHEN no = %(year)s THEN %(of_year)s ELSE %(each)s END,
       CASE WHEN no = %(year)s THEN %(of_year)s ELSE %(each)s %% 6 END, 1000000, 3000000, %(begins)s,
       CASE WHEN no = %(year)s OR no BETWEEN %(merchant_events)s - 48 AND %(merchant_events)s + 1 THEN %(watermark)s
            ELSE '9999-01-01' END
  FROM generate_series(1, %(events)s + 1) AS no;

INSERT INTO hannun.distributions (event_no, channel_no, channel_type, state, completed_at, expected_views, cost,
                                  succeeded_at)
SELECT event_no, channel_no, channel_type, 'SUCCESS', %(begins)s, 10000, 50000, %(begins)s
  FROM hannun.events CROSS JOIN (SELECT * FROM hannun.channels ORDER BY channel_no LIMIT 6) c;

INSERT INTO public.channel_stats (event_id, channel_name, channel_type, participants, impressions, views, clicks,
                                  conversions, distribution_cost)
SELECT event_id, name, channel_type, CASE WHEN event_no = %(year)s THEN 0 ELSE %(each)s / 6 END, 9000, 5000, 700, 90,
       50000
  FROM hannun.events CROSS JOIN (SELECT * FROM hannun.channels ORDER BY channel_no LIMIT 6) c;

INSERT INTO public.event_stats (event_id, event_title, user_id, total_participants, total_views, total_investment,
                                expected_revenue, created_at)
SELECT event_id, title, user_id, participants, 30000, total_investment, expected_revenue,
       first_seen_at + event_no * interval '1 s'
  FROM hannun.events ORDER BY event_no;
"""
_LEDGER = """
INSERT INTO hannun.participants (event_no, participant, came)
SELECT 2 + i %% %(events)s, gen_random_uuid(),
       %(came)s + i %% 500000 * %(channels)s + CASE WHEN i / %(events)s < %(each)s / 6 * 6
                                                    THEN (%(channel_nos)s::int[])[1 + i / %(events)s %% 6] ELSE 0 END
  FROM generate_series(%(first)s, %(last)s) AS i
"""
# The rows are in order of time, so rows of all other events lie between two minutes of an event. An event has every
# minute of its days. On the newest day these are the merchant's newest events. The cumulative column is only filled for
# the event of a year, since no request reads it of the others.
_MINUTES = """
INSERT INTO public.timeline_data (event_id, timestamp, participants, views, engagement, conversions,
                                  cumulative_participants)
SELECT '5b0c2f64-0000-4000-8000-' || lpad(no::text, 12, '0'), %(begins)s::timestamp + m * interval '1 minute',
       CASE WHEN no = 1 THEN 1 + m %% 3 ELSE 1 END, m %% 7, m %% 5, m %% 2,
       CASE WHEN no = 1 THEN (m + 1) / 3 * 6 + (ARRAY[0, 1, 3])[1 + (m + 1) %% 3] ELSE 0 END
  FROM generate_series(%(first)s, %(last)s) AS m
 CROSS JOIN LATERAL (
       SELECT 1 AS no
        UNION ALL
       SELECT CASE WHEN m >= %(minutes)s - 1440 THEN %(merchant_events)s + 1 - k
                   ELSE 2 + (m / 1440 * %(rows_per_minute)s + k) %% %(events)s END
         FROM generate_series(0, CASE WHEN m >= %(minutes)s - 1440 THEN least(50, %(merchant_events)s)
                                      ELSE %(rows_per_minute)s END - 1) AS k) AS happened
"""
_ROLL_UP = """
INSERT INTO hannun.timeline_quarters (event_no, quarter, participants, views, engagement, conversions)
SELECT e.event_no, date_bin('15 minutes', t.timestamp, '2000-01-01') AS quarter, sum(t.participants), sum(t.views),
       sum(t.engagement), sum(t.conversions)
  FROM public.timeline_data t JOIN hannun.events e USING (event_id)
 WHERE t.timestamp >= %(since)s AND t.timestamp < %(until)s
   AND t.timestamp < date_bin('15 minutes', e.cumulative_owed_from, '2000-01-01')
 GROUP BY 1, 2 ORDER BY 2, 1
"""
ROWS_PER_FILL = 1_000_000


def fill(servers: Servers, database: BenchDatabase, size: Size, end: datetime) -> None:
    """Fill a database with what the service would have written to it in the year before `end`."""
    begin = end - timedelta(minutes=YEAR_MINUTES)
    arguments = {
        "year": YEAR_EVENT,
        "owner": OWNER,
        "merchant": MERCHANT,
        "merchant_events": size.merchant_events,
        "events": size.events,
        "begins": begin,
        "ends": end,
        "watermark": end - timedelta(minutes=PENDING_MINUTES),
        "of_year": YEAR_MINUTES * 2,
        "each": size.participants // max(1, size.events),
        "rows_per_minute": size.other_rows_per_minute,
        "minutes": YEAR_MINUTES,
        "channels": CHANNELS,
        "came": packed(int((begin - datetime(1970, 1, 1)).total_seconds()) // 60, 0),
    }
    with psycopg.connect(database.owner_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        conn.execute("SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'")
        conn.execute(_EVENTS, arguments)
        months = [month_after(begin.date().replace(day=1), count) for count in range(14)]
        create_months(conn, months)
        with _without_indexes(conn, "hannun.participants"):
            nos = conn.execute("SELECT array_agg(channel_no) FROM (SELECT * FROM hannun.channels ORDER BY 1 LIMIT 6) c")
            arguments["channel_nos"] = (nos.fetchone() or [[]])[0]
            for first in range(0, size.participants, ROWS_PER_FILL):
                last = min(first + ROWS_PER_FILL, size.participants) - 1
                conn.execute(_LEDGER, arguments | {"first": first, "last": last})
                servers.log_progress(f"views: the ledger holds {last + 1:,} of {size.participants:,} rows")
        with _without_indexes(conn, "public.timeline_data"):
            for first in range(0, YEAR_MINUTES, YEAR_MINUTES // 12):
                last = min(first + YEAR_MINUTES // 12, YEAR_MINUTES) - 1
                conn.execute(_MINUTES, arguments | {"first": first, "last": last})
                servers.log_progress(
                    f"views: {last + 1:,} of {YEAR_MINUTES:,} minutes, {1 + size.other_rows_per_minute} rows each"
                )
            servers.log_progress("views: creating the indexes of the timeline")
        for since, until in pairwise(months):
            conn.execute(_ROLL_UP, {"since": since, "until": until})
        servers.log_progress("views: vacuuming and analyzing")
        conn.execute("VACUUM (ANALYZE)")


@contextmanager
def _without_indexes(conn: psycopg.Connection, table: str) -> Iterator[None]:
    """Drop the keys and indexes of a table, and create them again at the end of the block.

    An index that is built at the end costs half as much as one that is filled with rows in mixed order.
    """
    keys = conn.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
        [table],
    ).fetchall()
    indexes = conn.execute(
        "SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index "
        "WHERE indrelid = %s::regclass AND NOT indisprimary",
        [table],
    ).fetchall()
    for name, _ in keys:
        conn.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    yield
    for name, definition in keys:
        conn.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, definition in indexes:
        conn.execute(definition)
