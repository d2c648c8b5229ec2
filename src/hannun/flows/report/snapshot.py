"""What a loader reads from, and what it returns."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Generic, TypeVar

from hannun.domain.answer import EncodedAnswer
from hannun.domain.channels import ChannelTable
from hannun.domain.figures import PeriodComparison
from hannun.domain.ranges import Preceding, Range
from hannun.domain.response_schemas import ApiStruct, encode, etag_of
from hannun.errors import BadRequest
from hannun.store import reports
from hannun.store.database import AsyncConnection

Figures_co = TypeVar("Figures_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a loader reads from: a connection, on which one statement, or one transaction, sees one moment. `now` is UTC
    without a zone.

    stale_after: how long what a channel has measured is good.
    """

    conn: AsyncConnection
    now: datetime
    channel_table: ChannelTable
    stale_after: timedelta

    async def comparison(
        self, event_nos: list[int], range_: Range, preceding: Preceding | None = None
    ) -> PeriodComparison | None:
        """What happened within a range, and in the preceding one; None for all time."""
        return await reports.period(self.conn, event_nos, range_, preceding) if range_.is_bounded else None

    async def check_channels(
        self, names: Iterable[str], *, event_id: str | None = None, user_id: str | None = None
    ) -> None:
        """Check that each name means a channel of the table, of the event, or of any event of the merchant. Channels
        that only other merchants name are unknown: the answer must not tell that they exist.

        Raises:
            BadRequest: a name means none.
        """
        own = {}
        for name in names:
            channel = self.channel_table.named(name)
            if channel is None or not _is_storable(channel.key):
                raise _unknown_channel(name)
            if channel.type is None:
                own[channel.key] = name
        known = await reports.known_channel_keys(self.conn, list(own), event_id, user_id) if own else set()
        for key, name in own.items():
            if key not in known:
                raise _unknown_channel(name)

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


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text: it has neither NUL nor a lone surrogate."""
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)


def _unknown_channel(name: str) -> BadRequest:
    return BadRequest(
        "no channel is named {name!r}: use the name of a channel of these events",
        code="unknown-channel",
        field="channels",
        name=name[:100],
    )


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


QuestionT = TypeVar("QuestionT")
Load = Callable[[Snapshot, QuestionT], Awaitable[T]]


def in_one_transaction(load: Load[QuestionT, T]) -> Load[QuestionT, T]:
    """Let a loader that sends several statements read one snapshot. A single statement is one by itself, and two round
    trips cheaper."""

    @wraps(load)
    async def load_in_transaction(snapshot: Snapshot, question: QuestionT) -> T:
        async with snapshot.conn.transaction():
            return await load(snapshot, question)

    return load_in_transaction


def earliest(*moments: datetime | None) -> datetime | None:
    """The earliest of these moments; None where there is none."""
    return min((moment for moment in moments if moment is not None), default=None)


def end_of_comparison(range_: Range, now: datetime) -> datetime | None:
    """When a comparison with the preceding range stops being true: of a range that is not over, a minute more has
    elapsed each minute. None for never."""
    elapsed_until = range_.elapsed_until(now)
    return None if range_.start is None or elapsed_until == range_.end else elapsed_until


def encoded(answer: ApiStruct, loaded: Loaded[Any]) -> EncodedAnswer:
    """An answer as bytes, with what the cache needs."""
    body = encode(answer)
    until = loaded.valid_until
    until_ms = 0 if until is None else int(until.replace(tzinfo=UTC).timestamp() * 1_000)
    return EncodedAnswer(body, loaded.version, loaded.owner, etag_of(loaded.version, body), until_ms)
