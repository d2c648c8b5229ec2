"""Share what callers have used of their rate limits among all processes.

    a request ─► the bucket of this process decides, at once
    every second: usage here that is not shared yet ─► published ─► deducted from the buckets of the other processes

A caller that uses several processes thus gets no more requests than a caller that uses one. What several processes
allowed before they knew of each other is deducted afterwards, so the caller waits for it. While Redis is unavailable
each process limits by its own count.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Final, Protocol

import msgspec

from hannun.telemetry import log

SHARE_INTERVAL_S: Final = 1.0
SUBJECTS_PER_MESSAGE_MAX: Final = 5_000
"""How many subjects of a limit one message holds at most: about 200 KB, and 5 ms for each process that receives it."""


class Limit(Protocol):
    """A rate limit in this process."""

    def drain_unshared_usage(self, subjects_max: int) -> Mapping[str, int]:
        """Requests by subject that were not shared yet, for at most so many subjects. They count as shared now."""

    def deduct_remote_usage(self, subject: str, count: int) -> None:
        """Deduct requests that another process allowed."""


class LimitUsage(msgspec.Struct, frozen=True):
    """What a process publishes: `by` is its own random id, `taken` the requests by limit and subject."""

    by: str
    taken: dict[str, dict[str, Annotated[int, msgspec.Meta(ge=1)]]]


_decoder = msgspec.json.Decoder(LimitUsage)


class LimitSharing:
    """Publishes and receives limit usage. One for each process, in the event loop in which the limits are used.

    Args:
        limits: by the names under which all processes know them.
        publish: sends a message to all processes, this one included; to none while Redis is unavailable.
        subscribe: the messages of all processes.
    """

    def __init__(
        self,
        limits: Mapping[str, Limit],
        publish: Callable[[bytes], Awaitable[None]],
        subscribe: Callable[[], AsyncIterator[bytes]],
    ) -> None:
        self._limits = limits
        self._publish = publish
        self._subscribe = subscribe
        self._process_id = secrets.token_hex(8)
        self._logged: set[str] = set()

    async def run(self) -> None:
        """Publish and receive until cancelled."""
        await asyncio.gather(self._publish_usage(), self._receive_usage())

    async def _publish_usage(self) -> None:
        while True:
            await asyncio.sleep(SHARE_INTERVAL_S)
            usage = {
                name: dict(limit.drain_unshared_usage(SUBJECTS_PER_MESSAGE_MAX)) for name, limit in self._limits.items()
            }
            if any(usage.values()):
                try:
                    await self._publish(self._encode(usage))
                except Exception as error:  # this second's usage counts in this process only
                    self._log_once("the usage of limits could not be published", error)

    def _encode(self, usage: dict[str, dict[str, int]]) -> bytes:
        try:
            return msgspec.json.encode(LimitUsage(self._process_id, usage))
        except UnicodeEncodeError as error:  # without the subjects that cannot be sent, the others still can
            self._log_once("a subject of a limit cannot be encoded", error)
            usage = {name: {key: used for key, used in of.items() if _is_utf8(key)} for name, of in usage.items()}
            return msgspec.json.encode(LimitUsage(self._process_id, usage))

    async def _receive_usage(self) -> None:
        async for message in self._subscribe():
            try:
                usage = _decoder.decode(message)
            except (msgspec.MsgspecError, UnicodeDecodeError):  # published by something else
                continue
            if usage.by == self._process_id:
                continue
            try:
                self._deduct(usage)
            except Exception as error:  # one message must not end the sharing
                self._log_once("the usage of another process could not be deducted", error)

    def _deduct(self, usage: LimitUsage) -> None:
        for name in usage.taken.keys() & self._limits.keys():
            for subject, count in usage.taken[name].items():
                self._limits[name].deduct_remote_usage(subject, count)

    def _log_once(self, event: str, error: Exception) -> None:
        """Log the first error of each kind: its cause may come from a caller, who could otherwise fill the log."""
        if event not in self._logged:
            self._logged.add(event)
            log.error(event, error=type(error).__name__, exc_info=error)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
