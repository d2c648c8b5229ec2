"""The periodic refresh: each round once, by all schedulers together, whoever dies, stands still or hangs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from world import World, gauges

from hannun.domain.measurements import PieceResult
from hannun.domain.rounds import POLL, Piece, PlannedPiece, RoundRecord, WorkToken
from hannun.domain.timetable import Timetable
from hannun.errors import StoreUnavailable
from hannun.flows.refresh import planning
from hannun.flows.refresh.refresh import PIECES_OF_CHANNEL, Refresh
from hannun.flows.refresh.rounds import RoundKeeper
from hannun.store import rounds
from hannun.store.database import Database, PoolLimits

JOB = "refresh"
EVENTS = list(range(1, 6_251))
"""Three pieces of one channel."""
Poll = Callable[[Piece], Awaitable[None]]


async def at_once(_: Piece) -> None:
    """A channel that answers."""


class Channel:
    """A channel whose polls do what the test says, and that remembers who asked for what."""

    def __init__(self, behaviour: Poll = at_once) -> None:
        self.behaviour = behaviour
        self.asked: list[Piece] = []

    async def poll(self, piece: Piece, now: Callable[[], datetime], until_s: float) -> PieceResult:
        self.asked.append(piece)
        await self.behaviour(piece)
        return PieceResult(piece.token, (), {"measured": len(piece.event_nos)})


class Recorder:
    """Records in PostgreSQL that pieces are done; as often as `away` says, PostgreSQL is away."""

    def __init__(self, database: Database, away: int = 0) -> None:
        self._database = database
        self.away = away
        self.recorded: list[WorkToken] = []

    def record(self, pieces: Sequence[PieceResult]) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("PostgreSQL is away")
        with self._database.transaction() as conn:
            self.recorded += rounds.finish_many(
                conn, {token: counts for token, _, counts in pieces if token is not None}
            )


class Scheduler:
    """One scheduler of several: its own connections, its own name."""

    def __init__(
        self,
        world: World,
        name: str,
        channels: dict[str, Channel],
        *,
        by_channel: dict[str, Sequence[int]] | None = None,
        lost_after_s: float = 60.0,
        away: int = 0,
        fails: int = 0,
        spaced: Sequence[str] = (),
    ) -> None:
        self.channels = channels
        self.fails = fails
        self.hang_in_rebuild = False
        self._databases = [Database(world.url, PoolLimits(), application=name) for _ in range(2)]
        by_channel = by_channel or dict.fromkeys(channels, EVENTS)
        planned = planning.pieces(by_channel, active=[1, 2], spaced=spaced)
        timetable = Timetable("0 0 0 1 1 *")
        self.keeper = RoundKeeper(
            self._databases[0], JOB, timetable, lambda _: planned, owner=name, lost_after_s=lost_after_s
        )
        self.recorder = Recorder(self._databases[1], away)
        self.rebuilt: list[str] = []
        self.steps: list[str] = []
        self.refresh = Refresh(
            self.keeper,
            channels,
            self.recorder,
            self._rebuild,
            lambda _: self.steps.append("delivered"),
            check_interval_s=0.05,
            heartbeat_s=0.05,
        )

    async def _rebuild(self, event_ids: Sequence[str]) -> int:
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("PostgreSQL is away")
        self.rebuilt += event_ids
        self.steps.append("rebuilt")
        if self.hang_in_rebuild:
            await asyncio.Event().wait()
        return len(event_ids)

    def close(self) -> None:
        for database in self._databases:
            database.close()


def newest(world: World) -> RoundRecord:
    with world.database.transaction() as conn:
        return rounds.newest(conn, JOB, 1)[0]


def make_due_again(world: World) -> None:
    """As if the newest round had been an hour ago."""
    with world.database.transaction() as conn:
        conn.execute("UPDATE hannun.rounds SET due_at = due_at - interval '1 hour'")
        conn.execute("UPDATE hannun.round_work SET due_at = due_at - interval '1 hour'")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  other threads make it true
            await asyncio.sleep(0.01)


def test_a_round_asks_each_channel_once_for_each_event_and_ends(world: World) -> None:
    scheduler = Scheduler(world, "a", {"instagram": Channel(), "wooritv": Channel()})
    asyncio.run(scheduler.refresh.run_once())
    asyncio.run(scheduler.refresh.run_once())
    for channel in scheduler.channels.values():
        assert sorted(no for piece in channel.asked for no in piece.event_nos) == EVENTS
    record = newest(world)
    assert record.ended_at is not None
    assert record.result == {"measured": 2 * len(EVENTS), "rebuilt": 0}
    assert scheduler.steps == ["delivered", "rebuilt"], "a later invalidation would remove what was rebuilt"
    scheduler.close()


def test_the_next_round_begins_when_it_is_due(world: World) -> None:
    scheduler = Scheduler(world, "a", {"instagram": Channel()}, by_channel={"instagram": [1]})
    asked = scheduler.channels["instagram"].asked
    asyncio.run(scheduler.refresh.run_once())
    asyncio.run(scheduler.refresh.run_once())
    assert len(asked) == 1
    make_due_again(world)
    asyncio.run(scheduler.refresh.run_once())
    assert len(asked) == 2
    scheduler.close()


def test_a_round_that_passes_its_deadline_is_counted_once_and_the_next_one_begins(world: World) -> None:
    schedulers = [Scheduler(world, name, {"instagram": Channel()}, by_channel={"instagram": [1]}) for name in "ab"]
    with world.database.transaction() as conn:
        long_ago = rounds.clock(conn).replace(microsecond=0) - timedelta(days=400)
        assert rounds.begin(conn, JOB, long_ago, "c", -1.0)
    before = gauges("hannun_refresh_rounds_total").get('{result="overdue"}', 0.0)
    for scheduler in schedulers:
        found, _ = scheduler.keeper.find_round()
        assert found is not None and found.due_at > long_ago
        scheduler.close()
    assert gauges("hannun_refresh_rounds_total")['{result="overdue"}'] == before + 1


def test_several_schedulers_share_the_pieces_of_a_round(world: World) -> None:
    """Both channels wait until the other scheduler has a piece too: neither can do everything alone."""
    both = asyncio.Event()

    async def run() -> list[Scheduler]:
        schedulers: list[Scheduler] = []

        async def wait_for_the_other(_: Piece) -> None:
            if all(each.channels["instagram"].asked for each in schedulers):
                both.set()
            await both.wait()

        schedulers += [Scheduler(world, name, {"instagram": Channel(wait_for_the_other)}) for name in "ab"]
        async with asyncio.timeout(30):
            await asyncio.gather(*(scheduler.refresh.run_once() for scheduler in schedulers))
        return schedulers

    schedulers = asyncio.run(run())
    asked = [no for each in schedulers for piece in each.channels["instagram"].asked for no in piece.event_nos]
    assert sorted(asked) == EVENTS
    assert newest(world).ended_at is not None
    for scheduler in schedulers:
        scheduler.close()


def test_what_a_killed_owner_has_left_is_done_by_another(world: World) -> None:
    async def run() -> tuple[Scheduler, Scheduler]:
        begun = asyncio.Event()

        async def hang(_: Piece) -> None:
            begun.set()
            await asyncio.Event().wait()

        killed, heir = (
            Scheduler(world, name, {"instagram": Channel(poll)}, lost_after_s=0.3)
            for name, poll in (("killed", hang), ("heir", at_once))
        )
        dying = asyncio.create_task(killed.refresh.run_once())
        await begun.wait()
        dying.cancel()
        with suppress(asyncio.CancelledError):
            await dying
        async with asyncio.timeout(30):
            await heir.refresh.run_once()
        return killed, heir

    killed, heir = asyncio.run(run())
    record = newest(world)
    assert record.ended_at is not None
    assert record.result is not None
    assert record.result["measured"] == len(EVENTS)
    assert killed.recorder.recorded == []
    assert {token.epoch for token in heir.recorder.recorded} >= {2}
    assert record.owner == "heir"
    killed.close()
    heir.close()


def test_a_scheduler_that_wakes_up_writes_nothing_of_what_others_have_done_meanwhile(world: World) -> None:
    async def run() -> tuple[Scheduler, Scheduler]:
        wake = asyncio.Event()

        async def stand_still(_: Piece) -> None:
            await wake.wait()

        frozen = Scheduler(world, "frozen", {"instagram": Channel(stand_still)}, lost_after_s=0.3)
        frozen.refresh.heartbeat_s = 3_600.0  # it stands still: no heartbeats either
        heir = Scheduler(world, "heir", {"instagram": Channel()}, lost_after_s=0.3)
        sleeping = asyncio.create_task(frozen.refresh.run_once())
        await until(lambda: bool(frozen.channels["instagram"].asked))
        async with asyncio.timeout(30):
            await heir.refresh.run_once()
        ended = newest(world)
        wake.set()
        await sleeping
        assert newest(world).result == ended.result
        return frozen, heir

    frozen, heir = asyncio.run(run())
    assert frozen.recorder.recorded == []
    assert len(heir.recorder.recorded) == 3
    frozen.close()
    heir.close()


def test_a_channel_that_hangs_delays_only_its_own_pieces(world: World) -> None:
    async def run() -> Scheduler:
        hang = asyncio.Event()

        async def wait(_: Piece) -> None:
            await hang.wait()

        scheduler = Scheduler(world, "a", {"hanging": Channel(wait), "quick": Channel()})
        working = asyncio.create_task(scheduler.refresh.run_once())
        await until(lambda: sum(len(piece.event_nos) for piece in scheduler.channels["quick"].asked) == len(EVENTS))
        hang.set()
        await working
        return scheduler

    scheduler = asyncio.run(run())
    assert newest(world).ended_at is not None
    scheduler.close()


def test_what_was_polled_while_postgresql_is_away_is_recorded_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hannun.flows.refresh.refresh.RETRY_S", 0.01)
    scheduler = Scheduler(world, "a", {"instagram": Channel()}, away=3)
    asyncio.run(scheduler.refresh.run_once())
    assert len(scheduler.channels["instagram"].asked) == 3, "asked once"
    assert len(scheduler.recorder.recorded) == 3
    assert newest(world).ended_at is not None
    scheduler.close()


def test_a_poll_that_fails_unexpectedly_costs_its_own_piece(world: World) -> None:
    async def fail_for_some(piece: Piece) -> None:
        if 1 in piece.event_nos:
            raise ValueError("a bug")

    scheduler = Scheduler(world, "a", {"instagram": Channel(fail_for_some)})
    asyncio.run(scheduler.refresh.run_once())
    record = newest(world)
    assert record.ended_at is not None
    assert record.result == {"measured": 3_750, "failed": 2_500, "rebuilt": 0}
    scheduler.close()


def test_the_channels_take_turns_in_the_plan_and_rebuilding_comes_last() -> None:
    planned = planning.pieces({"slow": EVENTS, "quick": [1]}, active=[1, 2, 3])
    assert [(piece.kind, piece.channel) for piece in planned] == [
        ("poll", "slow"),
        ("poll", "quick"),
        ("poll", "slow"),
        ("poll", "slow"),
        ("rebuild", None),
    ]
    assert planned[1] == PlannedPiece(POLL, "quick", [1])


def test_an_absence_of_postgresql_in_the_rebuild_leaves_no_piece_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hannun.flows.refresh.refresh.RETRY_S", 0.01)
    scheduler = Scheduler(world, "a", {"instagram": Channel()}, by_channel={"instagram": [1]}, fails=1)
    asyncio.run(scheduler.refresh.run_once())
    assert newest(world).ended_at is not None
    scheduler.close()


def test_a_heartbeat_keeps_no_piece_that_this_process_does_not_work_on(world: World) -> None:
    """As after a take whose answer was lost: the piece is this process's own, and nobody does it."""
    scheduler = Scheduler(world, "a", {"instagram": Channel()}, by_channel={"instagram": [1]}, lost_after_s=0.3)
    found, _ = scheduler.keeper.find_round()
    assert found is not None
    assert scheduler.keeper.take(found, POLL, 1)[0]
    asyncio.run(asyncio.wait_for(scheduler.refresh.run_once(), 30))
    assert newest(world).ended_at is not None
    assert len(scheduler.channels["instagram"].asked) == 1
    scheduler.close()


