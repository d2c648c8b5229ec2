"""Compresses responses as the client accepts: brotli, zstd or gzip, by the weights of `Accept-Encoding`.

    route ─► response of a compressible type, longer than BODY_BYTES_MIN ─► packed whole, with its new length
                                    └─ its length is not known: a file that grows ─► packed chunk by chunk

Answers that hold a secret are never compressed (`never_compress`): the length of a compressed body reveals what is in
it to somebody who can add to it (BREACH). Event streams, workbooks and Parquet files are of no compressible type. Long
bodies (OFF_LOOP_BYTES) are packed in a thread. ETags are weak, so that an answer has the same one in every encoding.
"""

import zlib
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, Protocol

import brotli
import zstandard
from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hannun.web.accept import weights_in

Encoding = Literal["br", "zstd", "gzip"]
ENCODINGS: Final[tuple[Encoding, ...]] = ("br", "zstd", "gzip")
"""The preferred one first, where a client accepts several alike."""
BODY_BYTES_MIN: Final = 1_000
"""A body of at most this length is sent as it is: it fits into one packet anyway."""
OFF_LOOP_BYTES: Final = 32_768
"""Longer bodies are packed in a thread: packing them takes about a millisecond."""
_HEADER_LENGTH_MAX = 500
_BROTLI_QUALITY, _ZSTD_LEVEL, _GZIP_LEVEL = 5, 3, 6
_BROTLI_QUALITY_MAX, _ZSTD_LEVEL_MAX, _GZIP_LEVEL_MAX = 11, 19, 9
_SLOW_BYTES = 500_000
"""The highest quality would take seconds for a longer body."""
_GZIP_WBITS = 31  # for zlib: the largest window, with the header of gzip
_OVERHEAD_BYTES = 400  # of a remembered body, its key and their objects, roughly
_TYPES = (
    "application/json",
    "application/manifest+json",
    "application/problem+json",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/plain",
)


def accepted_encoding(accept_encoding: str | None) -> Encoding | None:
    """The encoding for a client that sends this header (RFC 9110, 12.5.3); None sends the body as it is."""
    if not accept_encoding or len(accept_encoding) > _HEADER_LENGTH_MAX:
        return None
    return _preferred_encoding(accept_encoding)


@lru_cache(1_024)
def _preferred_encoding(accept_encoding: str) -> Encoding | None:
    weights = {name.replace("x-gzip", "gzip"): weight for name, weight in weights_in(accept_encoding)}
    others = weights.get("*", 0.0)
    best = max(ENCODINGS, key=lambda encoding: weights.get(encoding, others))  # of equal ones the first
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def pack(encoding: Encoding, body: bytes) -> bytes:
    """The body in an encoding. The same body gives the same bytes."""
    if encoding == "br":
        packed: bytes = brotli.compress(body, quality=_BROTLI_QUALITY)
        return packed
    if encoding == "zstd":
        return zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(body)
    return zlib.compress(body, _GZIP_LEVEL, _GZIP_WBITS)


def pack_small(encoding: Encoding, body: bytes) -> bytes:
    """As `pack`, about a tenth smaller and a hundred times slower: for a body that is packed once and sent often."""
    if len(body) > _SLOW_BYTES:
        return pack(encoding, body)
    if encoding == "br":
        packed: bytes = brotli.compress(body, quality=_BROTLI_QUALITY_MAX)
        return packed
    if encoding == "zstd":
        return zstandard.ZstdCompressor(_ZSTD_LEVEL_MAX).compress(body)
    return zlib.compress(body, _GZIP_LEVEL_MAX, _GZIP_WBITS)


async def pack_off_loop(encoding: Encoding, body: bytes) -> bytes:
    """As `pack`; a long body in a thread."""
    return pack(encoding, body) if len(body) <= OFF_LOOP_BYTES else await to_thread.run_sync(pack, encoding, body)


# -- answers of the fast path


