"""The integer keys of events and channels, which ledger rows hold instead of long texts."""

from collections.abc import Sequence
from dataclasses import dataclass

from hannun.domain.channels import Channel, ChannelType
from hannun.domain.fold import FactsByEvent
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("surrogate_keys")
CACHED_EVENTS_MAX = 200_000
"""The cache of events is emptied above this size, so that memory stays bounded however large the platform becomes."""


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel and its key in the database. `type` is None where only a distribution can tell it."""

    no: int
    name: str
    type: ChannelType | None


class SurrogateKeys:
    """A cache of the keys of events and channels. A key is assigned once and never changes.

    Keys are assigned in a transaction of their own, before the batch. A key without counts does no harm, and a cached
    key is then always committed.
    """

    def __init__(self) -> None:
        self.events: dict[str, int] = {}
        self.channels: dict[str, ChannelRow] = {}
        self.times_cleared = 0

    def contain(self, gathered: FactsByEvent) -> bool:
        """Whether the keys of all events and channels of a batch are cached."""
        return self.events.keys() >= set(gathered.event_ids) and self.channels.keys() >= gathered.channels.keys()

    def load_or_assign(self, conn: Connection, gathered: FactsByEvent) -> None:
        """Cache the keys of a batch's events and channels, and assign missing ones in the caller's transaction."""
        event_ids = gathered.event_ids
        if len(self.events) + len(event_ids) > CACHED_EVENTS_MAX:
            self.events.clear()
        self._load_events(conn, [event_id for event_id in event_ids if event_id not in self.events])
        self._load_channels(conn, [channel for key, channel in gathered.channels.items() if key not in self.channels])

    def clear(self) -> None:
        """Empty the cache: the database was restored, or is another one.

        Another thread that looks up keys compares `times_cleared` before and after. It is incremented last, so equal
        values mean keys of one database.
        """
        self.events.clear()
        self.channels.clear()
        self.times_cleared += 1

    def _load_events(self, conn: Connection, event_ids: list[str]) -> None:
        wanted = {"event_ids": event_ids}
        found: dict[str, int] = {}
        if event_ids:
            found = dict(conn.execute(SQL["event_keys"], wanted).fetchall())
        if len(found) < len(event_ids):
            conn.execute(SQL["add_events"], wanted)
            found = dict(conn.execute(SQL["event_keys"], wanted).fetchall())
        self.events |= found

    def _load_channels(self, conn: Connection, channels: Sequence[Channel]) -> None:
        wanted = {"keys": [channel.key for channel in channels]}
        found = conn.execute(SQL["channel_keys"], wanted).fetchall() if channels else []
        if len(found) < len(channels):
            conn.execute(SQL["add_channels"], wanted | {"names": [channel.name for channel in channels]})
            found = conn.execute(SQL["channel_keys"], wanted).fetchall()
        for key, no, name, type_ in found:
            self.channels[key] = ChannelRow(no, name, None if type_ is None else ChannelType(type_))
