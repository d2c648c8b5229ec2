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

All that is asked of PostgreSQL is asked by the writer. So this thread hears the group also while a server is silent:
to be refused is an answer, a server that hangs gives none for as long as it likes, and a member that is not heard holds
up the whole group, and is put out of it.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar

from hannun.domain.batch import OffsetRange, ReceivedMessage
from hannun.domain.batch_size import size_next
from hannun.domain.facts import Fact, Rejected
from hannun.domain.positions import KnownPosition, PartitionLog, StartFrom, WaitForOperator
from hannun.domain.quarantine import QuarantineLimits, RejectionTally
from hannun.errors import KafkaUnavailable, PartitionUnusable, StaleBatch, StoreUnavailable
from hannun.kafka.broker import Broker
from hannun.kafka.consumer import GroupConsumer
from hannun.kafka.records import ConsumedBatch, Partition, UnreadablePartition
from hannun.store import positions
from hannun.store.database import Connection, Database
from hannun.store.positions import Claim
from hannun.telemetry import log, metrics

AWAY_S = 0.25
"""How often we look whether PostgreSQL is back. Polling goes on meanwhile, so that the group keeps us."""
SILENT_S = 2.0
"""How long PostgreSQL may take over something before nothing more is fetched and only the group is heard."""
GIVEN_BACK_S = 10.0
"""How long partitions that the group takes from us are held until the batch under way is counted. Without that it is
counted once all the same: its epoch ends with the next owner's claim."""
ENDING_S = 5.0
"""How long we wait for a PostgreSQL that is silent once we are told to stop."""
LOOK_AGAIN_S = 5.0
"""How often we look whether an operator has decided, and whether a topic is still the one it was."""


class CountsBatches(Protocol):
    """What counts a batch (`flows.count.Counter`): handed in by the wiring, since no flow knows another."""

    def prepare(self, batch: Sequence[ReceivedMessage]) -> Any: ...

    def write(self, prepared: Any, spans: Sequence[OffsetRange] = ()) -> object: ...

    def hang_up(self) -> None: ...


Answer = TypeVar("Answer")
Inspect = Callable[[Sequence[ReceivedMessage], Sequence[Fact | Rejected]], None]


