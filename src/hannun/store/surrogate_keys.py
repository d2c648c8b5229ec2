"""The numbers of events and channels: what a ledger row says instead of long texts."""

from collections.abc import Sequence
from dataclasses import dataclass

from hannun.domain.channels import Channel, ChannelType
from hannun.domain.fold import FactsByEvent
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("surrogate_keys")
KNOWN_EVENTS_MAX = 200_000
"""More are forgotten and asked for again: memory stays bounded whatever the platform grows to."""


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as the database numbers it; `type` is None where only a distribution can tell it."""

    no: int
    name: str
    type: ChannelType | None


class SurrogateKeys:
    """The numbers of events and channels, remembered: they are given once and never change.

    Numbers are given in a transaction of their own, before the batch: a number without counts harms nobody, and what
    is remembered here is then always committed.
    """

    def __init__(self) -> None:
        self.events: dict[str, int] = {}
        self.channels: dict[str, ChannelRow] = {}
        self.forgotten = 0

    def cover(self, gathered: FactsByEvent) -> bool:
        """Whether all of a batch is numbered."""
        return gathered.events.keys() <= self.events.keys() and gathered.channels.keys() <= self.channels.keys()

    def learn(self, conn: Connection, gathered: FactsByEvent) -> None:
        """Number what has no number yet."""
        if len(self.events) + len(gathered.events) > KNOWN_EVENTS_MAX:
            self.events.clear()
        self._learn_events(conn, [event_id for event_id in gathered.events if event_id not in self.events])
        self._learn_channels(conn, [channel for key, channel in gathered.channels.items() if key not in self.channels])

    def forget(self) -> None:
        """Believe nothing: the database was restored, or is another one.

        Who looked numbers up in another thread compares `forgotten` before and after: counted up last, it cannot be the
        same for numbers of two databases.
        """
        self.events.clear()
        self.channels.clear()
        self.forgotten += 1

    def _learn_events(self, conn: Connection, event_ids: list[str]) -> None:
        wanted = {"event_ids": event_ids}
        found: dict[str, int] = {}
        if event_ids:
            found = dict(conn.execute(SQL["event_numbers"], wanted).fetchall())
        if len(found) < len(event_ids):
            conn.execute(SQL["add_events"], wanted)
            found = dict(conn.execute(SQL["event_numbers"], wanted).fetchall())
        self.events |= found

    def _learn_channels(self, conn: Connection, channels: Sequence[Channel]) -> None:
        wanted = {"keys": [channel.key for channel in channels]}
        found = conn.execute(SQL["channel_numbers"], wanted).fetchall() if channels else []
        if len(found) < len(channels):
            conn.execute(SQL["add_channels"], wanted | {"names": [channel.name for channel in channels]})
            found = conn.execute(SQL["channel_numbers"], wanted).fetchall()
        for key, no, name, type_ in found:
            self.channels[key] = ChannelRow(no, name, None if type_ is None else ChannelType(type_))
