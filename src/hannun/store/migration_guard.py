"""One migration of a database at a time, and what it waits for.

    acquire ─► another `hannun migrate` has the lock ─► wait for its end, then find nothing left to do
    watch   ─► does the migrating session wait for a lock, and who holds it?

The lock is PostgreSQL's advisory lock of a session: it is released with the connection, however its process ends.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from hannun.errors import HannunError, StoreUnavailable
from hannun.store.database import Connection, connected
from hannun.store.queries import load

SQL = load("migration_guard")

APPLICATION: Final = "hannun-migrate"
"""The application's name of every session of a migration, or what it begins with."""
POLL_S: Final = 0.25
WATCHES_OF_A_TRY: Final = 4
"""How often a try looks for who is in the way."""
SESSIONS_MAX: Final = 3
"""How many sessions a message names."""

Progress = Callable[[str], object]
"""Is called with a line that says what happens, for the operator."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a migration waits for locks, in seconds.

    Args:
        lock_wait_s: of one try. All that is sent to the table meanwhile waits behind it, so it is shorter than what a
            request may wait for a lock.
        pause_s: between two tries, for what has waited.
        give_up_s: of all tries together.
    """

    lock_wait_s: float = 2.0
    pause_s: float = 3.0
    give_up_s: float = 600.0


class MigrationGuard:
    """The right to migrate a database, and a connection beside the one that migrates.

    `migration` is the one that runs, `begun` are all that this guard has seen begin.
    """

    def __init__(self, conn: Connection, patience: Patience, progress: Progress) -> None:
        """Use `guarded`."""
        self._conn = conn
        self._ends_at_s = time.monotonic() + patience.give_up_s
        self._watch_s = patience.lock_wait_s / WATCHES_OF_A_TRY
        self._blockers: list[str] = []
        self.progress = progress
        self.migration = ""
        self.begun: dict[str, None] = {}  # a set that keeps the order

    def begin(self, migration: str) -> None:
        """Report that a migration begins."""
        self.migration = migration
        self.begun[migration] = None
        self.progress(f"{migration} ...")

    def remaining_s(self) -> float:
        """Seconds until the migration gives up; not above 0 after it."""
        return self._ends_at_s - time.monotonic()

    @property
    def blockers(self) -> str:
        """The sessions that held a lock for which the migrating session waited last; "" where none was seen."""
        return ", ".join(self._blockers)

    @contextmanager
    def watching(self, backend: int) -> Iterator[None]:
        """Report what the migrating session waits for, until the block ends. `backend` is its process id."""
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=[backend, stop], daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _watch(self, backend: int, stop: threading.Event) -> None:
        try:
            while not stop.wait(self._watch_s):
                found = self._sessions("blockers", backend=backend)
                if found and found != self._blockers:
                    self.progress(f"{self.migration} waits for a lock that {', '.join(found)} holds")
                self._blockers = found or self._blockers
        except (HannunError, psycopg.Error):
            return  # the migration itself notices a lost server

    def acquire(self) -> None:
        """Take the lock; wait while another session has it.

        Raises:
            StoreUnavailable: it still has it when the migration gives up.
        """
        holders: list[str] = []
        while not self._conn.execute(SQL["try_lock"]).fetchall()[0][0]:
            found = self._sessions("holders")
            if found and found != holders:
                self.progress(f"another `hannun migrate` runs: {', '.join(found)}; waiting for its end")
            holders = found or holders
            if self.remaining_s() <= 0:
                raise StoreUnavailable(
                    f"another `hannun migrate` still runs: {', '.join(holders)}",
                    hint="wait for its end, then try again",
                )
            time.sleep(POLL_S)

    def _sessions(self, query: str, **parameters: int) -> list[str]:
        rows = self._conn.execute(SQL[query], parameters).fetchall()
        return [f"session {pid} ({role}, {application or 'no name'})" for pid, role, application in rows[:SESSIONS_MAX]]


@contextmanager
def guarded(owner_url: str, patience: Patience, application: str, progress: Progress) -> Iterator[MigrationGuard]:
    """The right to migrate, for the block.

    Raises:
        StoreUnavailable: PostgreSQL is away, or another session migrates for too long.
        OperatorError: PostgreSQL refuses the login.
    """
    with connected(owner_url, application=application) as conn:
        conn.autocommit = True
        guard = MigrationGuard(conn, patience, progress)
        guard.acquire()
        yield guard
