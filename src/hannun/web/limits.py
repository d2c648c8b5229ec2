"""How often one caller may ask: a bucket of tokens each. Every process decides by its own, so that it holds without
Redis and costs no question; while Redis is there they tell each other what was taken."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from starlette.requests import Request

from hannun.errors import Busy

SUBJECTS_MAX = 50_000


class RateLimit:
    """At most `a_minute` requests a minute for each subject, refilled evenly; a whole minute's may come at once.

    0 is no limit. What is taken in other processes comes off too, as soon as it is known (`flows/quota`): then less
    than nothing may be left, and its subject waits until that is made up for.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        # What is left, when that was, and how much was taken since the other processes were told.
        self._buckets: OrderedDict[str, tuple[float, float, int]] = OrderedDict()

    def take(self, subject: str) -> None:
        """
        Raises:
            Busy: the subject has asked too often; `retry_after_s` says when one more is due.
        """
        if not self._a_minute:
            return
        # Written out, since every request comes by here: calling methods for it costs as much as all of it.
        now = self._clock()
        most = left = float(self._a_minute)
        untold = 0
        bucket = self._buckets.get(subject)
        if bucket is not None:
            left, at, untold = bucket
            left += (now - at) * most / 60
            if left > most:
                left = most
        if left < 1:
            raise Busy(
                "more than {count_max} requests a minute",
                retry_after_s=(1 - left) * 60 / self._a_minute,
                count_max=self._a_minute,
            )
        self._buckets[subject] = (left - 1, now, untold + 1)
        self._buckets.move_to_end(subject)
        if len(self._buckets) > SUBJECTS_MAX:
            self._buckets.popitem(last=False)

    def drain_unshared_usage(self, subjects_max: int) -> dict[str, int]:
        """What subjects have taken here since they were told last: of those who took a hundredth of the limit or more.
        What is less waits, so that who asks now and then is told of now and then. So do those above `subjects_max`."""
        least = max(1, self._a_minute // 100)
        worth = ((subject, untold) for subject, (_, _, untold) in self._buckets.items() if untold >= least)
        taken = dict(islice(worth, subjects_max))
        for subject in taken:
            left, at, _ = self._buckets[subject]
            self._buckets[subject] = (left, at, 0)
        return taken

    def deduct_remote_usage(self, subject: str, count: int) -> None:
        """A subject has taken so much in another process."""
        if not self._a_minute:
            return
        untold = self._buckets[subject][2] if subject in self._buckets else 0
        self._buckets[subject] = (self.left(subject) - count, self._clock(), untold)
        self._buckets.move_to_end(subject)
        if len(self._buckets) > SUBJECTS_MAX:
            self._buckets.popitem(last=False)

    def left(self, subject: str) -> float:
        """How many requests a subject has left; below 0, how many others have let through too many."""
        now = self._clock()
        left, at, _ = self._buckets.get(subject, (self._a_minute, now, 0))
        return min(self._a_minute, left + (now - at) * self._a_minute / 60)


def address_of(request: Request) -> str:
    """Where a request comes from: an IPv4 address, or the /64 of an IPv6 one, which is what one caller has."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
