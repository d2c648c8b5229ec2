"""`views`: answers that are in no cache, over a database of a year.

    SQL fills it as the service would have: minute by minute, the rows of all events mixed
    ─► misses: dashboards of events that nobody has asked for; 200 who ask for one at the same time
    ─► the timeline of an event with every minute of a year, in four zones; beside the same event alone in a database,
       and beside itself made of minutes, as it is while it owes its quarters of an hour
    ─► a merchant with a thousand events
    ─► the job that keeps the quarters

Asked over HTTP of a real `hannun serve`, one question after the other. What is compared takes turns.
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
from bench.processor import used_s, used_with_children_s
from bench.servers import Ground, Serving, Site
from hannun.cache import Invalidator
from hannun.domain.batch import ChangedEvent
from hannun.domain.partitions import month_after
from hannun.store import timeline_rollup
from hannun.store.database import Database, PoolLimits
from hannun.store.packed_arrivals import CHANNELS, packed
from hannun.store.partitions import create_months

ZONES = ("Asia/Seoul", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York")
GRANULARITIES = ("daily", "hourly")
COLD_READERS = 200
YEAR_MINUTES = 525_600
YEAR = 1
"""The number of the event with every minute of a year; that of the merchant's first is the one after it."""
OWNER, MERCHANT = "0d1e8a52-0000-4000-8000-00000000000a", "0d1e8a52-0000-4000-8000-00000000000b"
IDLE_S_MAX = 2.0
OWED_MINUTES = 10
"""More than a running event owes between two rounds of the job."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is beside the event of a year, and how often each question is asked."""

    events: int
    merchants: int
    participants: int
    others_a_minute: int
    misses: int = 0
    timelines: int = 0
    users: int = 0
    crowds: int = 0


FULL = Size(10_000, 1_000, 10_000_000, 39, misses=1_000, timelines=40, users=300, crowds=10)
QUICK = Size(1_000, 100, 100_000, 1, misses=100, timelines=2, users=30, crowds=2)
ALONE = Size(0, 0, 0, 0)


def run(ground: Ground, *, quick: bool) -> list[Figure]:
    """All figures of `views`."""
    size = QUICK if quick else FULL
    ends = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    with ExitStack() as stack:
        alone, full = ground.site("bench_views_alone"), ground.site("bench_views")
        for site in (alone, full):
            stack.callback(ground.drop, site)
        _fill(ground, alone, ALONE, ends)
        _fill(ground, full, size, ends)
        unlimited = {"HANNUN_REFRESHES_A_MINUTE": "1000000"}
        servings = [stack.enter_context(ground.serve(full, **unlimited)) for _ in range(2)]
        beside = stack.enter_context(ground.serve(alone, **unlimited))
        ask, ask_alone = (Asking(ground, serving) for serving in (servings[0], beside))
        stack.callback(ask.close)
        stack.callback(ask_alone.close)
        return [
            *_timelines(ground, full, ask, ask_alone, size, ends),
            *_misses(ground, ask, size),
            *_crowds(ground, full, servings, size),
            *_users(ground, ask, size),
            *_job(ground, full, ends, 5 if quick else 200),
        ]


# -- asking --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lap:
    """How long questions took, and what processor time they cost."""

    waits_s: list[float] = field(default_factory=list)
    serve_s: float = 0.0
    postgres_s: float = 0.0

    def figures(self, what: str, wanted: str = "") -> list[Figure]:
        count = len(self.waits_s)
        samples = f"{count:,} questions, one after the other"
        unit = f"ms (wanted: {wanted})" if wanted else "ms"
        return [
            Figure("views", f"{what}, p99", percentile(self.waits_s, 99) * 1e3, unit, samples),
            Figure("views", f"{what}, p50", percentile(self.waits_s, 50) * 1e3, "ms", samples),
            Figure("views", "  processor, serve", self.serve_s / count * 1e3, "ms", samples),
            Figure("views", "  processor, PostgreSQL", self.postgres_s / count * 1e3, "ms", samples),
        ]


