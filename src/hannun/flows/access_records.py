"""Records who has seen what of others' data, without a transaction for each request.

    a request of an ADMIN, of a share link, or for a file ─► add ─► queue ─► once a second, one transaction ─► audit log

The same actor, action and object are recorded once an hour. So a page that asks every few seconds is one entry, and the
log still says in which hours somebody looked. What a process has not written when it is killed is lost: one second.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import takewhile

from hannun import deadlines
from hannun.domain.audit_chain import NewEntry
from hannun.errors import RowRefused, StoreUnavailable
from hannun.store import audit_log
from hannun.store.database import Database
from hannun.telemetry import log, metrics

WRITE_S_MAX = 5.0
QUEUE_MAX = 10_000
"""Entries that wait for PostgreSQL. More are lost, and both the log and a metric say so."""
ENTRIES_PER_TRANSACTION = 200
REMEMBERED_MAX = 50_000
"""Entries of this hour that are remembered. One that falls out of the memory is recorded once more."""
_HOUR_S = 3_600


class AccessRecords:
    """The records of one process. The event loop adds, and a timed job writes.

    Args:
        now: seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._recorded: OrderedDict[NewEntry, int] = OrderedDict()
        self._queue: deque[NewEntry] = deque()
        self._writing = threading.Lock()
        self._logged = False

    def add(self, entry: NewEntry) -> None:
        """Record an entry within a second, unless it was recorded in this hour. No I/O."""
        hour = int(self._now()) // _HOUR_S
        if self._recorded.get(entry) == hour:
            return
        if len(self._queue) >= QUEUE_MAX:
            self._report_loss(1, "PostgreSQL has been away for too long")
            return
        self._recorded[entry] = hour
        self._recorded.move_to_end(entry)
        if len(self._recorded) > REMEMBERED_MAX:
            self._recorded.popitem(last=False)
        self._queue.append(entry)

    def write(self) -> int:
        """Write all entries of the queue. While PostgreSQL is away they stay in it. Returns how many were written."""
        written = 0
        with self._writing, deadlines.within(WRITE_S_MAX):
            while self._queue:
                chunk = [self._queue[index] for index in range(min(len(self._queue), ENTRIES_PER_TRANSACTION))]
                done = self._write(chunk)
                for _ in range(done):
                    self._queue.popleft()
                written += done
                if done < len(chunk):
                    break
        return written

    def _write(self, entries: Sequence[NewEntry]) -> int:
        """Write entries in one transaction; where it is refused, each in its own. Returns how many need not wait."""
        try:
            self._database.run(lambda conn: audit_log.record(conn, *entries))
        except StoreUnavailable as error:
            if not self._logged:
                log.warning("the audit log cannot be written; its entries wait", error=str(error))
            self._logged = True
            return 0
        except RowRefused as error:  # must not keep the others waiting
            if len(entries) > 1:
                return self._write_singly(entries)
            self._report_loss(1, str(error))
        self._logged = False
        return len(entries)

    def _write_singly(self, entries: Sequence[NewEntry]) -> int:
        """Write each entry in its own transaction, up to the first that must wait. Returns how many need not wait."""
        return sum(takewhile(bool, (self._write([entry]) for entry in entries)))

    def _report_loss(self, entries: int, why: str) -> None:
        metrics.audit_entries_lost.inc(entries)
        log.error("entries of the audit log are lost", entries=entries, why=why)
