"""Breakers and budgets that several processes share over PostgreSQL.

A process is a `SharedBreakers` or `SharedBudgets` with connections of its own. The steady clock is the test's: after
`later` each of them asks PostgreSQL again. PostgreSQL's own clock goes on by itself, so open times are ended in its
row.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
import pytest
from world import World, gauges

from hannun.counting.channel_limits import SharedBreakers, SharedBudgets
from hannun.domain.breaker import UNUSED, Outcomes, Policy, State
from hannun.domain.budgets import Budget
from hannun.store import channel_limits
from hannun.store.database import Database, PoolLimits

TV, BLOG = "wooritv", "naverblog"
POLICY = Policy(failure_calls_min=10, trials=3, open_s=200)
PERIOD_S = 300.0
DAILY = Budget(name="units", scope="app", units=1_000, day_zone="UTC")
ROLLING = Budget(name="calls", scope="app", units=100_000, window_s=86_400)
SPACED = Budget(name="reports", scope="account", units=1, window_s=5)


class Clock:
    """A steady clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Processes:
    """Processes that share their breakers, on one clock."""

    def __init__(self, world: World) -> None:
        self.world, self.clock = world, Clock()

    def start(self, database: Database | None = None) -> SharedBreakers:
        return SharedBreakers(
            database or self.world.another_database(), {TV: "WooriTV", BLOG: "NaverBlog"}, POLICY, now=self.clock
        )

    def later(self, seconds: float = 10.0) -> None:
        """Moves the steady clock, and PostgreSQL's as far as a row shows it."""
        self.clock.now_s += seconds

    def fail(self, process: SharedBreakers, calls: int, channel: str = TV) -> None:
        admission = process.admit(channel, calls)
        assert admission.granted == calls
        process.record(channel, admission.generation, Outcomes(calls, failed=calls))

    def row(self, channel: str = TV) -> State:
        details = self.world.rows("SELECT details FROM hannun.channel_breakers WHERE channel = %s", channel)[0].details
        return msgspec.convert(details, State)

    def end_open_time(self, processes: Sequence[SharedBreakers], channel: str = TV) -> None:
        """As if the channel had opened long ago."""
        for process in processes:
            process.flush()
        self.world.rows(
            "UPDATE hannun.channel_breakers SET version = version + 1, details = details || '{\"since_s\": 1}' "
            "WHERE channel = %s",
            channel,
        )
        for process in processes:
            process.flush()


@pytest.fixture
def processes(world: World) -> Processes:
    return Processes(world)


def test_failures_of_two_processes_add_up_and_both_agree_that_the_breaker_is_open(processes: Processes) -> None:
    one, other = processes.start(), processes.start()
    for process in (one, other):
        processes.fail(process, 5)
        process.flush()
    assert processes.row().name == "open"
    one.flush()
    assert one.admit(TV, 1).granted == other.admit(TV, 1).granted == 0
    assert one.admit(BLOG, 7).granted == 7


def test_a_restart_forgets_nothing(processes: Processes) -> None:
    before = processes.start()
    processes.fail(before, 9)
    before.flush()
    restarted = processes.start()
    processes.fail(restarted, 1)
    assert restarted.admit(TV).granted == 0


def test_a_process_that_has_not_read_any_breaker_yet_reads_it_before_its_first_call(processes: Processes) -> None:
    before = processes.start()
    processes.fail(before, 10)
    before.flush()
    assert processes.start().admit(TV).granted == 0


