"""A server over plain sockets that replies to HTTP requests with whatever bytes a behaviour writes."""

import asyncio
import gzip
import json
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Seen:
    """A request that the server received."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Exchange:
    """One request, and the connection to reply on."""

    seen: Seen
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def cut(self) -> None:
        self.writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the client closes the connection."""
        with suppress(OSError):
            while await self.reader.read(65_536):
                pass


@dataclass
class Server:
    port: int
    scheme: str
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Any:
    """A server on the loopback interface, until the end of the block."""
    server = Server(0, "https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.connections += 1
        try:
            while (seen := await _request(reader)) is not None:
                server.requests.append(seen)
                await behaviour(Exchange(seen, len(server.requests), reader, writer))
                if writer.transport.is_closing():
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, target, headers, body)


def response(body: bytes | str | object, status: int = 200, **headers: str) -> bytes:
    """The bytes of a response; a body that is neither bytes nor text is written as JSON."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *(f"{n}: {v}" for n, v in headers.items())]
    return (
        "\r\n".join(line.replace("_", "-", 1) if ":" in line else line for line in lines).encode() + b"\r\n\r\n" + body
    )


def replies(*responses: bytes) -> Behaviour:
    """Replies with these responses, one after the other; the last one again and again."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(responses[min(exchange.number, len(responses)) - 1])

    return behave


def once_then(first: Callable[[Exchange], Coroutine[Any, Any, None]], then: Behaviour) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await (first(exchange) if exchange.number == 1 else then(exchange))

    return behave


async def hangs(exchange: Exchange) -> None:
    await exchange.closed()


async def hangs_in_the_body(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    await exchange.closed()


async def trickles(exchange: Exchange) -> None:
    """A byte now and then, more often than the read time-out, without an end."""
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await _again_and_again(exchange, b" ")


async def trickles_the_head(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\n")
    await _again_and_again(exchange, b"X: y\r\n")


async def sends_early_hints_for_ever(exchange: Exchange) -> None:
    await _again_and_again(exchange, b"HTTP/1.1 103 Early Hints\r\n\r\n")


async def _again_and_again(exchange: Exchange, part: bytes) -> None:
    while not exchange.writer.transport.is_closing():
        await exchange.write(part)
        await asyncio.sleep(0.02)


async def cuts(exchange: Exchange) -> None:
    await exchange.cut()


async def cuts_in_the_body(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    await exchange.cut()


async def closes_in_the_body(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    exchange.writer.close()


async def sends_100_mb(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", *[b" " * 65_536] * 1_526)


async def sends_100_mb_in_chunks(exchange: Exchange) -> None:
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[piece] * 1_526)


async def sends_an_endless_head(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 65_536 + b"\r\n"] * 100)


async def sends_a_huge_error(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 503 Away\r\nContent-Length: 100000000\r\n\r\n", *[b" " * 65_536] * 1_526)


GZIP_BOMB = gzip.compress(b" " * 100_000_000, 9)
