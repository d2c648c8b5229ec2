"""One channel is polled within its breaker and its budgets, and until a given moment."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import pytest

from hannun.channels.reply import Reply
from hannun.counting.channel_limits import Admission, Grant
from hannun.domain.breaker import Outcomes
from hannun.domain.channel_totals import ChannelTotals, checked
from hannun.domain.measurements import PieceResult
from hannun.domain.rounds import POLL, SPACED_POLL, Piece, WorkToken
from hannun.flows.refresh.polling import ChannelPoller

NOON = datetime(2026, 11, 27, 12)
FOREVER = math.inf
Answer = Callable[[Sequence[str]], Awaitable[Reply]]


def totals(views: int) -> ChannelTotals:
    read = checked({"views": views})
    assert isinstance(read, ChannelTotals)
    return read


async def measured(ids: Sequence[str]) -> Reply:
    return Reply("measured", {id_: totals(7) for id_ in ids}, seconds=0.01, units=1)


class Client:
    """A channel that answers as the test says. `channels.client` is tested over real sockets."""

    def __init__(self, answer: Answer = measured) -> None:
        self.answer = answer
        self.calls: list[Sequence[str]] = []
        self.under_way = self.most_under_way = 0

    async def fetch(self, event_ids: Sequence[str]) -> Reply:
        self.calls.append(event_ids)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        try:
            return await self.answer(event_ids)
        finally:
            self.under_way -= 1


class Breakers:
    """A breaker that admits as many calls as the test says; `counting.channel_limits` has tests of its own."""

    def __init__(self, admits: int | None = None) -> None:
        self.left = admits
        self.recorded = Outcomes()

    def admit(self, channel: str, wanted: int = 1) -> Admission:
        granted = wanted if self.left is None else min(wanted, self.left)
        self.left = None if self.left is None else self.left - granted
        return Admission(granted, 3, 0.0 if granted else 30.0)

    def record(self, channel: str, generation: int, outcomes: Outcomes) -> None:
        assert generation == 3
        self.recorded += outcomes

    def outcome(self, seconds: float, *, failed: bool) -> Outcomes:
        return Outcomes(1, int(failed))


class Budgets:
    """Budgets with as many calls as the test says."""

    def __init__(self, calls: int | None = None, again_in_s: float = 3_600.0) -> None:
        self.left = calls
        self.again_in_s = again_in_s
        self.given_back = self.charged = 0
        self.blocked: list[float | None] = []

    def take(self, channel: str, wanted: int) -> Grant:
        calls = wanted if self.left is None else min(wanted, self.left)
        self.left = None if self.left is None else self.left - calls
        return Grant(calls, 0.0 if calls else self.again_in_s, 0.0, math.inf)

    def give_back(self, channel: str, grant: Grant, calls: int) -> None:
        self.given_back += calls

    def charge(self, channel: str, calls: int) -> None:
        self.charged += calls

    def block(self, channel: str, retry_after_s: float | None) -> None:
        self.blocked.append(retry_after_s)


def piece_of(numbers: Sequence[int], kind: str = POLL) -> Piece:
    return Piece(WorkToken("refresh", NOON, 1, 1), kind, "instagram", numbers, [f"event {no}" for no in numbers])


def poll(
    client: Client,
    breakers: Breakers | None = None,
    budgets: Budgets | None = None,
    *,
    events: int = 100,
    batch: int = 1,
    calls_at_once: int = 8,
    until_s: float = FOREVER,
    kind: str = POLL,
) -> PieceResult:
    piece = piece_of(range(events), kind)
    poller = ChannelPoller(
        "instagram", client, breakers or Breakers(), budgets or Budgets(), batch=batch, calls_at_once=calls_at_once
    )
    return asyncio.run(poller.poll(piece, lambda: NOON, until_s))


@pytest.mark.parametrize("batch", [1, 7, 100, 1_000])
def test_every_event_is_asked_for_once_in_batches(batch: int) -> None:
    client = Client()
    result = poll(client, batch=batch)
    assert sorted(id_ for ids in client.calls for id_ in ids) == sorted(f"event {no}" for no in range(100))
    assert all(len(ids) <= batch for ids in client.calls)
    assert {measurement.event_id for measurement in result.measurements} == {f"event {no}" for no in range(100)}
    assert {measurement.totals for measurement in result.measurements} == {totals(7)}
    assert {measurement.measured_at for measurement in result.measurements} == {NOON}
    assert result.counts == {"calls": len(client.calls)}


def test_no_more_calls_are_under_way_than_allowed() -> None:
    client = Client()
    poll(client, calls_at_once=5)
    assert client.most_under_way == 5


def test_a_failed_call_says_why_for_each_of_its_events() -> None:
    async def fail(_: Sequence[str]) -> Reply:
        return Reply("failed", reason="timeout", seconds=5.0, units=1)

    breakers = Breakers()
    result = poll(Client(fail), breakers, batch=10)
    assert {measurement.totals for measurement in result.measurements} == {"timeout"}
    assert breakers.recorded == Outcomes(10, 10)


def test_an_event_that_the_channel_does_not_know_is_said_so() -> None:
    async def none(_: Sequence[str]) -> Reply:
        return Reply("measured", {}, seconds=0.01, units=1)

    result = poll(Client(none), events=3)
    assert [measurement.totals for measurement in result.measurements] == ["unknown-event"] * 3


def test_over_quota_ends_the_piece_blocks_the_budget_and_is_no_failure() -> None:
    async def refuse(_: Sequence[str]) -> Reply:
        return Reply("over-quota", retry_after_s=60.0, units=1)

    breakers, budgets, client = Breakers(), Budgets(), Client(refuse)
    result = poll(client, breakers, budgets, calls_at_once=1)
    assert len(client.calls) == 1
    assert budgets.blocked == [60.0]
    assert result.measurements == []
    assert result.counts == {"calls": 1, "over-quota": 100}
    assert breakers.recorded.calls == breakers.recorded.failed == 0
    assert budgets.given_back == 63


def test_a_usage_near_its_end_blocks_the_budget_and_keeps_what_was_measured() -> None:
    async def nearly_used_up(ids: Sequence[str]) -> Reply:
        return (await measured(ids))._replace(retry_after_s=300.0)

    budgets = Budgets(calls=1, again_in_s=300.0)
    result = poll(Client(nearly_used_up), budgets=budgets, events=2, until_s=time.monotonic() + 30)
    assert budgets.blocked == [300.0]
    assert len(result.measurements) == 1
    assert result.counts == {"calls": 1, "over-budget": 1}


def test_calls_beyond_the_budget_are_left_out_and_counted() -> None:
    client = Client()
    result = poll(client, budgets=Budgets(calls=30), until_s=time.monotonic() + 30)
    assert len(client.calls) == len(result.measurements) == 30
    assert result.counts == {"calls": 30, "over-budget": 70}


class Trickling(Budgets):
    """A budget that has ten more calls a moment after it had none."""

    def take(self, channel: str, wanted: int) -> Grant:
        grant = super().take(channel, wanted)
        self.left = 0 if grant.calls else 10
        return grant


@pytest.mark.parametrize(("kind", "asked"), [(POLL, 10), (SPACED_POLL, 100)])
def test_only_spaced_polls_wait_for_a_budget_that_trickles(kind: str, asked: int) -> None:
    client = Client()
    poll(client, budgets=Trickling(calls=10, again_in_s=0.001), until_s=time.monotonic() + 30, kind=kind)
    assert len(client.calls) == asked


async def poll_both(client: Client, budgets: Budgets) -> tuple[PieceResult, ...]:
    """A piece of urgent events, 0 to 99, and one of others, both of which a process polls at the same time."""
    poller = ChannelPoller("instagram", client, Breakers(), budgets, batch=1, calls_at_once=200)
    pieces = [piece_of(range(100)), piece_of(range(100, 200))]
    async with asyncio.timeout(30):
        return tuple(await asyncio.gather(*(poller.poll(piece, lambda: NOON, FOREVER) for piece in pieces)))


def test_a_scarce_budget_goes_to_the_more_urgent_of_two_pieces() -> None:
    client = Client()
    asyncio.run(poll_both(client, Budgets(calls=80)))
    assert sorted(id_ for ids in client.calls for id_ in ids) == sorted(f"event {no}" for no in range(80))


def test_a_call_that_hangs_does_not_delay_the_next_piece() -> None:
    async def run() -> tuple[PieceResult, ...]:
        others_are_asked = asyncio.Event()

        async def hang_until_others_are_asked(ids: Sequence[str]) -> Reply:
            if ids == ["event 199"]:
                others_are_asked.set()
            if ids == ["event 0"]:
                await others_are_asked.wait()
            return await measured(ids)

        return await poll_both(Client(hang_until_others_are_asked), Budgets())

    assert [len(result.measurements) for result in asyncio.run(run())] == [100, 100]


def test_an_open_breaker_ends_the_piece() -> None:
    client = Client()
    result = poll(client, Breakers(admits=0))
    assert client.calls == []
    assert result.counts == {"breaker-open": 100}


def test_the_other_calls_wait_for_the_trials_of_a_half_open_breaker() -> None:
    breakers = Breakers(admits=2)
    answered: list[str] = []

    async def close_after_both(ids: Sequence[str]) -> Reply:
        answered.extend(ids)
        if len(answered) == 2:
            breakers.left = None
        return await measured(ids)

    result = poll(Client(close_after_both), breakers)
    assert len(result.measurements) == 100


def test_retries_and_pages_are_charged_to_the_budget() -> None:
    async def with_retries(ids: Sequence[str]) -> Reply:
        return (await measured(ids))._replace(units=3)

    budgets = Budgets()
    poll(Client(with_retries), budgets=budgets, events=10)
    assert budgets.charged == 20


def test_no_call_begins_after_the_end_of_the_polls() -> None:
    client = Client()
    result = poll(client, until_s=time.monotonic() - 1)
    assert client.calls == []
    assert result.counts == {"too-late": 100}


def test_a_cancelled_poll_gives_its_unused_calls_back() -> None:
    async def hang(_: Sequence[str]) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async def run() -> tuple[Breakers, Budgets]:
        client, breakers, budgets = Client(hang), Breakers(), Budgets()
        poller = ChannelPoller("instagram", client, breakers, budgets, batch=1, calls_at_once=4)
        task = asyncio.create_task(poller.poll(piece_of(range(50)), lambda: NOON, FOREVER))
        async with asyncio.timeout(30):
            while client.under_way < 4:  # noqa: ASYNC110  a thread takes the permits
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return breakers, budgets

    breakers, budgets = asyncio.run(run())
    assert budgets.given_back == 46
    assert breakers.recorded.unused == 50


TRIALS = 3


class Trials:
    """A channel with a half-open breaker: it admits `TRIALS` calls, and closes when all of them have ended.

    The trials end while another permit is being decided: after its outcomes were collected, before it is refused.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._end_trials = asyncio.Event()
        self.ended = self.asked = 0

    async def fetch(self, event_ids: Sequence[str]) -> Reply:
        self.asked += 1
        if self.asked <= TRIALS:
            await self._end_trials.wait()
        return await measured(event_ids)

    def admit(self, channel: str, wanted: int = 1) -> Admission:
        if self.ended == TRIALS:
            return Admission(wanted, 2)
        if not self.asked:
            return Admission(TRIALS, 1)
        asyncio.run_coroutine_threadsafe(self._let_trials_end(), self._loop).result(30)
        return Admission(0, 1, 1.0)

    async def _let_trials_end(self) -> None:
        self._end_trials.set()
        for _ in range(10):
            await asyncio.sleep(0)

    def record(self, channel: str, generation: int, outcomes: Outcomes) -> None:
        self.ended += outcomes.calls

    def outcome(self, seconds: float, *, failed: bool) -> Outcomes:
        return Outcomes(1)

    def take(self, channel: str, wanted: int) -> Grant:
        return Grant(wanted, 0.0, 0.0, 1_000.0)

    def give_back(self, channel: str, grant: Grant, calls: int) -> None:
        """Nothing is counted."""

    def charge(self, channel: str, calls: int) -> None:
        """Nothing is counted."""

    def block(self, channel: str, retry_after_s: float | None) -> None:
        raise AssertionError("the channel is not over quota")


