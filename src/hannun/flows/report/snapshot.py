"""What a loader reads from, and what it returns."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from hannun.domain.channels import ChannelTable
from hannun.domain.figures import PeriodComparison
from hannun.domain.ranges import Range
from hannun.store import reports
from hannun.store.database import AsyncConnection

Figures_co = TypeVar("Figures_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One read transaction: all its statements see the same moment. `now` is UTC without a zone."""

    conn: AsyncConnection
    now: datetime
    channel_table: ChannelTable

    async def comparison(
        self, event_nos: list[int], range_: Range, preceding: Range | None = None
    ) -> PeriodComparison | None:
        """What happened within a range, and in the preceding one; None for all time."""
        return await reports.period(self.conn, event_nos, range_, preceding) if range_.is_bounded else None

    def channel_keys(self, names: Iterable[str]) -> list[str]:
        """The keys of the channels that these names mean, in any spelling; unusable names have none."""
        return [channel.key for channel in map(self.channel_table.named, names) if channel is not None]

    def select(
        self, names: tuple[str, ...], channels: Iterable[str], comparison: PeriodComparison | None
    ) -> frozenset[str] | None:
        """Those of `channels` and of the comparison's channels that `names` means; None where `names` is empty."""
        if not names:
            return None
        keys = frozenset(self.channel_keys(names))
        of_period = () if comparison is None else (name for name, _ in comparison.period.channels)
        return frozenset(name for name in (*channels, *of_period) if keys.intersection(self.channel_keys([name])))


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Figures_co]):
    """Figures with what the cache needs.

    version: of the data, see `EncodedAnswer`.
    owner: the merchant who may see them.
    valid_until: when they stop being true without a change of the data (UTC without a zone); None for never.
    """

    figures: Figures_co
    version: int
    owner: str
    valid_until: datetime | None = None


def end_of_open_range(range_: Range, now: datetime) -> datetime | None:
    """When a comparison with the preceding range stops being true: an open range ends a minute later each minute."""
    return range_.end_or_now(now) if range_.start is not None and range_.end is None else None
