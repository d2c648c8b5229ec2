"""Decide who may see an event, before anything of it is looked up.

    asker ─► an ADMIN, or one who was let in before ────────► in
          └► a kept answer says that it is theirs ──────────► in, also while PostgreSQL is away
          └► PostgreSQL: is it theirs? ─► yes ──────────────► in
                                       └► no ───────────────► NotFound

Another's event and one that does not exist take the same steps: the head of one value in Redis, and one statement that
finds no row. Why that, and not one step less: docs/decisions/0007.
"""

import asyncio
from collections import OrderedDict

from hannun.cache import AnswerCache, keys
from hannun.domain.authorization import Principal
from hannun.errors import NotFound
from hannun.store import ownership
from hannun.store.database import ReadPool

LET_IN_MAX = 50_000


class Authorizer:
    """Lets askers in. For one event loop.

    Who was let in is remembered until there are too many: an event never changes its owner. Where it has one all the
    same (another database was put in the place of ours), the owner that stands in the answer decides.
    """

    def __init__(self, reader: ReadPool, cache: AnswerCache) -> None:
        self._reader = reader
        self._cache = cache
        self._let_in: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[bool]] = {}

    async def admit(self, asker: Principal, event_id: str) -> None:
        """
        Raises:
            NotFound: there is no such event that this asker may see.
            StoreUnavailable: that cannot be said while PostgreSQL is away.
        """
        if asker.sees_all:
            return
        pair = (asker.user_id, event_id)
        if pair in self._let_in:
            self._let_in.move_to_end(pair)
            return
        if not await self._is_theirs(pair):
            raise NotFound("no such event")
        self._let_in[pair] = None
        if len(self._let_in) > LET_IN_MAX:
            self._let_in.popitem(last=False)

    def is_in(self, asker: Principal, event_id: str) -> bool:
        """Whether `admit` would let them in without looking anything up."""
        return asker.sees_all or (asker.user_id, event_id) in self._let_in

    async def _is_theirs(self, pair: tuple[str, str]) -> bool:
        running = self._asking.get(pair)
        # A hundred pages of one merchant cost one question. Only a yes is shared: the event may have been created
        # since the question was asked.
        if running is not None and await asyncio.shield(running):
            return True
        task = asyncio.create_task(self._ask(pair))
        self._asking[pair] = task
        task.add_done_callback(lambda _: self._asking.pop(pair, None) if self._asking.get(pair) is task else None)
        # Never cancelled half-way: a reader who has left must not break the connection under the next one.
        return await asyncio.shield(task)

    async def _ask(self, pair: tuple[str, str]) -> bool:
        user_id, event_id = pair
        if await self._cache.owner(keys.dashboard(event_id)) == user_id:
            return True
        async with self._reader.connection() as conn:
            return await ownership.owns(conn, event_id, user_id)