def test_trials_that_end_while_a_permit_is_refused_still_decide() -> None:
    async def run() -> None:
        channel = Trials(asyncio.get_running_loop())
        poller = ChannelPoller("instagram", channel, channel, channel, batch=1, calls_at_once=8)
        events = [str(number) for number in range(20)]
        piece = Piece(WorkToken("refresh", NOON, 1, 1), POLL, "instagram", range(20), events)
        async with asyncio.timeout(30):
            result = await poller.poll(piece, lambda: NOON, time.monotonic() + 30)
        assert channel.asked == len(events)
        assert {measurement.event_id for measurement in result.measurements} == set(events)

    asyncio.run(run())


def test_calls_that_wait_for_their_time_are_given_back_where_the_piece_is_stopped() -> None:
    """Otherwise the trials of a half-open breaker would never end."""

    async def refuse(_: Sequence[str]) -> Reply:
        return Reply("over-quota", retry_after_s=60.0, units=1)

    class Spaced(Budgets):
        def take(self, channel: str, wanted: int) -> Grant:
            return Grant(wanted, 0.0, 0.2, math.inf)

    breakers, client = Breakers(admits=3), Client(refuse)
    poll(client, breakers, Spaced(), events=10)
    assert len(client.calls) == 1
    assert breakers.recorded == Outcomes(unused=3)


