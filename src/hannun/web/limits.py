"""Limits: one token bucket for the requests of each caller, and the number of a caller's open streams.

Each process decides by itself, so a limit works without Redis and costs no I/O. While Redis is available the processes
share the usage of their buckets (`flows/limit_sharing`). `web/request_limits.py` says which limit a request takes from.
"""

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request

from hannun.errors import Busy

SUBJECTS_MAX = 50_000
STREAM_RETRY_S = 5.0
"""When a caller with too many open streams may try again. It is a guess: nobody knows when a page is closed."""


class RateLimit:
    """At most `per_minute` requests per minute for each subject; 0 means no limit.

    A bucket refills evenly, and a whole minute's requests may come at once. Usage in other processes is deducted as
    soon as it is known. A bucket may then be below 0, and its subject waits until it has refilled.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        # By subject: the tokens left, at which instant, and the usage since the other processes were last informed.
        self._buckets: OrderedDict[str, tuple[float, float, int]] = OrderedDict()

    def take(self, subject: str) -> None:
        """Take one token.

        Raises:
            Busy: the bucket is empty; `retry_after_s` says when it has the next token.
        """
        if not self._per_minute:
            return
        # Inlined: every request runs this, and calls of helper methods would double its cost.
        now = self._clock()
        most = tokens = float(self._per_minute)
        unshared = 0
        bucket = self._buckets.get(subject)
        if bucket is not None:
            tokens, at, unshared = bucket
            tokens += (now - at) * most / 60
            if tokens > most:
                tokens = most
        if tokens < 1:
            raise Busy(
                "more than {count_max} requests a minute",
                retry_after_s=(1 - tokens) * 60 / self._per_minute,
                count_max=self._per_minute,
            )
        self._buckets[subject] = (tokens - 1, now, unshared + 1)
        self._buckets.move_to_end(subject)
        if len(self._buckets) > SUBJECTS_MAX:
            self._buckets.popitem(last=False)

    def try_take(self, subject: str) -> bool:
        """Take one token. Returns False where the bucket is empty."""
        try:
            self.take(subject)
        except Busy:
            return False
        return True

    def give_back(self, subject: str) -> None:
        """Return one token that `take` took: the request turned out to count against another subject."""
        bucket = self._buckets.get(subject)
        if bucket is not None:
            tokens, at, unshared = bucket
            self._buckets[subject] = (min(float(self._per_minute), tokens + 1), at, max(0, unshared - 1))

    def drain_unshared_usage(self, subjects_max: int) -> dict[str, int]:
        """The usage in this process since it was last drained, by subject, for the other processes.

        Only subjects that used at least a hundredth of the limit are included, and at most `subjects_max`. The usage of
        the others is kept for a later call, so that occasional callers are shared only occasionally.
        """
        least = max(1, self._per_minute // 100)
        due = ((subject, unshared) for subject, (_, _, unshared) in self._buckets.items() if unshared >= least)
        usage = dict(islice(due, subjects_max))
        for subject in usage:
            tokens, at, _ = self._buckets[subject]
            self._buckets[subject] = (tokens, at, 0)
        return usage

    def deduct_remote_usage(self, subject: str, count: int) -> None:
        """Deduct the tokens that a subject took in another process."""
        if not self._per_minute:
            return
        unshared = self._buckets[subject][2] if subject in self._buckets else 0
        self._buckets[subject] = (self.remaining(subject) - count, self._clock(), unshared)
        self._buckets.move_to_end(subject)
        if len(self._buckets) > SUBJECTS_MAX:
            self._buckets.popitem(last=False)

    def remaining(self, subject: str) -> float:
        """The tokens left. Below 0 where the processes together let through more requests than the limit."""
        now = self._clock()
        tokens, at, _ = self._buckets.get(subject, (self._per_minute, now, 0))
        return min(self._per_minute, tokens + (now - at) * self._per_minute / 60)


class StreamLimit:
    """At most `per_subject` open streams of each subject, and at most `total` in this process."""

    def __init__(self, per_subject: int, total: int) -> None:
        self._per_subject = per_subject
        self._total = total
        self._open: Counter[str] = Counter()
        self._count = 0

    def take(self, subject: str) -> "StreamPlace":
        """Count one stream until its place is released.

        Raises:
            Busy: the subject, or all subjects together, have as many streams open as they may.
        """
        if self._open[subject] >= self._per_subject or self._count >= self._total:
            raise Busy("too many live streams are open at the same time", retry_after_s=STREAM_RETRY_S)
        self._open[subject] += 1
        self._count += 1
        return StreamPlace(self, subject)

    def give_back(self, subject: str) -> None:
        """Count one stream less."""
        self._count -= 1
        self._open[subject] -= 1
        if not self._open[subject]:
            del self._open[subject]


@dataclass(slots=True)
class StreamPlace:
    """One counted stream. The request that opened it releases it, unless the stream `outlives_request`."""

    _limit: StreamLimit
    _subject: str
    outlives_request: bool = False

    def release(self) -> None:
        """Count the stream no more. Call it once."""
        self._limit.give_back(self._subject)


def address_of(request: Request) -> str:
    """The client's address as the subject of a rate limit."""
    return network_of(request.client.host if request.client else "")


def network_of(host: str) -> str:
    """The network of a client that counts as one: its address, or the /64 of an IPv6 address.

    One caller has a whole /64.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
