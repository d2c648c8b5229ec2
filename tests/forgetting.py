"""Counting in a database in which people are forgotten, and what of them still stands there."""

from typing import Any

from world import World

from hannun.counting.batch_counter import BatchCounter
from hannun.counting.outbox_relay import DirectDelivery, deliver_pending
from hannun.domain.batch import ReceivedMessage
from hannun.flows.forgetting import Person, forget
from hannun.key_ring import KeyRing
from hannun.store.database import Connection, Database, PoolLimits, connect
from hannun.store.forgotten import ForgottenCounts

KIM = "9a3e61f0-0000-4000-8000-0000000000aa"
BY = "kim@host"


class Counting:
    """Counting with a key ring, in the database of a world or in another one."""

    def __init__(self, world: World, ring: KeyRing | None, url: str | None = None) -> None:
        self.world = world
        self.ring = ring
        self.url = url or world.url
        self.database = Database(self.url, PoolLimits(wait_s=5), application="test")
        self.counter = self.another()

    def another(self) -> BatchCounter:
        delivery = DirectDelivery(self.database, self.world.invalidator)
        return BatchCounter(self.database, self.world.decoder, delivery, key_ring=self.ring)

    def count(self, *messages: ReceivedMessage) -> list[str]:
        return [outcome.result for outcome in self.counter.count(messages).outcomes()]

    def forget(self, person: Person) -> ForgottenCounts:
        assert self.ring is not None
        with self.connect() as conn:
            done = forget(conn, self.ring, person, BY, "request 17", even_if_unknown=True)
        deliver_pending(self.database, self.world.invalidator, older_than_s=0)
        return done

    def connect(self) -> Connection:
        return connect(self.url, application="test")

    def tables_with(self, *texts: str) -> list[str]:
        """The tables with a row in which one of these texts stands, in any column, as text or as hexadecimal digits."""
        found = []
        with self.connect() as conn:
            tables = conn.execute(
                "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
                "WHERE nspname IN ('public', 'hannun') AND relkind IN ('r', 'p') AND NOT relispartition"
            ).fetchall()
            for (table,) in tables:
                for text in texts:
                    query = f"SELECT count(*) FROM {table} t WHERE strpos(lower(t::text), lower(%s)) > 0"
                    if conn.execute(query, [text]).fetchone() != (0,):  # type: ignore[call-overload]
                        found.append(f"{table}: {text}")
        return found

    def figures(self) -> Any:
        """Everything that is counted, without ids, versions and times of writing."""
        queries = (
            "SELECT event_id, total_participants, total_views, estimated_roi, status FROM public.event_stats",
            "SELECT event_id, channel_name, participants FROM public.channel_stats",
            "SELECT event_id, timestamp, participants FROM public.timeline_data",
            "SELECT event_id, participants, unattributed, sales, recorded_revenue FROM hannun.events",
            "SELECT event_no, count(*) FROM hannun.arrivals GROUP BY 1",
        )
        with self.connect() as conn:
            return [sorted(conn.execute(query).fetchall()) for query in queries]
