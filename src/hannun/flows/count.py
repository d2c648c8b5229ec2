"""Count a batch: the one road behind both doors.

    bytes ─► facts ─► by event ─► numbers and months ─► ONE TRANSACTION ─► pay what is owed to the cache

Everything that counts is in the transaction (`store.batches`). Before it only things are made that harm nobody if the
batch never lands: numbers for new events, partitions for new months. After it, the cache is told; a process that dies
there leaves a debt that the next one pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from hannun.cache import Invalidator
from hannun.domain.batch import Outcome, Received, Span, Written, outcomes
from hannun.domain.fold import Gathered, gather
from hannun.domain.messages import Decoder, Fact, Rejected
from hannun.domain.partitions import months_of
from hannun.errors import StoreUnavailable
from hannun.store import debts
from hannun.store.batches import Writer
from hannun.store.database import Database
from hannun.store.numbers import Numbers
from hannun.store.partitions import make_months


@dataclass(frozen=True, slots=True)
class Counted:
    """A batch that is counted. `facts` and `written` say what became of each message."""

    facts: list[Fact | Rejected]
    written: Written

    def outcomes(self) -> list[Outcome]:
        """What became of each message, in the order of the batch."""
        return outcomes(self.facts, self.written)


class Counter:
    """Counts batches. One for each thread that counts: it remembers what makes the next batch cheaper."""

    def __init__(self, database: Database, decoder: Decoder, invalidator: Invalidator) -> None:
        self._database = database
        self._decode = decoder.decode
        self._invalidator = invalidator
        self._numbers = Numbers()
        self._writer = Writer(self._numbers)
        self._months: set[date] = set()

    def count(self, batch: Sequence[Received], spans: Sequence[Span] = ()) -> Counted:
        """Count a batch and, over Kafka, move the positions that it covers: all of it, or nothing.

        Raises:
            StaleBatch: another consumer owns a position. Drop the batch.
            StoreUnavailable: PostgreSQL is away, or the answer to our commit was lost. Count the same batch again.
        """
        facts = [self._decode(kind, raw, received_at) for kind, raw, received_at, _ in batch]
        gathered = gather(facts)
        self._prepare(gathered)
        try:
            with self._database.transaction() as conn:
                written = self._writer.write(conn, batch, gathered, spans)
        except StoreUnavailable:
            self._months.clear()  # believe nothing: a month may have been let go, the database restored
            raise
        self._pay(written)
        return Counted(facts, written)

    def _prepare(self, gathered: Gathered) -> None:
        """Make what the batch needs to stand on: numbers of new events and channels, partitions of new months."""
        months = months_of(gathered.minutes) - self._months
        if months:
            with self._database.transaction() as conn:
                make_months(conn, months)
            self._months |= months
        if not self._numbers.cover(gathered):
            with self._database.transaction() as conn:
                self._numbers.learn(conn, gathered)

    def _pay(self, written: Written) -> None:
        """Tell the cache. A debt that cannot be paid now stays written, and whoever finds it pays it."""
        if written.debt_no is not None and self._invalidator.invalidate(written.events):
            with self._database.transaction() as conn:
                debts.settle(conn, [written.debt_no])


def pay_old_debts(database: Database, invalidator: Invalidator, older_than_s: float = 0.5) -> int:
    """Pay the invalidations that a dead writer, or Redis' absence, has left. Returns how many were paid."""
    paid = 0
    with database.transaction() as conn:
        owed = debts.old(conn, older_than_s)
    for debt_no, events in owed:
        if not invalidator.invalidate(events, at_rest_too=True):
            break
        with database.transaction() as conn:
            debts.settle(conn, [debt_no])
        paid += 1
    return paid
