"""Is everything as it must be? The same checks at the start of a process (die early, with a hint) and in its health."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from hannun.cache import Invalidator
from hannun.errors import HannunError, OperatorError
from hannun.store.database import Connection, Database
from hannun.store.positions import stopped_partitions
from hannun.store.version import check_version


def check_database(conn: Connection) -> None:
    """
    Raises:
        OperatorError: the schema is not the one this code needs, or a right is missing.
    """
    check_version(conn)
    row = conn.execute("SELECT has_table_privilege('hannun.events', 'UPDATE')").fetchone()
    if row is None or not row[0]:
        user = conn.info.user
        raise OperatorError(
            f"the database user {user} may not write",
            hint=f"GRANT analytics_readwrite TO {user}; or use that role's URL",
        )


PATIENCE_S = 0.5
"""How long who asks for our health waits for a neighbour. A probe has a time-out of its own, often of a second."""


class _Neighbour:
    """Asks one neighbour, in a thread of its own: one that hangs makes nobody wait who only asks how it is."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._turn = threading.Lock()
        self._under_way: Future[str] | None = None

    def state(self, wait_s: float) -> str | None:
        """What it says of itself now; None where it has not answered within `wait_s`. It is not asked twice at once."""
        with self._turn:
            asked = self._under_way
            if asked is None:
                asked = self._under_way = Future()
                threading.Thread(target=self._answer, args=[asked], daemon=True).start()
        try:
            return asked.result(wait_s)
        except TimeoutError:
            return None

    def _answer(self, asked: "Future[str]") -> None:
        try:
            answer, error = self._ask(), None
        except Exception as raised:
            answer, error = "", raised
        with self._turn:
            self._under_way = None
        if error is None:
            asked.set_result(answer)
        else:
            asked.set_exception(error)


class Health:
    """How the process is: ready; degraded (it answers, but something is away); unavailable. For any thread.

    `database_away`: whether PostgreSQL did not answer when it was last asked.
    """

    def __init__(self, database: Database, invalidator: Invalidator) -> None:
        self._database = database
        self._invalidator = invalidator
        self._postgres = _Neighbour(self._ask_postgres)
        self._redis = _Neighbour(self._ask_redis)
        self._waiting: list[str] = []
        self.database_away = False

    def look_at_database(self) -> str:
        """See whether PostgreSQL answers."""
        state = self._postgres.state(PATIENCE_S)
        self.database_away = state != "ready"
        return state or f"unavailable: it has not answered within {PATIENCE_S} s"

    def tell(self) -> Mapping[str, object]:
        """All parts, and what they come to. Within a second, whatever hangs."""
        parts = {"postgresql": self.look_at_database()}
        if self._waiting and not self.database_away:
            parts["kafka"] = f"degraded: {', '.join(self._waiting)} wait for an operator (hannun positions list)"
        parts["redis"] = self._redis.state(PATIENCE_S) or f"degraded: it has not answered within {PATIENCE_S} s"
        if self.database_away:
            status = "unavailable"
        else:
            status = "ready" if all(part == "ready" for part in parts.values()) else "degraded"
        return {"status": status, "parts": parts}

    def _ask_postgres(self) -> str:
        try:
            with self._database.transaction() as conn:
                self._waiting = [f"{at.topic}[{at.partition}]" for at in stopped_partitions(conn)]
        except HannunError as error:
            return f"unavailable: {error}"
        return "ready"

    def _ask_redis(self) -> str:
        try:
            self._invalidator.check()
        except OperatorError as error:
            return f"degraded: {error.args[0]}"
        return "ready"
