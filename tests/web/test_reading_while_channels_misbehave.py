"""Readers while channels misbehave: no answer waits for a channel, and numbers go back only by recorded corrections."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from channel_rounds import CHANNELS, Rounds, declare, open_rounds
from served import Site, open_site
from world import World

from hannun.domain.channel_totals import COUNTS
from hannun.sandbox.channels.behaviours import BEHAVIOURS

EVENTS = [f"5b0c2f64-0000-4000-8000-00000000000{n}" for n in range(1, 5)]
ROUNDS = 25
READERS = 3
SHOWN = ("views", "impressions", "clicks", "conversions")
CALL_S = 6.0
ANSWER_S_MAX = 3.0
DAY_S = 86_400.0
Figures = dict[tuple[str, str], tuple[int, ...]]
"""What is shown of an event and a channel: the counts in the order of `SHOWN`."""


class Readers:
    """Read the dashboards all the time, and remember what they saw and how long they waited."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self.seen: list[dict[tuple[str, str], list[tuple[int, ...]]]] = []
        self.waits_s: list[float] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        clients = [self._site.signed_in("the-operator", "ADMIN") for _ in range(READERS)]
        with ThreadPoolExecutor(READERS) as threads:
            running = [threads.submit(self._read, client) for client in clients]
            try:
                yield
            finally:
                self._stop.set()
                for each in running:
                    each.result(60)

    def _read(self, client: object) -> None:
        seen: dict[tuple[str, str], list[tuple[int, ...]]] = defaultdict(list)
        self.seen.append(seen)
        while not self._stop.is_set():
            for event in EVENTS:
                began_s = time.monotonic()
                answer = client.get(f"/api/v1/events/{event}/analytics")  # type: ignore[attr-defined]
                self.waits_s.append(time.monotonic() - began_s)
                assert answer.status_code == 200, answer.text
                for line in answer.json()["channelPerformance"]:
                    figures = tuple(line[name] for name in SHOWN)
                    of_pair = seen[event, line["channelName"]]
                    if not of_pair or of_pair[-1] != figures:
                        of_pair.append(figures)


def stored(rounds: Rounds) -> Figures:
    return {pair: tuple(totals.get(name, 0) for name in SHOWN) for pair, totals in rounds.totals().items()}


def misbehave(rounds: Rounds, chance: random.Random) -> None:
    """Put up to two random behaviours in force on each channel, for a random part of the calls."""
    for channel in CHANNELS:
        rounds.control.forget(channel)
        for behaviour in chance.sample(list(BEHAVIOURS), chance.choice((0, 0, 1, 1, 2))):
            instruction = {"share": chance.choice((0.3, 0.7, 1.0)), "seed": chance.randrange(2**31)}
            if behaviour == "slow":
                instruction["options"] = {"delay_s": 600.0}
            rounds.control.tell(channel, behaviour, instruction)


def assert_steps_are_recorded(history: list[Figures], readers: Readers) -> None:
    """What each reader saw of an event and a channel are states after rounds, in the order of the rounds."""
    for seen in readers.seen:
        for pair, shown in seen.items():
            states = iter([tuple(0 for _ in SHOWN), *(state[pair] for state in history if pair in state)])
            for figures in shown:
                assert any(figures == state for state in states), f"{pair} went back, or shows what never was"


def assert_totals_add_up(world: World) -> None:
    """The total of each count is the sum of its increments and corrections; the timeline is the sum of increments."""
    for name in COUNTS:
        rows = world.rows(
            f"SELECT coalesce(m.{name}, 0) AS total, "
            f"(SELECT coalesce(sum(i.{name}), 0) FROM hannun.increments i "
            " WHERE (i.event_no, i.channel_no) = (m.event_no, m.channel_no)) AS added, "
            "(SELECT coalesce(sum(c.amount), 0) FROM hannun.corrections c "
            " WHERE (c.event_no, c.channel_no) = (m.event_no, m.channel_no) AND c.metric = %s) AS corrected "
            "FROM hannun.channel_measurements m",
            name,
        )
        assert all(row.total == row.added + row.corrected for row in rows)
    for row in world.rows(
        "SELECT sum(t.views)::bigint AS shown, (SELECT sum(i.views)::bigint FROM hannun.increments i "
        "JOIN hannun.events e USING (event_no) WHERE e.event_id = t.event_id) AS added "
        "FROM public.timeline_data t GROUP BY t.event_id"
    ):
        assert row.shown == row.added
    assert world.drift() == []


@pytest.mark.faults
def test_while_all_channels_misbehave_for_days_readers_see_only_what_was_measured(world: World, tmp_path: Path) -> None:
    chance = random.Random(12)
    with open_rounds(world, tmp_path) as rounds, open_site(world) as site:
        rounds.distribute(*EVENTS)
        rounds.make_hasty(*CHANNELS)
        readers = Readers(site)
        history: list[Figures] = []
        with readers.reading():
            for _ in range(ROUNDS):
                misbehave(rounds, chance)
                rounds.pass_time(chance.choice((300.0, 300.0, 3_600.0, DAY_S)))
                rounds.run()
                assert rounds.newest().ended_at is not None
                history.append(stored(rounds))
        assert max(len(shown) for seen in readers.seen for shown in seen.values()) > 3, "readers saw several rounds"
        assert_steps_are_recorded(history, readers)
        assert_totals_add_up(world)
        state = rounds.control.state()["channels"]
        assert {name: state[name]["budgetViolations"] for name in CHANNELS} == dict.fromkeys(CHANNELS, 0)
        for channel in CHANNELS:
            rounds.control.forget(channel)
            rounds.make_patient(channel)
        rounds.pass_time(2 * DAY_S)
        rounds.run()
        rounds.next()  # a second poll confirms what fell
        assert all(not totals.get("falls") and "refused" not in totals for totals in rounds.totals().values())
        assert_totals_add_up(world)


@pytest.mark.faults
def test_no_answer_waits_for_channels_that_hang(world: World, tmp_path: Path) -> None:
    limits = f"[limits]\nconnect_s = 5.0\nread_s = {CALL_S}\ncall_s = {CALL_S}\nattempts = 1\n"
    with open_rounds(world, tmp_path) as rounds, open_site(world) as site:
        rounds.distribute(*EVENTS)
        rounds.run()
        for channel in CHANNELS:
            declare(rounds.declarations, channel, limits)
            rounds.control.tell(channel, "hang", {})
        rounds.pass_time()
        readers = Readers(site)
        began_s = time.monotonic()
        with readers.reading():
            counts = rounds.run()
        assert time.monotonic() - began_s >= CALL_S
        assert {of_channel["failed"] for of_channel in counts.values()} == {len(EVENTS)}
        assert max(readers.waits_s) < ANSWER_S_MAX < CALL_S
