"""An answer, and the form in which Redis keeps it."""

from typing import Final

import msgspec

from hannun.domain.answer import EncodedAnswer


class Meta(msgspec.Struct, frozen=True):
    """What a kept value says of itself. `until_ms` (since 1970): when it stops being true by itself; 0 never."""

    key: str
    version: str
    owner: str
    etag: str
    server: str
    until_ms: int = 0


_meta_decoder = msgspec.json.Decoder(Meta)
_SIZE_AT: Final = len(b'{"_size":')
_META_AT: Final = len(b'{"_size":      ,"_hannun":')


def pack(key: str, server: str, answer: EncodedAnswer) -> bytes:
    """The answer's JSON object with what it says of itself as its first field, so that any reader can read it."""
    meta = Meta(key, str(answer.version), answer.owner, answer.etag, server, answer.until_ms)
    packed = msgspec.json.encode(meta)
    # The size stands in front in a field of its own, so that a hit need not parse the payload.
    return b'{"_size":%6d,"_hannun":%b,%b' % (len(packed), packed, answer.body[1:])


def unpack(value: bytes, key: str, server: str, now_ms: int) -> EncodedAnswer | None:
    """The answer in a kept value; None where it is not one, or is not to be believed."""
    try:
        meta, end = _told(value)
    except (ValueError, msgspec.MsgspecError):
        return None
    if meta.key != key or meta.server != server or (meta.until_ms and now_ms >= meta.until_ms):
        return None
    return EncodedAnswer(b"{" + value[end + 1 :], int(meta.version), meta.owner, meta.etag, meta.until_ms)


HEAD_LAST: Final = 1_023
"""The last byte of a kept value's head: what it says of itself ends well before."""


def owner_in(head: bytes, key: str, server: str) -> str | None:
    """The owner that the head of a kept value names; None where it is not to be believed."""
    try:
        meta, _ = _told(head)
    except (ValueError, msgspec.MsgspecError):
        return None
    return meta.owner if meta.key == key and meta.server == server else None


def _told(value: bytes) -> tuple[Meta, int]:
    """What a kept value says of itself, and where that ends."""
    end = _META_AT + int(value[_SIZE_AT : _SIZE_AT + 6])
    return _meta_decoder.decode(value[_META_AT:end]), end
