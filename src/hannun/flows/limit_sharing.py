"""What callers take of their limits in all processes together.

    take ─► this process's own bucket decides, at once
    once a second: what was taken here ─► told to the others ─► off their buckets too

So who asks several processes gets no more than who asks one, but for what comes through before the others know; and
that is off their buckets afterwards, so they wait for it. While Redis is away each process goes on by its own count.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Final, Protocol

import msgspec

EVERY_S: Final = 1.0
SUBJECTS_AT_ONCE: Final = 5_000
"""Of how many subjects of a limit a process tells at most in one go: about 200 KB, and 5 ms for whoever hears it."""


class Limit(Protocol):
    """A limit in this process."""

    def told(self, subjects_max: int) -> Mapping[str, int]:
        """What subjects have taken since they were told last; of so many at most."""

    def taken_elsewhere(self, subject: str, count: int) -> None:
        """A subject has taken so much in another process."""


class LimitUsage(msgspec.Struct, frozen=True):
    """What a process tells: by limit and subject."""

    by: str
    taken: dict[str, dict[str, Annotated[int, msgspec.Meta(ge=1)]]]


_decoder = msgspec.json.Decoder(LimitUsage)


class LimitSharing:
    """Tells and hears what was taken. One for each process; runs in the event loop in which the limits are used.

    Args:
        limits: by the names under which all processes know them.
        say: tells all processes, this one too; or nobody, where Redis is away.
        hear: what processes tell.
    """

    def __init__(
        self,
        limits: Mapping[str, Limit],
        say: Callable[[bytes], Awaitable[None]],
        hear: Callable[[], AsyncIterator[bytes]],
    ) -> None:
        self._limits = limits
        self._say = say
        self._heard = hear
        self._me = secrets.token_hex(8)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._tell(), self._hear())

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            told = {name: dict(limit.told(SUBJECTS_AT_ONCE)) for name, limit in self._limits.items()}
            if any(told.values()):
                await self._say(msgspec.json.encode(LimitUsage(self._me, told)))

    async def _hear(self) -> None:
        async for said in self._heard():
            try:
                told = _decoder.decode(said)
            except (msgspec.MsgspecError, UnicodeDecodeError):  # not one of ours
                continue
            if told.by == self._me:
                continue
            for name in told.taken.keys() & self._limits.keys():
                for subject, count in told.taken[name].items():
                    self._limits[name].taken_elsewhere(subject, count)
