"""Connections for threads whose commands end with the deadline, also where the server sends a byte now and then.

redis-py's time-out is for one read of the socket. A reply takes as many reads as it arrives in.
"""

import socket
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
        return _BoundedSocket(super()._connect())  # type: ignore[no-untyped-call]  # redis-py does not type it


class BoundedTlsConnection(redis.SSLConnection):
    """A connection over TLS."""

    def _connect(self) -> Any:
        return _BoundedSocket(super()._connect())  # type: ignore[no-untyped-call]  # redis-py does not type it
