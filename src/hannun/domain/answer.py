"""An answer as bytes, with what decides who may see it and whether it is still current."""

import msgspec


class EncodedAnswer(msgspec.Struct, frozen=True):
    """An answer as bytes of JSON, with what decides who may see it and whether it is still the same.

    `stale`: the database is away, so nobody knows whether it is still true.
    """

    body: bytes
    version: int
    owner: str
    etag: str
    until_ms: int = 0
    stale: bool = False
