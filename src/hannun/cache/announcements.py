"""What writers announce to readers: an event has changed."""

from typing import Any

import msgspec

from hannun.domain.batch import ChangedEvent


def of(event: ChangedEvent) -> bytes:
    """An announcement in the form in which it is sent."""
    told = {"eventId": event.event_id, "userId": event.user_id, "version": str(event.version)}
    return msgspec.json.encode({**told, "channels": event.channels})


def changed(announced: dict[str, Any]) -> ChangedEvent:
    """What was announced, as far as it says which keys are false."""
    channels = tuple(name for name in announced.get("channels") or () if isinstance(name, str))
    return ChangedEvent(str(announced.get("eventId")), announced.get("userId"), 0, channels)


def read(data: bytes) -> dict[str, Any] | None:
    """What was announced; None where it cannot be read, which is as good as missed."""
    try:
        announced: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        return announced
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
