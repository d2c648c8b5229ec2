"""The local cache: answers in the memory of one process, for at most a second, while its subscription is confirmed.

    begin_read: a guard ─► read Redis or PostgreSQL ─► put, if the guard is still valid
                                                        ▲
    invalidate: removes the entries and guards of keys ─┘    suspend: removes everything, and serves nothing
                                                                      until confirm_up_to is called again

What was read before an invalidation is never stored after it. The writer deletes from Redis first and announces second.
So a read that saw the old value had begun before the announcement, and the announcement removed its guard. (Without
guards, with an entry stored right after `await get`, one in five of such races left a wrong entry.)

`confirm_up_to` gives the moment up to which no announcement can have been missed. A ping was sent on the subscription
at that moment and its answer has arrived, so everything announced before it has arrived too. An entry is served for at
most `LAG_S_MAX` after that moment, however the connection fails: closed, frozen, or congested.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from hannun.domain.answer import EncodedAnswer

LIFETIME_S: Final = 1.0
"""How long an entry is served at most, counted from before it was read."""
RENEW_AFTER_S: Final = 0.9
"""From this age on one reader renews an entry. If it expired for all, all readers of a busy key would go to Redis."""
LAG_S_MAX: Final = 0.1
"""How far an entry may be behind the announcements."""
_OVERHEAD_BYTES: Final = 600  # of an entry, its answer and their strings, roughly
_ENTRIES_IN_FULL_CACHE_MIN: Final = 8  # one entry takes at most this fraction of the cache


@dataclass(eq=False, slots=True)
class FillGuard:
    """The right to store what is read from now on, until its key is invalidated. `began_s` is the monotonic clock."""

    key: str
    began_s: float


class _Entry(NamedTuple):
    """An answer, which was read at `began_s`. `renewed`: a reader was sent to Redis to renew it."""

    answer: EncodedAnswer
    began_s: float
    size: int
    renewed: bool = False


class LocalCache:
    """The local cache of one process, for use in its event loop. Every `now_s` is the same monotonic clock, in seconds.

    Args:
        bytes_max: the memory that all entries together may take; 0 stores none.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._guards: dict[str, set[FillGuard]] = {}
        self._confirmed_up_to_s: float | None = None
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def enabled(self) -> bool:
        """Whether there is memory for any entry."""
        return self._bytes_max > 0

    def get(self, key: str, now_s: float, now_ms: int) -> EncodedAnswer | None:
        """The answer of a key; None if there is none, it has expired, or the subscription is not confirmed, and once to
        the first reader of an entry that is about to expire, who renews it.

        `now_ms` is the time since 1970, for answers that stop being true by themselves.
        """
        entry = self._entries.get(key)
        if entry is None or self._confirmed_up_to_s is None or now_s - self._confirmed_up_to_s > LAG_S_MAX:
            return None
        answer = entry.answer
        if now_s - entry.began_s > LIFETIME_S or (answer.until_ms and now_ms >= answer.until_ms):
            self._remove(key)
            return None
        if now_s - entry.began_s > RENEW_AFTER_S and not entry.renewed:
            self._entries[key] = entry._replace(renewed=True)
            return None
        return answer

    # -- reads that fill it

    def begin_read(self, key: str, now_s: float) -> FillGuard | None:
        """Before a read: the right to store its result. None while the subscription is not confirmed."""
        if self._confirmed_up_to_s is None:
            return None
        guard = FillGuard(key, now_s)
        self._guards.setdefault(key, set()).add(guard)
        return guard

    def put(self, guard: FillGuard | None, key: str, answer: EncodedAnswer) -> None:
        """After a read: store its result, if the key was not invalidated since. An older entry is removed anyway."""
        entry = self._entries.get(key)
        if entry is not None and entry.answer.version < answer.version:
            self._remove(key)
            entry = None
        if not self._is_valid(guard) or (entry is not None and entry.answer.version > answer.version):
            return
        assert guard is not None
        size = len(answer.body) + _OVERHEAD_BYTES
        if size > self._bytes_max // _ENTRIES_IN_FULL_CACHE_MIN:
            return
        self._remove(key)
        self._entries[key] = _Entry(answer, guard.began_s, size)
        self.bytes += size
        while self.bytes > self._bytes_max:
            self._remove(next(iter(self._entries)))

    def end_read(self, guard: FillGuard | None) -> None:
        """After a read, whether it succeeded or not: remove its guard."""
        if guard is None:
            return
        guards = self._guards.get(guard.key)
        if guards is not None:
            guards.discard(guard)
            if not guards:
                del self._guards[guard.key]

    def _is_valid(self, guard: FillGuard | None) -> bool:
        return guard is not None and guard in self._guards.get(guard.key, ())

    # -- what the subscription receives

    def invalidate(self, keys: Iterable[str]) -> None:
        """Remove the entries of these keys, and the guards of reads under way."""
        for key in keys:
            self._remove(key)
            self._guards.pop(key, None)

    def confirm_up_to(self, sent_s: float) -> None:
        """Everything that was announced before this moment has arrived."""
        if self.enabled:
            self._confirmed_up_to_s = sent_s

    def suspend(self) -> None:
        """Announcements may have been missed: remove all entries and guards.

        Nothing is served and no guard is given until the subscription is confirmed again.
        """
        self._confirmed_up_to_s = None
        self._entries.clear()
        self._guards.clear()
        self.bytes = 0

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size
