"""The periodic refresh: poll the channels, record what they measured, rebuild the answers.

    every second, or five without a round: find_round ─► a round is open
        ├─► polls: take pieces ─► poll several at once ─► record many at once ─► more pieces ...
        ├─► spaced polls: the same, at the same time     └─► no poll is open ─► rebuild answers
        ├─► a heartbeat every 8 s keeps round and pieces
        └─► all pieces are done ─► the owner ends the round

Polls run as tasks of one event loop; everything that blocks (PostgreSQL) runs in threads. So a channel that hangs
delays its own pieces only, and PostgreSQL delays nobody's polls. What was polled while PostgreSQL is away is recorded
when it is back, unless another process has taken the piece meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from anyio import CapacityLimiter

from hannun.deadlines import run_in_thread
from hannun.domain.measurements import PieceResult
from hannun.domain.rounds import HEARTBEAT_S, POLL, REBUILD, SPACED_POLL, HeldPiece, OpenRound, Piece
from hannun.errors import StoreUnavailable
from hannun.flows.refresh.rounds import RoundKeeper
from hannun.telemetry import log, metrics

T = TypeVar("T")

CHECK_INTERVAL_S = 1.0
"""How soon a process notices that a round is due, or that another process is lost."""
IDLE_CHECKS = 5
"""While no round is open, the time between two checks is so many times as long."""
PIECES_OF_CHANNEL = 2
"""With so many pieces of a channel a process takes no more of it: they are left to other processes."""
RECORD_EVENTS = 10_000
RECORD_AFTER_S = 40.0
"""What was polled is recorded when it is so much or so old, or when nothing else is being polled: a few large
transactions cost less than many small ones."""
POLLS_SHARE = 0.8
"""Of the time until a round's deadline: the rest is for recording and rebuilding."""
RETRY_S = 1.0
SPACED_WAIT_S = 1.0
"""How long rebuilding waits for polls whose budget spaces the calls: few of them are over by then."""
DELIVERY_WAIT_S = 2.0
"""How long rebuilding waits for this process's own invalidations: Redis may be away."""


class Polls(Protocol):
    """Polls one channel (`flows.refresh.polling.ChannelPoller`)."""

    async def poll(self, piece: Piece, now: Callable[[], datetime], until_s: float) -> PieceResult:
        """Ask for the events of a piece, until this moment of the monotonic clock at most. It raises nothing."""


class Records(Protocol):
    """Records measurements (`counting.measurement_counter.MeasurementCounter`). It blocks."""

    def record(self, pieces: Sequence[PieceResult]) -> object:
        """Record the measurements of pieces, and that they are done, in one transaction. A piece that another process
        has taken is left out.

        Raises:
            StoreUnavailable: PostgreSQL is away, and nothing is recorded.
        """


class DatabaseClock:
    """PostgreSQL's time, as this process knows it: two processes whose own clocks differ by hours agree on it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._at = datetime.min
        self._at_s = 0.0

    def set(self, now: datetime) -> None:
        """PostgreSQL has just said that it is `now`."""
        self._at, self._at_s = now, self._monotonic()

    def now(self) -> datetime:
        return self._at + timedelta(seconds=self._monotonic() - self._at_s)


class Refresh:
    """Takes part in the rounds of the refresh, as one of the processes that do.

    Args:
        pollers: by the key of their channel.
        rebuild: rebuilds the cached answers of events, given by their ids; returns how many.
        wait_until_delivered: waits, at most so many seconds, until the invalidations of what was recorded are
            delivered: a later one would remove what was just rebuilt.
        share_outcomes: shares what this process knows of the channels' breakers, at the end of its polls.
        check_interval_s: how soon it notices that a round is due, or that another process is lost.
        heartbeat_s: between two heartbeats.
    """

    def __init__(
        self,
        keeper: RoundKeeper,
        pollers: Mapping[str, Polls],
        recorder: Records,
        rebuild: Callable[[Sequence[str]], Awaitable[int]],
        wait_until_delivered: Callable[[float], object],
        share_outcomes: Callable[[], object] = lambda: None,
        *,
        check_interval_s: float = CHECK_INTERVAL_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.keeper = keeper
        self.check_interval_s = check_interval_s
        self.heartbeat_s = heartbeat_s
        self.pollers = pollers
        self.rebuild = rebuild
        self.clock = DatabaseClock()
        self._recorder = recorder
        self._wait_until_delivered = wait_until_delivered
        self._share_outcomes = share_outcomes
        self._keeping, self._recording, self._waiting = CapacityLimiter(1), CapacityLimiter(1), CapacityLimiter(1)

    async def run(self) -> None:
        """Take part in each round until cancelled. While PostgreSQL is away there are none."""
        while True:
            wait_s = self.check_interval_s
            try:
                wait_s = await self.run_once()
            except StoreUnavailable as error:
                log.warning("the refresh waits for PostgreSQL", error=str(error))
            await asyncio.sleep(wait_s)

    async def run_once(self) -> float:
        """Check once, and do what there is to do. Returns the seconds until the next check.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        found, due_in_s = await self.call(self.keeper.find_round)
        if found is None:
            return min(IDLE_CHECKS * self.check_interval_s, due_in_s)
        self.clock.set(found.now)
        work = _Work(self, found)
        heartbeat = asyncio.create_task(work.beat(), name="heartbeat of a round")
        try:
            await work.run()
        finally:
            heartbeat.cancel()
        return self.check_interval_s

    async def record(self, pieces: Sequence[PieceResult]) -> None:
        """Record in a thread. Raises as `Records.record`."""
        await run_in_thread(lambda: self._recorder.record(pieces), self._recording)

    async def wait_for_delivery(self) -> None:
        """Wait until the invalidations of what was recorded are delivered, for a while at most."""
        await run_in_thread(lambda: self._wait_until_delivered(DELIVERY_WAIT_S), self._waiting)

    async def share_outcomes(self) -> None:
        """Let other processes know of the breakers what this one knows."""
        await run_in_thread(self._share_outcomes, self._waiting)

    async def call(self, work: Callable[[], T]) -> T:
        """The result of work of the keeper, in a thread: its connection serves one at a time."""
        return await run_in_thread(work, self._keeping)


