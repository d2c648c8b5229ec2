"""GET, the one command that is asked all the time, over connections of its own and under one time-out.

    idle line, or a new one ─► send, read to the end ─► idle again
                                        └► refused, cut, silent, or its asker left: closed, whatever may still come

A line belongs to one asker from the question to the end of the reply, so no reply can reach another one. The client's
own way takes a connection out of a pool under a lock, and sends and reads each under a time-out, one of them in a task
of its own: twice the processor (`bench answers`).
"""

import asyncio
from collections.abc import Callable

import redis
from redis.asyncio import Connection


class GetConnectionPool:
    """Lines to one server, for one event loop.

    Args:
        line: makes one, not connected yet, and without time-outs of its own for what is sent and read.
        count_max: how many at once.
        timeout_s: how long one question may take, connecting included.
    """

    def __init__(self, line: Callable[[], Connection], *, count_max: int, timeout_s: float) -> None:
        self._line = line
        self._count_max = count_max
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self._lent = 0
        self._closed = False

    @property
    def free(self) -> bool:
        """Whether one may be had without waiting."""
        return self._lent < self._count_max

    async def get(self, key: str) -> bytes | None:
        """The value of a key. Where a line was cut, a new one is tried, once.

        Raises:
            redis.RedisError, OSError, TimeoutError: as the client's own GET.
        """
        named = key.encode()
        command = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(named), named)
        line = self._idle.pop() if self._idle else self._line()
        self._lent += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    value = await _asked(line, command)
                except redis.ConnectionError:
                    await line.disconnect(nowait=True)
                    await self._hang_up()  # what cut one has most likely cut all
                    value = await _asked(line, command)
        except BaseException:
            await line.disconnect(nowait=True)
            raise
        finally:
            self._lent -= 1
        if self._closed:
            await line.disconnect(nowait=True)
        else:
            self._idle.append(line)
        return value

    async def close(self) -> None:
        """Close them: the idle ones now, others when they come back."""
        self._closed = True
        await self._hang_up()

    async def _hang_up(self) -> None:
        idle, self._idle = self._idle, []
        for line in idle:
            await line.disconnect(nowait=True)


async def _asked(line: Connection, command: bytes) -> bytes | None:
    if not line.is_connected:
        await line.connect()  # type: ignore[no-untyped-call]  # it has no types
    await line.send_packed_command(command, check_health=False)
    value: bytes | None = await line.read_response()
    return value