class Asking:
    """One client of one `serve`, over a connection that stays open."""

    def __init__(self, ground: Ground, serving: Serving) -> None:
        self._pid, self._postgres = serving.pid, ground.postgres.pid or 0
        self._headers = {"Authorization": f"Bearer {ground.token()}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=120)
        self._asked_at = 0.0

    def close(self) -> None:
        self._connection.close()

    def live(self, path: str) -> None:
        """Ask for what must not come out of a cache."""
        if time.monotonic() - self._asked_at > IDLE_S_MAX:
            self._connection.close()  # it opens another; the server may have closed this one
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, f"{path}: {response.status}: {body[:500]!r}"
        assert response.headers["X-Data-Source"] == "live", f"{path} was kept"
        self._asked_at = time.monotonic()

    @contextmanager
    def counted(self, lap: Lap) -> Iterator[None]:
        """What is asked in the block is counted."""
        serve, postgres = used_s(self._pid), used_with_children_s(self._postgres)
        yield
        lap.serve_s += used_s(self._pid) - serve
        lap.postgres_s += used_with_children_s(self._postgres) - postgres

    def timed(self, path: str, lap: Lap) -> None:
        started = time.perf_counter()
        self.live(path)
        lap.waits_s.append(time.perf_counter() - started)


# -- what is asked -------------------------------------------------------------------------------------------------


def _timelines(ground: Ground, full: Site, ask: Asking, ask_alone: Asking, size: Size, ends: datetime) -> list[Figure]:
    start = f"{ends - timedelta(minutes=YEAR_MINUTES):%Y-%m-%dT%H:%MZ}"  # a range is never kept
    paths = [
        f"{_event(YEAR)}/timeline?startDate={start}&granularity={granularity}&tz={zone}"
        for zone in ZONES
        for granularity in GRANULARITIES
    ]
    quarters, alone, minutes = Lap(), Lap(), Lap()
    laps = {granularity: Lap() for granularity in GRANULARITIES}
    for turn in range(size.timelines + 1):
        ground.say(f"views: timelines of a year, turn {turn} of {size.timelines}")
        for path in paths:
            if turn == 0:
                ask.live(path)
                ask_alone.live(path)
                continue
            with ask.counted(quarters):
                ask.timed(path, quarters)
            laps["hourly" if "hourly" in path else "daily"].waits_s.append(quarters.waits_s[-1])
            with ask_alone.counted(alone):
                ask_alone.timed(path, alone)
        if turn % 8 == 1:
            _owe(full, datetime(1970, 1, 1))
            for path in paths:
                with ask.counted(minutes):
                    ask.timed(path, minutes)
            _owe(full, ends - timedelta(minutes=OWED_MINUTES))
    rows = size.others_a_minute * YEAR_MINUTES
    samples = f"p50, {len(quarters.waits_s)} and {len(alone.waits_s)} questions in turn"
    return [
        _ratio(f"a year beside it without {rows:,} other rows", quarters, alone, 50, "at most 1.5", samples),
        _ratio("  the same, p99", quarters, alone, 99, "at most 1.5", samples.replace("p50", "p99")),
        _ratio("a year of quarters beside it of minutes", quarters, minutes, 50, "", "p50, in turn"),
        *quarters.figures("a year, daily and hourly in 4 zones", "100"),
        *(
            Figure("views", f"  {each}, p99", percentile(lap.waits_s, 99) * 1e3, "ms", f"{len(lap.waits_s)} questions")
            for each, lap in laps.items()
        ),
        *minutes.figures("a year while it owes its quarters"),
    ]


def _ratio(name: str, one: Lap, other: Lap, percent: float, wanted: str, samples: str) -> Figure:
    ratio = percentile(one.waits_s, percent) / percentile(other.waits_s, percent)
    return Figure("views", name, ratio, f"ratio (wanted: {wanted})" if wanted else "ratio", samples)


def _misses(ground: Ground, ask: Asking, size: Size) -> list[Figure]:
    ground.say(f"views: {size.misses:,} dashboards that nobody has asked for")
    lap, warm_up = Lap(), 20
    for number in range(warm_up):
        ask.live(_event(2 + number))
    step = (size.events - warm_up) / size.misses
    with ask.counted(lap):
        for number in range(size.misses):
            ask.timed(_event(2 + warm_up + int(number * step)), lap)
    return lap.figures("a miss", "15")


def _crowds(ground: Ground, site: Site, servings: Sequence[Serving], size: Size) -> list[Figure]:
    """All ask for one key that is not there, half of them each process. What was read from PostgreSQL says so."""
    loads: list[int] = []
    took_s: list[float] = []
    invalidator = Invalidator(site.redis)
    for number in range(size.crowds):
        ground.say(f"views: {COLD_READERS} cold readers of one key, {number + 1} of {size.crowds}")
        with psycopg.connect(site.url) as conn:
            row = conn.execute("SELECT version FROM hannun.events WHERE event_no = %s", [YEAR]).fetchone()
        assert row is not None
        assert invalidator.invalidate([ChangedEvent(_event_id(YEAR), OWNER, row[0], ())])
        crowd = Crowd(ground, servings, f"{_event(YEAR)}/timeline?granularity=daily")
        started = time.perf_counter()
        loads.append(crowd.asks())
        took_s.append(time.perf_counter() - started)
    invalidator.close()
    samples = f"{size.crowds} times a timeline of a year, half of the readers at each of two processes"
    return [
        Figure("views", f"loads by {COLD_READERS} cold readers, at most", max(loads), "loads (wanted: 1)", samples),
        Figure("views", "  until the last has it, p50", percentile(took_s, 50) * 1e3, "ms", samples),
    ]


class Crowd:
    """Readers that are connected, and then ask all at once."""

    def __init__(self, ground: Ground, servings: Sequence[Serving], path: str) -> None:
        question = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {ground.token()}\r\n"
        self._question = f"{question}Connection: close\r\n\r\n".encode()
        self._sockets = [
            socket.create_connection(("127.0.0.1", servings[number % len(servings)].port), timeout=60)
            for number in range(COLD_READERS)
        ]

    def asks(self) -> int:
        """Ask. Returns how many answers were read from PostgreSQL."""
        for each in self._sockets:
            each.sendall(self._question)
        return sum(self._answer(each) == b"live" for each in self._sockets)

    @staticmethod
    def _answer(asked: socket.socket) -> bytes:
        told = b""
        with asked:
            while part := asked.recv(1 << 20):
                told += part
        head = told.partition(b"\r\n\r\n")[0].lower()
        assert head.startswith(b"http/1.1 200"), told[:300]
        return head.partition(b"x-data-source: ")[2].partition(b"\r\n")[0]


def _users(ground: Ground, ask: Asking, size: Size) -> list[Figure]:
    ground.say(f"views: a merchant with {size.merchants:,} events, {size.users} times")
    lap = Lap()
    path = f"/api/v1/users/{MERCHANT}/analytics?refresh=true"
    for _ in range(10):
        ask.live(path)
    with ask.counted(lap):
        for _ in range(size.users):
            ask.timed(path, lap)
    timeline = Lap()
    for _ in range(max(3, size.users // 30)):
        ask.timed(f"/api/v1/users/{MERCHANT}/analytics/timeline?granularity=daily", timeline)
    events = f"{size.merchants:,} events"
    return [
        *lap.figures(f"a merchant's {events}", "50"),
        Figure("views", f"the timeline of {events}, p50", percentile(timeline.waits_s, 50) * 1e3, "ms", ""),
    ]


def _job(ground: Ground, site: Site, ends: datetime, rounds: int) -> list[Figure]:
    """What the job costs: a timeline settled from its beginning, after somebody came late, and round by round."""
    ground.say("views: settling timelines")
    database = Database(site.url, PoolLimits(), application="bench")
    _owe(site, datetime(1970, 1, 1))
    anew = _pieces(database)
    with psycopg.connect(site.url) as conn:
        conn.execute(
            "UPDATE public.timeline_data SET participants = participants + 1 WHERE event_id = %s AND timestamp = %s",
            [_event_id(YEAR), ends - timedelta(days=40)],
        )
        conn.execute("UPDATE hannun.events SET participants = participants + 1 WHERE event_no = %s", [YEAR])
    _owe(site, ends - timedelta(days=40))
    late = _pieces(database)
    each: list[float] = []
    for _ in range(rounds):
        _owe(site, ends - timedelta(minutes=OWED_MINUTES))
        each += _pieces(database)
    database.close()
    return [
        Figure("views", "job: a year from its beginning", sum(anew), "s", f"{len(anew)} transactions"),
        Figure("views", "  the longest transaction", max(anew) * 1e3, "ms", ""),
        Figure("views", "job: somebody came 40 days late", sum(late), "s", f"{len(late)} transactions"),
        Figure("views", "  the longest transaction", max(late) * 1e3, "ms", ""),
        Figure("views", f"job: {OWED_MINUTES} minutes, p50", percentile(each, 50) * 1e3, "ms", f"{rounds} rounds"),
    ]


def _pieces(database: Database) -> list[float]:
    """Settle the event of a year. Returns how long each transaction took."""
    took_s: list[float] = []
    more = True
    while more:
        started = time.perf_counter()
        with database.transaction() as conn:
            more = timeline_rollup.roll_up_event(conn, YEAR).more
        took_s.append(time.perf_counter() - started)
    return took_s


def _owe(site: Site, since: datetime) -> None:
    with psycopg.connect(site.url) as conn:
        conn.execute("UPDATE hannun.events SET cumulative_owed_from = %s WHERE event_no = %s", [since, YEAR])


def _event_id(number: int) -> str:
    return f"5b0c2f64-0000-4000-8000-{number:012}"


def _event(number: int) -> str:
    return f"/api/v1/events/{_event_id(number)}/analytics"


# -- filling -------------------------------------------------------------------------------------------------------

_EVENTS = """
INSERT INTO hannun.events (event_no, event_id, user_id, title, version, first_seen_at, starts_at, participants,
                           unattributed, total_investment, expected_revenue, plan_at, cumulative_owed_from)
OVERRIDING SYSTEM VALUE
SELECT no, '5b0c2f64-0000-4000-8000-' || lpad(no::text, 12, '0'),
       CASE WHEN no = %(year)s THEN %(owner)s WHEN no <= %(merchants)s + 1 THEN %(merchant)s
            ELSE '0d1e8a52-0000-4000-8000-' || lpad((1000 + no / 10)::text, 12, '0') END,
       'event ' || no, (extract(epoch FROM %(ends)s::timestamp) * 1000000)::bigint + no, %(begins)s, %(begins)s,
       CASE WHEN no = %(year)s THEN %(of_year)s ELSE %(each)s END,
       CASE WHEN no = %(year)s THEN %(of_year)s ELSE %(each)s %% 6 END, 1000000, 3000000, %(begins)s,
       CASE WHEN no = %(year)s OR no BETWEEN %(merchants)s - 48 AND %(merchants)s + 1 THEN %(owed_from)s
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
# Between two minutes of an event lie those of all others, as they came. On its days an event has every minute; those of
# the newest day are the merchant's newest events. Nobody reads the cumulative column of the others.
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
       SELECT CASE WHEN m >= %(minutes)s - 1440 THEN %(merchants)s + 1 - k
                   ELSE 2 + (m / 1440 * %(a_minute)s + k) %% %(events)s END
         FROM generate_series(0, CASE WHEN m >= %(minutes)s - 1440 THEN least(50, %(merchants)s)
                                      ELSE %(a_minute)s END - 1) AS k) AS happened
"""
_QUARTERS = """
INSERT INTO hannun.timeline_quarters (event_no, quarter, participants, views, engagement, conversions)
SELECT e.event_no, date_bin('15 minutes', t.timestamp, '2000-01-01') AS quarter, sum(t.participants), sum(t.views),
       sum(t.engagement), sum(t.conversions)
  FROM public.timeline_data t JOIN hannun.events e USING (event_id)
 WHERE t.timestamp >= %(since)s AND t.timestamp < %(until)s
   AND t.timestamp < date_bin('15 minutes', e.cumulative_owed_from, '2000-01-01')
 GROUP BY 1, 2 ORDER BY 2, 1
"""
LEDGER_AT_ONCE = 1_000_000


def _fill(ground: Ground, site: Site, size: Size, ends: datetime) -> None:
    """Fill a database with what the service would have written into it."""
    begins = ends - timedelta(minutes=YEAR_MINUTES)
    asked = {
        "year": YEAR,
        "owner": OWNER,
        "merchant": MERCHANT,
        "merchants": size.merchants,
        "events": size.events,
        "begins": begins,
        "ends": ends,
        "owed_from": ends - timedelta(minutes=OWED_MINUTES),
        "of_year": YEAR_MINUTES * 2,
        "each": size.participants // max(1, size.events),
        "a_minute": size.others_a_minute,
        "minutes": YEAR_MINUTES,
        "channels": CHANNELS,
        "came": packed(int((begins - datetime(1970, 1, 1)).total_seconds()) // 60, 0),
    }
    with psycopg.connect(site.owner_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        conn.execute("SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'")
        conn.execute(_EVENTS, asked)
        months = [month_after(begins.date().replace(day=1), count) for count in range(14)]
        create_months(conn, months)
        with _without_keys(conn, "hannun.participants"):
            nos = conn.execute("SELECT array_agg(channel_no) FROM (SELECT * FROM hannun.channels ORDER BY 1 LIMIT 6) c")
            asked["channel_nos"] = (nos.fetchone() or [[]])[0]
            for first in range(0, size.participants, LEDGER_AT_ONCE):
                last = min(first + LEDGER_AT_ONCE, size.participants) - 1
                conn.execute(_LEDGER, asked | {"first": first, "last": last})
                ground.say(f"views: the ledger holds {last + 1:,} of {size.participants:,} rows")
        with _without_keys(conn, "public.timeline_data"):
            for first in range(0, YEAR_MINUTES, YEAR_MINUTES // 12):
                last = min(first + YEAR_MINUTES // 12, YEAR_MINUTES) - 1
                conn.execute(_MINUTES, asked | {"first": first, "last": last})
                ground.say(f"views: {last + 1:,} of {YEAR_MINUTES:,} minutes, {1 + size.others_a_minute} rows each")
            ground.say("views: its keys")
        for since, until in pairwise(months):
            conn.execute(_QUARTERS, {"since": since, "until": until})
        ground.say("views: vacuuming and analyzing")
        conn.execute("VACUUM (ANALYZE)")


@contextmanager
def _without_keys(conn: psycopg.Connection, table: str) -> Iterator[None]:
    """Its keys and indexes are made at the end of the block, as they were: sorted rows cost half of mixed ones."""
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
    for name, made in keys:
        conn.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {made}")
    for _, made in indexes:
        conn.execute(made)
