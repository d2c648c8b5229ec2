"""Reports: the entry point for every question."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from hannun.cache import keys
from hannun.domain import channels, response_schemas, view_parts, views
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.granularity import Granularity
from hannun.domain.questions import (
    ChannelsQuestion,
    EventDashboardQuestion,
    EventSubject,
    MerchantSubject,
    Order,
    Question,
    TimelineQuestion,
)
from hannun.errors import NotFound, StoreUnavailable
from hannun.flows.report.cached_reader import AnswerReader, Compute, SeenVersion, Source
from hannun.flows.report.event_loaders import load_channel
from hannun.flows.report.registry import AnyView, view_of
from hannun.flows.report.snapshot import Snapshot, encoded
from hannun.flows.report.timeline_loaders import load_default_granularity
from hannun.store import event_list
from hannun.store.database import AsyncConnection, ReadPool

T = TypeVar("T")
GRANULARITIES_MAX = 10_000
"""The most events whose default granularity is remembered."""
_channel_decoder = msgspec.json.Decoder(response_schemas.Channel)


class Reports:
    """Answers questions for callers.

    Args:
        database: reads PostgreSQL.
        reader: the path through the cache, or past it.
        now: the clock, UTC, with a zone.
        channel_table: which channel a name means.
        stale_after: how long what a channel has measured is good: two periods of the refresh.
        may_rebuild: whether a cached answer may be computed anew because the principal says they have a newer one.
    """

    def __init__(
        self,
        database: ReadPool,
        reader: AnswerReader,
        now: Callable[[], datetime],
        channel_table: channels.ChannelTable,
        stale_after: timedelta,
        may_rebuild: Callable[[Principal], bool] = lambda _: True,
    ) -> None:
        self._database = database
        self._reader = reader
        self._now = now
        self._channel_table = channel_table
        self._stale_after = stale_after
        self._may_rebuild = may_rebuild
        self._granularities: OrderedDict[str, Granularity] = OrderedDict()
        self._running: set[asyncio.Task[Any]] = set()

    async def answer(
        self, principal: Principal, question: Question, *, refresh: bool = False
    ) -> tuple[EncodedAnswer, Source]:
        """The answer to a question; `refresh` computes it from PostgreSQL and replaces what is cached.

        Raises:
            NotFound: there is no such event or merchant that the principal may see.
            BadRequest: the answer would have too many points, or the range is too long.
            StoreUnavailable: the answer is not cached, and PostgreSQL is away.
        """
        _check_merchant(principal, question)
        match question:
            case TimelineQuestion(subject=EventSubject() as event, granularity=None) if question.is_default:
                granularity = await self._run_to_end(self._default_granularity(event))
                question = replace(question, granularity=granularity)
            case ChannelsQuestion(subject=EventSubject() as event, channels=(name,)) if _selects_only(question):
                try:
                    return await self._answer_of_channel(principal, event, name, refresh)
                except NotFound:
                    pass  # the event has no such channel, or the principal may not see it: the whole question decides
        view = view_of(question)
        return await self._read(
            principal, view.cache_key(question), lambda: self._compute(view, question), refresh=refresh
        )

    def may_cache(self, question: Question) -> bool:
        """Whether the cache may hold the answer to this question."""
        if not self._reader.caches:
            return False
        if isinstance(question, TimelineQuestion) and isinstance(question.subject, EventSubject):
            return question.is_default  # under the default granularity, where the question names none
        return view_of(question).cache_key(question) is not None

    async def from_database(self, question: Question) -> EncodedAnswer | None:
        """The answer from PostgreSQL, without a check of access; None where the subject does not exist."""
        return await self._compute(view_of(question), question)

    def pages(self, principal: Principal, question: Question) -> AsyncGenerator[EncodedAnswer]:
        """The answers of all pages, from one snapshot, of a view that has pages.

        The consumer reads them without waiting for anything else, and closes the generator. Cancelled half-way it would
        break the connection.

        Raises:
            NotFound: the principal may not see the merchant.
        """
        _check_merchant(principal, question)
        return self._pages(view_of(question), question)

    async def is_merchant(self, user_id: str) -> bool:
        """Whether any event belongs to this user."""
        return await self._database.read(lambda conn: event_list.is_merchant(conn, user_id))

    async def event_title(self, principal: Principal, question: Question, answer: EncodedAnswer) -> str:
        """The title of the event of a question: from the answer, or from the event's dashboard where the answer
        has none. Empty for a merchant's events. Raises as `answer` does."""
        if not isinstance(question.subject, EventSubject):
            return ""
        if not view_of(question).answer_has_title:
            answer, _ = await self.answer(principal, EventDashboardQuestion(question.subject))
        return msgspec.json.decode(answer.body, type=_Titled).event_title

    # -- reading: a local entry, else the reader

    async def _read(
        self, principal: Principal, key: str | None, compute: Compute, *, refresh: bool
    ) -> tuple[EncodedAnswer, Source]:
        source: Source = "cache"
        answer = None if key is None or refresh else self._reader.local(key, principal.seen)
        if answer is None:
            seen = SeenVersion(principal.seen, lambda: self._may_rebuild(principal))
            answer, source = await self._run_to_end(self._reader.read(key, compute, refresh=refresh, seen=seen))
        if answer is None or not principal.may_see(answer.owner):
            raise NotFound("no such event")
        return answer, source

    async def _answer_of_channel(
        self, principal: Principal, event: EventSubject, name: str, refresh: bool
    ) -> tuple[EncodedAnswer, Source]:
        """The answer to a question for one channel. What is cached is the channel; the answer is a list with it.

        Raises:
            NotFound: the event has no such channel, or the principal may not see the event.
        """
        channel = self._channel_table.named(name)
        if channel is None:
            raise NotFound("no such channel")

        async def compute() -> EncodedAnswer | None:
            loaded = await self._read_snapshot(lambda snapshot: load_channel(snapshot, event.event_id, channel))
            return (
                None
                if loaded is None
                else encoded(view_parts.channel(loaded.figures, None, self._channel_table), loaded)
            )

        key = keys.channel(event.event_id, channel.name)
        answer, source = await self._read(principal, key, compute, refresh=refresh)
        body = response_schemas.encode(
            views.event_channels_of_one(event.event_id, _channel_decoder.decode(answer.body))
        )
        etag = response_schemas.etag_of(answer.version, body)
        return msgspec.structs.replace(answer, body=body, etag=etag), source

    async def _run_to_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end, also when the caller is cancelled: a cancelled read would break the connection under its next
        user."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    # -- computing: load the figures, build the answer

    async def _compute(self, view: AnyView, question: Question) -> EncodedAnswer | None:
        loaded = await self._read_snapshot(lambda snapshot: view.load(snapshot, question))
        return None if loaded is None else encoded(view.build(question, loaded.figures), loaded)

    async def _pages(self, view: AnyView, question: Question) -> AsyncGenerator[EncodedAnswer]:
        assert view.load_pages is not None
        async with (
            self._database.connection() as conn,
            conn.transaction(),
            aclosing(view.load_pages(self._snapshot(conn), question)) as pages,
        ):
            async for loaded in pages:
                yield encoded(view.build(question, loaded.figures), loaded)

    async def _default_granularity(self, event: EventSubject) -> Granularity:
        """The granularity of an event's timeline where a question names none.

        While PostgreSQL is away, the last known one: under that the timeline may be cached.
        """
        try:
            granularity = await self._read_snapshot(lambda snapshot: load_default_granularity(snapshot, event))
        except StoreUnavailable:
            if event.event_id not in self._granularities:
                raise
            return self._granularities[event.event_id]
        self._granularities[event.event_id] = granularity
        self._granularities.move_to_end(event.event_id)
        if len(self._granularities) > GRANULARITIES_MAX:
            self._granularities.popitem(last=False)
        return granularity

    async def _read_snapshot(self, load: Callable[[Snapshot], Awaitable[T]]) -> T:
        """What is loaded from one snapshot: by one statement, or in a transaction (see `in_one_transaction`).

        It is loaded once more where the connection broke.
        """
        return await self._database.read(lambda conn: load(self._snapshot(conn)))

    def _snapshot(self, conn: AsyncConnection) -> Snapshot:
        return Snapshot(conn, self._now().astimezone(UTC).replace(tzinfo=None), self._channel_table, self._stale_after)


class _Titled(msgspec.Struct, rename="camel"):
    event_title: str


def _check_merchant(principal: Principal, question: Question) -> None:
    """
    Raises:
        NotFound: the question is about a merchant whom the principal may not see.
    """
    if isinstance(question.subject, MerchantSubject) and not principal.may_see_merchant(question.subject.user_id):
        raise NotFound("no such merchant")


def _selects_only(question: ChannelsQuestion[Any]) -> bool:
    """Whether a question has no parameter besides its channels."""
    return question.range.is_default and question.order == Order()
