"""Rebuilds the cached answers of many events, by one statement for hundreds of them.

    leases on all keys ─► one snapshot of all events ─► dashboard, ROI ─► fill all

It follows the protocol of a single fill (`cached_reader`): a lease is taken before the database is read, so what a
commit changes meanwhile is not filled. A key that somebody else is filling is left to them. For each key
it takes the steps of a reader that misses, in the same order, so `tests/cache/model.py` explores its interleavings too.

Other answers are computed for their next reader: timelines and a merchant's answers, which would take a statement each,
and the answers about one channel, which are rarely read and would be six times as many entries.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from hannun.cache import AnswerCache, keys
from hannun.domain import views
from hannun.domain.answer import EncodedAnswer
from hannun.domain.channel_state import next_stale
from hannun.domain.figures import EventDashboardFigures, EventFigures, EventRoiFigures
from hannun.domain.questions import EventDashboardQuestion, EventSubject, RoiQuestion
from hannun.flows.report.snapshot import Loaded, encoded
from hannun.store import reports
from hannun.store.database import ReadPool

EVENTS_AT_ONCE = 250
"""Events in one snapshot: their leases must not expire before their answers are filled, which takes a tenth of that."""


class Rebuilder:
    """Rebuilds answers of events.

    Args:
        now: the clock, UTC, with a zone.
        stale_after: how long what a channel has measured is good.
    """

    def __init__(
        self, database: ReadPool, cache: AnswerCache, now: Callable[[], datetime], stale_after: timedelta
    ) -> None:
        self._database = database
        self._cache = cache
        self._now = now
        self._stale_after = stale_after

    async def rebuild(self, event_ids: Sequence[str]) -> int:
        """Rebuild the answers of these events. Returns how many answers were cached: none while Redis is unavailable.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        filled = 0
        for first in range(0, len(event_ids), EVENTS_AT_ONCE):
            filled += await self._rebuild(event_ids[first : first + EVENTS_AT_ONCE])
        return filled

    async def _rebuild(self, event_ids: Sequence[str]) -> int:
        wanted = [key for id_ in event_ids for key in (keys.dashboard(id_), keys.roi(id_))]
        leases = {lease.key: lease for lease in await self._cache.acquire_leases(wanted)}
        if not leases:
            return 0
        filled = set[str]()
        try:
            now = self._now().astimezone(UTC).replace(tzinfo=None)
            events = await self._database.read(lambda conn: reports.events(conn, event_ids, now, self._stale_after))
            answers = (found for event in events for found in answers_of(event, now))
            filled = await self._cache.fill_all([(leases[key], answer) for key, answer in answers if key in leases])
            return len(filled)
        finally:
            if unfilled := [lease for key, lease in leases.items() if key not in filled]:
                await self._cache.release_all(unfilled)


def answers_of(event: EventFigures, now: datetime) -> Iterator[tuple[str, EncodedAnswer]]:
    """The answers of an event that are cached under its keys, by key: the same bytes as of a single read."""
    stale_at = next_stale((channel.measured for channel in event.channels), now)
    subject = EventSubject(event.event_id)
    dashboard = views.event_dashboard(EventDashboardQuestion(subject), EventDashboardFigures(event, None, None, now))
    roi = views.event_roi(RoiQuestion(subject), EventRoiFigures(event, None, None, now))
    for key, answer in ((keys.dashboard(event.event_id), dashboard), (keys.roi(event.event_id), roi)):
        yield key, encoded(answer, Loaded(event, event.version, event.user_id, stale_at))
