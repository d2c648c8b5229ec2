"""Whether the topics of a worker exist, may be read, and have all partitions that were counted.

    brokers ──► topic_stop ─┬─► None: the partitions decide each for itself
                            └─► recorded as stopped, until the topic is back or an operator forgets it

A topic that does not exist is assigned to nobody, so no partition of it can report its absence. Each worker checks its
topics when it starts, and again with every check of the partitions. The result is only a report: the partitions of a
deleted topic stop, and those of a topic that is back start, by the rules of each partition.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress

from hannun.domain.positions import TopicAtBroker, WaitForOperator, topic_stop
from hannun.errors import KafkaUnavailable, StoreUnavailable
from hannun.flows.kafka_ingestion.database_thread import DatabaseThread
from hannun.kafka.broker import Broker
from hannun.store import positions
from hannun.store.database import Connection
from hannun.telemetry import log


class TopicChecks:
    """The checks of one worker's topics.

    Args:
        owner: the name of this process beside what it records.
    """

    def __init__(self, topics: Collection[str], broker: Broker, database_thread: DatabaseThread, *, owner: str) -> None:
        self._topics = topics
        self._broker = broker
        self._database_thread = database_thread
        self._owner = owner
        self._stopped: Mapping[str, WaitForOperator] = {}
        self._recording: Future[None] | None = None

    def check(self) -> Mapping[str, TopicAtBroker]:
        """The topics as the brokers report them; those of which no broker reports anything are left out.

        What stops a topic is recorded in PostgreSQL without waiting: behind the batch in flight.
        """
        try:
            found = self._broker.describe_topics(self._topics)
        except KafkaUnavailable as error:
            log.warning("no broker reports the topics; retrying", error=str(error))
            return {}
        if self._recording is None or self._recording.done():
            with suppress(StoreUnavailable):  # what was not recorded is recorded now
                if self._recording is not None:
                    self._recording.result()
            self._recording = self._database_thread.submit_query(lambda conn: self._record(conn, found))
        return found

    def _record(self, conn: Connection, found: Mapping[str, TopicAtBroker]) -> None:
        counted = positions.counted_partitions(conn, found)
        stops = {topic: topic_stop(topic, at, counted.get(topic, ())) for topic, at in found.items()}
        positions.record_topic_stops(conn, self._owner, stops)
        positions.remove_passing_stops(conn, [topic for topic, at in found.items() if at.topic_id is None])
        stopped = {topic: stop for topic, stop in stops.items() if stop is not None}
        for topic, stop in stopped.items():
            if stop != self._stopped.get(topic):
                log.error("topic stopped", topic=topic, why=stop.reason, hint=stop.hint)
        for topic in sorted(self._stopped.keys() & found.keys() - stopped.keys()):
            log.info("topic is available again", topic=topic)
        self._stopped = stopped
