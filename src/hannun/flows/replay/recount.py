"""Count again what the logs hold, down the ordinary road: into the live tables, or into a shadow beside them.

    where to begin, where to end ─► stretches ─► read ─► count ─► (live: close letters that can be used by now)

Into the live tables no position moves: what was counted is a repeat and changes nothing, what was missed is counted.
Into the shadow its own positions move with the counts, so a replay that was cut short goes on where it stood.
"""

import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from hannun.domain.batch import MessageOutcome, OffsetRange, OutcomeKind, ReceivedMessage
from hannun.domain.positions import KnownPosition, PartitionLog, ResumeAt, WaitForOperator
from hannun.domain.replay import Progress, ReplayRange, live_end, shadow_end, shadow_start
from hannun.errors import KafkaUnavailable, OperatorError, StaleBatch, StoreUnavailable
from hannun.kafka.broker import Broker
from hannun.kafka.log_reader import LogReader
from hannun.kafka.records import Partition
from hannun.store import dead_letters, positions
from hannun.store.database import Connection, Database
from hannun.store.positions import Position
from hannun.telemetry import log

From = Literal["earliest"] | int | datetime
"""Where to begin in each partition: its first record, an offset, or the first record of this moment or later."""

AWAY_S = 0.5
SILENT_S_MAX = 60.0
"""The broker told us that there is more; if nothing comes for so long, something is wrong."""


class Outcomes(Protocol):
    """What became of a counted batch (`flows.count.Counted`)."""

    def outcomes(self) -> list[MessageOutcome]: ...


class CountsBatches(Protocol):
    """What counts a batch (`flows.count.Counter`)."""

    def count(self, batch: Sequence[ReceivedMessage], spans: Sequence[OffsetRange] = ()) -> Outcomes: ...


Opens = Callable[[Mapping[Partition, ReplayRange]], AbstractContextManager[LogReader]]
Tells = Callable[[Progress], None]


@dataclass(slots=True)
class Replayed:
    """What a replay did. `whole` is false where it was told to stop before its end."""

    whole: bool = True
    became: Tally[OutcomeKind] = field(default_factory=Tally)
    closed: int = 0

    @property
    def messages(self) -> int:
        return sum(self.became.values())


