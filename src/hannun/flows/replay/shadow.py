"""Replay into the shadow database, up to the positions of the live one, so that the two can be compared.

The shadow's own positions move with the counts: a replay that was interrupted continues where it stopped.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from hannun.counting.batch_counter import BatchCounter
from hannun.domain.channels import ChannelTable
from hannun.domain.positions import PartitionLog, ResumeAt, SkippedRange, WaitForOperator
from hannun.domain.replay import ReplayRange, shadow_end, shadow_start
from hannun.errors import OperatorError, Transient
from hannun.flows.replay.recount import Recount, ReplayResult, StartAt, known_position, positions_by_partition
from hannun.kafka.records import Partition
from hannun.store import database_swap, positions
from hannun.store.database import Connection, Database
from hannun.store.positions import Position
from hannun.store.shadow import Shadow


def check_shadow(shadow: Shadow) -> None:
    """Check that there is a shadow that can be compared, and reopen a live database that a killed swap left closed.

    Raises:
        OperatorError: there is no shadow, or its creation was interrupted.
    """
    if shadow.find(shadow.name) is None:
        raise OperatorError(f"there is no shadow {shadow.name}", hint="`hannun replay --from earliest` makes one")
    database_swap.reopen_live(shadow)
    shadow.check_complete()


@dataclass(frozen=True, slots=True)
class ShadowReplay:
    """A replay into a shadow. `database` and `counter` connect to the shadow, as the role that counts."""

    recount: Recount
    shadow: Shadow
    database: Database
    counter: BatchCounter
    topics: Collection[str]

    def run(self, channels: ChannelTable, start: StartAt, begun: str, on_step: Callable[[str], None]) -> ReplayResult:
        """Create the shadow where there is none, and count into it up to where the live tables stand.

        Args:
            start: for partitions of which the shadow has read nothing; the others continue.
            begun: how the replay was started, for the comment of the shadow.
            on_step: called where the replay continues an earlier one.

        Raises:
            OperatorError: see `catch_up`; or the shadow cannot be created.
            KafkaUnavailable: Kafka is away. The same replay continues when it is started again.
        """
        shadow = self.shadow
        if not shadow.create(channels, begun):
            on_step(f"{shadow.name} is there already: going on where it stands (`hannun replay drop` drops it)")
        with shadow.as_owner(shadow.live) as live:
            live.autocommit = True  # a transaction left open would keep `hannun migrate` waiting until the end
            return self._count(live, start)

    def catch_up(self, live: Connection) -> None:
        """Count into the shadow up to the positions that a connection to the live database sees.

        Raises:
            OperatorError: a log no longer holds what comes next; or another replay counts into the shadow.
            Transient: the replay was stopped, or Kafka is away. Nothing but the shadow has changed.
        """
        if not self._count(live, "earliest").complete:
            raise Transient("the replay was stopped before the shadow had caught up; nothing has changed")

    def _count(self, live: Connection, start: StartAt) -> ReplayResult:
        live_positions = positions_by_partition(live)
        logs = self.recount.logs(self.topics)
        with self.database.transaction() as conn:
            self._set_start(conn, logs, live_positions, start)
            # A swap that failed has carried them over; what the live tables wait for stops no replay.
            positions.clear_stopped(conn)
            ranges = self._claim(conn, logs, live_positions, positions.skipped_ranges(live))
        return self.recount.run(ranges, self.counter, move_positions=True)

    def _set_start(
        self,
        conn: Connection,
        logs: dict[Partition, PartitionLog],
        live_positions: dict[Partition, Position],
        start: StartAt,
    ) -> None:
        """Give the partitions that the shadow has not read a position, not above that of the live tables."""
        read = positions_by_partition(conn).keys()
        unread = {partition: log for partition, log in logs.items() if partition not in read}
        for (topic, number), offset in self.recount.start_offsets(unread, start).items():
            log = logs[topic, number]
            at = ResumeAt(shadow_start(offset, log, known_position(live_positions.get((topic, number)))))
            how = f"replay --from {start}"
            positions.resume_by_decision(conn, self.recount.by, topic, number, log.topic_id, at, how)

    def _claim(
        self,
        conn: Connection,
        logs: dict[Partition, PartitionLog],
        live_positions: dict[Partition, Position],
        skipped: Mapping[tuple[Partition, str], Sequence[SkippedRange]],
    ) -> dict[Partition, ReplayRange]:
        """Claim the shadow's partitions. Returns what is to be read of each, with the owner's epoch.

        What operators have decided to skip is passed over, as the live tables do not hold it either.
        """
        ranges = {}
        claims = positions.claim(conn, self.recount.by, logs)
        for partition, begun in positions.start_claimed(conn, self.recount.by, claims, logs, "").items():
            if isinstance(begun, WaitForOperator):
                raise OperatorError(
                    "the replay cannot continue at {}[{}]: {}".format(*partition, begun.reason),
                    hint="`hannun replay drop`, and begin it again",
                )
            end = shadow_end(logs[partition], known_position(live_positions.get(partition)))
            topic_id = logs[partition].topic_id
            passed_over = skipped.get((partition, topic_id), ())
            ranges[partition] = ReplayRange(topic_id, begun.next_offset, end, begun.epoch, passed_over)
        return ranges
