"""Answer a question: from the cache, else from one snapshot of PostgreSQL, filling the cache under a lease.

    question ─► hit ─────────────────────────────────────────────► answer (cache)
             └► miss ─► lease ─► PostgreSQL ─► fill if it stands ─► answer (live)
                     └► somebody reads already: wait for theirs ──► answer (cache), or PostgreSQL without filling
    a copy in this process that may still be believed stands before all that.

Who may see an event is decided before it is asked for (`flows/access`), and again by the owner in the answer.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

import msgspec

from hannun.cache import AnswerCache, keys
from hannun.domain import response_schemas, views
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.buckets import DAY, Buckets, buckets, default_granularity, moment_of, seconds_of
from hannun.domain.channels import ChannelTable
from hannun.domain.figures import EventFigures, MerchantFigures, PeriodComparison, TimelineHead
from hannun.domain.granularity import Granularity
from hannun.domain.projection import Course, days_used, projection, without
from hannun.domain.questions import (
    PAGE_MAX,
    ChannelsQuestion,
    OfEvent,
    OfMerchant,
    Order,
    RoiQuestion,
    Subject,
    TimelineQuestion,
    UserQuestion,
    cursor_of,
    place_of,
)
from hannun.domain.ranges import EVERYTHING, Range
from hannun.errors import NotFound
from hannun.store import reports
from hannun.store.database import AsyncConnection, ReadPool

_MINUTE = timedelta(minutes=1)

T = TypeVar("T")
Source = Literal["cache", "live"]
Topic = tuple[str, str]
"""("event", eventId) or ("user", userId)."""
Load = Callable[[], Awaitable[EncodedAnswer | None]]
_one_channel = msgspec.json.Decoder(response_schemas.Channel)


class Reports:
    """Answers questions. `now` is the clock, UTC, with a zone; `table` says which channel a name means;
    `database_away` is whether PostgreSQL is known to be.

    Every question raises
        NotFound: there is no such event or merchant that this asker may see.
        BadQuestion: it would have too many points, or its range is too long.
        StoreUnavailable: the answer is not in the cache, and PostgreSQL is away.
    """

    def __init__(
        self,
        reader: ReadPool,
        cache: AnswerCache,
        now: Callable[[], datetime],
        table: ChannelTable,
        database_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reader = reader
        self._cache = cache
        self._now = now
        self._table = table
        self._database_away = database_away
        self._running: set[asyncio.Task[Any]] = set()

    async def dashboard(
        self, asker: Principal, event_id: str, asked: Range = EVERYTHING, *, refresh: bool = False
    ) -> tuple[EncodedAnswer, Source]:
        """An event at a glance."""
        key = keys.dashboard(event_id) if asked.plain else None
        return await self._answer(asker, key, lambda: self._dashboard(event_id, asked), refresh)

    async def channels(
        self, asker: Principal, question: ChannelsQuestion, *, refresh: bool = False
    ) -> tuple[EncodedAnswer, Source]:
        """The channels of an event, or of a merchant's events together."""
        if isinstance(question.of, OfMerchant):
            self._may_ask(asker, question.of)
            return await self._answer(asker, None, lambda: self._channels(question), refresh)
        if len(question.channels) == 1 and question.range.plain and question.order == Order():
            try:
                return await self._channel(asker, question.of, question.channels[0], refresh)
            except NotFound:
                pass  # the event has no such channel, or is none that they may see: the whole question tells which
        return await self._answer(asker, None, lambda: self._channels(question), refresh)

    async def timeline(
        self, asker: Principal, question: TimelineQuestion, *, refresh: bool = False
    ) -> tuple[EncodedAnswer, Source]:
        """What happened over time."""
        if isinstance(question.of, OfMerchant):
            self._may_ask(asker, question.of)
            return await self._answer(asker, None, lambda: self._timeline(question, question.granularity), refresh)
        granularity = question.granularity
        if granularity is None and question.plain:
            granularity = await self._to_its_end(self._granularity_so_far(question.of))
        key = keys.timeline(question.of.event_id, granularity) if question.plain and granularity else None
        return await self._answer(asker, key, lambda: self._timeline(question, granularity), refresh)

    async def roi(
        self, asker: Principal, question: RoiQuestion, *, refresh: bool = False
    ) -> tuple[EncodedAnswer, Source]:
        """Whether an event, or a merchant's events together, were worth the money."""
        key = None
        if isinstance(question.of, OfMerchant):
            self._may_ask(asker, question.of)
        elif question.range.plain and not question.projection:
            key = keys.roi(question.of.event_id)
        return await self._answer(asker, key, lambda: self._roi(question), refresh)

    async def user(
        self, asker: Principal, question: UserQuestion, *, refresh: bool = False
    ) -> tuple[EncodedAnswer, Source]:
        """All of a merchant's events together, and a page of them. A merchant without events has an answer too."""
        self._may_ask(asker, question.of)
        key = keys.user(question.of.user_id) if question.plain else None
        return await self._answer(asker, key, lambda: self._user(question), refresh)

    def pages(self, asker: Principal, of: OfMerchant, asked: Range) -> AsyncGenerator[EncodedAnswer]:
        """All of a merchant's events, page by page, from one snapshot: who reads them reads on without waiting, and
        closes the generator. A reader that is cancelled would break the connection."""
        self._may_ask(asker, of)
        return self._pages(of, asked)

    async def _pages(self, of: OfMerchant, asked: Range) -> AsyncGenerator[EncodedAnswer]:
        now, question = self._utc_now(), UserQuestion(of, asked, limit=PAGE_MAX)
        async with self._reader.connection() as conn, conn.transaction():
            figures = await self._together(conn, of, asked, now)
            while True:
                answer, cursor = await self._page(conn, question, figures, now)
                yield answer
                if cursor is None:
                    return
                question = replace(question, cursor=cursor)

    @staticmethod
    def _may_ask(asker: Principal, of: OfMerchant) -> None:
        if not asker.may_see_merchant(of.user_id):
            raise NotFound("no such merchant")

    def copy(self, topic: Topic) -> EncodedAnswer | None:
        """The plain dashboard of a topic, where this process has a copy. Who may see it is for the caller to decide, by
        its owner."""
        answer = self._cache.get_local(_key_of(topic)) if self._cache.has_local_cache else None
        return None if answer is None else self._marked(answer)

    async def hit(self, topic: Topic, seen: int) -> EncodedAnswer | None:
        """The same, where Redis keeps one that is not older than what was `seen`."""
        key = _key_of(topic)
        if not self._cache.has_local_cache:
            answer = await self._cache.get(key, seen)
        else:
            with self._cache.local_fill_guard(key) as guard:
                answer = await self._cache.get(key, seen)
                if answer is not None:
                    self._cache.store_local(guard, key, answer)
        return None if answer is None else self._marked(answer)

    async def kept(self, topic: Topic) -> EncodedAnswer | None:
        """What Redis holds of a topic now, whoever it belongs to."""
        return await self._cache.get(_key_of(topic))

    async def rebuilt(self, topic: Topic) -> EncodedAnswer | None:
        """What the database says of it now."""
        kind, id_ = topic
        return await (
            self._dashboard(id_, EVERYTHING) if kind == "event" else self._user(UserQuestion(OfMerchant(id_)))
        )

    # -- the road of every answer

    async def _answer(
        self, asker: Principal, key: str | None, load: Load, refresh: bool
    ) -> tuple[EncodedAnswer, Source]:
        answer: EncodedAnswer | None
        source: Source = "cache"
        copy = None if key is None or refresh else self._cache.get_local(key, asker.seen)
        if copy is not None:
            answer = self._marked(copy)
        else:
            # Never cancelled half-way: a reader who has left must not break the connection under the next one.
            answer, source = await self._to_its_end(self._fetch(key, load, refresh, asker.seen))
        if answer is None or not asker.may_see(answer.owner):
            raise NotFound("no such event")
        return answer, source

    async def _fetch(
        self, key: str | None, load: Load, refresh: bool, seen: int
    ) -> tuple[EncodedAnswer | None, Source]:
        if key is None:
            return await load(), "live"
        with self._cache.local_fill_guard(key) as guard:
            answer, source = await self._read(key, load, refresh, seen)
            if answer is not None:
                self._cache.store_local(guard, key, answer)
        return (answer if answer is None or source == "live" else self._marked(answer)), source

    async def _read(self, key: str, load: Load, refresh: bool, seen: int) -> tuple[EncodedAnswer | None, Source]:
        if not refresh:
            kept = await self._cache.get(key, seen)
            if kept is not None:
                return kept, "cache"
            if not self._cache.available:
                return await self._told(key, load), "live"
        lease = await self._cache.acquire_lease(key, by_force=refresh)
        if lease is not None and not refresh:
            # Between our look and our lease another may have filled, and have given theirs back.
            filled_meanwhile = await self._cache.get(key, seen)
            if filled_meanwhile is not None:
                await self._cache.release(lease)
                return filled_meanwhile, "cache"
        if lease is None and self._cache.available:
            waited_for = await self._cache.wait_for_fill(key, seen)
            if waited_for is not None:
                return waited_for, "cache"
        if lease is None:
            return await self._told(key, load), "live"
        filled = False
        floor = self._cache.version_floor(key)
        try:
            answer = await load()
            if answer is not None:
                self._cache.record_answer(key, floor, answer)
                filled = await self._cache.fill(lease, answer)
        finally:
            if not filled:
                await self._cache.release(lease)
        return answer, "live"

    async def _told(self, key: str, load: Load) -> EncodedAnswer | None:
        """Past Redis: whoever saw this must not get what Redis still holds."""
        floor = self._cache.version_floor(key)
        answer = await load()
        if answer is not None:
            self._cache.record_answer(key, floor, answer)
        return answer

    def _marked(self, kept: EncodedAnswer) -> EncodedAnswer:
        """A kept answer says so where nobody can know whether it is still true."""
        return msgspec.structs.replace(kept, stale=True) if self._database_away() else kept

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    # -- one event

    async def _dashboard(self, event_id: str, asked: Range) -> EncodedAnswer | None:
        now = self._utc_now()
        before = asked.before(now)
        async with self._reader.connection() as conn, conn.transaction():
            event = await reports.event(conn, event_id)
            compared = None if event is None else await self._period(conn, [event.event_no], asked, before)
        if event is None:
            return None
        answer = views.dashboard(event, asked, compared, before)
        return _kept(answer, event.version, event.user_id, until=_until(asked, now))

    async def _channel(self, asker: Principal, of: OfEvent, name: str, refresh: bool) -> tuple[EncodedAnswer, Source]:
        """The question for one channel: what is kept is the channel, what is answered a list with it.

        Raises:
            NotFound: the event has no such channel, or is none that they may see.
        """
        channel = self._table.named(name)
        if channel is None:
            raise NotFound("no such channel")

        async def load() -> EncodedAnswer | None:
            async with self._reader.connection() as conn:
                event = await reports.event(conn, of.event_id)
            found = [each for each in event.channels if self._table.named(each.name) == channel] if event else []
            if event is None or not found:
                return None
            return _kept(views.channel(found[0]), found[0].changed, event.user_id)

        answer, source = await self._answer(asker, keys.channel(of.event_id, channel.name), load, refresh)
        body = response_schemas.encode(views.one_channel(of.event_id, _one_channel.decode(answer.body)))
        told = msgspec.structs.replace(answer, body=body, etag=response_schemas.etag_of(answer.version, body))
        return told, source

    async def _roi(self, question: RoiQuestion) -> EncodedAnswer | None:
        of, asked, now = question.of, question.range, self._utc_now()
        async with self._reader.connection() as conn, conn.transaction():
            if isinstance(of, OfMerchant):
                together = await self._merchant(conn, of)
                channels = await reports.merchant_channels(conn, together.event_nos)
                compared = await self._period(conn, together.event_nos, asked, None)
                several = without("several-events", None) if question.projection else None
                answer: response_schemas.Answered = views.user_roi(of, asked, together, channels, compared, several)
                return _kept(answer, together.version, of.user_id)
            event = await reports.event(conn, of.event_id)
            if event is None:
                return None
            compared = await self._period(conn, [event.event_no], asked, None)
            projected = await self._projection(conn, event, asked.tz, now) if question.projection else None
        return _kept(views.event_roi(event, asked, compared, projected), event.version, event.user_id)

    async def _projection(
        self, conn: AsyncConnection, event: EventFigures, tz: str, now: datetime
    ) -> response_schemas.Projection:
        """Where the event ends, made of its last complete days."""
        ends = event.ends_at
        projected_to = response_schemas.instant(ends, tz)
        if event.status != "ACTIVE" or (ends is not None and ends <= now):
            return without("over", projected_to)
        if ends is None:
            return without("no-end", None)
        first = await reports.first_minute(conn, event.event_id)
        if first is None:
            return without("nobody-came", projected_to)
        begun = buckets(seconds_of(first), seconds_of(now), Granularity.DAILY, tz)
        days = [at for at in (*begun.starts, begun.ends) if seconds_of(first) <= at <= seconds_of(now)]
        used = days_used(len(days) - 1)
        if used == 0:
            return without("too-early", projected_to)
        days = days[-used - 1 :]
        grid = Buckets(days[:-1], [0] * used, days[-1])
        came = await reports.timeline(conn, [event.event_no], grid, moment_of(days[0]), moment_of(days[-1]))
        sold = await reports.sales(conn, event.event_no, days)
        participants = [0] * used
        for place, count, *_ in came.filled:
            participants[place] = count
        counted = event.totals.counts.participants
        course = Course(
            participants,
            sold[:-1],
            days_left=(seconds_of(ends) - days[-1]) / DAY,
            participants_before=counted - came.after,
            participants_now=counted,
            recorded_before=(event.money.recorded or 0) - sold[-1],
        )
        return projection(course, event.money, projected_to)

    # -- a merchant's events

    async def _merchant(self, conn: AsyncConnection, of: OfMerchant) -> MerchantFigures:
        return await reports.merchant(
            conn,
            of.user_id,
            status=of.status,
            text=of.text,
            channel_keys=self._keys_of(of.channels) if of.channels else None,
        )

    async def _user(self, question: UserQuestion) -> EncodedAnswer:
        now = self._utc_now()
        async with self._reader.connection() as conn, conn.transaction():
            figures = await self._together(conn, question.of, question.range, now)
            answer, _ = await self._page(conn, question, figures, now)
        return answer

    async def _together(
        self, conn: AsyncConnection, of: OfMerchant, asked: Range, now: datetime
    ) -> tuple[MerchantFigures, PeriodComparison | None]:
        figures = await self._merchant(conn, of)
        return figures, await self._period(conn, figures.event_nos, asked, asked.before(now))

    async def _page(
        self,
        conn: AsyncConnection,
        question: UserQuestion,
        figures: tuple[MerchantFigures, PeriodComparison | None],
        now: datetime,
    ) -> tuple[EncodedAnswer, str | None]:
        """A page of a merchant's events, and the cursor of the next; None after the last."""
        of, asked, hour = question.of, question.range, now.replace(minute=0, second=0, microsecond=0)
        together, compared = figures
        found = await reports.merchant_page(
            conn,
            of.user_id,
            together.event_nos,
            asked,
            before=None if question.cursor is None else place_of(question.cursor),
            limit=question.limit + 1,
            hour=hour,
        )
        page = found[: question.limit]
        cursor = cursor_of(page[-1].created_at, page[-1].row_id) if len(found) > question.limit else None
        answer = views.user(of, asked, together, compared, asked.before(now), page, next_cursor=cursor)
        until = _until(asked, now) or hour + timedelta(hours=1)
        return _kept(answer, together.version, of.user_id, until=until), cursor

    # -- an event's, or a merchant's

    async def _channels(self, question: ChannelsQuestion) -> EncodedAnswer | None:
        of, asked = question.of, question.range
        keys_of = frozenset(self._keys_of(question.channels))
        wanted = (lambda name: bool(keys_of.intersection(self._keys_of([name])))) if question.channels else None
        async with self._reader.connection() as conn, conn.transaction():
            if isinstance(of, OfMerchant):
                together = await self._merchant(conn, of)
                found = await reports.merchant_channels(conn, together.event_nos)
                compared = await self._period(conn, together.event_nos, asked, None)
                answer: response_schemas.Answered = views.user_channels(
                    of, asked, together, found, compared, question.order, wanted
                )
                return _kept(answer, together.version, of.user_id)
            event = await reports.event(conn, of.event_id)
            if event is None:
                return None
            compared = await self._period(conn, [event.event_no], asked, None)
        return _kept(views.event_channels(event, asked, compared, question.order, wanted), event.version, event.user_id)

    async def _timeline(self, question: TimelineQuestion, granularity: Granularity | None) -> EncodedAnswer | None:
        asked, now = question.range, self._utc_now()
        async with self._reader.connection() as conn, conn.transaction():
            head = await self._head(conn, question.of)
            if head is None:
                return None
            this_minute = now.replace(second=0, microsecond=0)
            start = asked.start or head.first or this_minute
            end = asked.end or max(asked.until(now), (head.last or this_minute) + _MINUTE)
            if granularity is None:
                granularity = default_granularity(start, end if asked.end else now)
            grid = buckets(seconds_of(start), seconds_of(end), granularity, asked.tz)
            found = await reports.timeline(conn, head.event_nos, grid, start, end, head.last)
        answer = views.timeline(
            question, granularity, head, grid, found, range_ends=seconds_of(end), now=seconds_of(now)
        )
        # What stands there may stay as it is until the next bucket begins, which completes the one before.
        edges = [*grid.starts, grid.ends]
        turns = edges[bisect_right(edges, seconds_of(now)) :]
        until = None if asked.end is not None and asked.end <= now else moment_of([*turns, seconds_of(now) + 60][0])
        return _kept(answer, head.version, head.owner, until=until)

    async def _head(self, conn: AsyncConnection, of: Subject) -> TimelineHead | None:
        if isinstance(of, OfEvent):
            return await reports.timeline_head(conn, of.event_id)
        return await reports.merchant_timeline_head(conn, of.user_id, await self._merchant(conn, of))

    async def _granularity_so_far(self, of: OfEvent) -> Granularity:
        async with self._reader.connection() as conn:
            start = await reports.first_minute(conn, of.event_id)
        now = self._utc_now()
        return default_granularity(start or now, now)

    @staticmethod
    async def _period(
        conn: AsyncConnection, event_nos: list[int], asked: Range, before: Range | None
    ) -> PeriodComparison | None:
        """What happened within a range; None where none is asked for: then it is all that ever did."""
        return await reports.period(conn, event_nos, asked, before) if asked.bounded else None

    def _keys_of(self, names: Iterable[str]) -> list[str]:
        return [channel.key for channel in map(self._table.named, names) if channel is not None]

    def _utc_now(self) -> datetime:
        return self._now().astimezone(UTC).replace(tzinfo=None)


class Uncached(Reports):
    """Answers from the database alone, for a command."""

    def __init__(self, reader: ReadPool, now: Callable[[], datetime], table: ChannelTable) -> None:
        self._reader = reader
        self._now = now
        self._table = table
        self._running = set()

    async def _answer(
        self, asker: Principal, key: str | None, load: Load, refresh: bool
    ) -> tuple[EncodedAnswer, Source]:
        answer = await load()
        if answer is None or not asker.may_see(answer.owner):
            raise NotFound("no such event")
        return answer, "live"


def _key_of(topic: Topic) -> str:
    kind, id_ = topic
    return keys.dashboard(id_) if kind == "event" else keys.user(id_)


def _kept(answer: response_schemas.Answered, version: int, owner: str, until: datetime | None = None) -> EncodedAnswer:
    """The answer as bytes; `until`, UTC, is when it stops being true by itself."""
    body = response_schemas.encode(answer)
    return EncodedAnswer(
        body, version, owner, response_schemas.etag_of(version, body), 0 if until is None else seconds_of(until) * 1000
    )


def _until(asked: Range, now: datetime) -> datetime | None:
    """A range that ends now is compared with another one a minute later."""
    return asked.until(now) if asked.start is not None and asked.end is None else None
