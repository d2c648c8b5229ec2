"""Connections for threads that open, and whose commands end, before the deadline.

redis-py's time-outs are for one address of the server's name, and for one read of the socket. The look-up of the name
has none, and a reply takes as many reads as it arrives in. Its public interface takes no socket, so `_connect`, which
makes it, is overridden: tests/cache/test_slow_redis.py says so where a new version has no such method.
"""

import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from hannun import deadlines

T = TypeVar("T")


class _BoundedSocket:
    """A socket of which no call takes longer than the deadline allows."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, *arguments: Any) -> bytes:
        return self._bounded(self._sock.recv, *arguments)

    def recv_into(self, *arguments: Any) -> int:
        return self._bounded(self._sock.recv_into, *arguments)

    def sendall(self, *arguments: Any) -> None:
        self._bounded(self._sock.sendall, *arguments)

    def _bounded(self, call: Callable[..., T], *arguments: Any) -> T:
        timeout_s, left_s = self._sock.gettimeout(), deadlines.remaining_s()
        if timeout_s == 0 or (timeout_s is not None and left_s >= timeout_s):  # 0: only what is there already
            return call(*arguments)
        if left_s == 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left_s)
        try:
            return call(*arguments)
        finally:
            self._sock.settimeout(timeout_s)


class BoundedConnection(redis.Connection):
    """A connection over TCP."""

    def _connect(self) -> Any:
        return _open_in_time(super()._connect, self.socket_timeout)


class BoundedTlsConnection(redis.SSLConnection):
    """A connection over TLS."""

    def _connect(self) -> Any:
        return _open_in_time(super()._connect, self.socket_timeout)


def _open_in_time(connect: Callable[[], socket.socket], timeout_s: float | None) -> _BoundedSocket:
    """
    Raises:
        TimeoutError: the name was not looked up, or the socket not connected, before the deadline or the time-out.
        OSError: the server cannot be reached.
    """
    s_max = threading.TIMEOUT_MAX if timeout_s is None else timeout_s
    return _BoundedSocket(deadlines.open_in_thread(connect, socket.socket.close, s_max=s_max))
