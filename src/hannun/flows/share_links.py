"""Share links, which grant read access to one event to anybody who has the link: create, list, revoke, resolve.

    create ─► secret, returned once ─► in the link ─► resolve ─► the event's views, read-only
                └► its hash, stored                      ▲
    revocation or expiry ────────────────────────────────┘ no grant any more, after GRANT_CACHE_S at most

A grant is cached for GRANT_CACHE_S. So an open page costs PostgreSQL one query in that time, and a revocation takes
effect in every process without a notification. While PostgreSQL is unavailable no link resolves: it could not be
revoked either.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from hannun.domain.audit_chain import Action, NewEntry, event_object, user
from hannun.domain.authorization import Principal, ShareGrant
from hannun.domain.instants import to_naive_utc
from hannun.domain.secret_hashes import hash_secret
from hannun.errors import BadRequest, NotFound
from hannun.store import audit_log, shares
from hannun.store.async_writer import AsyncWriter
from hannun.store.database import Connection, Database, ReadPool
from hannun.store.shares import NewShare, Share

GRANT_CACHE_S = 1.0
LIFETIME_MAX = timedelta(days=366)
LABEL_LENGTH_MAX = 100
ACTIVE_MAX = 100
"""The most active links of one event."""
INACTIVE_KEPT_MAX = 100
"""The most revoked or expired links of one event that stay listed, as a record of who shared what."""
GRANTS_CACHED_MAX = 10_000
SECRET_LENGTH_MAX = 100


class ShareLinks:
    """The share links, as one process sees them.

    Args:
        now: the clock, UTC, with a zone.
        monotonic: the clock of the grant cache, in seconds.
    """

    def __init__(
        self,
        reader: ReadPool,
        database: Database,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._writer = AsyncWriter(database)
        self._now = now
        self._monotonic = monotonic
        self._grants: OrderedDict[tuple[str, bytes], tuple[float, asyncio.Task[ShareGrant | None]]] = OrderedDict()

    async def create(self, principal: Principal, event_id: str, until: datetime, label: str) -> tuple[Share, str]:
        """Create a link. Returns it with its secret, which is not stored. The principal is authorized for the event.

        Raises:
            BadRequest: the date is in the past or too far ahead, the label is too long, or too many links are active.
            NotFound: there is no such event.
        """
        now = self._now()
        if not now < until <= now + LIFETIME_MAX:  # before the conversion to UTC, which may overflow in the year 9999
            raise BadRequest(
                "until is not within the next {days_max} days",
                code="bad-date",
                field="until",
                days_max=LIFETIME_MAX.days,
            )
        now, expires_at = to_naive_utc(now), to_naive_utc(until)
        if len(label) > LABEL_LENGTH_MAX or "\0" in label:
            raise BadRequest(
                "{field}: up to {length_max} characters, and none of them NUL",
                code="bad-parameter",
                field="label",
                length_max=LABEL_LENGTH_MAX,
            )
        secret = secrets.token_urlsafe(32)
        new = NewShare(
            secrets.token_urlsafe(12), event_id, hash_secret(secret), label, principal.user_id, now, expires_at
        )

        def insert(conn: Connection) -> None:
            if shares.insert(conn, new, active_max=ACTIVE_MAX, inactive_kept_max=INACTIVE_KEPT_MAX):
                audit_log.record(conn, _entry(principal, Action.SHARE_CREATED, event_id, new.share_id))
                return
            if not shares.event_exists(conn, event_id):
                raise NotFound("no such event")
            raise BadRequest(
                "this event has {count_max} active links already, the maximum: revoke one first",
                code="too-many-shares",
                count_max=ACTIVE_MAX,
            )

        await self._writer.run(insert)
        return Share(new.share_id, label, now, principal.user_id, expires_at, None), secret

    async def list_of_event(self, event_id: str) -> list[Share]:
        """The links of an event: the active ones first, then the newest of the others.

        Raises:
            NotFound: there is no such event.
        """
        limit = ACTIVE_MAX + INACTIVE_KEPT_MAX
        now = self._utc_now()
        listed = await self._reader.read(lambda conn: shares.list_of_event(conn, event_id, now, limit=limit))
        if listed is None:
            raise NotFound("no such event")
        return listed

    async def revoke(self, principal: Principal, event_id: str, share_id: str) -> None:
        """Revoke a link. Revoking it again is not an error.

        Raises:
            NotFound: the event has no such link.
        """

        def revoke(conn: Connection) -> bool:
            found = shares.revoke(conn, event_id, share_id, self._utc_now())
            if found:
                audit_log.record(conn, _entry(principal, Action.SHARE_REVOKED, event_id, share_id))
            return found

        if not await self._writer.run(revoke):
            raise NotFound("no such link")
        self._grants.clear()  # in this process at once; in the others within GRANT_CACHE_S

    async def resolve(self, event_id: str, secret: str) -> ShareGrant:
        """The grant of a link's secret.

        Raises:
            NotFound: the secret opens nothing of this event, whether the event exists or not.
            StoreUnavailable: PostgreSQL is unavailable.
        """
        grant = await self._cached_grant(event_id, hash_secret(secret)) if len(secret) <= SECRET_LENGTH_MAX else None
        if grant is None or grant.expires_at <= self._utc_now():
            raise NotFound("no such event")
        return grant

    def known_share_id(self, event_id: str, secret: str) -> str | None:
        """The id of the link that this secret opened when it was last looked up; it may be revoked since. No I/O."""
        _, task = self._grants.get((event_id, hash_secret(secret)), (0.0, None))
        if task is None or not task.done() or _failed(task):
            return None
        grant = task.result()
        return None if grant is None else grant.share_id

    async def _cached_grant(self, event_id: str, secret_hash: bytes) -> ShareGrant | None:
        key = (event_id, secret_hash)
        queried_at, task = self._grants.get(key, (0.0, None))
        if task is None or self._monotonic() - queried_at >= GRANT_CACHE_S or _failed(task):
            queried_at, task = self._monotonic(), asyncio.create_task(self._query_grant(event_id, secret_hash))
            self._grants[key] = (queried_at, task)
            self._grants.move_to_end(key)
            if len(self._grants) > GRANTS_CACHED_MAX:
                self._grants.popitem(last=False)
        # Shielded: a client that disconnects must not cancel the query that other requests wait for.
        return await asyncio.shield(task)

    async def _query_grant(self, event_id: str, secret_hash: bytes) -> ShareGrant | None:
        return await self._reader.read(lambda conn: shares.find_grant(conn, event_id, secret_hash, self._utc_now()))

    def _utc_now(self) -> datetime:
        return to_naive_utc(self._now())


def _entry(principal: Principal, action: Action, event_id: str, share_id: str) -> NewEntry:
    return NewEntry(user(principal.user_id), action, event_object(event_id), reason=f"link {share_id}")


def _failed(task: "asyncio.Task[ShareGrant | None]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
