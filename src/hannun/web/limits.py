"""How often one caller may ask: a bucket of tokens each, in this process, so that it holds without Redis."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request

from hannun.errors import Busy

SUBJECTS_MAX = 50_000


class RateLimit:
    """At most `a_minute` requests a minute for each subject, refilled evenly; a whole minute's may come at once.

    0 is no limit.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, subject: str) -> None:
        """
        Raises:
            Busy: the subject has asked too often; `retry_after_s` says when one more is due.
        """
        if not self._a_minute:
            return
        now = self._clock()
        most = left = float(self._a_minute)
        bucket = self._buckets.get(subject)
        if bucket is not None:
            left, at = bucket
            left += (now - at) * most / 60
            if left > most:
                left = most
        if left < 1:
            raise Busy(
                "more than {count_max} requests a minute",
                retry_after_s=(1 - left) * 60 / self._a_minute,
                count_max=self._a_minute,
            )
        self._buckets[subject] = (left - 1, now)
        self._buckets.move_to_end(subject)
        if len(self._buckets) > SUBJECTS_MAX:
            self._buckets.popitem(last=False)


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
