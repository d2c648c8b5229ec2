"""Polls one channel for the totals of many events: within its breaker and its budgets, and until a given moment.

    ids in batches ─► workers ─► permit: breaker admits, budget has a call ─► fetch ─► measurements
                                    │ none                                   └─► outcome to the breaker
                                    └─► the rest is left out, and is older in the next round

Permits are taken in blocks, so that breaker and budget cost one thread switch for some dozens of calls. A channel whose
breaker opens is left at once: nobody waits for it. While its trials are on their way, the other calls wait for them.

Pieces of a channel begin their calls one after the other, the most urgent events first: where the budget does not reach
all, it reaches those. A piece whose channel spaces its calls waits for the next one; any other leaves the rest out, so
that nobody waits for a budget of a day.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from anyio import CapacityLimiter

from hannun.channels.reply import Reply
from hannun.counting.channel_limits import Admission, Grant
from hannun.deadlines import run_in_thread
from hannun.domain.breaker import UNUSED, Outcomes
from hannun.domain.measurements import Measurement, PieceResult
from hannun.domain.rounds import SPACED_POLL, Piece

BLOCK_CALLS = 64
"""Permits that are taken at once, at most."""
UNAVAILABLE_S = 1.0
"""While PostgreSQL is away, and so neither breaker nor budget is known, permits are asked for so often."""
_DROPS_PERMITS = ("over-quota", "breaker-open")
"""Why calls are not made although they are permitted: the channel does not want them."""
UNKNOWN_EVENT = "unknown-event"
"""Why there are no totals: the channel does not know the event."""


class FetchesTotals(Protocol):
    """A client of a channel (`channels.client.ChannelClient`)."""

    async def fetch(self, event_ids: Sequence[str]) -> Reply: ...


class Breakers(Protocol):
    """`counting.channel_limits.SharedBreakers`. Its methods may block."""

    def admit(self, channel: str, wanted: int = 1) -> Admission: ...

    def record(self, channel: str, generation: int, outcomes: Outcomes) -> None: ...

    def outcome(self, seconds: float, *, failed: bool) -> Outcomes: ...


class Budgets(Protocol):
    """`counting.channel_limits.SharedBudgets`. Its methods block."""

    def take(self, channel: str, wanted: int) -> Grant: ...

    def give_back(self, channel: str, grant: Grant, calls: int) -> None: ...

    def charge(self, channel: str, calls: int) -> None: ...

    def block(self, channel: str, retry_after_s: float | None) -> None: ...


class ChannelPoller:
    """Polls one channel.

    Args:
        channel: the channel's key.
        batch: event ids in a call.
        calls_at_once: how many calls are under way at the same time, over all pieces.
    """

    def __init__(
        self,
        channel: str,
        client: FetchesTotals,
        breakers: Breakers,
        budgets: Budgets,
        *,
        batch: int,
        calls_at_once: int,
    ) -> None:
        self.channel = channel
        self.client = client
        self.batch = batch
        self.calls_at_once = calls_at_once
        self._breakers = breakers
        self._budgets = budgets
        self._threads = CapacityLimiter(1)
        self.beginning = asyncio.Lock()
        """Held by the piece that begins calls."""

    async def poll(self, piece: Piece, now: Callable[[], datetime], until_s: float) -> PieceResult:
        """Ask for the events of a piece.

        Args:
            now: PostgreSQL's time.
            until_s: no call begins after this moment of the monotonic clock.
        """
        poll = _Poll(self, piece, now, until_s)
        await poll.run()
        return poll.result()

    async def permit(self, wanted: int, ended: "_Ended") -> tuple[Admission, Grant]:
        """Permits for up to `wanted` calls; what has ended is recorded before."""
        return await run_in_thread(lambda: self._permit(wanted, ended), self._threads)

    def _permit(self, wanted: int, ended: "_Ended") -> tuple[Admission, Grant]:
        self._record(ended)
        admission = self._breakers.admit(self.channel, wanted)
        if not admission.granted:
            return admission, Grant(0, admission.retry_after_s, 0.0, 0.0)
        grant = self._budgets.take(self.channel, admission.granted)
        if unused := admission.granted - grant.calls:
            self._breakers.record(self.channel, admission.generation, Outcomes(unused=unused))
        return admission, grant

    async def finish(self, ended: "_Ended", grant: Grant | None, unused: int) -> None:
        """Record what has ended, and give the last `unused` calls of a grant back."""

        def work() -> None:
            self._record(ended)
            if grant is not None and unused:
                self._budgets.give_back(self.channel, grant, unused)

        await run_in_thread(work, self._threads)

    def _record(self, ended: "_Ended") -> None:
        for generation, outcomes in ended.outcomes.items():
            self._breakers.record(self.channel, generation, outcomes)
        self._budgets.charge(self.channel, ended.further_calls)

    async def block(self, retry_after_s: float | None) -> None:
        """The channel says that it is asked too often."""
        await run_in_thread(lambda: self._budgets.block(self.channel, retry_after_s), self._threads)

    def outcome(self, reply: Reply) -> Outcomes:
        """What a reply says about the channel. Being over quota says nothing."""
        if reply.kind == "over-quota":
            return UNUSED
        return self._breakers.outcome(reply.seconds, failed=reply.kind == "failed")


class _Ended:
    """Calls that have ended and are not recorded yet: their outcomes by generation, and the calls to the API beyond one
    each, for further pages and attempts."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Outcomes] = {}
        self.further_calls = 0

    def add(self, generation: int, outcome: Outcomes) -> None:
        self.outcomes[generation] = self.outcomes.get(generation, Outcomes()) + outcome


