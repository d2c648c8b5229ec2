"""`channels`: calls a second to a channel's API: our client beside a bare loop of httpx2, with the same concurrency.

A server in a process of its own answers each call after 20 ms. Both sides decode the JSON; only ours checks addresses,
bounds, repeats, maps and validates. They take turns, so that other load affects both. Each turn also measures the CPU
time of this process, which varies less.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from statistics import median
from typing import NamedTuple, cast

import httpx2
import msgspec
import uvloop

from bench.figures import Figure
from bench.servers import Servers
from hannun.channels.access import Access
from hannun.channels.client import ChannelClient
from hannun.channels.declaration import shipped

CALLS_AT_ONCE = 32
ANSWER_S = 0.02

_BODY = msgspec.json.encode(
    {"items": [{"id": "e1", "statistics": {"impressionCount": "1200", "viewCount": "800", "clickCount": "31"}}]}
)
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)

Call = Callable[[], Awaitable[None]]


class Turn(NamedTuple):
    """What one side did in its turn."""

    calls_per_s: float
    cpu_us: float


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `channels`."""
    turns = 3 if quick else 11
    calls = 500 if quick else 3_000
    servers.log_progress(f"channels: {turns} turns of {calls:,} calls on each side")
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    server = context.Process(target=_serve, args=(sending,), daemon=True)
    server.start()
    try:
        bare, ours = asyncio.run(_measure(receiving.recv(), turns, calls))
    finally:
        server.kill()
        server.join()
    samples = f"median of {turns} turns of {calls:,} calls, {CALLS_AT_ONCE} at once"
    ratios = [mine.calls_per_s / theirs.calls_per_s for mine, theirs in zip(ours, bare, strict=True)]
    cpu_ratios = [theirs.cpu_us / mine.cpu_us for mine, theirs in zip(ours, bare, strict=True)]
    return [
        Figure("channels", "calls of the client", median(turn.calls_per_s for turn in ours), "calls/s", samples),
        Figure(
            "channels", "calls of a bare httpx2 loop", median(turn.calls_per_s for turn in bare), "calls/s", samples
        ),
        Figure("channels", "client / bare loop, calls a second", median(ratios), "x", samples),
        Figure("channels", "bare loop / client, CPU time of a call", median(cpu_ratios), "x", samples),
    ]


async def _measure(port: int, turns: int, calls: int) -> tuple[list[Turn], list[Turn]]:
    address = f"http://127.0.0.1:{port}"
    access = Access(address, {"api_key": "k"})
    limits = httpx2.Limits(max_connections=CALLS_AT_ONCE, max_keepalive_connections=CALLS_AT_ONCE)
    client = ChannelClient(shipped()["wooritv"], access, calls_at_once=CALLS_AT_ONCE, private_addresses=True)
    async with client, httpx2.AsyncClient(trust_env=False, limits=limits) as bare:

        async def ask() -> None:
            reply = await client.fetch(["e1"])
            assert reply.kind == "measured", reply.reason

        async def get() -> None:
            response = await bare.get(f"{address}/v3/videos?part=statistics&id=e1&key=k")
            msgspec.json.decode(response.content)

        for warm_up in (get, ask):
            await _turn(warm_up, CALLS_AT_ONCE * 4)
        pairs = [(await _turn(get, calls), await _turn(ask, calls)) for _ in range(turns)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


async def _turn(call: Call, calls: int) -> Turn:
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            await call()

    began_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(CALLS_AT_ONCE)))
    return Turn(calls / (time.perf_counter() - began_s), (time.process_time() - cpu_s) / calls * 1e6)


class _Answers(asyncio.Protocol):
    """Answers each request with the same bytes after `ANSWER_S`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            self._received = self._received.partition(b"\r\n\r\n")[2]
            asyncio.get_running_loop().call_later(ANSWER_S, self._transport.write, _RESPONSE)


def _serve(port_to: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", 0)
        port_to.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())
