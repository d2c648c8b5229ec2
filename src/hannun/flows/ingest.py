"""Count what Kafka holds, until told to stop.

Counts and positions are written in one transaction, and reading begins at those positions: that is the whole of exactly
once. Whatever goes wrong has one way out: let the partitions go, ask PostgreSQL where they stand, and begin there.

    this thread:   take 1 ─ prepare 1 ─► take 2 ─ prepare 2 ─────► take 3 ...
    the writer:                          └─ write 1, tell the cache ┘└─ write 2 ...

Registrations are nearly all there is, and have a lane of their own (`run_all`): a group balances the number of
partitions over its members, whatever is in them, and might give all of the busy topic to one; and what is rare does not
wait behind what is many.

One batch is being written while the next is taken and decoded, and never more than that one. Whoever wants to know
where we stand (a partition that is begun or given back, the end) waits for it first; where it fails, what was taken
behind it is dropped with it.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from hannun.domain.batch import Received, Span
from hannun.domain.messages import Fact, Rejected
from hannun.domain.pace import size_next
from hannun.domain.positions import Known, StartFrom, Wait
from hannun.domain.quarantine import Limits, Tally
from hannun.errors import StaleBatch, StoreUnavailable, StreamUnavailable, Unusable
from hannun.store import positions
from hannun.store.database import Database
from hannun.store.positions import Claim
from hannun.stream import Broker, Partition, Stream, Taken
from hannun.telemetry import log, metrics

AWAY_S = 0.25
"""How often we look whether PostgreSQL is back. Polling goes on meanwhile, so that the group keeps us."""
LOOK_AGAIN_S = 5.0
"""How often we look whether an operator has decided, and whether a topic is still the one it was."""


class CountsBatches(Protocol):
    """What counts a batch (`flows.count.Counter`): handed in by the wiring, since no flow knows another."""

    def prepare(self, batch: Sequence[Received]) -> Any: ...

    def write(self, prepared: Any, spans: Sequence[Span] = ()) -> object: ...


Inspect = Callable[[Sequence[Received], Sequence[Fact | Rejected]], None]


class _UnderWay(NamedTuple):
    """A batch that is being written."""

    taken: Taken
    took_s: Future[float]


class Ingest:
    """A lane of the Kafka door: some of the topics. It is driven by one thread, and writes in another.

    Args:
        counter: makes what counts, with what looks at a batch before it is written.
        owner: the name of this process beside the positions it holds.
        start_from: where a topic begins that was never read.
        limits: how much of a partition may be unusable before it stops.
    """

    def __init__(
        self,
        stream: Stream,
        broker: Broker,
        database: Database,
        counter: Callable[[Inspect], CountsBatches],
        *,
        owner: str,
        start_from: StartFrom,
        limits: Limits,
    ) -> None:
        self._stream = stream
        self._broker = broker
        self._database = database
        self._counter = counter(self.inspect)
        self._owner = owner
        self._start_from = start_from
        self._limits = limits
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._under_way: _UnderWay | None = None
        self._size = self._size_max = 1
        self._tallies: dict[Partition, Tally] = {}
        self._inspected: dict[Partition, Tally] = {}
        self._stopped: dict[Partition, str] = {}
        self._believed: dict[Partition, Known | None] = {}
        self._doubted: Collection[Partition] = ()
        self._newest: dict[str, float] = {}
        self._look_again_at = 0.0
        self._away = False

    def run(self, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
        """Count until told to stop; a batch in hand is finished first.

        Raises:
            StreamUnavailable: the Kafka client has failed for good.
        """
        self._stream.before_giving_back(self._drain)
        self._size = self._size_max = count_max
        try:
            while not stop.is_set():
                try:
                    self._look_again()
                    self._begin(self._stream.waiting - self._stopped.keys())
                    self._hand_over(self._stream.take(self._size, wait_s))
                except StoreUnavailable as error:
                    self._wait_for_postgres(error)
                self._see_what_is_ours()
            with suppress(StoreUnavailable):  # then nothing of the last batch is counted, and it is read again
                self._finish()
        finally:
            self._writer.shutdown()

    @property
    def believed(self) -> Mapping[Partition, Known | None]:
        """Where the partitions that are ours stand, as far as we know. For any thread."""
        return self._believed

    def doubt(self, partitions: Collection[Partition]) -> None:
        """PostgreSQL stands lower than we believe: begin there, also where nothing comes. For any thread."""
        self._doubted = partitions

    # -- a batch: handed over to the writer, and what became of it

    def _hand_over(self, taken: Taken) -> None:
        """Have a batch written, as soon as the one before it is."""
        if not taken.spans:
            if self._under_way is not None and self._under_way.took_s.done():
                self._finish()
            return
        prepared = self._counter.prepare(taken.messages)
        if self._finish():
            self._under_way = _UnderWay(taken, self._writer.submit(self._write, prepared, taken.spans))
        else:
            self._let_go(taken)  # it begins where the one before it would have ended

    def _write(self, prepared: Any, spans: Sequence[Span]) -> float:
        """In the writer's thread. Returns how many seconds it took."""
        began_s = time.monotonic()
        self._counter.write(prepared, spans)
        return time.monotonic() - began_s

    def _finish(self) -> bool:
        """Wait until the batch that is being written is counted. Returns whether what comes behind it may be counted.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        if self._under_way is None:
            return True
        (taken, writing), self._under_way = self._under_way, None
        try:
            took_s = writing.result()
        except StaleBatch as stale:
            # Another owner counts these now; or it was ourselves, and the answer to our commit was lost.
            log.warning("a batch was dropped", why=str(stale))
            self._let_go(taken)
            return False
        except Unusable as unusable:
            self._stop(unusable, taken)
            return False
        self._size = size_next(self._size, len(taken.messages), took_s, self._size_max)
        self._tallies |= self._inspected
        self._stream.counted(taken.spans)
        self._tell(taken)
        return True

    def _drain(self) -> None:
        """The group takes partitions from us: let nobody begin them before what we write of them is written.

        This is heard in the middle of a take, so what went wrong is left to the next `_finish`.
        """
        if self._under_way is None:
            return
        log.info("partitions are given back as soon as the batch under way is counted")
        wait([self._under_way.took_s])
        if self._under_way.took_s.exception() is None:
            self._finish()

    def _let_go(self, taken: Taken) -> None:
        self._stream.let_go([(span.topic, span.partition) for span in taken.spans])

    def _tell(self, taken: Taken) -> None:
        """Keep, for the gauges, how far this has brought us."""
        for span in taken.spans:
            partition = (span.topic, span.partition)
            before = self._believed.get(partition)
            if before is not None:
                self._believed = {**self._believed, partition: Known(before.topic_id, span.end)}
        for _, _, received_at, place, _ in taken.messages:
            if place is not None and received_at > self._newest.get(place.topic, 0):
                self._newest[place.topic] = received_at
        for topic, newest in self._newest.items():
            metrics.newest_counted.labels(topic).set(newest / 1_000_000)

    def inspect(self, batch: Sequence[Received], facts: Sequence[Fact | Rejected]) -> None:
        """Look at a batch before it is written.

        Raises:
            Unusable: too much of a partition cannot be used.
        """
        self._inspected = {}
        if not self._tallies and not any(isinstance(fact, Rejected) for fact in facts):
            return  # nearly always
        of: defaultdict[Partition, list[Fact | Rejected]] = defaultdict(list)
        for message, fact in zip(batch, facts, strict=True):
            if message.place is not None:
                of[message.place.topic, message.place.partition].append(fact)
        tallies = {place: self._tallies.get(place, Tally()).after(told, self._limits) for place, told in of.items()}
        for (topic, number), tally in tallies.items():
            complaint = tally.complaint(self._limits)
            if complaint is not None:
                raise Unusable(f"{topic}[{number}]: {complaint}", topic=topic, partition=number)
        self._inspected = tallies

    def _stop(self, unusable: Unusable, taken: Taken) -> None:
        """Stop a partition until an operator has looked. Nothing of the batch was written; the others read it again."""
        self._let_go(taken)
        place = (unusable.topic, unusable.partition)
        (epoch,) = [span.epoch for span in taken.spans if span[:2] == place]
        hint = (
            "look at the topic's producer; hannun positions set --to an offset goes on there, "
            "HANNUN_DEAD_LETTERS_IN_A_ROW_MAX allows more"
        )
        self._tallies.pop(place, None)
        with self._database.transaction() as conn:
            if not positions.owns(conn, *place, epoch):
                return  # another reads it by now, or an operator has just decided: theirs to say
            positions.stop(conn, self._owner, *place, str(unusable), hint)
        log.error("a partition waits for you", topic=place[0], partition=place[1], why=str(unusable), hint=hint)
        self._stopped[place] = str(unusable)

    def _begin(self, waiting: Collection[Partition]) -> None:
        """Begin what the group has granted, where PostgreSQL says."""
        if not waiting:
            return
        self._finish()
        # Claimed before the logs are asked, or a position that a lost owner moves meanwhile looks like one behind the
        # log's end.
        with self._database.transaction() as conn:
            claims = positions.claim(conn, self._owner, waiting)
        self._back()
        known = {
            place: claimed.known for place, claimed in claims.items() if isinstance(claimed, Claim) and claimed.known
        }
        try:
            logs = self._broker.logs(waiting, known)
        except StreamUnavailable as error:
            log.warning("no broker tells of our partitions; asking again", error=str(error))
            return
        with self._database.transaction() as conn:
            ways = positions.begin(conn, self._owner, claims, logs, self._start_from)
        for partition, way in ways.items():
            topic, number = partition
            if isinstance(way, Wait):
                if self._stopped.get(partition) != way.why:
                    log.error("a partition waits for you", topic=topic, partition=number, why=way.why, hint=way.hint)
                self._stopped[partition] = way.why
                continue
            self._stopped.pop(partition, None)
            self._tallies.pop(partition, None)
            if partition in self._stream.waiting:
                self._stream.begin(partition, logs[partition].topic_id, *way)
                self._believed = {**self._believed, partition: Known(logs[partition].topic_id, way.next_offset)}
                log.info("partition begun", topic=topic, partition=number, offset=way.next_offset, epoch=way.epoch)

    def _look_again(self) -> None:
        """Every few seconds: has an operator decided? Is a topic still the one we began with?"""
        if time.monotonic() < self._look_again_at:
            return
        self._look_again_at = time.monotonic() + LOOK_AGAIN_S
        self._begin(self._stream.waiting & self._stopped.keys())
        try:
            ids = self._broker.topic_ids({topic for topic, _ in self._stream.reading})
        except StreamUnavailable as error:
            log.warning("no broker tells of our topics; asking again", error=str(error))
        else:
            self._stream.let_go(self._stream.made_anew(ids))

    def _see_what_is_ours(self) -> None:
        """After each take, in which the group may have given or taken: believe nothing of what is another's by now."""
        ours = self._stream.waiting | self._stream.reading
        if ours != self._believed.keys():
            self._believed = {partition: self._believed.get(partition) for partition in ours}
            for topic in self._newest.keys() - {topic for topic, _ in ours}:
                del self._newest[topic]
                metrics.newest_counted.remove(topic)
        if self._doubted:
            doubted, self._doubted = self._doubted, ()
            why = "PostgreSQL stands lower than we believed: it was restored, or an operator has decided"
            log.warning("partitions are begun again", why=why, partitions=sorted(doubted))
            self._stream.let_go(doubted)

    def _wait_for_postgres(self, error: StoreUnavailable) -> None:
        """Drop what is in hand (it is read again) and stop fetching, so that nothing piles up; but hear the group."""
        if not self._away:
            log.warning("PostgreSQL is away; the partitions wait", error=str(error))
        self._away = True
        self._stream.let_go(self._stream.reading)
        self._stream.take(self._size, AWAY_S)  # nothing is being read: only the group is heard

    def _back(self) -> None:
        if self._away:
            log.info("PostgreSQL is back")
        self._away = False


def run_all(lanes: Sequence[Ingest], stop: threading.Event, *, count_max: int, wait_s: float) -> None:
    """Run lanes beside each other, each in a thread of its own; when one fails, all end.

    Raises:
        StreamUnavailable: the Kafka client of one has failed for good.
    """
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as threads:
        running = [threads.submit(lane.run, stop, count_max=count_max, wait_s=wait_s) for lane in lanes]
        wait(running, return_when=FIRST_EXCEPTION)
        stop.set()
    for lane in running:
        lane.result()
