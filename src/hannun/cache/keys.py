"""The names under which answers are kept in Redis: a public contract (`docs/cache.md`), exact to the letter."""

from collections.abc import Iterable

from hannun.domain.batch import ChangedEvent
from hannun.domain.granularity import Granularity

ANNOUNCEMENTS = "hannun:changed"
"""The channel on which changed events are announced, one JSON object each."""
TAKEN = "hannun:taken"
"""The channel on which processes of `serve` tell each other what callers have taken of their limits."""


_GRANULARITIES = tuple(
    granularity.value for granularity in Granularity
)  # plain texts: an enum's cost three times as much


def dashboard(event_id: str) -> str:
    return f"analytics:dashboard:{event_id}"


def channel(event_id: str, channel_name: str) -> str:
    """An id with a colon is escaped: event `a:b` with channel `c` is not event `a` with channel `b:c`."""
    if ":" in event_id or "%" in event_id:
        event_id = event_id.replace("%", "%25").replace(":", "%3A")
    return f"analytics:channel:{event_id}:{channel_name}"


def roi(event_id: str) -> str:
    return f"analytics:roi:{event_id}"


def timeline(event_id: str, granularity: str) -> str:
    return f"analytics:timeline:{event_id}:{granularity}"


def user(user_id: str) -> str:
    return f"analytics:user:{user_id}"


def processed(message_id: str) -> str:
    """The mark of a message that is counted: for others to look at, asked by nobody here."""
    return f"analytics:processed:{message_id}"


def lease(key: str) -> str:
    """Where the lease on an answer stands. The braces make a Redis Cluster keep it beside its answer."""
    return f"hannun:lease:{{{key}}}"


def of_event(event: ChangedEvent) -> list[str]:
    """The event's own answers that its change makes false. Participants, distributions and sales reach all but some
    channels; a few more deleted than needed is cheaper than one kept that is wrong."""
    id_ = event.event_id
    false = [dashboard(id_), roi(id_), *[timeline(id_, granularity) for granularity in _GRANULARITIES]]
    return false + [channel(id_, name) for name in event.channels]


def made_false_by(event: ChangedEvent) -> Iterable[str]:
    """Every answer that a change of an event makes false: its own, and its merchant's."""
    false = of_event(event)
    if event.user_id is not None:
        false.append(user(event.user_id))
    return false
