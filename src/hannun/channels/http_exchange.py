"""One HTTP exchange with a bounded end: to a checked address, no redirect followed, no body larger than a limit.

It uses httpx2's transport without its client: nothing is followed, remembered (cookies) or taken from the environment
(proxies).
"""

import ssl
import zlib
from collections.abc import AsyncIterable
from typing import NamedTuple

import httpx2

from hannun.channels.calls import Call, Origin
from hannun.channels.declaration import Limits

ERROR_BODY_BYTES = 65_536
"""Of a body that reports an error; the rest of a longer one is not read."""
KEEP_ALIVE_S = 30.0

_GZIP = 16 + zlib.MAX_WBITS
_CAUSES_MAX = 10


class ExchangeFailed(Exception):
    """There is no response that can be read.

    Args:
        reason: one of `reply.Reason`.
        sent: the request may have reached the channel.
    """

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Received(NamedTuple):
    """A response, its body unpacked. The body of an error is empty where it is too large or broken."""

    status: int
    headers: httpx2.Headers
    body: bytes


class HttpExchange:
    """Sends requests over kept connections, each of which has a transport of its own.

    A transport with many connections looks at all of them for each request, with a system call for each idle one. With
    32 that is more work than the request itself. The transport that was used last is used first, so its connection is
    probably open.
    """

    def __init__(self, limits: Limits, tls: ssl.SSLContext) -> None:
        self._limits = limits
        self._tls = tls
        self._transports: list[httpx2.AsyncHTTPTransport] = []
        self._free: list[httpx2.AsyncHTTPTransport] = []
        self._timeouts = {
            "connect": limits.connect_s,
            "read": limits.read_s,
            "write": limits.read_s,
            "pool": limits.call_s,
        }

    async def close(self) -> None:
        for transport in self._transports:
            await transport.aclose()

    async def send(self, origin: Origin, address: str, call: Call) -> Received:
        """Send one request to an address, and read its response.

        Raises:
            ExchangeFailed: no response, or none that may be read.
        """
        try:
            return await self._send(_request(origin, address, call, self._timeouts))
        except (httpx2.TransportError, ssl.SSLError) as error:
            raise _failure(error) from error

    async def _send(self, request: httpx2.Request) -> Received:
        transport = self._free.pop() if self._free else self._new_transport()
        try:
            return await self._received(await transport.handle_async_request(request))
        finally:
            self._free.append(transport)

    def _new_transport(self) -> httpx2.AsyncHTTPTransport:
        limits = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        transport = httpx2.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=limits)
        self._transports.append(transport)
        return transport

    async def _received(self, response: httpx2.Response) -> Received:
        try:
            if response.is_success:
                return Received(response.status_code, response.headers, await self._body(response))
            return Received(response.status_code, response.headers, await _error_body(response))
        finally:
            await response.aclose()

    async def _body(self, response: httpx2.Response) -> bytes:
        bytes_max = self._limits.body_bytes
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and (len(announced) > 15 or int(announced) > bytes_max):
            raise ExchangeFailed("too-large")
        body = await _read(response, bytes_max)
        if body is None:
            raise ExchangeFailed("too-large")
        return _unpacked(body, response.headers.get("Content-Encoding", "identity"), bytes_max)


def _request(origin: Origin, address: str, call: Call, timeouts: dict[str, float]) -> httpx2.Request:
    """The request to the checked address. TLS still verifies the server by its name."""
    host = f"[{address}]" if ":" in address else address
    return httpx2.Request(
        call.method,
        f"{origin.scheme}://{host}:{origin.port}{call.target}",
        headers=call.headers,
        content=call.content,
        extensions={"timeout": timeouts, "sni_hostname": origin.host},
    )


async def _read(response: httpx2.Response, bytes_max: int) -> bytes | None:
    """The body as it was sent; None where it is longer."""
    assert isinstance(response.stream, AsyncIterable)
    body = bytearray()
    async for chunk in response.stream:
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)


async def _error_body(response: httpx2.Response) -> bytes:
    """The body of an error; empty where it cannot be read."""
    body = await _read(response, ERROR_BODY_BYTES)
    if body is None:
        return b""
    try:
        return _unpacked(body, response.headers.get("Content-Encoding", "identity"), ERROR_BODY_BYTES)
    except ExchangeFailed:
        return b""


def _unpacked(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """The body without its encoding. A small body that unpacks to gigabytes is unpacked to its limit only."""
    match encoding.strip().lower():
        case "identity" | "":
            return body
        case "gzip" | "x-gzip":
            unpacker = zlib.decompressobj(_GZIP)
            try:
                unpacked = unpacker.decompress(body, bytes_max + 1)
            except zlib.error:
                raise ExchangeFailed("encoding") from None
            if len(unpacked) > bytes_max:
                raise ExchangeFailed("too-large")
            if not unpacker.eof or unpacker.unused_data:
                raise ExchangeFailed("encoding")
            return unpacked
        case _:
            raise ExchangeFailed("encoding")


def _failure(error: Exception) -> ExchangeFailed:
    if _is_tls(error):
        return ExchangeFailed("tls", sent=not isinstance(error, httpx2.ConnectError))
    match error:
        case httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return ExchangeFailed("timeout", sent=False)
        case httpx2.ConnectError():
            return ExchangeFailed("connect", sent=False)
        case httpx2.TimeoutException():
            return ExchangeFailed("timeout")
        case _:
            return ExchangeFailed("protocol")


def _is_tls(error: BaseException) -> bool:
    """Whether the cause is TLS: httpx2 has no error of its own for that."""
    cause: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if isinstance(cause, ssl.SSLError):
            return True
        if cause is None:
            return False
        cause = cause.__cause__ or cause.__context__
    return False
