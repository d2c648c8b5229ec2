"""Decide who may see an event, before any of its data is read.

    principal ─► an ADMIN, or authorized before ────────────► authorized
              └► a cached answer names them as its owner ───► authorized, also while PostgreSQL is unavailable
              └► PostgreSQL: are they the event's owner? ─► yes ─► authorized
                                                         └► no ──► NotFound

Another merchant's event and an event that does not exist take the same steps: one read of the head of a value in Redis,
and one statement that finds no row. docs/decisions/0007 explains why these steps and not one fewer.
"""

import asyncio
from collections import OrderedDict

from hannun.cache import AnswerCache, keys
from hannun.domain.authorization import Principal
from hannun.errors import NotFound
from hannun.store import ownership
from hannun.store.database import ReadPool

AUTHORIZED_MAX = 50_000
"""The most pairs of principal and event that are remembered."""


class Authorizer:
    """Authorizes principals for events. For one event loop.

    An authorization is remembered, up to `AUTHORIZED_MAX` pairs, because an event never changes its owner. If the owner
    differs all the same (the database was replaced by another one), the owner that the answer itself names decides.
    """

    def __init__(self, reader: ReadPool, cache: AnswerCache) -> None:
        self._reader = reader
        self._cache = cache
        self._authorized: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._queries: dict[tuple[str, str], asyncio.Task[bool]] = {}

    async def authorize(self, principal: Principal, event_id: str) -> None:
        """
        Raises:
            NotFound: there is no such event that this principal may see.
            StoreUnavailable: PostgreSQL is unavailable, and without it the decision cannot be made.
        """
        if principal.sees_all:
            return
        pair = (principal.user_id, event_id)
        if pair in self._authorized:
            self._authorized.move_to_end(pair)
            return
        if not await self._owns(pair):
            raise NotFound("no such event")
        self._authorized[pair] = None
        if len(self._authorized) > AUTHORIZED_MAX:
            self._authorized.popitem(last=False)

    def is_authorized(self, principal: Principal, event_id: str) -> bool:
        """Whether `authorize` would succeed without I/O. False means "not known", not "denied"."""
        return principal.sees_all or (principal.user_id, event_id) in self._authorized

    async def _owns(self, pair: tuple[str, str]) -> bool:
        running = self._queries.get(pair)
        # Single flight: a hundred open pages of one merchant cost one query. Only a positive result is shared, because
        # the event may have been created after the running query began.
        if running is not None and await asyncio.shield(running):
            return True
        task = asyncio.create_task(self._query_owner(pair))
        self._queries[pair] = task
        task.add_done_callback(lambda _: self._queries.pop(pair, None) if self._queries.get(pair) is task else None)
        # Shielded: a client that disconnects must not cancel a query halfway and break the connection for the next one.
        return await asyncio.shield(task)

    async def _query_owner(self, pair: tuple[str, str]) -> bool:
        user_id, event_id = pair
        if await self._cache.owner(keys.dashboard(event_id)) == user_id:
            return True
        return await self._reader.read(lambda conn: ownership.owns(conn, event_id, user_id))
