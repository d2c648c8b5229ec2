"""A replay: which stretch of each log is read again, how far it has come, and what two databases disagree in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hannun.domain.positions import KnownPosition, PartitionLog


class ReplayRange(NamedTuple):
    """A part of a partition that is to be read: offsets in [start, end), of this very topic.

    `epoch` is the owner's where a position moves along with it, else 0.
    """

    topic_id: str
    start: int
    end: int
    epoch: int = 0

    @property
    def offsets(self) -> int:
        """How many offsets it spans; fewer may hold a message."""
        return max(0, self.end - self.start)


def end_of_live(log: PartitionLog, known: KnownPosition | None, *, stopped: bool) -> int:
    """Where a replay into the live tables ends: where the log ended when it began.

    What an operator has not decided about yet is not read past. That is a partition that was stopped, and a topic that
    was made anew, whether or not anybody has tried to read it since. Where the position says nothing of this very log,
    nothing of it is read.
    """
    anew = known is not None and known.topic_id != log.topic_id
    if not stopped and not anew:
        return log.high
    if known is None or anew or known.next_offset > log.high:
        return log.low
    return max(known.next_offset, log.low)


def end_of_shadow(log: PartitionLog, known: KnownPosition | None) -> int:
    """Where a replay into the shadow ends: where the live tables stand in this very log, so that the two can be
    compared; its end where they say nothing of it."""
    if known is None or known.topic_id != log.topic_id or known.next_offset > log.high:
        return log.high
    return max(known.next_offset, log.low)


def begin_of_shadow(asked: int, log: PartitionLog, known: KnownPosition | None) -> int:
    """Where the shadow begins: not above where the live tables stand, or a swap would jump over what nobody counted."""
    return min(asked, end_of_shadow(log, known))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come: offsets done of all, messages counted, seconds it has taken so far."""

    done: int
    total: int
    messages: int
    took_s: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.took_s if self.took_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """How much longer it will take at this pace; None while nothing can be said."""
        return self.took_s * (self.total - self.done) / self.done if self.done else None

    def __str__(self) -> str:
        share = 100 * self.done // self.total if self.total else 100
        left = "" if self.left_s is None else f", {_minutes(self.left_s)} left"
        return f"{self.done:,} of {self.total:,} offsets ({share} %), {self.rate:,.0f} messages/s{left}"


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


class Difference(NamedTuple):
    """Something that the two databases do not say alike; None where one says nothing.

    `part` is a part of the comparison (`PROOF` and the aggregates), `where` an event or a place, `what` a row's key.
    """

    part: str
    where: str
    what: str
    live: str | None
    shadow: str | None

    @property
    def lost(self) -> bool:
        """Whether a swap would lose it: the live ledgers have it, and the log does not say so."""
        return self.part in PROOF and self.live is not None

    def __str__(self) -> str:
        live, shadow = ("nothing" if side is None else side for side in (self.live, self.shadow))
        return f"{self.part}: {self.where}: {self.what}: live has {live}, the log says {shadow}"


PROOF = frozenset({"participants", "sales", "plans", "distributions", "measures", "relations"})
"""Parts that nothing else proves. All others are made of them: where only those differ, the live ones are false."""


def differences(part: str, where: str, live: Mapping[str, str], shadow: Mapping[str, str]) -> Iterator[Difference]:
    """What two sets of rows, by their keys, disagree in."""
    for what in sorted(live.keys() | shadow.keys()):
        if live.get(what) != shadow.get(what):
            yield Difference(part, where, what, live.get(what), shadow.get(what))