class PackedAnswers:
    """Remembers the compressed bodies of cached answers, so that each is packed once. For use in one event loop.

    Args:
        bytes_max: the memory that all of them together may take; 0 remembers none.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bodies: OrderedDict[tuple[str, Encoding], tuple[str, bytes]] = OrderedDict()
        self.bytes = 0

    def get(self, key: str, encoding: Encoding, etag: str) -> bytes | None:
        """The packed body of the answer with this cache key and ETag; None where it is not remembered."""
        found = self._bodies.get((key, encoding))
        return found[1] if found is not None and found[0] == etag else None

    async def pack(self, key: str, encoding: Encoding, etag: str, body: bytes) -> bytes:
        """Pack the body of an answer and remember it, in place of that of an older answer with this key."""
        packed = await pack_off_loop(encoding, body)
        self._forget((key, encoding))
        self._bodies[key, encoding] = (etag, packed)
        self.bytes += _size(key, packed)
        while self.bytes > self._bytes_max:
            self._forget(next(iter(self._bodies)))
        return packed

    def _forget(self, name: tuple[str, Encoding]) -> None:
        found = self._bodies.pop(name, None)
        if found is not None:
            self.bytes -= _size(name[0], found[1])


def _size(key: str, packed: bytes) -> int:
    return len(packed) + len(key) + _OVERHEAD_BYTES


# -- responses of routes


class Compression:
    """Middleware that compresses the responses of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = _Response(scope, send).send
        await self._app(scope, receive, send)


_NEVER = "hannun.never_compress"


def never_compress(request: Request) -> None:
    """The response to this request holds a secret: send it as it is."""
    request.scope[_NEVER] = True


class _Response:
    """One response. Its head waits for the begin of its body, which decides whether it is compressed."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._encoding = accepted_encoding(", ".join(Headers(scope=scope).getlist("accept-encoding")))
        self._head: Message | None = None
        self._packer: Packer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if _type_of(headers) in _TYPES:
                _add_vary(headers)
                if self._encoding and _NEVER not in self._scope and "content-encoding" not in headers:
                    self._head = message
                    return
        elif self._head is not None and self._encoding is not None:
            head, self._head = self._head, None
            message = await self._begin(self._encoding, head, message)
        elif self._packer is not None:
            message = await self._packed(self._packer, message)
        await self._send(message)

    async def _begin(self, encoding: Encoding, head: Message, message: Message) -> Message:
        """Send the head. Returns the first message of the body."""
        headers, body = MutableHeaders(scope=head), message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > BODY_BYTES_MIN:
                message = {**message, "body": await pack_off_loop(encoding, body)}
                _set_encoding(headers, encoding, len(message["body"]))
        elif int(headers.get("content-length", BODY_BYTES_MIN + 1)) > BODY_BYTES_MIN:
            self._packer = _PACKERS[encoding]()
            _set_encoding(headers, encoding, None)
            message = await self._packed(self._packer, message)
        await self._send(head)
        return message

    @staticmethod
    async def _packed(packer: "Packer", message: Message) -> Message:
        ends = not message.get("more_body")
        return {**message, "body": await to_thread.run_sync(packer.add, message.get("body", b""), ends)}


def _type_of(headers: MutableHeaders) -> str:
    return headers.get("content-type", "").partition(";")[0]


def _set_encoding(headers: MutableHeaders, encoding: Encoding, length: int | None) -> None:
    headers["Content-Encoding"] = encoding
    if length is None:
        del headers["Content-Length"]
    else:
        headers["Content-Length"] = str(length)
    if headers.get("etag", "").startswith('"'):  # a strong ETag names bytes, and these are others
        headers["ETag"] = f"W/{headers['etag']}"


def _add_vary(headers: MutableHeaders) -> None:
    if "accept-encoding" not in headers.get("vary", "").lower():
        headers.add_vary_header("Accept-Encoding")


class Packer(Protocol):
    """Compresses a body in chunks. Each chunk can be read as soon as it is there."""

    def add(self, chunk: bytes, ends: bool) -> bytes:
        """The next bytes of the compressed body; `ends` with the last chunk."""


class _BrotliPacker:
    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=_BROTLI_QUALITY)

    def add(self, chunk: bytes, ends: bool) -> bytes:
        compressor = self._compressor
        packed: bytes = compressor.process(chunk) + (compressor.finish() if ends else compressor.flush())
        return packed


class _ZstdPacker:
    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(_ZSTD_LEVEL).compressobj()

    def add(self, chunk: bytes, ends: bool) -> bytes:
        how = zstandard.COMPRESSOBJ_FLUSH_FINISH if ends else zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return self._compressor.compress(chunk) + self._compressor.flush(how)


class _GzipPacker:
    def __init__(self) -> None:
        self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)

    def add(self, chunk: bytes, ends: bool) -> bytes:
        return self._compressor.compress(chunk) + self._compressor.flush(zlib.Z_FINISH if ends else zlib.Z_SYNC_FLUSH)


_PACKERS: dict[Encoding, Callable[[], Packer]] = {"br": _BrotliPacker, "zstd": _ZstdPacker, "gzip": _GzipPacker}
