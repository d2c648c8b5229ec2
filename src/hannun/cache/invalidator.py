"""Deletes from Redis the answers that a commit made false. Every process that writes has one."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hannun import deadlines, tracing
from hannun.cache import announcements, keys
from hannun.cache.address import RedisAddress
from hannun.cache.failures import DISCONNECTED, TIMED_OUT, TIMEOUT_COOLDOWN_S, translated
from hannun.domain.batch import ChangedEvent
from hannun.telemetry import metrics

FAILURE_COOLDOWN_S: Final = 0.5
"""How long writers send nothing after a failure. Any process can deliver the pending invalidations from the outbox."""
EVENTS_PER_COMMAND: Final = 50
"""About a thousand keys: Redis does nothing else meanwhile, for less than a millisecond."""
_PUBLISH_EACH: Final = """#!lua flags=allow-oom
for place = 2, #ARGV do redis.call('PUBLISH', ARGV[1], ARGV[place]) end
"""
"""Publishes several announcements. A command of its own for each would cost the client more than the deletions."""


class _CommandPacker:
    """Packs commands by hiredis alone. redis-py's own packer looks at the type of each argument first, which for the
    keys of a large batch costs as much as packing them; ours are texts and bytes."""

    def pack(self, command: str, *arguments: Any) -> list[bytes]:
        return [hiredis.pack_command((*command.split(), *arguments))]


class Sender:
    """Sends commands to one server, in one round trip. Synchronous; safe to share by threads."""

    def __init__(self, address: RedisAddress) -> None:
        self._client = redis.Redis.from_pool(
            redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]  # redis-py does not type its parameters
                timeout=address.timeout_s,
                connection_class=address.connection,
                retry=Retry(NoBackoff(), 1, DISCONNECTED),
                command_packer=_CommandPacker(),
                **address.options(),
            )
        )
        self._timeout_s = address.timeout_s
        self._cooldown_until = 0.0

    def close(self) -> None:
        self._client.close()

    def check(self, write_check: str = keys.WRITE_CHECK) -> None:
        """Check that the server accepts deletions: one whose disk is full, or that is a replica, still answers reads.

        Raises:
            RedisUnavailable: Redis does not answer, or not now, and why.
            OperatorError: it refuses the login or the command.
        """
        where = self._client.connection_pool.connection_kwargs
        with translated(where["host"], where["port"]), deadlines.within(self._timeout_s):
            self._client.unlink(write_check)

    def may_send(self, *, ignore_cooldown: bool) -> bool:
        """Whether it is worth trying: after a failure nothing is sent for a moment, unless `ignore_cooldown`. Nor is
        anything sent where the deadline leaves less than the time-out of a command."""
        if not ignore_cooldown and time.monotonic() < self._cooldown_until:
            return False
        return deadlines.remaining_s() >= self._timeout_s

    def send(self, add: Callable[[redis.client.Pipeline], object]) -> Sequence[object] | None:
        """Send the commands that `add` adds. Returns the replies, of which refusals are exceptions; None where Redis
        has not answered, or a command was refused other than by a cluster that sends elsewhere."""
        try:
            with deadlines.within(self._timeout_s), self._client.pipeline(transaction=False) as pipe:
                add(pipe)
                replies: Sequence[object] = pipe.execute(raise_on_error=False)
                _raise_refused(replies)
        except (redis.RedisError, OSError) as error:
            cooldown_s = TIMEOUT_COOLDOWN_S if isinstance(error, TIMED_OUT) else FAILURE_COOLDOWN_S
            self._cooldown_until = time.monotonic() + cooldown_s
            return None
        return replies


class Invalidator:
    """Deletes the answers that a commit made false, and announces the change. Synchronous; safe to share by threads."""

    def __init__(self, address: RedisAddress) -> None:
        self._sender = Sender(address)

    def close(self) -> None:
        self._sender.close()

    def check(self) -> None:
        """Check that Redis accepts deletions, each node of a cluster. Raises as `Sender.check`."""
        self._sender.check()

    def check_usable(self) -> None:
        """Check that the process may start: of a cluster, one node that accepts deletions is enough. Raises as
        `Sender.check`."""
        self.check()

    def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
        """Delete every answer that these changes make false, with its lease, and announce the changes.

        Returns whether Redis has acknowledged all of it; if not, the invalidations are still pending. After a failure
        nothing is sent for a moment, unless `ignore_cooldown`: one batch after the other must not wait for a server
        that hangs. Nor is anything sent where the deadline leaves less than the time-out of a command.
        """
        if not self._sender.may_send(ignore_cooldown=ignore_cooldown):
            return False
        acknowledged = self._sender.send(partial(_add_invalidations, events)) is not None
        metrics.invalidations.labels("paid" if acknowledged else "owed").inc(len(events))
        return acknowledged


def _add_invalidations(events: Sequence[ChangedEvent], pipe: redis.client.Pipeline) -> None:
    # A command costs the client more than the keys in it, so the keys of several events share a command.
    # Only invalidations send DEL, and all else UNLINK: so the doctor reads in Redis's own counts how often
    # answers were removed.
    # An answer and its lease stay in the same command: no fill may slip in between.
    for first in range(0, len(events), EVENTS_PER_COMMAND):
        some = events[first : first + EVENTS_PER_COMMAND]
        invalidated = [key for event in some for key in keys.invalidated_by(event)]
        pipe.delete(*invalidated, *map(keys.lease, invalidated))
    add_announcements(events, pipe)


def add_announcements(events: Sequence[ChangedEvent], pipe: redis.client.Pipeline) -> None:
    """Add the announcement of each of these changes to a pipeline."""
    traceparent = tracing.traceparent()
    for first in range(0, len(events), EVENTS_PER_COMMAND):
        some = [announcements.encode(event, traceparent) for event in events[first : first + EVENTS_PER_COMMAND]]
        if len(some) == 1:
            pipe.publish(keys.ANNOUNCEMENTS, some[0])
        else:
            pipe.eval(_PUBLISH_EACH, 0, keys.ANNOUNCEMENTS, *some)


_NOT_REFUSED: Final = (redis.exceptions.OutOfMemoryError, redis.exceptions.AskError)


def _raise_refused(replies: Sequence[object]) -> None:
    """Raise what Redis refused, but for want of memory: then it deletes and announces, and only does not count. What
    another node of a cluster must do is the caller's to send there."""
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, _NOT_REFUSED):
            raise reply
