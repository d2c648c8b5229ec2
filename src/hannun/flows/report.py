"""Answer a question: from the cache, else from one snapshot of PostgreSQL, filling the cache under a lease.

    question ─► hit ─────────────────────────────────────────────► answer (cache)
             └► miss ─► lease ─► PostgreSQL ─► fill if it stands ─► answer (live)
                     └► somebody reads already: wait for theirs ──► answer (cache), or PostgreSQL without filling
    a copy in this process that may still be believed stands before all that.

Who may see an answer is decided by its owner, which stands in it: another's event looks like none at all.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from hannun.cache import Answer, AnswerCache
from hannun.domain import answers, keys
from hannun.domain.keys import Granularity
from hannun.domain.metrics import Counts, number, total
from hannun.domain.trend import trend
from hannun.errors import BadQuestion, NotFound
from hannun.store import reports
from hannun.store.database import Reader

DEFAULT_TZ = "Asia/Seoul"
POINTS_MAX = 50_000
PAGE_DEFAULT, PAGE_MAX = 50, 200
HOURLY_UP_TO = timedelta(days=7)

_UNITS = {
    Granularity.MINUTE: ("minute", "1 minute"),
    Granularity.HOURLY: ("hour", "1 hour"),
    Granularity.DAILY: ("day", "1 day"),
    Granularity.WEEKLY: ("week", "1 week"),
    Granularity.MONTHLY: ("month", "1 month"),
}


_OF_DAYS = (Granularity.DAILY, Granularity.WEEKLY, Granularity.MONTHLY)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a merchant sees their own, an ADMIN everything.

    `seen` is the version of the answer that they have already (If-None-Match): they get none that is older.
    """

    user_id: str
    roles: frozenset[str]
    seen: int = 0

    def may_see(self, owner: str) -> bool:
        return owner == self.user_id or "ADMIN" in self.roles


@dataclass(frozen=True, slots=True)
class TimelineQuestion:
    """A timeline of an event. Instants are UTC, cut to the minute; None is open."""

    event_id: str
    granularity: Granularity | None = None
    tz: str = DEFAULT_TZ
    start: datetime | None = None
    end: datetime | None = None

    @property
    def plain(self) -> bool:
        return self.tz == DEFAULT_TZ and self.start is None and self.end is None


@dataclass(frozen=True, slots=True)
class UserQuestion:
    """A page of a merchant's events."""

    user_id: str
    status: str | None = None
    cursor: str | None = None
    limit: int = PAGE_DEFAULT

    @property
    def plain(self) -> bool:
        return self.status is None and self.cursor is None and self.limit == PAGE_DEFAULT


T = TypeVar("T")
Source = Literal["cache", "live"]
Load = Callable[[], Awaitable[Answer | None]]


