"""Answers in the memory of one process: a second at most, and only while announcements are known to arrive.

    ask ─► begin: a guard ─► read Redis or PostgreSQL ─► keep, if the guard still stands
                                                           ▲
    announced: drop the copies and the guards of its keys ─┘       lost: drop everything, believe nothing until `heard`

What was read before an invalidation is never kept after it: the invalidation comes first and its announcement second,
so whatever was read before the one began before the other, and its guard is gone. (Kept after `await get`, one in five
of such races left a copy that was wrong.)

`heard` says up to which moment nothing can have been missed: a ping on the subscription was sent then, and its answer
has come, so everything announced before has come too. A copy older than that by more than `LAG_S_MAX` is not believed,
however the line is: cut, frozen, or full.

`VersionFloors` hold the other promise, that numbers never run backwards: what this process has told, or has
counted itself, is the least that it tells from now on.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from hannun.domain.answer import EncodedAnswer

LIVES_S: Final = 1.0
"""How long a copy lives at most, from before it was read."""
LAG_S_MAX: Final = 0.1
"""How far behind the announcements a copy may be."""
_OVERHEAD_BYTES: Final = 600  # of an entry, its answer and their texts, about
_OF_ALL_MAX: Final = 8  # no answer takes more than this part of the room
FLOORS_MAX: Final = 50_000
_ABOVE_ALL: Final = 1 << 128  # no version is as high


@dataclass(eq=False, slots=True)
class FillGuard:
    """The right to keep what is read from here on, until its key is announced. `began_s` is the process's clock."""

    key: str
    began_s: float


class _Copy(NamedTuple):
    answer: EncodedAnswer
    began_s: float
    size: int


class LocalCache:
    """Copies of one process, in its event loop. Every `now_s` is the same steady clock, in seconds.

    Args:
        bytes_max: the room that they may take together; 0 keeps none.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._guards: dict[str, set[FillGuard]] = {}
        self._heard_s: float | None = None
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._copies)

    @property
    def wanted(self) -> bool:
        """Whether there is room for any."""
        return self._bytes_max > 0

    def get(self, key: str, now_s: float, now_ms: int) -> EncodedAnswer | None:
        """The copy, where it may be believed."""
        copy = self._copies.get(key)
        if copy is None or self._heard_s is None or now_s - self._heard_s > LAG_S_MAX:
            return None
        answer = copy.answer
        if now_s - copy.began_s > LIVES_S or (answer.until_ms and now_ms >= answer.until_ms):
            self._remove(key)
            return None
        return answer

    # -- what is read

    def begin(self, key: str, now_s: float) -> FillGuard | None:
        """Before reading: the right to keep what will be read. None where nothing is heard."""
        if self._heard_s is None:
            return None
        guard = FillGuard(key, now_s)
        self._guards.setdefault(key, set()).add(guard)
        return guard

    def keep(self, guard: FillGuard | None, key: str, answer: EncodedAnswer) -> None:
        """After reading: keep it, if nothing was announced since. An older copy goes in any case."""
        copy = self._copies.get(key)
        if copy is not None and copy.answer.version < answer.version:
            self._remove(key)
            copy = None
        if not self._stands(guard) or (copy is not None and copy.answer.version > answer.version):
            return
        assert guard is not None
        size = len(answer.body) + _OVERHEAD_BYTES
        if size > self._bytes_max // _OF_ALL_MAX:
            return
        self._remove(key)
        self._copies[key] = _Copy(answer, guard.began_s, size)
        self.bytes += size
        while self.bytes > self._bytes_max:
            self._remove(next(iter(self._copies)))

    def end(self, guard: FillGuard | None) -> None:
        """Whatever became of the reading, its guard is needed no more."""
        if guard is None:
            return
        guards = self._guards.get(guard.key)
        if guards is not None:
            guards.discard(guard)
            if not guards:
                del self._guards[guard.key]

    def _stands(self, guard: FillGuard | None) -> bool:
        return guard is not None and guard in self._guards.get(guard.key, ())

    # -- what is heard

    def announced(self, false: Iterable[str]) -> None:
        """These keys were invalidated."""
        for key in false:
            self._remove(key)
            self._guards.pop(key, None)

    def heard(self, up_to_s: float) -> None:
        """All that was announced before this moment has come."""
        if self.wanted:
            self._heard_s = up_to_s

    def lost(self) -> None:
        """Announcements may have been missed: nothing is believed, and nothing that is being read will be kept."""
        self._heard_s = None
        self._copies.clear()
        self._guards.clear()
        self.bytes = 0

    def _remove(self, key: str) -> None:
        copy = self._copies.pop(key, None)
        if copy is not None:
            self.bytes -= copy.size


class VersionFloors:
    """The least version that may be told of a key. For any thread.

    Only of what Redis, or a copy here, may not know yet: an answer past them, or a commit of this process, until an
    answer is filled that has it. So there are few; of too many the oldest are forgotten.
    """

    def __init__(self) -> None:
        self._floors: dict[str, int] = {}
        self._unknown = itertools.count(_ABOVE_ALL)
        self._turn = threading.Lock()

    def of(self, key: str) -> int:
        return self._floors.get(key, 0)

    def rise(self, key: str, version: int) -> None:
        """Nothing older from here on."""
        with self._turn:
            self._floors[key] = max(self._floors.pop(key, 0), version)
            if len(self._floors) > FLOORS_MAX:
                del self._floors[next(iter(self._floors))]

    def outdate(self, key: str) -> None:
        """Nothing but what the database says when it is asked from here on: it has changed, to a version that nobody
        knows. Each time the floor is another one, so that who asked before does not lower it."""
        self.rise(key, next(self._unknown))

    def read(self, key: str, before: int, version: int) -> None:
        """The database said `version` when asked after the floor was `before`. Lower, it was restored: so be it."""
        if version >= before:
            self.rise(key, version)
            return
        with self._turn:
            if self._floors.get(key) == before:
                self._floors[key] = version

    def settle(self, key: str, version: int) -> None:
        """Redis knows this version now."""
        with self._turn:
            if self._floors.get(key, version + 1) <= version:
                del self._floors[key]
