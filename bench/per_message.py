"""The per-message consumer: what one gets by porting the usual listener as it is. It shows what batches gain.

For each message it checks in Redis whether the message was processed, runs a transaction with an UPDATE and an upsert,
deletes the cached answer, and marks the message as processed. It keeps one connection and prepared statements. It is
faster than a correct consumer would be: it stores no position and no ledger, and counts a message twice after a crash
between the commit and the mark.
"""

import json
import time
from datetime import UTC, datetime

import psycopg
import redis

from bench.messages import events, registrations
from bench.servers import Servers
from hannun.cache.keys import dashboard

PROCESSED = "per-message:processed_messages"
WARM_UP_MESSAGES = 50

_COUNT = (
    "UPDATE public.event_stats SET total_participants = total_participants + 1, updated_at = now() WHERE event_id = %s"
)
_ADD_TO_TIMELINE = """
INSERT INTO public.timeline_data (event_id, timestamp, participants) VALUES (%s, %s, 1)
    ON CONFLICT (event_id, timestamp) DO UPDATE SET participants = timeline_data.participants + 1, updated_at = now()
"""


def measure_rate(servers: Servers, messages: int) -> float:
    """Messages a second, over 100 events."""
    database = servers.create_database("bench_per_message")
    values = [value for _, _, value in registrations(3, events=100, count=WARM_UP_MESSAGES + messages)]
    address = database.redis
    with (
        psycopg.connect(database.url, autocommit=True) as conn,
        redis.Redis(host=address.host, port=address.port, password=address.password, protocol=3) as cache,
    ):
        conn.execute("SELECT hannun.make_timeline_month(%s)", (datetime(2026, 11, 1, tzinfo=UTC).date(),))
        for kind, key, value in events(3, 100):
            if kind == "event-created":
                plan = json.loads(value)
                conn.execute(
                    "INSERT INTO public.event_stats (event_id, event_title, user_id) VALUES (%s, %s, %s)",
                    (key.decode(), plan["eventTitle"], plan["userId"]),
                )
        for value in values[:WARM_UP_MESSAGES]:
            _count(conn, cache, value)
        started = time.perf_counter()
        for value in values[WARM_UP_MESSAGES:]:
            _count(conn, cache, value)
        took_s = time.perf_counter() - started
        cache.delete(PROCESSED)
    servers.drop_database(database)
    return messages / took_s


def _count(conn: psycopg.Connection[tuple[object, ...]], cache: redis.Redis, value: bytes) -> None:
    message = json.loads(value)
    if cache.sismember(PROCESSED, message["messageId"]):
        return
    minute = datetime.fromisoformat(message["registeredAt"]).replace(second=0, microsecond=0, tzinfo=None)
    with conn.transaction():
        conn.execute(_COUNT, (message["eventId"],), prepare=True)
        conn.execute(_ADD_TO_TIMELINE, (message["eventId"], minute), prepare=True)
    cache.delete(dashboard(message["eventId"]))
    cache.sadd(PROCESSED, message["messageId"])