def test_answers_that_a_killed_scheduler_was_rebuilding_are_rebuilt_by_another(world: World) -> None:
    world.count(world.created())

    async def run() -> tuple[Scheduler, Scheduler]:
        killed, heir = (
            Scheduler(world, name, {"instagram": Channel()}, by_channel={"instagram": [1]}, lost_after_s=0.3)
            for name in ("killed", "heir")
        )
        killed.hang_in_rebuild = True
        dying = asyncio.create_task(killed.refresh.run_once())
        await until(lambda: bool(killed.rebuilt))
        dying.cancel()
        with suppress(asyncio.CancelledError):
            await dying
        async with asyncio.timeout(30):
            await heir.refresh.run_once()
        return killed, heir

    killed, heir = asyncio.run(run())
    assert heir.rebuilt == killed.rebuilt
    assert newest(world).ended_at is not None
    killed.close()
    heir.close()


def test_what_spaced_polls_have_brought_is_kept_while_the_rest_waits_for_postgresql(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hannun.flows.refresh.refresh.RETRY_S", 0.01)
    channels = {"instagram": Channel(), "kakaochannel": Channel()}
    scheduler = Scheduler(world, "a", channels, fails=2, away=2, spaced=("kakaochannel",))
    asyncio.run(scheduler.refresh.run_once())
    for channel in channels.values():
        assert sorted(no for piece in channel.asked for no in piece.event_nos) == EVENTS, "asked once"
    record = newest(world)
    assert record.ended_at is not None
    assert record.result is not None
    assert record.result["measured"] == 2 * len(EVENTS)
    scheduler.close()


def test_answers_are_rebuilt_while_spaced_polls_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hannun.flows.refresh.refresh.SPACED_WAIT_S", 0.01)

    async def run() -> Scheduler:
        rest = asyncio.Event()

        async def wait(_: Piece) -> None:
            await rest.wait()

        channels = {"instagram": Channel(), "kakaochannel": Channel(wait)}
        scheduler = Scheduler(world, "a", channels, spaced=("kakaochannel",))
        working = asyncio.create_task(scheduler.refresh.run_once())
        await until(lambda: bool(scheduler.steps))
        assert newest(world).ended_at is None
        rest.set()
        await working
        return scheduler

    scheduler = asyncio.run(run())
    assert newest(world).ended_at is not None
    scheduler.close()


def test_a_piece_that_another_process_has_taken_is_dropped_at_the_next_heartbeat(world: World) -> None:
    async def run() -> tuple[Scheduler, list[Piece]]:
        dropped: list[Piece] = []

        async def hang(piece: Piece) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                dropped.append(piece)
                raise

        scheduler = Scheduler(world, "a", {"instagram": Channel(hang)}, by_channel={"instagram": [1]})
        working = asyncio.create_task(scheduler.refresh.run_once())
        await until(lambda: bool(scheduler.channels["instagram"].asked))
        assert dropped == []
        taken_and_done = "owner = 'b', epoch = epoch + 1, done_at = now(), result = '{}'"
        world.rows(f"UPDATE hannun.round_work SET {taken_and_done} WHERE kind = %s", POLL)
        async with asyncio.timeout(30):
            await working
        return scheduler, dropped

    scheduler, dropped = asyncio.run(run())
    assert dropped == scheduler.channels["instagram"].asked
    assert scheduler.recorder.recorded == []
    assert newest(world).ended_at is not None
    scheduler.close()


def test_heartbeats_are_written_for_the_round_and_its_pieces_while_a_channel_hangs(world: World) -> None:
    def heartbeats() -> list[datetime]:
        of_piece = "SELECT heartbeat_at FROM hannun.round_work WHERE kind = 'poll'"
        return [row.heartbeat_at for row in world.rows(f"SELECT heartbeat_at FROM hannun.rounds UNION ALL {of_piece}")]

    async def run() -> Scheduler:
        answers = asyncio.Event()

        async def wait(_: Piece) -> None:
            await answers.wait()

        scheduler = Scheduler(world, "a", {"instagram": Channel(wait)}, by_channel={"instagram": [1]})
        working = asyncio.create_task(scheduler.refresh.run_once())
        await until(lambda: bool(scheduler.channels["instagram"].asked))
        before = heartbeats()
        assert len(before) == 2
        await until(lambda: all(now > then for now, then in zip(heartbeats(), before, strict=True)))
        answers.set()
        await working
        return scheduler

    scheduler = asyncio.run(run())
    assert len(scheduler.recorder.recorded) == 1
    scheduler.close()


def test_a_channel_has_at_most_two_pieces_at_a_time_in_a_process(world: World) -> None:
    async def run() -> Scheduler:
        answers = asyncio.Event()

        async def wait(_: Piece) -> None:
            await answers.wait()

        scheduler = Scheduler(world, "a", {"hanging": Channel(wait), "quick": Channel()})
        working = asyncio.create_task(scheduler.refresh.run_once())
        await until(lambda: sum(len(piece.event_nos) for piece in scheduler.channels["quick"].asked) == len(EVENTS))
        assert len(scheduler.channels["hanging"].asked) == PIECES_OF_CHANNEL == 2
        assert len(world.rows("SELECT FROM hannun.round_work WHERE channel = 'hanging' AND owner IS NULL")) == 1
        answers.set()
        await working
        return scheduler

    scheduler = asyncio.run(run())
    assert len(scheduler.channels["hanging"].asked) == 3
    scheduler.close()
