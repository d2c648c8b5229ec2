"""What an operator sees of the refresh: its rounds, what they did on each channel, and what needs somebody.

Instants are UTC, without a zone, by PostgreSQL's clock.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from hannun.domain.breaker import State
from hannun.domain.rounds import RoundRecord

JOB: Final = "refresh"
"""The name of the refresh among the jobs that have rounds."""
STATES: Final = ("measured", "unchanged", "failed", "refused", "over-quota", "skipped")
"""What becomes of a pair of event and channel in a round."""
_STATE_OF: Final[Mapping[str, str]] = {
    "changed": "measured",
    "measured": "measured",
    "unchanged": "unchanged",
    "older": "unchanged",
    "failed": "failed",
    "refused": "refused",
    "falling": "refused",
    "no-type": "refused",
    "minute-full": "refused",
    "unknown-event": "refused",
    "unknown-channel": "refused",
    "over-quota": "over-quota",
    "over-budget": "over-quota",
    "skipped": "skipped",
    "breaker-open": "skipped",
    "too-late": "skipped",
}
"""The state of each name that a round counts. Other names (calls, rebuilt, overdue) count no pairs."""


def pairs_by_state(counts: Mapping[str, int]) -> dict[str, int]:
    """How many pairs are in each of `STATES`, from the counts of a round or of its pieces."""
    pairs = Counter(dict.fromkeys(STATES, 0))
    for name, amount in counts.items():
        if name in _STATE_OF:
            pairs[_STATE_OF[name]] += amount
    return dict(pairs)


class ChannelWork(NamedTuple):
    """What a round does on one channel: pairs in all and left, and the counts of the pieces done."""

    channel: str
    name: str
    pairs: int
    pairs_left: int
    counts: Mapping[str, int]


class ChannelAge(NamedTuple):
    """How old the measurements of a channel are, over its ACTIVE events.

    Args:
        active: ACTIVE events that it has distributed, or measured.
        measured: those with a measurement; of these `stale` are too old.
        oldest_at: the oldest of the newest measurements.
    """

    channel: str
    name: str
    active: int
    measured: int
    stale: int
    oldest_at: datetime | None

    @property
    def all_stale(self) -> bool:
        """Whether every measurement is too old."""
        return 0 < self.measured == self.stale


@dataclass(frozen=True, slots=True)
class RefreshStatus:
    """The refresh at one moment.

    Args:
        rounds: the newest ones, newest first.
        work: of the newest round, by the channel's key.
        ages, breakers: by the channel's key. A channel without a breaker was never called.
    """

    now: datetime
    rounds: Sequence[RoundRecord]
    work: Mapping[str, ChannelWork]
    ages: Mapping[str, ChannelAge]
    breakers: Mapping[str, State]

    @property
    def pieces_open(self) -> int:
        """Pieces of the running round that are not done; 0 where none runs."""
        return sum(each.pieces - each.pieces_done for each in self.rounds[:1] if each.ended_at is None)

    @property
    def last_end(self) -> datetime | None:
        """When a round ended last."""
        return max((each.ended_at for each in self.rounds if each.ended_at is not None), default=None)

    @property
    def pairs(self) -> dict[str, int]:
        """The pairs of the newest round so far, by state."""
        return pairs_by_state(sum((Counter(dict(work.counts)) for work in self.work.values()), Counter[str]()))


def channel_problem(status: RefreshStatus, key: str) -> str | None:
    """What is wrong with a channel, without its name; None where nothing is."""
    breaker, age = status.breakers.get(key), status.ages.get(key)
    if breaker is not None and breaker.name == "open":
        return "is held open by an operator" if breaker.held else "is not called, its breaker is open"
    if age is not None and age.all_stale:
        events = "event" if age.measured == 1 else "events"
        return f"has only stale measurements, of {age.measured} ACTIVE {events}"
    return None
