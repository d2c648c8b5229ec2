"""The ways in which Redis fails: exceptions of the client, grouped by what the adapter does about them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis

from hannun.errors import OperatorError, RedisUnavailable, reason_of

DISCONNECTED: Final = (redis.ConnectionError,)
"""The connection was closed. One retry is worth it; after a time-out it is not, since that has already cost enough."""
TIMED_OUT: Final = (redis.TimeoutError, asyncio.TimeoutError)
UNAVAILABLE_NOW: Final = (redis.ConnectionError, redis.TimeoutError)
"""No server, a lost connection, a server that is loading or has too many clients; a refused login too."""
UNAVAILABLE: Final = (redis.RedisError, OSError, asyncio.TimeoutError)

TIMEOUT_COOLDOWN_S: Final = 5.0
"""How long no command is sent after a time-out: each further command would cost the time-out again."""


@contextmanager
def translated(host: str, port: int) -> Iterator[None]:
    """Translate the client's errors.

    Raises:
        RedisUnavailable: Redis does not answer, or not now, and why.
        OperatorError: it refuses the login or the command.
    """
    try:
        yield
    except redis.AuthenticationError as error:
        raise OperatorError(
            f"Redis at {host}:{port} refuses the login: {error}", hint="is REDIS_PASSWORD right?"
        ) from error
    except (*UNAVAILABLE_NOW, OSError) as error:
        raise RedisUnavailable(
            f"cannot reach Redis at {host}:{port}: {reason_of(error)}",
            hint="is it running, and are REDIS_HOST and REDIS_PORT right? `hannun up` starts an embedded one",
        ) from error
    except redis.RedisError as error:
        raise OperatorError(
            f"Redis at {host}:{port} refuses a command: {error}",
            hint="are REDIS_HOST, REDIS_PORT and REDIS_DATABASE right, and may this login use the database?",
        ) from error
