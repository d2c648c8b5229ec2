"""Removes from Redis what a commit has made false. Beside every writer."""

import threading
import time
from collections.abc import Sequence
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hannun.cache import announcements, keys
from hannun.cache.address import CUT, SILENT, SILENT_REST_S, RedisAddress
from hannun.domain.batch import ChangedEvent
from hannun.errors import OperatorError
from hannun.telemetry import metrics

REST_S: Final = 0.5
"""How long a Redis that failed is not asked by writers. What they owe meanwhile is paid by whoever finds it."""
EVENTS_A_COMMAND: Final = 50
"""About a thousand keys: Redis does nothing else meanwhile, for less than a millisecond."""


class Invalidator:
    """Removes what a commit has made false, and announces it. Synchronous; safe to share between threads."""

    def __init__(self, address: RedisAddress) -> None:
        self._client = redis.Redis.from_pool(
            redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]  # its parameters have no types
                timeout=address.timeout_s,
                connection_class=address.connection,
                retry=Retry(NoBackoff(), 1, CUT),
                **address.options(),
            )
        )
        self._lock = threading.Lock()
        self._rests_until = 0.0

    def close(self) -> None:
        self._client.close()

    def check(self) -> None:
        """
        Raises:
            OperatorError: Redis does not answer, and why.
        """
        where = self._client.connection_pool.connection_kwargs
        try:
            self._client.ping()
        except redis.AuthenticationError as error:
            raise OperatorError(
                f"Redis at {where['host']}:{where['port']} refuses us: {error}", hint="is REDIS_PASSWORD right?"
            ) from error
        except (redis.RedisError, OSError) as error:
            raise OperatorError(
                f"cannot reach Redis at {where['host']}:{where['port']}: {error}",
                hint="is it running, and are REDIS_HOST and REDIS_PORT right? `hannun up` starts an embedded one",
            ) from error

    def invalidate(self, events: Sequence[ChangedEvent], *, at_rest_too: bool = False) -> bool:
        """Remove every answer that these changes make false, with its lease, and announce them.

        Returns whether Redis has acknowledged all of it; if not, it is still owed. After a failure Redis is left
        alone for a moment, unless `at_rest_too`: a batch must not wait for a server that hangs, batch after batch.
        """
        if not at_rest_too and time.monotonic() < self._rests_until:
            return False
        try:
            with self._client.pipeline(transaction=False) as pipe:
                # A command costs us more than the keys in it, so an event's keys share one with those of other events.
                # Answer and lease stay in one command: a fill must not slip in between.
                for first in range(0, len(events), EVENTS_A_COMMAND):
                    some = events[first : first + EVENTS_A_COMMAND]
                    false = [key for event in some for key in keys.made_false_by(event)]
                    pipe.delete(*false, *map(keys.lease, false))
                for event in events:
                    pipe.publish(keys.ANNOUNCEMENTS, announcements.of(event))
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._rests_until = time.monotonic() + (SILENT_REST_S if isinstance(error, SILENT) else REST_S)
            metrics.invalidations.labels("owed").inc(len(events))
            return False
        metrics.invalidations.labels("paid").inc(len(events))
        return True
