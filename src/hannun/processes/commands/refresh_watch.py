"""Reads what `hannun watch` shows, again and again, in a thread of its own: a PostgreSQL that hangs holds up no key."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from hannun import deadlines
from hannun.errors import HannunError
from hannun.flows.channel_status import Watched, watched
from hannun.settings import Settings
from hannun.store.database import Connection, Database
from hannun.store.version import check_version

EVERY_S = 1.0
READ_S_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest result, None before the first; and why the newest attempt failed, None where it did not."""

    found: Watched | None = None
    error: HannunError | None = None


class RefreshReader:
    """Reads once a second, from `start` on. `latest` is what it knows."""

    def __init__(self, database: Database, stale_after: timedelta) -> None:
        self._database = database
        self._stale_after = stale_after
        self._ended = threading.Event()
        self.latest = Reading()

    def start(self) -> None:
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def read(self) -> Reading:
        """Read now."""
        try:
            with deadlines.within(READ_S_MAX):
                return Reading(self._database.run(self._read))
        except HannunError as error:
            return Reading(self.latest.found, error)

    def _read(self, conn: Connection) -> Watched:
        check_version(conn)
        return watched(conn, self._stale_after)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.latest = self.read()
            self._ended.wait(EVERY_S)


@contextmanager
def open_reader(settings: Settings) -> Iterator[RefreshReader]:
    """A reader, which need not reach PostgreSQL yet.

    Raises:
        OperatorError: a setting is missing, or cannot be used.
    """
    database = Database(settings.needed("database_url"), settings.pool, application="hannun-watch")
    reader = RefreshReader(database, settings.stale_after)
    try:
        yield reader
    finally:
        reader.end()
        database.end()  # a read that hangs ends, and none begins
        database.close()
