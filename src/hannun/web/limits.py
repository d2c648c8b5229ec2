"""How often one caller may ask: a bucket of tokens each, in this process, so that it holds without Redis."""

import time
from collections import OrderedDict
from collections.abc import Callable

from hannun.errors import Busy

SUBJECTS_MAX = 50_000


class RateLimit:
    """At most `a_minute` requests a minute for each subject, refilled evenly; a whole minute's may come at once."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, subject: str) -> None:
        """
        Raises:
            Busy: the subject has asked too often; `retry_after_s` says when one more is due.
        """
        now = self._clock()
        left, at = self._buckets.get(subject, (float(self._a_minute), now))
        left = min(float(self._a_minute), left + (now - at) * self._a_minute / 60)
        if left < 1:
            raise Busy(f"more than {self._a_minute} requests a minute", retry_after_s=(1 - left) * 60 / self._a_minute)
        self._buckets[subject] = (left - 1, now)
        self._buckets.move_to_end(subject)
        if len(self._buckets) > SUBJECTS_MAX:
            self._buckets.popitem(last=False)