def test_every_channel_waits_for_the_first_read_of_a_process(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channels are polled at once: those that do not read must not take an unread breaker for an open one."""
    begun, go_on = threading.Event(), threading.Event()
    synchronize = channel_limits.synchronize_breakers

    def slow(*arguments: Any) -> channel_limits.Synchronized:
        begun.set()
        assert go_on.wait(30)
        return synchronize(*arguments)

    monkeypatch.setattr(channel_limits, "synchronize_breakers", slow)
    process = processes.start()
    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(process.admit, TV, 5)
        assert begun.wait(30)
        waiting = threads.submit(process.admit, BLOG, 5)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        go_on.set()
        assert reading.result(30).granted == waiting.result(30).granted == 5


def test_all_processes_together_admit_no_more_trials_than_allowed(processes: Processes) -> None:
    started = [processes.start() for _ in range(4)]
    processes.fail(started[0], 10)
    started[0].flush()
    processes.end_open_time(started)
    together = threading.Barrier(8)

    def admit(number: int) -> int:
        together.wait(30)
        return started[number % 4].admit(TV, 2).granted

    with ThreadPoolExecutor(8) as threads:
        granted = list(threads.map(admit, range(8)))
    assert 1 <= sum(granted) <= POLICY.trials
    assert processes.row().trials.admitted == sum(granted)


def test_trials_of_two_processes_close_the_breaker_for_both(processes: Processes) -> None:
    one, other = processes.start(), processes.start()
    processes.fail(one, 10)
    one.flush()
    processes.end_open_time([one, other])
    first, second = one.admit(TV, 2), other.admit(TV, 2)
    assert (first.granted, second.granted, one.admit(TV).granted) == (2, 1, 0)
    one.record(TV, first.generation, Outcomes(2))
    one.flush()
    other.record(TV, second.generation, Outcomes(1))
    other.flush()
    one.flush()
    assert one.admit(TV, 50).granted == other.admit(TV, 50).granted == 50


def test_a_trial_that_was_over_quota_is_admitted_again(processes: Processes) -> None:
    process = processes.start()
    processes.fail(process, 10)
    processes.end_open_time([process])
    admission = process.admit(TV, 3)
    process.record(TV, admission.generation, UNUSED)
    process.flush()
    assert process.admit(TV, 3).granted == 1


def test_trials_of_a_process_that_died_count_as_failed(processes: Processes) -> None:
    process = processes.start()
    processes.fail(process, 10)
    processes.end_open_time([process])
    assert process.admit(TV, 3).granted == 3
    state = processes.row()
    lost = replace(state, trials=replace(state.trials, admitted_at_s=1.0))
    processes.world.rows(
        "UPDATE hannun.channel_breakers SET version = version + 1, details = %s::jsonb WHERE channel = %s",
        msgspec.json.encode(lost).decode(),
        TV,
    )
    survivor = processes.start()
    assert survivor.admit(TV).granted == 0
    assert (processes.row().name, processes.row().reason, processes.row().openings) == ("open", "trials-lost", 2)


def test_every_outcome_of_many_threads_is_counted_once(processes: Processes) -> None:
    started = [processes.start() for _ in range(2)]

    def poll(number: int) -> None:
        process = started[number % 2]
        for turn in range(25):
            admission = process.admit(BLOG)
            process.record(BLOG, admission.generation, Outcomes(1))
            if turn % 5 == 0:
                process.flush()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(poll, range(6)))
    for process in started:
        process.flush()
    assert sum(each.outcomes.calls for each in processes.row(BLOG).window) == 150


def test_closed_breakers_cost_one_query_in_5_s(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    process = processes.start()
    process.flush()
    transactions: list[object] = []
    begin = Database.transaction
    monkeypatch.setattr(Database, "transaction", lambda self: (transactions.append(self), begin(self))[1])
    for _ in range(1_200):
        processes.later(0.01)
        admission = process.admit(TV, 1)
        process.record(TV, admission.generation, Outcomes(1))
    assert len(transactions) == 2


@contextmanager
def away(world: World) -> Iterator[None]:
    """PostgreSQL refuses connections to this world's database, and has ended those that were open."""
    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {world.name} ALLOW_CONNECTIONS false")
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [world.name])
        try:
            yield
        finally:
            conn.execute(f"ALTER DATABASE {world.name} ALLOW_CONNECTIONS true")


def unreachable(world: World) -> Database:
    return Database(world.url.rpartition("/")[0] + "/no_such_database", PoolLimits(wait_s=1), application="test-away")


def test_without_postgresql_the_local_copy_decides_and_admits_no_trials(processes: Processes) -> None:
    process = processes.start()
    process.flush()
    with away(processes.world):
        processes.fail(process, 9)
        processes.fail(process, 1)
        assert process.admit(TV).granted == 0
        processes.later(POLICY.open_s_max + 1)
        assert process.admit(TV).granted == 0
        assert process.admit(BLOG, 5).granted == 5
    processes.later()
    process.flush()
    assert processes.row().name == "open"