class Replay:
    """Reads stretches of the logs and counts them.

    Args:
        opens: makes a reader of stretches.
        tells: told how far it has come, after each batch.
        stop: told to stop, it finishes the batch in hand.
        by: who replays, for the record and beside the positions of the shadow.
    """

    def __init__(
        self,
        broker: Broker,
        opens: Opens,
        tells: Tells,
        stop: threading.Event,
        by: str,
        *,
        count_max: int,
        wait_s: float,
    ) -> None:
        self._broker = broker
        self._opens = opens
        self._tells = tells
        self._stop = stop
        self._by = by
        self._count_max = count_max
        self._wait_s = wait_s

    # -- into the live tables

    def into_live(self, live: Database, counter: CountsBatches, topics: Collection[str], start: From) -> Replayed:
        """Count again what lies between `start` and where the logs end now. Letters that can be used are closed.

        Raises:
            OperatorError: a partition does not hold that offset.
            StreamUnavailable: Kafka is away. Begin again, it does no harm.
        """
        logs = self._logs(topics)
        with live.transaction() as conn:
            stands = _stands(conn)
        begins = self._begins(logs, start)
        stretches = {}
        for place, log_ in logs.items():
            at = stands.get(place)
            end = live_end(log_, _known(at), stopped=at is not None and at.stopped is not None)
            if end < log_.high:
                log.warning(
                    "a partition waits for an operator; the replay does not read past where it stands",
                    partition="{}[{}]".format(*place),
                    reads_to=end,
                    log_ends_at=log_.high,
                )
            stretches[place] = ReplayRange(log_.topic_id, begins[place], end)

        def close_letters(
            batch: Sequence[ReceivedMessage], spans: Sequence[OffsetRange], outcomes: Sequence[MessageOutcome]
        ) -> int:
            letters = {
                message.record_id
                for message, outcome in zip(batch, outcomes, strict=True)
                if outcome.result is OutcomeKind.DEAD_LETTER
            }
            places = [message.record_id for message in batch if message.record_id and message.record_id not in letters]
            with live.transaction() as conn:
                return dead_letters.resolve_counted(conn, places, self._by)

        return self._run(stretches, counter, close_letters, moves=False)

    # -- into the shadow

    def into_shadow(
        self, live: Connection, shadow: Database, counter: CountsBatches, topics: Collection[str], start: From
    ) -> Replayed:
        """Count into the shadow up to where `live` stands: from `start` where it was never read, else from where it is.

        Raises:
            OperatorError: a log no longer holds what comes next, or does not hold `start`; or another replay runs.
            StreamUnavailable: Kafka is away. Start it again, it goes on.
        """
        stands = _stands(live)
        logs = self._logs(topics)
        with shadow.transaction() as conn:
            read = {(at.topic, at.partition) for at in positions.list_positions(conn)}
            begins = self._begins({place: log_ for place, log_ in logs.items() if place not in read}, start)
            for (topic, number), offset in begins.items():
                log_ = logs[topic, number]
                way = ResumeAt(shadow_start(offset, log_, _known(stands.get((topic, number)))))
                positions.resume_by_decision(
                    conn, self._by, topic, number, log_.topic_id, way, f"replay --from {start}"
                )
            # A swap that failed has carried them over; what the live tables wait for stops no replay.
            positions.clear_stopped(conn)
            claims = positions.claim(conn, self._by, logs)
            stretches = {}
            for place, begun in positions.start_claimed(conn, self._by, claims, logs, "").items():
                if isinstance(begun, WaitForOperator):
                    raise OperatorError(
                        f"the replay cannot go on: {begun.reason}", hint="`hannun replay drop`, and begin it anew"
                    )
                end = shadow_end(logs[place], _known(stands.get(place)))
                stretches[place] = ReplayRange(logs[place].topic_id, begun.next_offset, end, begun.epoch)
        return self._run(stretches, counter, lambda *_: 0, moves=True)

    # -- both

    def _logs(self, topics: Collection[str]) -> dict[Partition, PartitionLog]:
        return self._broker.partition_logs(self._broker.partitions(topics), committed=True)

    def _begins(self, logs: Mapping[Partition, PartitionLog], start: From) -> dict[Partition, int]:
        if start == "earliest":
            return {place: log_.low for place, log_ in logs.items()}
        if isinstance(start, datetime):
            found = self._broker.offsets_at(logs, start) if logs else {}
            return {place: found[place] if found.get(place, -1) >= 0 else log_.high for place, log_ in logs.items()}
        for (topic, number), log_ in sorted(logs.items()):
            if start < log_.low:
                raise OperatorError(
                    f"{topic}[{number}] has nothing before offset {log_.low}; {start} was asked for",
                    hint="--from earliest begins with what is left",
                )
        return {place: min(start, log_.high) for place, log_ in logs.items()}

    def _run(
        self,
        stretches: Mapping[Partition, ReplayRange],
        counter: CountsBatches,
        follow: Callable[[Sequence[ReceivedMessage], Sequence[OffsetRange], Sequence[MessageOutcome]], int],
        *,
        moves: bool,
    ) -> Replayed:
        replayed = Replayed()
        began = heard = time.monotonic()
        with self._opens(stretches) as reader:
            total = reader.offsets_total
            while reader.offsets_left and not self._stop.is_set():
                taken = reader.poll_batch(self._count_max, self._wait_s)
                if taken.ranges:
                    outcomes = self._count(counter, taken.messages, taken.ranges if moves else [])
                    replayed.became.update(outcome.result for outcome in outcomes)
                    if len(outcomes) == len(taken.messages):
                        replayed.closed += follow(taken.messages, taken.ranges, outcomes)
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENT_S_MAX:
                    raise KafkaUnavailable(
                        f"{reader.offsets_left} offsets are left to read, and nothing came for {SILENT_S_MAX:.0f} s"
                    )
                self._tells(Progress(total - reader.offsets_left, total, replayed.messages, time.monotonic() - began))
            replayed.whole = not reader.offsets_left
        return replayed

    def _count(
        self, counter: CountsBatches, batch: Sequence[ReceivedMessage], spans: Sequence[OffsetRange]
    ) -> Sequence[MessageOutcome]:
        """Count a batch, however long PostgreSQL is away; what became of its messages, nothing where nobody can tell.

        Raises:
            OperatorError: another replay counts into the same shadow.
            StoreUnavailable: told to stop while PostgreSQL was away.
        """
        again = False
        while True:
            try:
                return counter.count(batch, spans).outcomes()
            except StoreUnavailable as error:
                if self._stop.wait(AWAY_S):
                    raise
                if not again:
                    log.warning("PostgreSQL is away; the replay waits", error=str(error))
                again = True
            except StaleBatch as stale:
                if again:  # it landed, and the answer was lost; or the next batch will say that it was not us
                    return []
                raise OperatorError(
                    f"somebody else counts into the shadow: {stale}", hint="let that replay end, or end it"
                ) from stale


def _stands(conn: Connection) -> dict[Partition, Position]:
    return {(at.topic, at.partition): at for at in positions.list_positions(conn)}


def _known(at: Position | None) -> KnownPosition | None:
    if at is None or at.topic_id is None or at.next_offset is None:
        return None
    return KnownPosition(at.topic_id, at.next_offset)
