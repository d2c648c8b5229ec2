"""The literal port: what one gets by moving the usual listener over as it is. The measure of what batches are worth.

For each message: was it seen (Redis)? a transaction with an UPDATE and an upsert, the cached answer deleted, the
message marked as seen. One connection of the pool kept in hand, statements prepared. It is kinder than it could be:
it looks at no position, keeps no ledger, and counts twice after a crash between its commit and its mark.
"""

import json
import time
from datetime import UTC, datetime

import psycopg
import redis

from bench.messages import events, registrations
from bench.servers import Ground
from hannun.cache.keys import dashboard

SEEN = "literal:processed_messages"
WARM_UP = 50

_COUNT = (
    "UPDATE public.event_stats SET total_participants = total_participants + 1, updated_at = now() WHERE event_id = %s"
)
_ADD_TO_TIMELINE = """
INSERT INTO public.timeline_data (event_id, timestamp, participants) VALUES (%s, %s, 1)
    ON CONFLICT (event_id, timestamp) DO UPDATE SET participants = timeline_data.participants + 1, updated_at = now()
"""


def rate(ground: Ground, messages: int) -> float:
    """Messages a second, over 100 events."""
    site = ground.site("bench_literal")
    told = [value for _, _, value in registrations(3, events=100, count=WARM_UP + messages)]
    with (
        psycopg.connect(site.url, autocommit=True) as conn,
        redis.Redis(host=site.redis.host, port=site.redis.port, password=site.redis.password, protocol=3) as cache,
    ):
        conn.execute("SELECT hannun.make_timeline_month(%s)", (datetime(2026, 11, 1, tzinfo=UTC).date(),))
        for kind, key, value in events(3, 100):
            if kind == "event-created":
                plan = json.loads(value)
                conn.execute(
                    "INSERT INTO public.event_stats (event_id, event_title, user_id) VALUES (%s, %s, %s)",
                    (key.decode(), plan["eventTitle"], plan["userId"]),
                )
        for value in told[:WARM_UP]:
            _count(conn, cache, value)
        started = time.perf_counter()
        for value in told[WARM_UP:]:
            _count(conn, cache, value)
        took_s = time.perf_counter() - started
        cache.delete(SEEN)
    ground.drop(site)
    return messages / took_s


def _count(conn: psycopg.Connection[tuple[object, ...]], cache: redis.Redis, value: bytes) -> None:
    message = json.loads(value)
    if cache.sismember(SEEN, message["messageId"]):
        return
    minute = datetime.fromisoformat(message["registeredAt"]).replace(second=0, microsecond=0, tzinfo=None)
    with conn.transaction():
        conn.execute(_COUNT, (message["eventId"],), prepare=True)
        conn.execute(_ADD_TO_TIMELINE, (message["eventId"], minute), prepare=True)
    cache.delete(dashboard(message["eventId"]))
    cache.sadd(SEEN, message["messageId"])
