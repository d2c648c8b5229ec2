"""The wire format of an announcement: a writer publishes one for each event that it changed."""

import msgspec

from hannun.domain.batch import ChangedEvent


class _Announcement(msgspec.Struct, frozen=True, rename="camel"):
    """The JSON object on the channel, a public contract (`docs/cache.md`)."""

    event_id: str
    user_id: str | None = None
    version: str = "0"
    channels: tuple[str, ...] = ()
    traceparent: str | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Announcement)


def encode(event: ChangedEvent, traceparent: str | None = None) -> bytes:
    """An announcement as it is published; `traceparent` names the span of the invalidation, where it is traced."""
    trace = msgspec.UNSET if traceparent is None else traceparent
    return msgspec.json.encode(_Announcement(event.event_id, event.user_id, str(event.version), event.channels, trace))


def decode(data: bytes) -> ChangedEvent | None:
    """The changed event; None if the data is no announcement, which counts as a missed one."""
    try:
        announced = _decoder.decode(data)
        version = int(announced.version)
    except (msgspec.MsgspecError, ValueError):
        return None
    trace = None if announced.traceparent is msgspec.UNSET else announced.traceparent
    return ChangedEvent(announced.event_id, announced.user_id, version, announced.channels, trace)
