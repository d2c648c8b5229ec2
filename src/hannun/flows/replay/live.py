"""Replay into the live tables: what was counted is a repeat and changes nothing, what was missed is counted.

No position moves, so `ingest` may run at the same time. Dead letters whose messages are counted now are resolved.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hannun.counting.batch_counter import BatchCounter
from hannun.domain.batch import MessageOutcome, OutcomeKind, ReceivedMessage
from hannun.domain.quarantine import Quarantine
from hannun.domain.replay import ReplayRange, live_end
from hannun.flows.replay.recount import Recount, ReplayResult, StartAt, known_position, positions_by_partition
from hannun.store import dead_letters, positions
from hannun.store.database import Database


@dataclass(frozen=True, slots=True)
class LiveReplay:
    """A replay into the live tables: `database` for what is read and resolved, `counter` for what is counted.

    `quarantine` limits the unusable messages of each partition, as in `ingest`.
    """

    recount: Recount
    database: Database
    counter: BatchCounter
    quarantine: Quarantine

    def run(self, topics: Collection[str], start: StartAt, *, include_skipped: bool = False) -> ReplayResult:
        """Count again what lies between `start` and where the logs end now.

        Args:
            include_skipped: also what operators have decided to skip.

        Raises:
            OperatorError: a partition does not hold that offset.
            KafkaUnavailable: Kafka is away. The same replay may be begun again, it does no harm.
        """
        logs = self.recount.logs(topics)
        with self.database.transaction() as conn:
            at = positions_by_partition(conn)
            skipped = {} if include_skipped else positions.skipped_ranges(conn)
        starts = self.recount.start_offsets(logs, start)
        ranges, waiting = {}, list[str]()
        for partition, log_ in logs.items():
            position = at.get(partition)
            stopped = position is not None and position.stopped is not None
            end = live_end(log_, known_position(position), stopped=stopped)
            if end < log_.high:
                waiting.append("{}[{}] from offset {} on: it waits for an operator".format(*partition, end))
            passed_over = skipped.get((partition, log_.topic_id), ())
            ranges[partition] = ReplayRange(log_.topic_id, starts[partition], end, skipped=passed_over)
        result = self.recount.run(
            ranges, self.counter, self._resolve_counted, move_positions=False, quarantine=self.quarantine
        )
        result.not_read += waiting
        return result

    def _resolve_counted(self, batch: Sequence[ReceivedMessage], outcomes: Sequence[MessageOutcome]) -> int:
        """Resolve the dead letters of messages that are counted by now. Returns how many."""
        still_dead = {
            message.record_id
            for message, outcome in zip(batch, outcomes, strict=True)
            if outcome.result is OutcomeKind.DEAD_LETTER
        }
        counted = [message.record_id for message in batch if message.record_id and message.record_id not in still_dead]
        with self.database.transaction() as conn:
            return dead_letters.resolve_counted(conn, counted, self.recount.by)
