"""The encoded answer: what the cache stores and the API sends."""

import msgspec

Topic = tuple[str, str]
"""What an answer is about: ("event", eventId) or ("user", userId)."""


def topic_fields(topic: Topic) -> dict[str, str]:
    """The fields of a log line about a topic: an event by its id, a merchant never."""
    kind, id_ = topic
    return {"kind": kind, "event_id": id_} if kind == "event" else {"kind": kind}


class EncodedAnswer(msgspec.Struct, frozen=True):
    """An answer as bytes of JSON, with what decides who may see it and how long it holds.

    version: of the data; it rises with every change. Of an event the microsecond (since 1970) of its newest change.
    owner: the merchant who may see it.
    until_ms: when it stops being true without a change of the data, in ms since 1970; 0 for never.
    stale: PostgreSQL is away, so nothing can tell whether the answer is still true.
    """

    body: bytes
    version: int
    owner: str
    etag: str
    until_ms: int = 0
    stale: bool = False
