"""Deletes everything that Redis holds of the database: after a restore none of it is true.

First all leases, then all answers. An answer that is read of the old database can only be filled under a lease that was
taken before; so what is filled during the first pass is found by the second.
"""

import time
from contextlib import ExitStack
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hannun import deadlines
from hannun.cache import keys
from hannun.cache.address import RedisAddress
from hannun.cache.cluster import servers_of
from hannun.errors import RedisUnavailable, reason_of

FLUSH_S_MAX: Final = 30.0
KEYS_PER_SCAN: Final = 2_000


def delete_everything(address: RedisAddress) -> int:
    """Delete all leases, answers and markers. Returns how many keys there were.

    Nobody may read the old database any more. Other keys of the same Redis stay.

    Raises:
        RedisUnavailable: Redis failed, or took longer than `FLUSH_S_MAX`. What it holds is then still in the outbox.
    """
    try:
        with ExitStack() as stack, deadlines.within(FLUSH_S_MAX):
            clients = [stack.enter_context(_client(server)) for server in servers_of(address)]
            return sum(_delete(client, pattern) for pattern in keys.PATTERNS for client in clients)
    except (redis.RedisError, OSError) as error:
        raise RedisUnavailable(
            f"could not delete the cached answers in Redis at {address.host}:{address.port}: {reason_of(error)}"
        ) from error


def _client(address: RedisAddress) -> redis.Redis:
    return redis.Redis.from_pool(
        redis.ConnectionPool(connection_class=address.connection, retry=Retry(NoBackoff(), 0), **address.options())
    )


def _delete(client: redis.Redis, pattern: str) -> int:
    deleted, cursor, until = 0, 0, time.monotonic() + FLUSH_S_MAX
    while time.monotonic() < until:
        cursor, found = client.scan(cursor, match=pattern, count=KEYS_PER_SCAN)
        if found:
            with client.pipeline(transaction=False) as pipe:  # of one key each, for a node of a cluster
                for key in found:
                    pipe.unlink(key)
                deleted += sum(pipe.execute())
        if cursor == 0:
            return deleted
    raise redis.TimeoutError(f"more than {deleted:,} keys")
