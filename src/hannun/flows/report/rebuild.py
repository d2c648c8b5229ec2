"""Rebuilds the cached answers of many events, by one statement for hundreds of them.

    leases on all keys ─► one snapshot of all events ─► dashboard, ROI ─► fill all

It follows the protocol of a single fill (`cached_reader`): a lease is taken before the database is read, so what a
commit changes meanwhile is not filled. A key that somebody else is filling is left to them. For each key
it takes the steps of a reader that misses, in the same order, so `tests/cache/model.py` explores its interleavings too.

Other answers are computed for their next reader: timelines and a merchant's answers, which would take a statement each,
and the answers about one channel, which are rarely read and would be six times as many entries.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from hannun.cache import AnswerCache, keys
from hannun.domain import views
from hannun.domain.answer import EncodedAnswer
from hannun.domain.channel_state import next_stale
from hannun.domain.channels import ChannelTable
from hannun.domain.figures import EventDashboardFigures, EventFigures, EventRoiFigures
from hannun.domain.questions import EventDashboardQuestion, EventSubject, RoiQuestion
from hannun.flows.report.snapshot import Loaded, encoded
from hannun.store import reports
from hannun.store.database import ReadPool

EVENTS_AT_ONCE = 250
"""Events in one snapshot: their leases must not expire before their answers are filled, which takes a tenth of that."""

ATTEMPTS = 3
AGAIN_S = 0.25
"""The pause before another attempt. The relay delivers waiting invalidations within HANNUN_INVALIDATIONS_APART_S, by
default 0.05 s. Where that is set higher, every attempt may be refused; then the first reader computes the answer."""


class Rebuilder:
    """Rebuilds answers of events.

    Args:
        now: the clock, UTC, with a zone.
        names: the titles of channels.
        stale_after: how long what a channel has measured is good.
    """

    def __init__(
        self,
        database: ReadPool,
        cache: AnswerCache,
        now: Callable[[], datetime],
        names: ChannelTable,
        stale_after: timedelta,
    ) -> None:
        self._database = database
        self._cache = cache
        self._now = now
        self._names = names
        self._stale_after = stale_after

    async def rebuild(self, event_ids: Sequence[str]) -> int:
        """Rebuild the answers of these events. Returns how many answers were cached: none while Redis is unavailable.

        The invalidations of what was just recorded may arrive while it is rebuilt; then those answers are refused, and
        rebuilt again.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        filled = set[str]()
        left = list(event_ids)
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(AGAIN_S)
            refused: list[str] = []
            for first in range(0, len(left), EVENTS_AT_ONCE):
                refused += await self._rebuild(left[first : first + EVENTS_AT_ONCE], filled)
            if not refused:
                break
            left = refused
        return len(filled)

    async def _rebuild(self, event_ids: Sequence[str], filled: set[str]) -> list[str]:
        """Rebuild events at once, and add the keys whose answers were cached to `filled`. Returns the events of which
        an answer was refused."""
        wanted = [key for id_ in event_ids for key in (keys.dashboard(id_), keys.roi(id_)) if key not in filled]
        leases = {lease.key: lease for lease in await self._cache.acquire_leases(wanted)}
        if not leases:
            return []
        accepted = set[str]()
        try:
            now = self._now().astimezone(UTC).replace(tzinfo=None)
            events = await self._database.read(lambda conn: reports.events(conn, event_ids, now, self._stale_after))
            ready = [
                (event.event_id, leases[key], answer)
                for event in events
                for key, answer in answers_of(event, now, self._names)
                if key in leases
            ]
            accepted = await self._cache.fill_all([(lease, answer) for _, lease, answer in ready])
            filled |= accepted
            return list(dict.fromkeys(event_id for event_id, lease, _ in ready if lease.key not in accepted))
        finally:
            if unfilled := [lease for key, lease in leases.items() if key not in accepted]:
                await self._cache.release_all(unfilled)


def answers_of(event: EventFigures, now: datetime, names: ChannelTable) -> Iterator[tuple[str, EncodedAnswer]]:
    """The answers of an event that are cached under its keys, by key: the same bytes as of a single read."""
    stale_at = next_stale((channel.measured for channel in event.channels), now)
    subject = EventSubject(event.event_id)
    dashboard = views.event_dashboard(
        EventDashboardQuestion(subject), EventDashboardFigures(event, None, None, now, names)
    )
    roi = views.event_roi(RoiQuestion(subject), EventRoiFigures(event, None, None, now, names))
    for key, answer in ((keys.dashboard(event.event_id), dashboard), (keys.roi(event.event_id), roi)):
        yield key, encoded(answer, Loaded(event, event.version, event.user_id, stale_at))