class _Polled(NamedTuple):
    piece: Piece
    result: PieceResult
    at_s: float


class _Work:
    """What one process does of one round."""

    def __init__(self, refresh: Refresh, found: OpenRound) -> None:
        self._refresh = refresh
        self._keeper = refresh.keeper
        self._found = found
        left_s = (found.deadline_at - found.now).total_seconds()
        self._polls_until_s = time.monotonic() + left_s * POLLS_SHARE
        self._ends_s = time.monotonic() + left_s
        self._held: set[HeldPiece] = set()
        self._runners = [_PieceRunner(self, kind) for kind in (POLL, SPACED_POLL)]

    async def run(self) -> None:
        """Poll, rebuild, end: until the round is ended, by whom ever."""
        polls, spaced_polls = self._runners
        spaced = asyncio.create_task(self._poll(spaced_polls), name="spaced polls of a round")
        try:
            await self._poll(polls)
            await asyncio.wait([spaced], timeout=SPACED_WAIT_S)
            await self._rebuild()
            await spaced
            await self._refresh.share_outcomes()
            await self._end()
        finally:
            spaced.cancel()
            for runner in self._runners:
                runner.cancel()

    async def beat(self) -> None:
        """Write heartbeats, and drop the pieces that another process has taken."""
        while True:
            await asyncio.sleep(self._refresh.heartbeat_s)
            with suppress(StoreUnavailable):  # it is tried again; a lost piece is found by its epoch
                held = set(self._held)
                lost = held - await self._refresh.call(partial(self._keeper.heartbeat, self._found, held))
                for runner in self._runners:
                    runner.drop(lost)

    @property
    def polls_are_over(self) -> bool:
        return time.monotonic() >= self._polls_until_s

    async def _poll(self, runner: "_PieceRunner") -> None:
        """Poll until no piece of the runner's kind is open, here or elsewhere: a lost process's pieces become free."""
        while True:
            await runner.run()
            if self.polls_are_over or not await self._open_work(runner.kind):
                return
            await asyncio.sleep(self._refresh.check_interval_s)

    async def _rebuild(self) -> None:
        """Rebuild until no piece is open, here or elsewhere."""
        await self._refresh.wait_for_delivery()
        while time.monotonic() < self._ends_s:
            for piece in await self.take(REBUILD, 1, ()):
                rebuilt = await self._retried(partial(self._refresh.rebuild, piece.event_ids))
                await self.call(partial(self._keeper.finish, piece.token, {"rebuilt": rebuilt}))
                self.release(piece)
                break
            else:
                if not await self._open_work(REBUILD):
                    return
                await asyncio.sleep(self._refresh.check_interval_s)

    async def _open_work(self, kind: str) -> int:
        return await self.call(lambda: self._keeper.open_work(self._found, kind))

    async def _end(self) -> None:
        """End the round, or wait until its owner does; become the owner where that one is lost."""
        while True:
            ended = await self.call(lambda: self._keeper.end(self._found))
            if ended is not None:
                _record_end(self._found, *ended)
                return
            await asyncio.sleep(self._refresh.check_interval_s)
            found, _ = await self.call(self._keeper.find_round)
            if found is None or found.due_at != self._found.due_at:
                return
            self._found = found

    async def poll_piece(self, piece: Piece) -> _Polled:
        """Ask the piece's channel."""
        poller = self._refresh.pollers.get(piece.channel or "")
        if poller is None:  # the process that planned it has a channel that this one has not
            result = PieceResult(piece.token, (), {"skipped": len(piece.event_nos)})
        else:
            result = await poller.poll(piece, self._refresh.clock.now, self._polls_until_s)
        return _Polled(piece, result, time.monotonic())

    async def take(self, kind: str, limit: int, full: Collection[str]) -> list[Piece]:
        """Take pieces. They are held until they are recorded or released."""
        pieces, now = await self.call(lambda: self._keeper.take(self._found, kind, limit, full))
        self._held.update(piece.token.held for piece in pieces)
        if now is not None:
            self._refresh.clock.set(now)
        return pieces

    def release(self, piece: Piece) -> None:
        """A piece is done, or another process has taken it."""
        self._held.discard(piece.token.held)

    async def record(self, polled: Sequence[_Polled]) -> None:
        """Record what was polled."""
        await self._retried(partial(self._refresh.record, [each.result for each in polled]))
        for each in polled:
            self.release(each.piece)

    async def call(self, work: Callable[[], T]) -> T:
        """The result of work of the keeper."""
        return await self._retried(partial(self._refresh.call, work))

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of an attempt, which is repeated while PostgreSQL is away, until the round ends: what was polled
        waits for it.

        Raises:
            StoreUnavailable: it was away until then.
        """
        while True:
            try:
                return await attempt()
            except StoreUnavailable as error:
                if time.monotonic() >= self._ends_s:
                    raise
                log.warning("a round of the refresh waits for PostgreSQL", error=str(error))
                await asyncio.sleep(RETRY_S)


class _PieceRunner:
    """The pieces of one kind that this process polls, several at once."""

    def __init__(self, work: _Work, kind: str) -> None:
        self.kind = kind
        self._work = work
        self._in_flight: dict[asyncio.Task[_Polled], Piece] = {}
        self._polled: list[_Polled] = []
        self._nothing_without: set[str] | None = None

    async def run(self) -> None:
        """Take, poll and record, until there is nothing to take."""
        self._nothing_without = None
        while True:
            if not self._work.polls_are_over:
                await self._take()
            if self._in_flight:
                await self._wait()
            elif not self._polled:
                return
            if self._is_time_to_record():
                ready, self._polled = self._polled, []
                await self._work.record(ready)

    def drop(self, lost: Collection[HeldPiece]) -> None:
        """Drop these pieces, which another process has taken."""
        for task, piece in self._in_flight.items():
            if piece.token.held in lost:
                task.cancel()

    def cancel(self) -> None:
        for task in self._in_flight:
            task.cancel()

    async def _take(self) -> None:
        """Take pieces until each channel has enough of them, or none is left."""
        while True:
            busy = [piece.channel for piece in self._in_flight.values() if piece.channel is not None]
            full = {channel for channel in busy if busy.count(channel) >= PIECES_OF_CHANNEL}
            if self._nothing_without is not None and full >= self._nothing_without:
                return  # only channels that have enough had pieces left
            pieces = await self._work.take(self.kind, PIECES_OF_CHANNEL, full)
            for piece in pieces:
                self._in_flight[asyncio.create_task(self._work.poll_piece(piece))] = piece
            if len(pieces) < PIECES_OF_CHANNEL:
                self._nothing_without = full
                return

    async def _wait(self) -> None:
        """Wait until a poll has ended, or what was polled is old enough to be recorded."""
        wait_s = RECORD_AFTER_S
        if self._polled:
            wait_s = max(0.0, self._polled[0].at_s + RECORD_AFTER_S - time.monotonic())
        done, _ = await asyncio.wait(self._in_flight, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            piece = self._in_flight.pop(task)
            if task.cancelled():
                log.info("a piece of a round was taken by another process", piece=piece.token.work_no)
                self._work.release(piece)
            elif (error := task.exception()) is not None:
                log.error("a piece of a round failed unexpectedly", channel=piece.channel, exc_info=error)
                failed = PieceResult(piece.token, (), {"failed": len(piece.event_nos)})
                self._polled.append(_Polled(piece, failed, time.monotonic()))
            else:
                self._polled.append(task.result())

    def _is_time_to_record(self) -> bool:
        if not self._polled:
            return False
        events = sum(len(each.piece.event_nos) for each in self._polled)
        age_s = time.monotonic() - self._polled[0].at_s
        return not self._in_flight or events >= RECORD_EVENTS or age_s >= RECORD_AFTER_S


def _record_end(found: OpenRound, counts: Mapping[str, int], seconds: float) -> None:
    metrics.refresh_rounds.labels("complete").inc()
    metrics.refresh_seconds.observe(seconds)
    log.info("a round of the refresh ended", due_at=found.due_at.isoformat(), seconds=round(seconds, 2), **counts)
