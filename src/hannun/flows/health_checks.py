"""Health checks: the same ones at the start of a process (which fails early, with a hint) and in its health report."""

import asyncio
import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Protocol

from hannun import deadlines
from hannun.cache import Invalidator
from hannun.errors import DiskFull, HannunError, OperatorError, StoreUnavailable
from hannun.store import amount_state, disk_room
from hannun.store.database import Connection, Database
from hannun.store.positions import stopped_partitions, stopped_topics
from hannun.store.version import check_version
from hannun.telemetry import log, metrics


def check_database(conn: Connection) -> None:
    """
    Raises:
        OperatorError: the schema version is not the one this code needs, the user lacks a privilege, or this process
            lacks a key of the amounts.
    """
    check_version(conn)
    row = conn.execute("SELECT has_table_privilege('hannun.events', 'UPDATE')").fetchone()
    if row is None or not row[0]:
        user = conn.info.user
        raise OperatorError(
            f"the database user {user} may not write",
            hint=f"GRANT analytics_readwrite TO {user}; or use that role's URL",
        )
    amount_state.check_keys(conn)


def _waiting_for_an_operator(conn: Connection) -> list[str]:
    """What of Kafka is not read until an operator decides: topics as a whole, with the reason, and partitions."""
    topics = [f"{at.topic} ({at.reason})" for at in stopped_topics(conn) if at.waits]
    return topics + [f"{at.topic}[{at.partition}]" for at in stopped_partitions(conn)]


CHECK_WAIT_S = 0.5
"""How long a health report waits for the check of one dependency. A probe has its own time-out, often 1 s."""
CHECK_S_MAX = 5.0
"""How long a check of PostgreSQL may take. While it runs, reports wait for its result, and find it unavailable."""


class _Dependency:
    """Checks one dependency in a thread of its own, so that a check that hangs does not block the health report."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._running: Future[str] | None = None

    def state(self, wait_s: float) -> str | None:
        """The result of the check; None where it takes longer than `wait_s`.

        At most one check runs at a time: a call that finds one running waits for its result.
        """
        with self._lock:
            result = self._running
            if result is None:
                result = self._running = Future()
                threading.Thread(target=self._run_check, args=[result], daemon=True).start()
        try:
            return result.result(wait_s)
        except TimeoutError:
            return None

    def _run_check(self, result: "Future[str]") -> None:
        try:
            state, error = self._check(), None
        except Exception as raised:
            state, error = "", raised
        with self._lock:
            self._running = None
        if error is None:
            result.set_result(state)
        else:
            result.set_exception(error)


class FindsProblems(Protocol):
    """What checks of the running system found last (`flows.doctor`), by the name of the check."""

    @property
    def problems(self) -> Mapping[str, str]: ...


class DiskHealth:
    """Whether PostgreSQL's disk has room. `check` finds out, `problem` is what it found last.

    Args:
        database: used by nothing else.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.problem: str | None = None

    def check(self) -> None:
        """Find out now.

        Raises:
            StoreUnavailable: PostgreSQL is away; `problem` is then what it was.
        """
        try:
            with deadlines.within(CHECK_S_MAX):
                self._database.run(disk_room.check_room)
        except DiskFull as error:
            if self.problem is None:
                log.error("PostgreSQL's disk is full; nothing is counted", error=error.args[0], hint=error.hint)
            self.problem = f"{error.args[0]}; nothing is counted until there is room"
            metrics.disk_full.set(1)
        except StoreUnavailable:
            metrics.disk_full.set(math.nan)
            raise
        else:
            if self.problem is not None:
                log.info("PostgreSQL's disk has room again")
            self.problem = None
            metrics.disk_full.set(0)


class Health:
    """The health of the process: ready; degraded (it answers, but a dependency is unavailable); unavailable.

    For any thread. `database_unavailable` is the result of the last check of PostgreSQL.
    """

    def __init__(
        self,
        database: Database,
        invalidator: Invalidator,
        checks: FindsProblems | None = None,
        disk: DiskHealth | None = None,
    ) -> None:
        self._database = database
        self._invalidator = invalidator
        self._checks = checks
        self._disk = disk
        self._postgres = _Dependency(self._check_postgres)
        self._redis = _Dependency(self._check_redis)
        self._waiting: list[str] = []
        self._report_running: asyncio.Task[Mapping[str, object]] | None = None
        self.database_unavailable = False

    def check_postgres(self) -> str:
        """Check PostgreSQL now. Returns its state and updates `database_unavailable`."""
        state = self._postgres.state(CHECK_WAIT_S)
        self.database_unavailable = state != "ready"
        return state or f"unavailable: no answer within {CHECK_WAIT_S} s"

    def report(self) -> Mapping[str, object]:
        """The state of every part, and the status that follows from them. Takes at most two waits, whatever hangs."""
        parts = {"postgresql": self.check_postgres()}
        if self._waiting and not self.database_unavailable:
            names = ", ".join(self._waiting)
            parts["kafka"] = f"degraded: {names} wait for an operator (hannun positions list)"
        if self._checks is not None and not self.database_unavailable:
            parts |= {check: f"degraded: {problem}" for check, problem in self._checks.problems.items()}
        if self._disk is not None and self._disk.problem is not None and not self.database_unavailable:
            parts["disk"] = f"degraded: {self._disk.problem}"
        parts["redis"] = self._redis.state(CHECK_WAIT_S) or f"degraded: no answer within {CHECK_WAIT_S} s"
        if self.database_unavailable:
            status = "unavailable"
        else:
            status = "ready" if all(part == "ready" for part in parts.values()) else "degraded"
        return {"status": status, "parts": parts}

    async def shared_report(self) -> Mapping[str, object]:
        """The report for an event loop. Calls that come during one share it, so that any number of probes takes one
        thread."""
        if self._report_running is None or self._report_running.done():
            self._report_running = asyncio.create_task(asyncio.to_thread(self.report))
        return await asyncio.shield(self._report_running)

    def _check_postgres(self) -> str:
        try:
            with deadlines.within(CHECK_S_MAX):
                self._waiting = self._database.run(_waiting_for_an_operator)
        except HannunError as error:
            return f"unavailable: {error}"
        return "ready"

    def _check_redis(self) -> str:
        try:
            self._invalidator.check()
        except HannunError as error:
            return f"degraded: {error.args[0]}"
        return "ready"
