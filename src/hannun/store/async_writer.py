"""Writes to PostgreSQL from the tasks of an event loop."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter

from hannun import deadlines
from hannun.store.database import Connection, Database

T = TypeVar("T")


class AsyncWriter:
    """Runs transactions in a thread, one after the other, because a `Database` has one connection.

    A task that waits for its turn holds no thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = CapacityLimiter(1)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """The result of work in a transaction, as `Database.run`.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable, or the deadline has passed before the work began.
        """
        return await deadlines.run_in_thread(partial(self._database.run, work), self._turn)