class _UnderWay(NamedTuple):
    """A batch that is being written."""

    taken: ConsumedBatch
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
        stream: GroupConsumer,
        broker: Broker,
        database: Database,
        counter: Callable[[Inspect], CountsBatches],
        *,
        owner: str,
        start_from: StartFrom,
        limits: QuarantineLimits,
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
        self._tallies: dict[Partition, RejectionTally] = {}
        self._inspected: dict[Partition, RejectionTally] = {}
        self._stopped: dict[Partition, str] = {}
        self._believed: dict[Partition, KnownPosition | None] = {}
        self._doubted: Collection[Partition] = ()
        self._newest: dict[str, int] = {}
        self._look_again_at = 0.0
        self._away = False
        self._told_to_stop = threading.Event()

    def run(self, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
        """Count until told to stop; a batch in hand is finished first.

        Raises:
            StreamUnavailable: the Kafka client has failed for good.
        """
        self._stream.before_revoke(self._drain)
        self._told_to_stop = stop
        self._size = self._size_max = count_max
        try:
            while not stop.is_set():
                try:
                    self._look_again()
                    waiting = self._stream.assigned_idle - self._stopped.keys()
                    taken = self._stream.poll_batch(self._size, wait_s)
                    self._hand_over(taken)
                    self._put_aside(taken.unreadable)
                    # Only what has waited for a take: in it the group says what it has taken from us. At once we would
                    # claim a partition whose batch was stale from who has it now.
                    self._begin(waiting & self._stream.assigned_idle)
                except StoreUnavailable as error:
                    self._found_away(str(error))
                    self._hear_the_group()
                self._see_what_is_ours()
            with suppress(StoreUnavailable):  # then nothing of the last batch is counted, and it is read again
                self._finish()
        finally:
            self._writer.shutdown()

    @property
    def believed(self) -> Mapping[Partition, KnownPosition | None]:
        """Where the partitions that are ours stand, as far as we know. For any thread."""
        return self._believed

    def doubt(self, partitions: Collection[Partition]) -> None:
        """PostgreSQL stands lower than we believe: begin there, also where nothing comes. For any thread."""
        self._doubted = partitions

    # -- a batch: handed over to the writer, and what became of it

    def _hand_over(self, taken: ConsumedBatch) -> None:
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

    def _write(self, prepared: Any, spans: Sequence[OffsetRange]) -> float:
        """In the writer's thread. Returns how many seconds it took."""
        began_s = time.monotonic()
        self._counter.write(prepared, spans)
        return time.monotonic() - began_s

    def _finish(self) -> bool:
        """Wait until the batch that is being written is counted. Returns whether what comes behind it may be counted.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        under_way = self._under_way
        if under_way is None:
            return True
        in_time = self._hear_until(under_way.took_s)
        if self._under_way is under_way:  # and it was not finished meanwhile, for the group
            in_time = self._finished() and in_time
        return in_time

    def _finished(self) -> bool:
        """See what became of a batch that is no longer being written, as `_finish`."""
        assert self._under_way is not None
        (taken, writing), self._under_way = self._under_way, None
        try:
            took_s = writing.result()
        except StaleBatch as stale:
            # Another owner counts these now; or it was ourselves, and the answer to our commit was lost.
            log.warning("a batch was dropped", why=str(stale))
            self._let_go(taken)
            return False
        except PartitionUnusable as unusable:
            self._stop(unusable, taken)
            return False
        self._size = size_next(self._size, len(taken.messages), took_s, self._size_max)
        self._tallies |= self._inspected
        self._stream.commit_offsets_for_lag_tools(taken.spans)
        self._tell(taken)
        return True

    def _drain(self) -> None:
        """The group takes partitions from us: let nobody begin them before what we write of them is written.

        This is heard in the middle of a take, so what went wrong is left to the next `_finish`.
        """
        if self._under_way is None:
            return
        log.info("partitions are given back as soon as the batch under way is counted")
        writing = self._under_way.took_s
        wait([writing], timeout=GIVEN_BACK_S)
        if not writing.done():
            log.warning("partitions are given back before that: PostgreSQL does not answer")
        elif writing.exception() is None:
            self._finished()

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """Ask PostgreSQL, in one transaction.

        Raises:
            StoreUnavailable: it is away.
        """

        def asked() -> Answer:
            with self._database.transaction() as conn:
                return question(conn)

        answer = self._writer.submit(asked)
        self._hear_until(answer)
        return answer.result()

    def _hear_until(self, answer: Future[Any]) -> bool:
        """Wait for the writer; where it takes long, hear the group meanwhile. Returns whether it was in time: if not,
        all that was being read is let go."""
        wait([answer], timeout=SILENT_S)
        if answer.done():
            return True
        self._found_away("it does not answer")
        ends = None
        while not answer.done():
            self._hear_the_group()
            if ends is None and self._told_to_stop.is_set():
                ends = time.monotonic() + ENDING_S
            if ends is not None and time.monotonic() > ends:
                self._counter.hang_up()
                self._database.abort()
        return False

    def _let_go(self, taken: ConsumedBatch) -> None:
        self._stream.release([(span.topic, span.partition) for span in taken.spans])

    def _tell(self, taken: ConsumedBatch) -> None:
        """Keep, for the gauges, how far this has brought us."""
        for span in taken.spans:
            partition = (span.topic, span.partition)
            before = self._believed.get(partition)
            if before is not None:
                self._believed = {**self._believed, partition: KnownPosition(before.topic_id, span.end)}
        newest: dict[str, int] = {}
        for _, _, received_at, place, _ in taken.messages:
            if place is not None and received_at > newest.get(place.topic, 0):
                newest[place.topic] = received_at
        now_us = time.time_ns() // 1_000
        for topic, received_at in newest.items():
            # A producer whose clock is ahead must not hide that messages wait.
            self._newest[topic] = max(self._newest.get(topic, 0), min(received_at, now_us))
            metrics.newest_counted.labels(topic).set(self._newest[topic] / 1_000_000)

    def inspect(self, batch: Sequence[ReceivedMessage], facts: Sequence[Fact | Rejected]) -> None:
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
        tallies = {
            place: self._tallies.get(place, RejectionTally()).after(told, self._limits) for place, told in of.items()
        }
        for (topic, number), tally in tallies.items():
            complaint = tally.complaint(self._limits)
            if complaint is not None:
                raise PartitionUnusable(f"{topic}[{number}]: {complaint}", topic=topic, partition=number)
        self._inspected = tallies

    def _stop(self, unusable: PartitionUnusable, taken: ConsumedBatch) -> None:
        """Stop a partition until an operator has looked. Nothing of the batch was written; the others read it again."""
        self._let_go(taken)
        place = (unusable.topic, unusable.partition)
        (epoch,) = [span.epoch for span in taken.spans if span[:2] == place]
        hint = (
            "look at the topic's producer; hannun positions set --to an offset goes on there, "
            "HANNUN_DEAD_LETTERS_IN_A_ROW_MAX allows more"
        )
        self._tallies.pop(place, None)
        self._wait_for_an_operator(place, epoch, str(unusable), hint, until_decided=True)

    def _put_aside(self, unread: Sequence[UnreadablePartition]) -> None:
        """Leave what cannot be read until we look again: a leader may have it whole by then."""
        if unread:
            self._finish()
        for topic, number, _, epoch, why in unread:
            hint = (
                f"it is tried again every {LOOK_AGAIN_S:.0f} s; where no broker has it whole, "
                "hannun positions set --to an offset behind it goes on there"
            )
            self._wait_for_an_operator((topic, number), epoch, why, hint, until_decided=False)

    def _wait_for_an_operator(self, place: Partition, epoch: int, why: str, hint: str, *, until_decided: bool) -> None:
        def stop(conn: Connection) -> bool:
            ours = positions.owns(conn, *place, epoch)
            if ours:
                positions.stop(conn, self._owner, *place, why, hint, until_decided=until_decided)
            return ours

        if not self._ask(stop):
            return  # another reads it by now, or an operator has just decided: theirs to say
        log.error("a partition waits for you", topic=place[0], partition=place[1], why=why, hint=hint)
        self._stopped[place] = why

    def _begin(self, waiting: Collection[Partition]) -> None:
        """Begin what the group has granted, where PostgreSQL says."""
        if not waiting:
            return
        self._finish()
        # Claimed before the logs are asked, or a position that a lost owner moves meanwhile looks like one behind the
        # log's end.
        claims = self._ask(lambda conn: positions.claim(conn, self._owner, waiting))
        self._back()
        known = {
            place: claimed.known for place, claimed in claims.items() if isinstance(claimed, Claim) and claimed.known
        }
        logs: Mapping[Partition, PartitionLog] = {}
        try:
            logs = self._broker.partition_logs(waiting, known, allow_missing=True)
        except KafkaUnavailable as error:
            if not self._stopped.keys() >= set(waiting):  # once, and not whenever we look again
                log.warning("no broker tells of our partitions; asking again", error=str(error))
        # Those of which none tells are asked for when we look again, and hold up no batch meanwhile.
        self._stopped |= dict.fromkeys(set(waiting) - logs.keys(), "no broker tells of it")
        if not logs:
            return
        ways = self._ask(lambda conn: positions.begin(conn, self._owner, claims, logs, self._start_from))
        for partition, way in ways.items():
            topic, number = partition
            if isinstance(way, WaitForOperator):
                if self._stopped.get(partition) != way.why:
                    log.error("a partition waits for you", topic=topic, partition=number, why=way.why, hint=way.hint)
                self._stopped[partition] = way.why
                continue
            self._stopped.pop(partition, None)
            self._tallies.pop(partition, None)
            if partition in self._stream.assigned_idle:
                self._stream.start_reading(partition, logs[partition].topic_id, *way)
                self._believed = {**self._believed, partition: KnownPosition(logs[partition].topic_id, way.next_offset)}
                log.info("partition begun", topic=topic, partition=number, offset=way.next_offset, epoch=way.epoch)

    def _look_again(self) -> None:
        """Every few seconds: has an operator decided? Is a topic still the one we began with?"""
        if time.monotonic() < self._look_again_at:
            return
        self._look_again_at = time.monotonic() + LOOK_AGAIN_S
        self._begin(self._stream.assigned_idle & self._stopped.keys())
        try:
            ids = self._broker.topic_ids({topic for topic, _ in self._stream.reading})
        except KafkaUnavailable as error:
            log.warning("no broker tells of our topics; asking again", error=str(error))
        else:
            self._stream.release(self._stream.recreated(ids))

    def _see_what_is_ours(self) -> None:
        """After each take, in which the group may have given or taken: believe nothing of what is another's by now."""
        ours = self._stream.assigned_idle | self._stream.reading
        if ours != self._believed.keys():
            self._believed = {partition: self._believed.get(partition) for partition in ours}
            for topic in self._newest.keys() - {topic for topic, _ in ours}:
                del self._newest[topic]
                metrics.newest_counted.remove(topic)
        if self._doubted:
            doubted, self._doubted = self._doubted, ()
            why = "PostgreSQL stands lower than we believed: it was restored, or an operator has decided"
            log.warning("partitions are begun again", why=why, partitions=sorted(doubted))
            self._stream.release(doubted)

    def _found_away(self, why: str) -> None:
        if not self._away:
            log.warning("PostgreSQL is away; the partitions wait", error=why)
        self._away = True

    def _hear_the_group(self) -> None:
        """Stop fetching, so that nothing piles up (what is in hand is read again); but be heard."""
        self._stream.release(self._stream.reading)
        self._stream.poll_batch(self._size, AWAY_S)  # nothing is being read: only the group is heard
        self._see_what_is_ours()

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