def test_calls_wait_for_postgresql_which_knows_breaker_and_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hannun.flows.refresh.polling.UNAVAILABLE_S", 0.01)

    class AwayAtFirst(Budgets):
        asked = 0

        def take(self, channel: str, wanted: int) -> Grant:
            self.asked += 1
            if self.asked < 4:
                return Grant(0, 1.0, 0.0, 0.0, unavailable=True)
            return super().take(channel, wanted)

    assert len(poll(Client(), budgets=AwayAtFirst()).measurements) == 100


def test_calls_begin_no_earlier_than_their_spacing_says() -> None:
    class Spaced(Budgets):
        def take(self, channel: str, wanted: int) -> Grant:
            return Grant(wanted, 0.02, 0.02, math.inf)

    began_s: list[float] = []

    async def note_time(ids: Sequence[str]) -> Reply:
        began_s.append(time.monotonic())
        return await measured(ids)

    before_s = time.monotonic()
    poll(Client(note_time), budgets=Spaced(), events=5)
    waited_s = [at_s - before_s for at_s in sorted(began_s)]
    assert all(waited >= 0.02 * (number + 1) for number, waited in enumerate(waited_s)), waited_s


def test_a_call_that_would_be_too_late_for_its_window_is_not_made() -> None:
    class Late(Budgets):
        def take(self, channel: str, wanted: int) -> Grant:
            calls, self.left = (0 if self.left == 0 else 3), 0
            return Grant(calls, -1.0 if calls else 3_600.0, 0.0, 0.5)

    breakers, client = Breakers(), Client()
    result = poll(client, breakers, Late(), events=3)
    assert client.calls == []
    assert breakers.recorded.calls == 0
    assert result.counts == {"over-budget": 3}


def test_calls_that_were_granted_are_made_though_the_budget_has_no_more() -> None:
    class Few(Budgets):
        def take(self, channel: str, wanted: int) -> Grant:
            calls, self.left = (0 if self.left == 0 else 3), 0
            return Grant(calls, 0.0 if calls else 3_600.0, 0.02, math.inf)

    client = Client()
    poll(client, budgets=Few(), events=10, until_s=time.monotonic() + 30)
    assert len(client.calls) == 3
