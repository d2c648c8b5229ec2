"""Unpacks request bodies that were sent with `Content-Encoding: gzip` or `zstd`.

A small body may unpack to gigabytes, so it is unpacked in pieces that each yield little, and no further than its limit.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import zstandard

from hannun.errors import BadRequest

ACCEPTED = "gzip, zstd"
"""The encodings that are accepted, as an Accept-Encoding header names them."""
PACKED_OVERHEAD_BYTES_MAX = 65_536
"""By how much a packed body may be longer than its unpacked limit: data that cannot be packed grows a little."""
MEMBERS_MAX = 1_000
"""The most gzip members or zstd frames of a body. Each costs time and memory, also one that unpacks to nothing."""

_PIECE_BYTES = 64
"""Unpacks to 66 kB (gzip), or to 16 blocks of 128 kB (zstd), at most."""
_GZIP = 16 + zlib.MAX_WBITS
_ZSTD_WINDOW_BYTES_MAX = 8 * 2**20
"""What a zstd sender may require of the receiver (RFC 9659)."""


class _Member(Protocol):
    """One gzip member, or one zstd frame, while it is unpacked."""

    def decompress(self, data: bytes, /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def _gzip_members() -> Callable[[], _Member]:
    return lambda: zlib.decompressobj(_GZIP)


def _zstd_frames() -> Callable[[], _Member]:
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX).decompressobj


_OPENERS: Mapping[str, Callable[[], Callable[[], _Member]]] = {
    "gzip": _gzip_members,
    "x-gzip": _gzip_members,
    "zstd": _zstd_frames,
}


def body_encoding(content_encodings: Sequence[str]) -> str | None:
    """The encoding that the Content-Encoding headers name; None for a body that is sent as it is.

    Raises:
        BadRequest: it names another encoding than gzip or zstd, or more than one (415).
    """
    found = ",".join(content_encodings)
    named = [name.strip().lower() for name in found.split(",")]
    names = [name for name in named if name not in ("", "identity")]
    if len(names) > 1 or not set(names) <= _OPENERS.keys():
        raise BadRequest(
            "the body is encoded as {found}: send it as it is, or packed once by one of {accepted}",
            code="unsupported-encoding",
            found=found[:64],
            accepted=ACCEPTED,
        )
    return names[0] if names else None


def unpack(packed: bytes, encoding: str, bytes_max: int) -> bytes | None:
    """The unpacked body; None where it has more than `bytes_max` bytes.

    Raises:
        BadRequest: it is not of this encoding, or has no end (400).
    """
    new_member = _OPENERS[encoding]()
    body, at, members = bytearray(), 0, 0
    member: _Member | None = None
    while at < len(packed):
        if member is None:
            member, members = new_member(), members + 1
            if members > MEMBERS_MAX:
                raise _bad_encoding(encoding)
        piece = packed[at : at + _PIECE_BYTES]
        try:
            body += member.decompress(piece)
        except (zlib.error, zstandard.ZstdError) as error:
            raise _bad_encoding(encoding) from error
        if len(body) > bytes_max:
            return None
        at += len(piece)
        if member.eof:
            at -= len(member.unused_data)
            member = None
    if member is not None:
        raise _bad_encoding(encoding)
    return bytes(body)


def _bad_encoding(encoding: str) -> BadRequest:
    return BadRequest(
        "the body cannot be unpacked: it is broken, cut off, or not {encoding}",
        code="bad-encoding",
        encoding=encoding,
    )
