"""The HTTP server of the channel sandbox: one process, one event loop, no framework.

A framework closes connections politely and completes what it began. This server must reset a connection, stop in the
middle of a body and fail a TLS handshake; and it must answer 600 calls a second beside the client on two cores. So it
is an asyncio protocol around the parser of httptools.

    http://127.0.0.1:PORT/CHANNEL/...     every channel
    http://127.0.0.1:PORT/_control        see `control`
    https://127.0.0.1:OTHER/...           one address a channel, where TLS is wanted: before a handshake only the
                                          port can say which channel is meant
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import cast

import httptools
import uvloop

from hannun.errors import OperatorError
from hannun.sandbox.channels.certificate import Certificate, create_certificate
from hannun.sandbox.channels.channel import SimulatedChannel
from hannun.sandbox.channels.clock import Clock
from hannun.sandbox.channels.control import Control
from hannun.sandbox.channels.exchange import Received, Response, Sending
from hannun.sandbox.channels.numbers import Sources
from hannun.sandbox.channels.shape import Shape

HOST = "127.0.0.1"
HEAD_BYTES_MAX = 65_536
BODY_BYTES_MAX = 1_000_000
BACKLOG = 4_096
_CHUNK = b" " * 65_536
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What the server serves."""

    channels: Mapping[str, SimulatedChannel]
    clock: Clock

    @classmethod
    def of(cls, shapes: Mapping[str, Shape], sources: Sources) -> Sandbox:
        """The sandbox of these channels, which share a clock."""
        clock = Clock()
        return cls({name: SimulatedChannel(shape, sources, clock) for name, shape in shapes.items()}, clock)


@asynccontextmanager
async def serving(sandbox: Sandbox, listener: socket.socket, *, tls: bool = False) -> AsyncIterator[str]:
    """Serve on a socket until the block ends; yields the address.

    Args:
        tls: also serve each channel over TLS, on a port of its own.
    """
    async with contextlib.AsyncExitStack() as stack:
        connections: set[_Connection] = set()
        stack.callback(_close_all, connections)
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        addresses = {name: {"address": f"{address}/{name}"} for name in sandbox.channels}
        certificate = create_certificate(HOST) if tls else None
        if certificate is not None:
            for name, channel in sandbox.channels.items():
                of_channel = listen(0)
                addresses[name]["tlsAddress"] = f"https://{HOST}:{of_channel.getsockname()[1]}"
                create = partial(_Connection, connections, channel.respond)
                await _serve(stack, create, of_channel, _tls_context(certificate, channel))
        control = Control(sandbox.channels, sandbox.clock, addresses, certificate.pem if certificate else None)
        router = _Router(sandbox.channels, control)
        await _serve(stack, partial(_Connection, connections, router.respond), listener)
        yield address


async def _serve(
    stack: contextlib.AsyncExitStack,
    create: Callable[[], asyncio.Protocol],
    listener: socket.socket,
    tls: ssl.SSLContext | None = None,
) -> None:
    server = await asyncio.get_running_loop().create_server(create, sock=listener, ssl=tls, backlog=BACKLOG)
    stack.callback(server.close)


@contextmanager
def serving_in_thread(sandbox: Sandbox, listener: socket.socket, *, tls: bool = False) -> Iterator[str]:
    """Serve in a thread of this process until the block ends; yields the address."""
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()
    address: Future[str] = Future()

    async def serve() -> None:
        async with serving(sandbox, listener, tls=tls) as serving_at:
            address.set_result(serving_at)
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if address.done():
                raise
            address.set_exception(error)

    thread = threading.Thread(target=run, name="channel-sandbox", daemon=True)
    thread.start()
    try:
        yield address.result()
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
            thread.join()


class _Router:
    """Finds the channel that a path begins with."""

    def __init__(self, channels: Mapping[str, SimulatedChannel], control: Control) -> None:
        self._channels = channels
        self._control = control

    def respond(self, request: Received) -> Response:
        name = request.full_path[1:].partition("/")[0]
        if name.startswith("_"):
            return self._control.respond(request)
        channel = self._channels.get(name)
        if channel is None:
            return Response(404, b'{"error": "no such channel"}')
        request.path = request.full_path.removeprefix(f"/{name}")
        return channel.respond(request)


