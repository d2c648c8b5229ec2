"""The format of a cached answer in Redis: the answer's JSON object with metadata in front."""

from typing import Final

import msgspec

from hannun.domain.answer import EncodedAnswer
from hannun.domain.response_schemas import SHAPE


class EntryMeta(msgspec.Struct, frozen=True):
    """Metadata of a cached answer. `until_ms` (since 1970) is when it stops being true by itself; 0 means never.

    `server` is the run id of the Redis server to which the entry was written. `shape` identifies the fields of answers:
    during an upgrade processes of two versions fill the same keys.
    """

    key: str
    version: str
    owner: str
    etag: str
    server: str
    until_ms: int = 0
    shape: str = ""


_meta_decoder = msgspec.json.Decoder(EntryMeta)
_SIZE_AT: Final = len(b'{"_size":')
_META_AT: Final = len(b'{"_size":      ,"_hannun":')


def encode(key: str, server: str, answer: EncodedAnswer) -> bytes:
    """The answer's JSON object with the metadata as its first fields, so that any client can read it as JSON."""
    meta = EntryMeta(key, str(answer.version), answer.owner, answer.etag, server, answer.until_ms, SHAPE)
    encoded = msgspec.json.encode(meta)
    # The metadata's size is a field of its own in front, so that a hit does not parse the payload.
    return b'{"_size":%6d,"_hannun":%b,%b' % (len(encoded), encoded, answer.body[1:])


def decode(value: bytes, key: str, server: str, now_ms: int) -> EncodedAnswer | None:
    """The answer in a Redis value.

    None if the value or its answer has another format, was made for another key, was written to another run of the
    server, or has expired at `now_ms`.
    """
    try:
        meta, end = _decode_meta(value)
    except (ValueError, msgspec.MsgspecError):
        return None
    if meta.key != key or meta.server != server or meta.shape != SHAPE or (meta.until_ms and now_ms >= meta.until_ms):
        return None
    return EncodedAnswer(b"{" + value[end + 1 :], int(meta.version), meta.owner, meta.etag, meta.until_ms)


HEAD_LAST: Final = 1_023
"""The last byte of a value's head. The metadata ends well before it."""


def decode_owner(head: bytes, key: str, server: str) -> str | None:
    """The owner in the head of a Redis value; None in the cases of `decode`, other than expiry."""
    try:
        meta, _ = _decode_meta(head)
    except (ValueError, msgspec.MsgspecError):
        return None
    return meta.owner if meta.key == key and meta.server == server else None


def _decode_meta(value: bytes) -> tuple[EntryMeta, int]:
    """The metadata of a value, and the offset at which it ends."""
    end = _META_AT + int(value[_SIZE_AT : _SIZE_AT + 6])
    return _meta_decoder.decode(value[_META_AT:end]), end
