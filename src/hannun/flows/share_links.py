"""Links that open one event to whoever has them: made, listed, revoked, opened.

    make ─► secret, shown once ─► in the link ─► opens ─► the event's views, read-only
                └► its hash, kept                  ▲
    revoke, or the date ───────────────────────────┘ nothing any more, after OPEN_S at most

A link that opens is remembered for OPEN_S, so that a page costs PostgreSQL one question in that time, and a revoked one
ends everywhere without anybody telling. While PostgreSQL is away no link opens: nobody could revoke it.
"""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from hannun.domain.authorization import Principal, ShareGrant
from hannun.errors import BadRequest, NotFound
from hannun.store import shares
from hannun.store.database import Connection, Database, ReadPool
from hannun.store.shares import NewShare, Share

OPEN_S = 1.0
LASTS_MAX = timedelta(days=366)
LABEL_LENGTH_MAX = 100
SHARES_MAX = 100
"""Links that open one event at the same time."""
ENDED_KEPT = 100
"""Links of an event that open nothing any more, but say who had opened what to others."""
REMEMBERED_MAX = 10_000
SECRET_LENGTH_MAX = 100

T = TypeVar("T")


class ShareLinks:
    """Links of one process. `now` is the clock, UTC, with a zone; `monotonic` that of remembering."""

    def __init__(
        self,
        reader: ReadPool,
        database: Database,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._database = database
        self._now = now
        self._monotonic = monotonic
        self._turn = CapacityLimiter(1)  # the database has one connection
        self._open: OrderedDict[tuple[str, bytes], tuple[float, asyncio.Task[ShareGrant | None]]] = OrderedDict()

    async def make(self, asker: Principal, event_id: str, until: datetime, label: str) -> tuple[Share, str]:
        """A link and its secret, which nobody can show again. The asker was let in to the event before.

        Raises:
            BadQuestion: the date is not ahead, or too far; the label is too long; too many links open the event.
            NotFound: there is no such event.
        """
        now = self._now()
        if not now < until <= now + LASTS_MAX:  # before it is brought to UTC, where year 9999 may have no place
            raise BadRequest(
                "until is not within the next {days_max} days", code="bad-date", field="until", days_max=LASTS_MAX.days
            )
        now, expires_at = _utc(now), _utc(until)
        if len(label) > LABEL_LENGTH_MAX or "\0" in label:
            raise BadRequest(
                "{field}: up to {length_max} characters, and none of them NUL",
                code="bad-parameter",
                field="label",
                length_max=LABEL_LENGTH_MAX,
            )
        secret = secrets.token_urlsafe(32)
        new = NewShare(secrets.token_urlsafe(12), event_id, _hash(secret), label, asker.user_id, now, expires_at)

        def add(conn: Connection) -> None:
            if shares.add(conn, new, count_max=SHARES_MAX, ended_kept=ENDED_KEPT):
                return
            if not shares.exists(conn, event_id):
                raise NotFound("no such event")
            raise BadRequest(
                "{count_max} links open this event already, the most there can be: revoke one first",
                code="too-many-shares",
                count_max=SHARES_MAX,
            )

        await self._write(add)
        return Share(new.share_id, label, now, asker.user_id, expires_at, None), secret

    async def of_event(self, event_id: str) -> list[Share]:
        """The links of an event: those that open it first, then the newest of the others."""
        async with self._reader.connection() as conn:
            return await shares.of_event(conn, event_id, self._utc(), limit=SHARES_MAX + ENDED_KEPT)

    async def revoke(self, event_id: str, share_id: str) -> None:
        """End a link; again is fine.

        Raises:
            NotFound: the event has no such link.
        """
        if not await self._write(lambda conn: shares.revoke(conn, event_id, share_id, self._utc())):
            raise NotFound("no such link")
        self._open.clear()  # here at once; elsewhere within OPEN_S

    async def open(self, event_id: str, secret: str) -> ShareGrant:
        """What a secret opens.

        Raises:
            NotFound: nothing of this event; whether the event exists makes no difference.
            StoreUnavailable: PostgreSQL is away.
        """
        opening = await self._opening(event_id, _hash(secret)) if len(secret) <= SECRET_LENGTH_MAX else None
        if opening is None or opening.expires_at <= self._utc():
            raise NotFound("no such event")
        return opening

    async def _opening(self, event_id: str, secret_hash: bytes) -> ShareGrant | None:
        place = (event_id, secret_hash)
        asked_at, task = self._open.get(place, (0.0, None))
        if task is None or self._monotonic() - asked_at >= OPEN_S or _failed(task):
            asked_at, task = self._monotonic(), asyncio.create_task(self._ask(event_id, secret_hash))
            self._open[place] = (asked_at, task)
            self._open.move_to_end(place)
            if len(self._open) > REMEMBERED_MAX:
                self._open.popitem(last=False)
        # Never cancelled half-way: others wait for the same answer.
        return await asyncio.shield(task)

    async def _ask(self, event_id: str, secret_hash: bytes) -> ShareGrant | None:
        async with self._reader.connection() as conn:
            return await shares.opened_by(conn, event_id, secret_hash, self._utc())

    async def _write(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._database.transaction() as conn:
                return work(conn)

        return await to_thread.run_sync(partial(run), limiter=self._turn)

    def _utc(self) -> datetime:
        return _utc(self._now())


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _failed(task: "asyncio.Task[ShareGrant | None]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _hash(secret: str) -> bytes:
    """Plain SHA-256: the secret is 256 bits of chance, not a password that somebody could guess."""
    return hashlib.sha256(secret.encode()).digest()