class Reports:
    """Answers questions. `now` is the clock, UTC, with a zone; `database_away` is whether PostgreSQL is known to be."""

    def __init__(
        self,
        reader: Reader,
        cache: AnswerCache,
        now: Callable[[], datetime],
        database_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reader = reader
        self._cache = cache
        self._now = now
        self._database_away = database_away
        self._running: set[asyncio.Task[Any]] = set()

    async def dashboard(self, asker: Asker, event_id: str, *, refresh: bool = False) -> tuple[Answer, Source]:
        """The dashboard of an event.

        Raises:
            NotFound: there is no such event that this asker may see.
            StoreUnavailable: it is not in the cache, and PostgreSQL is away.
        """
        return await self._answer(asker, keys.dashboard(event_id), lambda: self._dashboard(event_id), refresh)

    async def timeline(
        self, asker: Asker, question: TimelineQuestion, *, refresh: bool = False
    ) -> tuple[Answer, Source]:
        """The timeline of an event. Raises as `dashboard`, and BadQuestion where it would have too many points."""
        granularity = question.granularity or await self._default_granularity(question)
        key = keys.timeline(question.event_id, granularity) if question.plain else None
        return await self._answer(asker, key, lambda: self._timeline(question, granularity), refresh)

    async def user(self, asker: Asker, question: UserQuestion, *, refresh: bool = False) -> tuple[Answer, Source]:
        """All of a merchant's events together, and a page of them. A merchant without events has an answer too."""
        if not asker.may_see(question.user_id):
            raise NotFound("no such merchant")
        key = keys.user(question.user_id) if question.plain else None
        return await self._answer(asker, key, lambda: self._user(question), refresh)

    async def kept(self, topic: tuple[str, str]) -> Answer | None:
        """What Redis holds of ("event", eventId) or ("user", userId) now, whoever it belongs to."""
        kind, id_ = topic
        return await self._cache.get(keys.dashboard(id_) if kind == "event" else keys.user(id_))

    async def rebuilt(self, topic: tuple[str, str]) -> Answer | None:
        """What the database says of it now."""
        kind, id_ = topic
        return await (self._dashboard(id_) if kind == "event" else self._user(UserQuestion(id_)))

    # -- the road of every answer

    async def _answer(self, asker: Asker, key: str | None, load: Load, refresh: bool) -> tuple[Answer, Source]:
        answer: Answer | None
        source: Source = "cache"
        copy = None if key is None or refresh else self._cache.copy(key, asker.seen)
        if copy is not None:
            answer = self._marked(copy)
        else:
            # Never cancelled half-way: a reader who has left must not break the connection under the next one.
            answer, source = await self._to_its_end(self._fetch(key, load, refresh, asker.seen))
        if answer is None or not asker.may_see(answer.owner):
            raise NotFound("no such event")
        return answer, source

    async def _fetch(self, key: str | None, load: Load, refresh: bool, seen: int) -> tuple[Answer | None, Source]:
        if key is None:
            return await load(), "live"
        with self._cache.reading(key) as guard:
            answer, source = await self._read(key, load, refresh, seen)
            if answer is not None:
                self._cache.keep(guard, key, answer)
        return (answer if answer is None or source == "live" else self._marked(answer)), source

    async def _read(self, key: str, load: Load, refresh: bool, seen: int) -> tuple[Answer | None, Source]:
        if not refresh:
            kept = await self._cache.get(key, seen)
            if kept is not None:
                return kept, "cache"
            if not self._cache.available:
                return await self._told(key, load), "live"
        lease = await self._cache.lease(key, by_force=refresh)
        if lease is None and self._cache.available:
            waited_for = await self._cache.wait(key, seen)
            if waited_for is not None:
                return waited_for, "cache"
        if lease is None:
            return await self._told(key, load), "live"
        filled = False
        floor = self._cache.floor(key)
        try:
            answer = await load()
            if answer is not None:
                self._cache.told(key, floor, answer)
                filled = await self._cache.fill(lease, answer)
        finally:
            if not filled:
                await self._cache.release(lease)
        return answer, "live"

    async def _told(self, key: str, load: Load) -> Answer | None:
        """Past Redis: whoever saw this must not get what Redis still holds."""
        floor = self._cache.floor(key)
        answer = await load()
        if answer is not None:
            self._cache.told(key, floor, answer)
        return answer

    def _marked(self, kept: Answer) -> Answer:
        """A kept answer says so where nobody can know whether it is still true."""
        return replace(kept, stale=True) if self._database_away() else kept

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    # -- figures to answers

    async def _dashboard(self, event_id: str) -> Answer | None:
        async with self._reader.connection() as conn:
            found = await reports.dashboard(conn, event_id)
        if found is None:
            return None
        as_of = answers.changed_at(found.version)
        channels = [
            answers.channel_of(
                channel.name,
                channel.type,
                _state_of(channel),
                None,
                channel.counts,
                channel.expected_views,
                channel.cost,
            )
            for channel in found.channels
        ]
        counts = total(channel.counts for channel in found.channels)
        counts += Counts(participants=found.participants - counts.participants)  # with those of no channel
        clicked = total(channel.counts for channel in found.channels if channel.type != "VOICE")
        answer = answers.Dashboard(
            event_id=found.event_id,
            event_title=found.title,
            status=found.status,
            start_date=answers.instant(found.starts_at),
            end_date=answers.instant(found.ends_at),
            period=answers.Period(None, None, DEFAULT_TZ),
            summary=answers.summary_of(counts, clicked, found.unattributed),
            channel_performance=channels,
            roi=answers.roi_of(found.money, counts, found.target_roi),
            provenance=answers.provenance_of(found.money, [channel.state for channel in channels], as_of),
            last_updated_at=as_of,
        )
        return _kept(answer, found.version, found.user_id)

    async def _timeline(self, question: TimelineQuestion, granularity: Granularity) -> Answer | None:
        now = self._now().astimezone(UTC).replace(tzinfo=None)
        unit, step = _UNITS[granularity]
        async with self._reader.connection() as conn:
            found = await reports.timeline(
                conn,
                question.event_id,
                unit=unit,
                step=step,
                tz=question.tz,
                start=question.start,
                end=question.end,
                now=now,
                points_max=POINTS_MAX,
            )
        if found is None:
            return None
        if len(found.points) > POINTS_MAX:
            raise BadQuestion(
                f"more than {POINTS_MAX} points: ask for a shorter range or a coarser granularity",
                code="too-many-points",
                field="granularity",
            )
        zone = ZoneInfo(question.tz)
        starts = [datetime.fromtimestamp(point[0], zone) for point in found.points]
        if granularity in _OF_DAYS:  # where midnight comes twice, a day begins with the first
            starts = [start.replace(fold=0) for start in starts]
        points = [
            answers.DataPoint(start.isoformat(), *point[1:]) for start, point in zip(starts, found.points, strict=True)
        ]
        complete = [(point.participants, start) for point, start in zip(points, starts, strict=True) if point.complete]
        answer = answers.Timeline(
            event_id=question.event_id,
            granularity=granularity,
            tz=question.tz,
            period=answers.Period(
                answers.instant(question.start, question.tz), answers.instant(question.end, question.tz), question.tz
            ),
            data_points=points,
            trend=trend(
                [participants for participants, _ in complete],
                [start for _, start in complete],
                hourly=granularity in (Granularity.MINUTE, Granularity.HOURLY),
            ),
            totals=answers.TimelineTotals(*(sum(point[column] for point in found.points) for column in (1, 2, 3, 4))),
            last_updated_at=answers.changed_at(found.version),
        )
        # A new minute begins a new bucket, or completes one.
        next_minute = datetime.fromtimestamp((self._now().timestamp() // 60 + 1) * 60, UTC)
        return _kept(answer, found.version, found.user_id, until=next_minute)

    async def _default_granularity(self, question: TimelineQuestion) -> Granularity:
        """Hourly up to 7 days, else daily."""
        start = question.start
        end = question.end or self._now().astimezone(UTC).replace(tzinfo=None)
        if start is None:
            async with self._reader.connection() as conn:
                start = await reports.first_minute(conn, question.event_id)
        return Granularity.HOURLY if start is None or end - start <= HOURLY_UP_TO else Granularity.DAILY

    async def _user(self, question: UserQuestion) -> Answer:
        now = self._now().astimezone(UTC).replace(tzinfo=None)
        hour = now.replace(minute=0, second=0, microsecond=0)
        async with self._reader.connection() as conn:
            found = await reports.user(
                conn,
                question.user_id,
                status=question.status,
                before=None if question.cursor is None else _place_of(question.cursor),
                limit=question.limit + 1,
                hour=hour,
            )
        page = found.page[: question.limit]
        answer = answers.User(
            user_id=question.user_id,
            total_events=found.events,
            summary=answers.summary_of(found.counts, found.clicked, found.unattributed),
            roi=answers.roi_of(found.money, found.counts, target_roi=None),
            events=[_user_event(line) for line in page],
            next_cursor=_cursor_of(page[-1]) if len(found.page) > question.limit else None,
            last_updated_at=answers.changed_at(found.version),
        )
        next_hour = hour.replace(tzinfo=UTC) + timedelta(hours=1)
        return _kept(answer, found.version, question.user_id, until=next_hour)


def _kept(answer: Any, version: int, owner: str, until: datetime | None = None) -> Answer:
    body = answers.encode(answer)
    until_ms = 0 if until is None else int(until.timestamp() * 1000)
    return Answer(body, version, owner, answers.etag_of(version, body), until_ms)


def _state_of(channel: reports.ChannelFigures) -> str:
    """What is known of a channel that nobody has polled: its distribution's state is all there is."""
    if channel.delivery == "FAILED":
        return "failed"
    return "planned" if channel.delivery == "SUCCESS" else "unknown"


def _user_event(line: reports.EventLine) -> answers.UserEvent:
    current = line.money.current_roi
    return answers.UserEvent(
        event_id=line.event_id,
        event_title=line.title,
        status=line.status,
        start_date=answers.instant(line.starts_at),
        end_date=answers.instant(line.ends_at),
        total_participants=line.participants,
        total_views=line.views,
        current_roi=number(current),
        target_roi=number(line.target_roi) or 0,
        sparkline=list(line.last_hours),
        last_updated_at=answers.changed_at(line.version),
    )


def _cursor_of(line: reports.EventLine) -> str:
    return base64.urlsafe_b64encode(f"{line.created_at.isoformat()}/{line.row_id}".encode()).decode().rstrip("=")


def _place_of(cursor: str) -> tuple[datetime, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, row_id = text.split("/")
        place = datetime.fromisoformat(at).replace(tzinfo=None), int(row_id)
        if not 0 <= place[1] < 2**63:
            raise ValueError("not a row's number")
        return place
    except (ValueError, binascii.Error) as error:
        raise BadQuestion(
            "this cursor is not one of ours: take nextCursor as it came", code="bad-cursor", field="cursor"
        ) from error
