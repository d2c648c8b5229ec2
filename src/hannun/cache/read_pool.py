"""A connection pool for the commands of cache reads: GET, and the scripts of a miss. One time-out covers a command.

    idle connection, or a new one ─► send, read the whole reply ─► idle again
                                       └► error, disconnect, time-out, or cancellation: closed, with any late reply

One caller holds a connection from sending the command to the end of the reply, so no reply can reach another caller.
redis-py's own path takes a connection out of its pool under a lock, and sends and reads each under a time-out, one of
them in a task of its own. That costs twice the processor time (`bench answers`).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis
from redis.asyncio import Connection


class ReadConnectionPool:
    """Connections to one server, for one event loop.

    Args:
        new_connection: makes a connection that is not connected yet, without time-outs for sending and reading.
        count_max: how many connections may be in use at once.
        timeout_s: how long one command may take, connecting included.
    """

    def __init__(self, new_connection: Callable[[], Connection], *, count_max: int, timeout_s: float) -> None:
        self._new_connection = new_connection
        self._count_max = count_max
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self._in_use = 0
        self._closed = False

    @property
    def has_capacity(self) -> bool:
        """Whether one more command may be sent now. The methods that send one do not check it."""
        return self._in_use < self._count_max

    async def get(self, key: str) -> bytes | None:
        """The value of a key. Raises as `_run`."""
        encoded = key.encode()
        value: bytes | None = await self._run(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(encoded), encoded))
        return value

    async def run_script(self, script: str, sha: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """The reply of a Lua script, which is sent by its SHA-1 where the server knows it. Raises as `_run`."""
        try:
            return await self._run(_pack("EVALSHA", sha, len(keys), *keys, *args))
        except redis.exceptions.NoScriptError:
            return await self._run(_pack("EVAL", script, len(keys), *keys, *args))

    async def _run(self, command: bytes) -> Any:
        """The reply to an encoded command. If the connection was closed by the server, one retry opens a new one.

        Raises:
            redis.RedisError, OSError, TimeoutError: as redis-py's own commands.
        """
        connection = self._idle.pop() if self._idle else self._new_connection()
        self._in_use += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    reply = await _send(connection, command)
                except redis.ConnectionError:
                    await connection.disconnect(nowait=True)
                    await self._close_idle()  # what closed one connection has most likely closed all
                    reply = await _send(connection, command)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._in_use -= 1
        if self._closed:
            await connection.disconnect(nowait=True)
        else:
            self._idle.append(connection)
        return reply

    async def close(self) -> None:
        """Close the idle connections now, and those in use after their reply."""
        self._closed = True
        await self._close_idle()

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)


def _pack(*command: Any) -> bytes:
    packed: bytes = hiredis.pack_command(command)
    return packed


async def _send(connection: Connection, command: bytes) -> Any:
    if not connection.is_connected:
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py does not type it
    await connection.send_packed_command(command, check_health=False)
    return await connection.read_response()
