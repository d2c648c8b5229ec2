"""Look-ups in Redis over time: whether too many miss, and why. Two counts of the server make a window.

A fill looks up the lease, which is there, and the answer, which is not: each is counted too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

WINDOW_S: Final = 600.0
LOOKUPS_MIN: Final = 1_000
"""With fewer look-ups in a window no share says anything. Chosen by feel."""
MISS_SHARE_MAX: Final = 0.2
RISEN_SHARE_MIN: Final = 0.05
RISE: Final = 3.0
CAUSE_SHARE_MIN: Final = 0.1
"""What happened a tenth as often as misses is named as one of their causes."""

Cause = Literal["evictions", "lifetime", "invalidations", "first-reads"]


class LookupCounts(NamedTuple):
    """What Redis has counted since it started, in the run `run`. `invalidations` are commands of up to 50 events."""

    at_s: float
    run: str
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    expired: int = 0
    invalidations: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """What happened between two counts."""

    seconds: float
    hits: int
    misses: int
    evicted: int
    expired: int
    invalidations: int

    @property
    def lookups(self) -> int:
        return self.hits + self.misses

    @property
    def miss_share(self) -> float:
        """The share of look-ups that missed; 0 without look-ups."""
        return self.misses / self.lookups if self.lookups else 0.0


class Windows(NamedTuple):
    """The newest ten minutes, and the time before them, as far as it is recorded."""

    newest: Window
    before: Window | None


def windows(now: LookupCounts, recorded: Sequence[LookupCounts], started_at_s: float) -> Windows:
    """The windows up to `now`. Counts of another run of the server say nothing: it began at 0."""
    of_run = sorted(each for each in recorded if each.run == now.run and each.at_s <= now.at_s)
    old = [each for each in of_run if each.at_s <= now.at_s - WINDOW_S]
    start = LookupCounts(started_at_s, now.run)
    split = old[-1] if old else of_run[0] if of_run else start
    first = old[0] if old else split
    return Windows(_between(split, now), _between(first, split) if first is not split else None)


def _between(first: LookupCounts, last: LookupCounts) -> Window:
    counts = (max(after - before, 0) for before, after in zip(first[2:], last[2:], strict=True))
    return Window(last.at_s - first.at_s, *counts)


def is_trouble(windows: Windows) -> bool:
    """Whether too many look-ups miss, or many more than before."""
    share = windows.newest.miss_share
    if windows.newest.lookups < LOOKUPS_MIN:
        return False
    before = windows.before
    rises = before is not None and before.lookups >= LOOKUPS_MIN and share >= RISE * before.miss_share
    return share > MISS_SHARE_MAX or (rises and share > RISEN_SHARE_MIN)


def causes(window: Window, *, lifetime_is_short: bool) -> list[Cause]:
    """What the misses come from. Keys of other programs expire too, so only a short lifetime makes expiry a cause.

    Args:
        lifetime_is_short: an answer expires before the refresh rebuilds it.
    """
    least = CAUSE_SHARE_MIN * window.misses
    found: list[Cause] = []
    if window.evicted >= least:
        found.append("evictions")
    if lifetime_is_short and window.expired >= least:
        found.append("lifetime")
    if window.invalidations >= least:
        found.append("invalidations")
    return found or ["first-reads"]
