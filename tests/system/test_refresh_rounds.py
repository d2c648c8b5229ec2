"""Rounds of the refresh by real `hannun schedule` processes: killed, frozen, several at once, without their servers.

While a test breaks something, the channels answer slowly: every piece of the round is on its way.
"""

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from channel_rounds import CHANNELS, Rounds, open_rounds
from faults import frozen
from outside import Process, Service, StartService, wait_for
from pgbouncer import pgbouncer
from world import PASSWORD, World, make_database, make_owner

from hannun.embedded import PostgresServer, ValkeyServer

EVENTS = [f"5b0c2f64-0000-4000-8000-0000000000{n:02}" for n in range(10, 30)]
PAIRS = len(EVENTS) * len(CHANNELS)
ROUND_S_MAX = 90.0
"""Until another process takes over 20 s may pass, and a call waits for 60 s at most."""


@pytest.fixture
def rounds(world: World, tmp_path: Path) -> Iterator[Rounds]:
    with open_rounds(world, tmp_path) as rounds:
        rounds.distribute(*EVENTS)
        yield rounds


def every_five_minutes_from_now() -> dict[str, str]:
    """The setting of a timetable whose newest mark is a second ago, so that no mark passes during a test."""
    mark = datetime.now(UTC) - timedelta(seconds=1)
    return {"HANNUN_REFRESH_AT": f"{mark.second} {mark.minute % 5}-59/5 * * * *"}


@pytest.fixture
def schedulers(start_service: StartService, rounds: Rounds) -> Service:
    """Starts `hannun schedule` over the channels of `rounds`."""
    return start_service(**rounds.environment, **every_five_minutes_from_now())


@contextmanager
def slow_channels(rounds: Rounds, delay_s: float) -> Iterator[None]:
    """Until the block ends, each call is answered after so long."""
    rounds.control.tell("all", "slow", {"options": {"delay_s": delay_s}})
    yield
    rounds.control.forget("all")


def wait_until_all_are_asked(rounds: Rounds) -> None:
    wait_for("a call to each channel", lambda: all(rounds.calls(channel) for channel in CHANNELS))


def wait_until_ended(rounds: Rounds) -> Any:
    """Wait until the newest round has ended. Returns it."""
    wait_for("the round to end", lambda: rounds.newest().ended_at is not None, ROUND_S_MAX)
    return rounds.newest()


def events_told(rounds: Rounds) -> dict[str, int]:
    """For how many events each channel has given totals in all: once a round for each event."""
    channels = rounds.control.state()["channels"]
    return {channel: channels[channel]["events"] for channel in CHANNELS}


def measured_in(ended: Any) -> int:
    return sum(ended.result.get(outcome, 0) for outcome in ("changed", "unchanged"))


def assert_nothing_lost(rounds: Rounds, ended: Any) -> None:
    """The round has measured every pair once, and the figures are right."""
    assert measured_in(ended) == PAIRS, ended.result
    assert "overdue" not in ended.result
    assert len(rounds.totals()) == PAIRS
    assert rounds.world.drift() == []


def poll_in_two_rounds(schedulers: Service, rounds: Rounds) -> None:
    """Two schedulers do two rounds; each event and channel is polled once in each."""
    both = [schedulers.start_schedule() for _ in range(2)]
    wait_for("a round", lambda: rounds.world.rows("SELECT due_at FROM hannun.rounds"))
    assert_nothing_lost(rounds, wait_until_ended(rounds))
    assert events_told(rounds) == dict.fromkeys(CHANNELS, len(EVENTS))
    rounds.pass_time()
    wait_for("the next round", lambda: len(rounds.world.rows("SELECT due_at FROM hannun.rounds")) == 2)
    assert_nothing_lost(rounds, wait_until_ended(rounds))
    assert events_told(rounds) == dict.fromkeys(CHANNELS, 2 * len(EVENTS))
    assert all(process.is_running for process in both)


def test_two_schedulers_poll_each_event_and_channel_once_a_round(schedulers: Service, rounds: Rounds) -> None:
    poll_in_two_rounds(schedulers, rounds)


@pytest.mark.pgbouncer
def test_two_schedulers_behind_pgbouncer_poll_each_event_and_channel_once_a_round(
    start_service: StartService, rounds: Rounds, postgres: PostgresServer
) -> None:
    with pgbouncer(postgres, "analytics_readwrite", PASSWORD, pool_size=4) as pooler:
        of_pooler = pooler.environment(rounds.environment["DATABASE_URL"])
        schedulers = start_service(**rounds.environment | of_pooler, **every_five_minutes_from_now())
        poll_in_two_rounds(schedulers, rounds)


def start_and_lose(schedulers: Service, rounds: Rounds, number: signal.Signals) -> tuple[Process, Process]:
    """A scheduler begins a round and is lost in its middle, while another one runs. Returns both."""
    with slow_channels(rounds, 600.0):
        lost = schedulers.start_schedule()
        wait_until_all_are_asked(rounds)
        heir = schedulers.start_schedule()
        os.kill(lost.pid, number)
    return lost, heir