def test_a_process_that_never_reached_postgresql_admits_nothing(processes: Processes) -> None:
    assert processes.start(unreachable(processes.world)).admit(TV).granted == 0


def test_the_state_of_each_breaker_is_a_metric(processes: Processes) -> None:
    process = processes.start()
    processes.fail(process, 10)
    process.flush()
    states = gauges("hannun_channel_breaker_state")
    assert (states['{channel="WooriTV"}'], states['{channel="NaverBlog"}']) == (2, 0), "by name, as all other metrics"


# -- budgets


def budgets_of(world: World, *budgets: Budget, database: Database | None = None) -> SharedBudgets:
    return SharedBudgets(database or world.another_database(), {TV: budgets}, PERIOD_S)


def units(world: World, budget: Budget) -> int:
    rows = world.rows("SELECT units FROM hannun.channel_budgets WHERE scope = %s AND budget = %s", *budget.key)
    return int(rows[0].units)


def test_many_threads_of_two_processes_never_take_more_than_the_budget(world: World) -> None:
    started = [budgets_of(world, ROLLING) for _ in range(2)]
    with ThreadPoolExecutor(8) as threads:
        grants = list(threads.map(lambda number: started[number % 2].take(TV, 60), range(20)))
    taken = sum(grant.calls for grant in grants)
    at_once = int(ROLLING.units * PERIOD_S / 86_400)
    assert at_once <= taken == units(world, ROLLING) <= at_once + 150  # and what PostgreSQL's clock has added since


def test_a_restart_forgets_nothing_of_a_budget(world: World) -> None:
    before, after = (budgets_of(world, SPACED).take(TV, 1).taken[0][1] for _ in range(2))
    assert after.starts_at_s - before.starts_at_s > 6.999


def test_the_scarcest_budget_of_a_channel_decides(world: World) -> None:
    shared = budgets_of(world, ROLLING, SPACED)
    grant = shared.take(TV, 100)
    assert grant.calls == 5 and grant.spacing_s == 7
    assert units(world, ROLLING) == units(world, SPACED) == 5


def test_calls_that_were_not_made_are_given_back(world: World) -> None:
    shared = budgets_of(world, ROLLING, SPACED)
    grant = shared.take(TV, 4)
    shared.give_back(TV, grant, 3)
    assert units(world, ROLLING) == units(world, SPACED) == 1
    assert shared.take(TV, 1).wait_s <= 7


def test_retries_are_counted_for_each_budget_of_the_channel(world: World) -> None:
    shared = budgets_of(world, ROLLING, SPACED)
    shared.take(TV, 1)
    shared.charge(TV, 2)
    assert units(world, ROLLING) == units(world, SPACED) == 3


def test_over_quota_blocks_the_budget_for_all_processes(world: World) -> None:
    one, other = budgets_of(world, ROLLING), budgets_of(world, ROLLING)
    one.block(TV, 120)
    for shared in (one, other):
        grant = shared.take(TV, 1)
        assert grant.calls == 0 and 60 < grant.wait_s <= 120


def test_a_channel_without_a_budget_is_limited_only_by_what_its_api_says(world: World) -> None:
    shared = SharedBudgets(world.another_database(), {}, PERIOD_S)
    assert shared.take(TV, 500).calls == 500
    shared.block(TV, 60)
    assert shared.take(TV, 500).calls == 0
    assert shared.take(BLOG, 500).calls == 500


def test_without_postgresql_no_budget_is_taken_and_nothing_raises(world: World) -> None:
    shared = budgets_of(world, ROLLING, database=unreachable(world))
    assert shared.take(TV, 1).calls == 0
    shared.block(TV, None)
    assert shared.take(TV, 1).wait_s > 60


def test_the_units_of_each_budget_are_a_metric(world: World) -> None:
    budgets_of(world, ROLLING).take(TV, 7)
    assert gauges("hannun_channel_budget_units")['{budget="calls",scope="app"}'] == 7
