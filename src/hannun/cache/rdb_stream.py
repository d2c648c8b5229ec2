"""A snapshot of Redis (RDB) over its protocol, without access to the server's files.

The server takes this client for a replica that wants one snapshot: `REPLCONF rdb-only`, then `SYNC`. It answers with
the length of the snapshot, or with a mark that ends it, and sends it.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hannun.cache.address import RedisAddress
from hannun.errors import OperatorError, RedisUnavailable, reason_of

SILENCE_S: Final = 60.0
"""The server sends an empty line every few seconds while it prepares the snapshot."""
CONNECT_S: Final = 10.0
CHUNK_BYTES: Final = 1 << 16
MARK_BYTES: Final = 40
LINE_BYTES_MAX: Final = 4_096
MANAGED: Final = (
    "a managed Redis may not allow it: use its own export. Redis holds no count that PostgreSQL does not have"
)


class RdbReader:
    """Reads a snapshot. `read` returns no bytes at its end, and raises where it is cut off."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._left: int | None = None
        self._mark = b""
        self._ended = False
        self.size_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the snapshot.

        Raises:
            RedisUnavailable: the server closed the connection before the end, or sent nothing for too long.
        """
        if self._left is not None and self._left > 0 and not self._buffer:
            self._receive()
        while self._left is None and not self._ended and len(self._buffer) <= MARK_BYTES:
            self._receive()  # these may be the mark, or its beginning
        found = self._take(CHUNK_BYTES if size < 0 else size)
        self.size_bytes += len(found)
        return found

    def _take(self, size: int) -> bytes:
        if self._left is not None:
            found = self._buffer[: min(size, self._left)]
            self._left -= len(found)
            self._buffer = self._buffer[len(found) :]
            return found
        if self._mark and self._buffer.endswith(self._mark):
            # The server sends nothing behind the mark.
            self._buffer, self._ended, self._mark = self._buffer[: -len(self._mark)], True, b""
        keep = 0 if self._ended else MARK_BYTES
        found = self._buffer[: max(0, min(size, len(self._buffer) - keep))]
        self._buffer = self._buffer[len(found) :]
        return found

    def begin(self) -> None:
        """Read what stands before the snapshot.

        Raises:
            OperatorError: the server refuses.
            RedisUnavailable: it goes away.
        """
        line = self.line()
        while line == b"":  # a sign of life
            line = self.line()
        if line.startswith(b"$EOF:"):
            self._mark = line[5:]
        elif line.startswith(b"$") and line[1:].isdigit():
            self._left = int(line[1:])
        else:
            raise OperatorError(f"Redis gives no snapshot: {line.decode(errors='replace')}", hint=MANAGED)

    def line(self) -> bytes:
        """The next line, without its end."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise RedisUnavailable("what answers is no Redis: it sent a line without an end")
            self._receive()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def _receive(self) -> None:
        try:
            found = self._sock.recv(CHUNK_BYTES)
        except OSError as error:
            raise RedisUnavailable(f"Redis sent nothing more of its snapshot: {reason_of(error)}") from error
        if not found:
            raise RedisUnavailable("Redis closed the connection before the end of its snapshot")
        self._buffer += found


@contextmanager
def open_rdb(address: RedisAddress) -> Iterator[RdbReader]:
    """A snapshot of all databases of the server, to be read in the block.

    Raises:
        RedisUnavailable: the server cannot be reached, or goes away.
        OperatorError: it refuses the password, or the snapshot; or it is a cluster, of which there is none.
    """
    if address.cluster:
        raise OperatorError(
            "a Redis Cluster has no snapshot of all its nodes",
            hint="let each node save its own, if you need them. Redis holds no count that PostgreSQL does not have",
        )
    try:
        sock = socket.create_connection((address.host, address.port), CONNECT_S)
    except OSError as error:
        raise RedisUnavailable(
            f"cannot connect to Redis at {address.host}:{address.port}: {reason_of(error)}"
        ) from error
    with sock:
        sock.settimeout(SILENCE_S)
        try:
            if address.tls:
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=address.host)
            reader = RdbReader(sock)
            password = address.present_password() if address.present_password is not None else address.password
            if password:
                _command(sock, "AUTH", password)
                _check(reader.line(), "the password", "is REDIS_PASSWORD right?")
            _command(sock, "REPLCONF", "rdb-only", "1")
            reader.line()  # a server that does not know it sends its changes behind the snapshot: nobody reads them
            _command(sock, "REPLCONF", "capa", "eof")
            reader.line()
            _command(sock, "SYNC")
            reader.begin()
            yield reader
        except OSError as error:
            raise RedisUnavailable(f"Redis went away: {reason_of(error)}") from error


def _command(sock: socket.socket, *parts: str) -> None:
    encoded = [part.encode() for part in parts]
    sock.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in encoded))


def _check(line: bytes, what: str, hint: str) -> None:
    if not line.startswith(b"+"):
        raise OperatorError(f"Redis refuses {what}: {line.decode(errors='replace')}", hint=hint)
