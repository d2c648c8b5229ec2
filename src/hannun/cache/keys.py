"""The names of keys and channels in Redis: a public contract (`docs/cache.md`)."""

from hannun.domain.batch import ChangedEvent
from hannun.domain.granularity import Granularity

ANNOUNCEMENTS = "hannun:changed"
"""The channel on which changed events are announced, one JSON object each."""
LIMIT_USAGE = "hannun:taken"
"""The channel on which the `serve` processes share what callers have used of their rate limits."""
WRITE_CHECK = "hannun:write-check"
"""A key that nobody ever sets. Its UNLINK tells whether Redis accepts deletions; DEL is counted as invalidations."""

LOOKUPS = "hannun:lookups"
"""What Redis has counted of look-ups, a list of JSON arrays, newest first."""
CONSISTENCY = "hannun:consistency"
"""The share of cached answers that equal the database, by the seconds after an invalidation: a JSON object."""


def dashboard(event_id: str) -> str:
    return f"analytics:dashboard:{event_id}"


def channel(event_id: str, channel_name: str) -> str:
    """A colon in the event's id is escaped: event `a:b` with channel `c` is not event `a` with channel `b:c`."""
    if ":" in event_id or "%" in event_id:
        event_id = event_id.replace("%", "%25").replace(":", "%3A")
    return f"analytics:channel:{event_id}:{channel_name}"


def roi(event_id: str) -> str:
    return f"analytics:roi:{event_id}"


def timeline(event_id: str, granularity: str) -> str:
    return f"analytics:timeline:{event_id}:{granularity}"


def insights(event_id: str) -> str:
    return f"analytics:insights:{event_id}"


def user(user_id: str) -> str:
    return f"analytics:user:{user_id}"


def processed(message_id: str) -> str:
    """The marker of a counted message, for other teams to read. Hannun itself never reads it."""
    return f"analytics:processed:{message_id}"


def lease(key: str) -> str:
    """The lease on a key. The braces are a hash tag: a Redis Cluster keeps the lease in the slot of its answer."""
    return f"hannun:lease:{{{key}}}"


PATTERNS = (
    lease("*"),
    *map("analytics:{}:*".format, ("dashboard", "channel", "roi", "timeline", "insights", "user", "processed")),
)
"""Glob patterns of all keys: first of the leases, without which nothing is filled."""


_OF_EACH_EVENT = [
    tuple(key.split("*"))
    for key in [dashboard("*"), roi("*"), insights("*"), *[timeline("*", each.value) for each in Granularity]]
]
"""What stands before and after the id in each key that every event has: a batch may change 100,000 events."""


def of_event(event: ChangedEvent) -> list[str]:
    """The keys of the event's own answers that its change makes false.

    Participants, distributions and sales reach all of them but some channels. Deleting a few keys too many is cheaper
    than leaving one wrong answer.
    """
    id_ = event.event_id
    changed = [before + id_ + after for before, after in _OF_EACH_EVENT]
    return changed + [channel(id_, name) for name in event.channels]


def invalidated_by(event: ChangedEvent) -> list[str]:
    """The keys of all answers that a change of an event makes false: the event's own, and its merchant's."""
    changed = of_event(event)
    if event.user_id is not None:
        changed.append(user(event.user_id))
    return changed