@pytest.mark.faults
def test_what_a_killed_scheduler_leaves_is_polled_in_the_same_round_by_another(
    schedulers: Service, rounds: Rounds
) -> None:
    start_and_lose(schedulers, rounds, signal.SIGKILL)
    begun = rounds.newest()
    ended = wait_until_ended(rounds)
    assert (ended.due_at, ended.epoch) == (begun.due_at, begun.epoch + 1) and ended.owner != begun.owner
    assert_nothing_lost(rounds, ended)
    assert events_told(rounds) == dict.fromkeys(CHANNELS, 2 * len(EVENTS)), "what the killed one asked for, and again"


@pytest.mark.faults
def test_a_frozen_scheduler_that_wakes_writes_nothing_of_what_another_has_done(
    schedulers: Service, rounds: Rounds
) -> None:
    frozen_one, _ = start_and_lose(schedulers, rounds, signal.SIGSTOP)
    assert_nothing_lost(rounds, wait_until_ended(rounds))
    before = rounds.totals(), rounds.world.rows("SELECT * FROM hannun.round_work ORDER BY work_no")
    frozen_one.send_signal(signal.SIGCONT)
    frozen_one.wait_for_log("a piece of a round was taken by another process")
    rounds.pass_time()
    wait_for("the next round", lambda: len(rounds.world.rows("SELECT due_at FROM hannun.rounds")) == 2)
    told = events_told(rounds)
    assert_nothing_lost(rounds, wait_until_ended(rounds))
    after = rounds.world.rows(
        "SELECT * FROM hannun.round_work WHERE due_at = (SELECT min(due_at) FROM hannun.round_work) ORDER BY work_no"
    )
    assert [(row.epoch, row.result) for row in after] == [(row.epoch, row.result) for row in before[1]]
    assert all(now - then <= len(EVENTS) for now, then in zip(events_told(rounds).values(), told.values(), strict=True))
    assert frozen_one.is_running


# -- without PostgreSQL, without Redis


@pytest.fixture
def own_rounds(home: Path, tmp_path: Path) -> Iterator[tuple[Rounds, PostgresServer, ValkeyServer]]:
    """Rounds on a PostgreSQL and a Valkey of this test's own, which it may stop."""
    with (
        PostgresServer(home / f"rounds-{uuid.uuid4().hex[:6]}", settings={"fsync": "off"}) as postgres,
        ValkeyServer(home / f"rounds-valkey-{uuid.uuid4().hex[:6]}") as valkey,
    ):
        make_owner(postgres)
        make_database(postgres, "rounds")
        with World(postgres, valkey, "rounds") as world, open_rounds(world, tmp_path) as rounds:
            rounds.distribute(*EVENTS)
            yield rounds, postgres, valkey


@pytest.mark.faults
@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_a_round_goes_on_when_postgresql_is_back(
    own_rounds: tuple[Rounds, PostgresServer, ValkeyServer], start_service: StartService, how: str
) -> None:
    """The calls under way are answered while PostgreSQL is away: each is made once, and nothing of it is lost."""
    rounds, postgres, _ = own_rounds
    with slow_channels(rounds, 4.0):
        schedule = start_service(**rounds.environment, **every_five_minutes_from_now()).start_schedule()
        wait_until_all_are_asked(rounds)
        if how == "stopped":
            postgres.stop()
            wait_for("all answers", lambda: min(events_told(rounds).values()) == len(EVENTS))
            schedule.wait_for_log("waits for PostgreSQL")
            postgres.start()
        else:
            with frozen(postgres):
                wait_for("all answers", lambda: min(events_told(rounds).values()) == len(EVENTS))
    assert_nothing_lost(rounds, wait_until_ended(rounds))
    assert events_told(rounds) == dict.fromkeys(CHANNELS, len(EVENTS)), "nothing was asked twice"
    assert schedule.is_running


@pytest.mark.faults
@pytest.mark.parametrize("how", ["killed", "silent"])
def test_a_round_goes_on_without_redis(
    own_rounds: tuple[Rounds, PostgresServer, ValkeyServer], start_service: StartService, how: str
) -> None:
    rounds, _, valkey = own_rounds
    with slow_channels(rounds, 2.0):
        schedule = start_service(**rounds.environment, **every_five_minutes_from_now()).start_schedule()
        wait_until_all_are_asked(rounds)
        if how == "killed":
            valkey.kill()
            assert_nothing_lost(rounds, wait_until_ended(rounds))
            valkey.start()
        else:
            with frozen(valkey):
                assert_nothing_lost(rounds, wait_until_ended(rounds))
    pending = "SELECT count(*) AS n FROM hannun.owed_invalidations"
    wait_for("the invalidations to be delivered", lambda: rounds.world.rows(pending)[0].n == 0)
    assert schedule.is_running
