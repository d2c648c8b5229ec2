"""The Redis server itself: whether it answers, its clock, and its own figures. For operators."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis

from hannun import deadlines
from hannun.cache.address import RedisAddress
from hannun.cache.failures import UNAVAILABLE_NOW
from hannun.errors import OperatorError, RedisUnavailable


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
            f"cannot reach Redis at {host}:{port}: {error}",
            hint="is it running, and are REDIS_HOST and REDIS_PORT right? `hannun up` starts an embedded one",
        ) from error
    except redis.RedisError as error:
        raise OperatorError(
            f"Redis at {host}:{port} refuses a command: {error}",
            hint="are REDIS_HOST, REDIS_PORT and REDIS_DATABASE right, and may this login use the database?",
        ) from error


class RedisServer:
    """Queries the server. One connection, for one thread at a time. Every method raises as `translated`."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        options = {key: value for key, value in address.options().items() if key != "max_connections"}
        self._client = redis.Redis.from_pool(
            redis.ConnectionPool(connection_class=address.connection, max_connections=2, **options)
        )

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        with translated(self._address.host, self._address.port), deadlines.within(self._address.timeout_s):
            yield

    def check(self) -> None:
        """Ping the server."""
        with self._answering():
            self._client.ping()

    def clock(self) -> datetime:
        """The server's clock."""
        with self._answering():
            seconds, microseconds = self._client.time()
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    def figures(self) -> Mapping[str, Any]:
        """Every figure of INFO, by its name."""
        with self._answering():
            figures: Mapping[str, Any] = self._client.info("everything")
        return figures