class _Connection(asyncio.Protocol):
    """One connection: reads requests, and sends the response of each before that of the next."""

    def __init__(self, connections: set[_Connection], respond: Callable[[Received], Response]) -> None:
        self._connections = connections
        self._respond = respond
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Received, bool]] = deque()
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._connections.add(self)
        self._begin_message()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._waiting.clear()
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > HEAD_BYTES_MAX + BODY_BYTES_MAX:
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- httptools

    def _begin_message(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        request = Received(method, self._target.decode("latin-1"), self._headers, self._body)
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._begin_message()
        if len(self._waiting) > 1:
            self._transport.pause_reading()  # a client that sends more before it has read
        self._go_on()

    # -- responses

    def _go_on(self) -> None:
        """Answer the next request, unless one is being answered."""
        while self._waiting and not self._is_busy and not self._transport.is_closing():
            request, keep_alive = self._waiting.popleft()
            self._is_busy = True
            response = self._respond(request)
            if response.delay_s > 0:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(response.delay_s, self._send, response, keep_alive)
            else:
                self._send(response, keep_alive)
        if not self._waiting and not self._transport.is_closing():
            self._transport.resume_reading()

    def _send(self, response: Response, keep_alive: bool) -> None:
        match response.sending:
            case Sending.WHOLE:
                self._transport.write(_head(response, len(response.body), keep_alive) + response.body)
                self._finish(keep_alive)
            case Sending.CUT:
                self._transport.write(_head(response, len(response.body), keep_alive))
                self._transport.write(response.body[: len(response.body) // 2])
                self._transport.abort()
            case Sending.RESET:
                self._reset()
            case Sending.TRICKLE:
                self._task = asyncio.get_running_loop().create_task(self._trickle(response, keep_alive))
            case Sending.OVERSIZED:
                self._task = asyncio.get_running_loop().create_task(self._send_oversized(response, keep_alive))
            case Sending.NEVER:
                pass

    def _finish(self, keep_alive: bool) -> None:
        self._is_busy = False
        if not keep_alive:
            self._transport.close()
        elif self._timer is not None or self._task is not None:
            self._timer = self._task = None
            self._go_on()

    async def _trickle(self, response: Response, keep_alive: bool) -> None:
        self._transport.write(_head(response, len(response.body), keep_alive))
        step = max(1, round(response.rate / 100))
        for begin in range(0, len(response.body), step):
            await asyncio.sleep(step / response.rate)
            self._transport.write(response.body[begin : begin + step])
        self._finish(keep_alive)

    async def _send_oversized(self, response: Response, keep_alive: bool) -> None:
        """Send a JSON list that does not end before its size, in chunks: its length is not announced."""
        self._transport.write(_head(response, None, keep_alive) + b"1\r\n[\r\n")
        left = response.size - 2
        while left > 0 and not self._transport.is_closing():
            chunk = _CHUNK[:left]
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            left -= len(chunk)
            await self._writable.wait()
            await asyncio.sleep(0)  # other connections go on
        self._transport.write(b"1\r\n]\r\n0\r\n\r\n")
        self._finish(keep_alive)

    def _reset(self) -> None:
        """End the connection by RST instead of FIN."""
        connected = self._transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()


def _head(response: Response, size: int | None, keep_alive: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}",
        f"content-type: {response.content_type}",
        "transfer-encoding: chunked" if size is None else f"content-length: {size}",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    if not keep_alive:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def listen(port: int) -> socket.socket:
    """A bound socket of the loopback interface; `port` 0 is any free one.

    Raises:
        OperatorError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"cannot listen on {HOST}:{port}: {error.strerror}", hint="another --port, or 0 for any free one"
        ) from error
    listener.setblocking(False)
    return listener


def _tls_context(certificate: Certificate, channel: SimulatedChannel) -> ssl.SSLContext:
    """The TLS settings of a channel, which may refuse a handshake."""

    def begin_handshake(*_: object) -> int | None:
        return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE if channel.refuses_handshake() else None

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate.load_into(context)
    context.sni_callback = begin_handshake
    return context


def _close_all(connections: set[_Connection]) -> None:
    for connection in list(connections):
        connection.abort()