class _Poll:
    """One piece on its way: its workers share its batches and its permits."""

    def __init__(self, poller: ChannelPoller, piece: Piece, now: Callable[[], datetime], until_s: float) -> None:
        self._poller = poller
        self._piece = piece
        self._now = now
        self._until_s = until_s
        self._batches = _batches(piece.event_ids, poller.batch)
        self._left = -(-len(piece.event_ids) // poller.batch)  # batches for which no call has begun
        self._unpermitted = self._left  # those of them for which no worker holds a permit, either
        self._measurements: list[Measurement] = []
        self._counts: Counter[str] = Counter()
        self._ended = _Ended()
        self._permits = self._running = 0
        self._generation = 0
        self._grant: Grant | None = None
        self._begins_s = self._spacing_s = self._late_s_max = 0.0
        self._refill = asyncio.Lock()
        self._call_ended = asyncio.Event()
        self._stopped = ""
        self._is_beginning = False

    async def run(self) -> None:
        await self._poller.beginning.acquire()
        self._is_beginning = True
        workers = [self._work() for _ in range(min(self._left, self._poller.calls_at_once))]
        try:
            await asyncio.gather(*workers)
        finally:
            self._let_next_begin()
            if self._permits:
                self._ended.add(self._generation, Outcomes(unused=self._permits))
            await self._poller.finish(self._ended, self._grant, self._permits)

    def _let_next_begin(self) -> None:
        """Let the next piece begin calls: this one has begun all of its own."""
        if self._is_beginning:
            self._is_beginning = False
            self._poller.beginning.release()

    def result(self) -> PieceResult:
        skipped = len(self._piece.event_ids) - len(self._measurements)
        counts = dict(self._counts)
        if skipped:
            counts[self._stopped or "skipped"] = skipped
        return PieceResult(self._piece.token, self._measurements, counts)

    async def _work(self) -> None:
        while self._left and (generation := await self._permit()) is not None:
            ids = next(self._batches)
            self._left -= 1
            self._running += 1
            if not self._left:
                self._let_next_begin()
            try:
                await self._poll(ids, generation)
            except asyncio.CancelledError:  # what the channel would have said is not known
                self._ended.add(generation, UNUSED)
                raise
            finally:
                self._running -= 1
                self._call_ended.set()
        if self._stopped:
            self._let_next_begin()

    async def _poll(self, ids: Sequence[str], generation: int) -> None:
        asked_at = self._now()
        reply = await self._poller.client.fetch(ids)
        self._counts["calls"] += reply.units
        self._ended.add(generation, self._poller.outcome(reply))
        self._ended.further_calls += max(reply.units - 1, 0)
        if reply.kind == "over-quota":
            self._stopped = "over-quota"
        if reply.kind == "over-quota" or reply.retry_after_s is not None:
            await self._poller.block(reply.retry_after_s)
        if reply.kind != "over-quota":
            failure = reply.reason if reply.kind == "failed" else UNKNOWN_EVENT
            self._measurements += [
                Measurement(id_, self._poller.channel, reply.totals.get(id_, failure), asked_at) for id_ in ids
            ]

    # -- permits

    async def _permit(self) -> int | None:
        """Wait for the right to make a call. Returns the breaker's generation in which it was admitted; None where the
        rest of the piece is left out."""
        while self._unpermitted and not self._stopped:
            if time.monotonic() >= self._until_s:
                self._stopped = "too-late"
            elif self._permits:
                generation = self._generation
                if await self._begin_in_time(generation):
                    return generation
            else:
                async with self._refill:
                    if not self._permits and self._unpermitted and not self._stopped:
                        await self._take_permits()
        return None

    async def _begin_in_time(self, generation: int) -> bool:
        """Use a permit at its time: spaced calls begin one after the other. Returns False where it is not used."""
        self._permits -= 1
        self._unpermitted -= 1
        begins_s, self._begins_s = self._begins_s, self._begins_s + self._spacing_s
        wait_s = begins_s - time.monotonic()
        used = False
        try:
            if begins_s >= self._until_s:
                self._stopped = "too-late"
            elif -wait_s <= self._late_s_max:  # later, the API would count the call in another window
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                used = self._stopped not in _DROPS_PERMITS
        finally:
            if not used:
                self._unpermitted += 1
                self._ended.add(generation, UNUSED)
        return used

    async def _take_permits(self) -> None:
        ended, self._ended = self._ended, _Ended()
        admission, grant = await self._poller.permit(min(BLOCK_CALLS, self._unpermitted), ended)
        if grant.calls:
            self._generation, self._grant, self._permits = admission.generation, grant, grant.calls
            self._begins_s, self._spacing_s = time.monotonic() + grant.wait_s, grant.spacing_s
            self._late_s_max = grant.late_s_max
        elif admission.unavailable or grant.unavailable:
            await asyncio.sleep(UNAVAILABLE_S)
        elif not admission.granted:
            if self._ended.outcomes:  # meanwhile: they may be trials, which decide
                return
            if self._running:  # among them may be trials
                self._call_ended.clear()
                await self._call_ended.wait()
            else:
                self._stopped = "breaker-open"
        elif self._piece.kind == SPACED_POLL and time.monotonic() + grant.wait_s < self._until_s:
            await asyncio.sleep(grant.wait_s)
        else:
            self._stopped = "over-budget"


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[first : first + size] for first in range(0, len(ids), size))
