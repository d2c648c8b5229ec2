"""`load`: how many users of the page two cores carry, with all parts of the service and the users on them.

    sender ─► Kafka ─► ingest ─► PostgreSQL ─► announced in Valkey ─► serve ◄─► users (bench.load_clients)
                                     ▲ schedule

Events and registrations are those of the whole of production (docs/capacity.md), whatever the number of users. The
users grow in steps, until the pages open too slowly. What the parts take without users is measured first, so that the
difference is what a user costs.
"""

import json
import math
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import psycopg
from confluent_kafka import Producer

from bench.client_process import ClientProcess, run_clients
from bench.commit_times import commit_times
from bench.figures import Figure, percentile
from bench.kafka_ingestion import produce, producer_options, wait_until_counted
from bench.load_clients import Seen
from bench.messages import Message, events, registrations
from bench.process_usage import cpu_s, tree_cpu_s
from bench.servers import BenchDatabase, Servers
from hannun.domain.capacity import Load, busy_cores

SEED = 90
OPEN_S_MAX = 0.75
"""The bound of the p99 of opening a page.

Docs promise the numbers within 1.5 s on a throttled phone. On an idle service that takes 0.72 s (docs/performance.md,
"An open page"), so that the service may add 0.75 s.
"""
FRESH_S_MAX = 3.0
"""The bound of the p99 from a commit until the page of its event has an answer with it.

The design promises that no answer is older than 2 s, and a page leaves 1 s between two changes.
"""
CORES_SHARE_MAX = 0.95
"""The processor is full where the parts and the users take so much of it."""
PEOPLE_A_MERCHANT = 10
HOT_SHARE, HOT_EVENTS_SHARE = 0.8, 0.2
"""So large a part of the registrations, and of the users, belongs to so small a part of the events."""
SETTLE_S = 3.0
STEPS_S_MAX = 330.0
"""No step begins later than this."""
QUIET_CORES, QUIET_S, QUIET_S_MAX = 0.1, 4.0, 60.0
"""Users come when `schedule` has rolled up what was registered before: when it takes less than so many cores."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much runs.

    Args:
        load: the users, the events and the participants a day of the whole.
        participants: an event has before, of the last hour.
        users: in steps.
        step_s: how long each step is measured: of the whole, two rounds of the roll-up, which has one each 20 s.
        warm_up_s: how long registrations arrive before that.
    """

    load: Load
    participants: int
    users: tuple[int, ...]
    step_s: float
    warm_up_s: float


PRODUCTION = Load(users=10_000, events=10_000, participants_a_day=1_000_000)
STEPS = (500, 750, 1_000, 1_250, 1_500, 1_750, 2_000, 2_500, 3_000, 4_000, 6_000, 8_000, 10_000)
FULL = Scale(PRODUCTION, 20, STEPS, 40.0, 30.0)
QUICK = Scale(Load(users=1_000, events=1_000, participants_a_day=100_000), 10, (100, 300), 8.0, 2.0)


@dataclass(frozen=True, slots=True)
class Step:
    """What one number of users saw, and the cores that each part took."""

    users: int
    seen: Seen
    fresh_s: list[float]
    cores: dict[str, float]
    seconds: float

    @property
    def open_p99_s(self) -> float | None:
        """None where no page was opened."""
        return percentile(self.seen.opens, 99) if self.seen.opens else None

    @property
    def fresh_p99_s(self) -> float | None:
        """None where no page had an answer with a new participant."""
        return percentile(self.fresh_s, 99) if self.fresh_s else None

    @property
    def all_cores(self) -> float:
        return sum(self.cores.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {cores:.2f}" for part, cores in self.cores.items())
        failures = f", failures {self.seen.failures}" if self.seen.failures else ""
        waits = f"p99 of opening {_seconds(self.open_p99_s)}, from the commit {_seconds(self.fresh_p99_s)}"
        return f"{self.users:,} users, {waits}, cores: {parts}{failures}"

    def is_carried(self, cores: int) -> bool:
        """Whether pages open and change in time and nothing fails, with processor to spare."""
        return self.limit(cores) is None

    def limit(self, cores: int) -> str | None:
        """Why these are too many users; None where they are not."""
        if self.seen.failures:
            return f"{self.seen.failures}"
        if self.users and self.open_p99_s is None:
            return "no page opened"
        if self.open_p99_s is not None and self.open_p99_s > OPEN_S_MAX:
            return f"the p99 of opening is {self.open_p99_s:.2f} s"
        if self.fresh_p99_s is not None and self.fresh_p99_s > FRESH_S_MAX:
            return f"the p99 from the commit is {self.fresh_p99_s:.1f} s"
        if self.all_cores > cores * CORES_SHARE_MAX:
            return f"{self.all_cores:.2f} of {cores} cores are busy"
        return None


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `load`."""
    scale = QUICK if quick else FULL
    database = servers.create_database("bench_load")
    with ExitStack() as stack:
        stack.callback(servers.drop_database, database)
        topics = servers.create_topics(database.name)
        created = _fill(servers, topics, scale)
        settings = {
            "HANNUN_LIVE_STREAMS_MAX": str(2 * PRODUCTION.users),
            "HANNUN_LIVE_STREAMS_PER_CALLER_MAX": str(PRODUCTION.users),  # the colleagues of a merchant are one caller
            "HANNUN_CONNECTIONS_MAX": str(2 * PRODUCTION.users),
            # All users come from this machine.
            "HANNUN_ADDRESS_CONNECTIONS_MAX": "0",
            "HANNUN_PAGE_REQUESTS_A_MINUTE": "0",
            "HANNUN_STRANGER_REQUESTS_A_MINUTE": "0",
            "HANNUN_KEEP_ALIVE_S": "3600",
        }
        pids = {"ingest": stack.enter_context(servers.ingest(database, topics))}
        pids["schedule"] = stack.enter_context(servers.schedule(database))
        servers.log_progress("load: counting what was before")
        wait_until_counted(database, topics["participant-registered"], scale.load.events * scale.participants)
        wait_until_counted(database, topics["distribution-completed"], scale.load.events)
        serve = stack.enter_context(servers.serve(database, **settings))
        pids["serve"] = serve.pid
        servers.log_progress("load: waiting for schedule to roll up what was before")
        _wait_until_quiet(pids["schedule"])
        clients = stack.enter_context(run_clients("bench.load_clients", serve))
        clients.send(*map(json.dumps, _plan(servers, created, max(scale.users))), "")
        pids |= {"clients": clients.pid, "Valkey": servers.valkey.pid or 0, "Kafka": servers.kafka().pid or 0}
        bench = _Bench(servers, database, clients, pids, scale)
        with _registrations(servers, topics, created, scale.load):
            time.sleep(scale.warm_up_s)
            steps = bench.steps()
    return _figures(steps, scale)


def _fill(servers: Servers, topics: dict[str, str], scale: Scale) -> list[Message]:
    """Produce the events and what was registered in the last hour. Returns the messages of the events."""
    count = scale.load.events
    servers.log_progress(f"load: producing {count:,} events with {scale.participants} participants each")
    now = datetime.now(UTC)
    created = events(SEED, count, at=now)
    bootstrap = servers.kafka().bootstrap
    produce(bootstrap, topics, created)
    produce(bootstrap, topics, registrations(SEED, events=count, count=count * scale.participants, at=now))
    return created


def _wait_until_quiet(pid: int) -> None:
    """Wait until a process has little to do, but not forever: on a busy machine it may always have something."""
    deadline = time.monotonic() + QUIET_S_MAX
    used_s = math.inf
    while used_s > QUIET_CORES * QUIET_S and time.monotonic() < deadline:
        before_s = cpu_s(pid)
        time.sleep(QUIET_S)
        used_s = cpu_s(pid) - before_s


def _plan(servers: Servers, created: list[Message], users: int) -> list[tuple[str, str, list[str]]]:
    """(token, merchant, events) of each user: of five users, four belong to the merchants of the first fifth."""
    of_merchant: defaultdict[str, list[str]] = defaultdict(list)
    for kind, key, value in created:
        if kind == "event-created":
            of_merchant[json.loads(value)["userId"]].append(key.decode())
    merchants = list(of_merchant)
    hot = max(1, int(len(merchants) * HOT_EVENTS_SHARE))
    plan = []
    for number in range(users):
        is_hot = number % 5 < HOT_SHARE * 5
        owner = merchants[number // PEOPLE_A_MERCHANT % hot if is_hot else number * 7 % len(merchants)]
        plan.append((servers.token(owner, "MERCHANT", number), owner, of_merchant[owner]))
    return plan


@contextmanager
def _registrations(servers: Servers, topics: dict[str, str], created: list[Message], load: Load) -> Iterator[None]:
    """Send registrations at the rate of the busiest second, for the duration of the block."""
    ended = threading.Event()
    arguments = (servers.kafka().bootstrap, topics, _arriving(created, load), load.messages_a_second, ended)
    thread = threading.Thread(target=_send, args=arguments, name="sender")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _arriving(created: list[Message], load: Load) -> Iterator[Message]:
    """The registrations of the next hour, as they arrive."""
    chance = random.Random(SEED)
    all_events = [key for kind, key, _ in created if kind == "event-created"]
    hot = all_events[: int(len(all_events) * HOT_EVENTS_SHARE)]
    begins_at = datetime.now(UTC)
    of_hour = int(load.messages_a_second * 3_600)
    of_one = registrations(SEED + 1, events=1, count=of_hour, at=begins_at + timedelta(hours=1))
    for kind, key, value in of_one:
        event = chance.choice(hot if chance.random() < HOT_SHARE else all_events)
        yield kind, event, value.replace(key, event)


def _send(
    bootstrap: str, topics: dict[str, str], messages: Iterator[Message], rate: float, ended: threading.Event
) -> None:
    producer = Producer(producer_options(bootstrap))
    sent, started = 0, time.monotonic()
    while not ended.wait(0.01):
        due = int((time.monotonic() - started) * rate)
        for kind, key, value in islice(messages, due - sent):
            producer.produce(topics[kind], value, key)
        sent = due
        producer.poll(0)
    assert producer.flush(10) == 0


@dataclass(frozen=True, slots=True)
class _Bench:
    """Measures one number of users after the other."""

    servers: Servers
    database: BenchDatabase
    clients: ClientProcess
    pids: dict[str, int]
    scale: Scale

    def steps(self) -> list[Step]:
        """No users first; then more and more of them, up to the first step that is not carried."""
        began, cores = time.monotonic(), len(os.sched_getaffinity(0))
        steps = [self._step(0)]
        for users in self.scale.users:
            steps.append(self._step(users))
            if not steps[-1].is_carried(cores) or time.monotonic() - began > STEPS_S_MAX:
                break
        return steps

    def _step(self, users: int) -> Step:
        self._command(f"users {users}")
        time.sleep(SETTLE_S)
        before, started = self._cpu_s(), time.perf_counter()
        seen = Seen(**self._command(f"measure {self.scale.step_s}"))
        took_s = time.perf_counter() - started
        cores = {part: (used_s - before[part]) / took_s for part, used_s in self._cpu_s().items()}
        step = Step(users, seen, self._fresh_s(seen), cores, took_s)
        self.servers.log_progress(f"load: {step}, load {os.getloadavg()[0]:.1f}")
        return step

    def _command(self, line: str) -> dict[str, Any]:
        self.clients.send(line)
        return self.clients.answer()

    def _cpu_s(self) -> dict[str, float]:
        """The CPU time of each part so far. That of PostgreSQL is divided by the process that it works for."""
        used_s = {part: cpu_s(pid) for part, pid in self.pids.items()}
        all_s = tree_cpu_s(self.servers.postgres.pid or 0)
        of_process = dict.fromkeys(_PROCESSES, 0.0)
        with psycopg.connect(self.servers.postgres.superuser_url) as conn:
            for pid, application in conn.execute(_BACKENDS, [self.database.name]):
                process = next((name for name in _PROCESSES if application.startswith(f"hannun-{name}")), None)
                if process is not None:
                    of_process[process] += cpu_s(pid)
        used_s |= {f"PostgreSQL for {process}": its_s for process, its_s in of_process.items()}
        return used_s | {"PostgreSQL for itself": all_s - sum(of_process.values())}

    def _fresh_s(self, seen: Seen) -> list[float]:
        """From the commit of each participant until a page that shows its event had an answer with it."""
        committed = commit_times(self.database, sorted({event for event, *_ in seen.totals}))
        return [
            at - committed[event][number] for event, before, now, at in seen.totals for number in range(before, now)
        ]


_PROCESSES = ("serve", "ingest", "schedule")
_BACKENDS = "SELECT pid, application_name FROM pg_stat_activity WHERE datname = %s"


def _figures(steps: Sequence[Step], scale: Scale) -> list[Figure]:
    cores = len(os.sched_getaffinity(0))
    base, *with_users = steps
    carried = [step for step in with_users if step.is_carried(cores)]
    step = carried[-1] if carried else with_users[0]
    users, seen = step.users, step.seen
    of_step = f"{users:,} users, {scale.step_s:.0f} s"
    held, limit = users if carried else 0, steps[-1].limit(cores)
    why = f"with {steps[-1].users:,} {limit}" if limit else "more were not tried"
    fresh = f"{len(step.fresh_s):,} participants, {of_step}"
    opens, reads = f"{len(seen.opens):,}, {of_step}", f"{len(seen.reads):,}, {of_step}"
    return [
        Figure("load", "users that are carried", held, "users", why),
        Figure("load", "  of 10,000", held / PRODUCTION.users * 100, "%", f"{scale.load.events:,} events"),
        *_times("opening a page", seen.opens, "s", 1, opens, f" (target: {OPEN_S_MAX})"),
        *_times("a read", seen.reads, "ms", 1e3, reads),
        *_times(
            "from the commit to the answer of a page", step.fresh_s, "s", 1, fresh, f" (target: {FRESH_S_MAX:.0f})"
        ),
        Figure("load", "reads", len(seen.reads) / step.seconds, "reads/s", of_step),
        Figure("load", "  computed, in no cache", _percent(seen.uncached, seen.reads), "%", reads),
        Figure("load", "  304", _percent(seen.unchanged, seen.reads), "%", reads),
        Figure("load", "pages read again after a change", seen.changes / step.seconds, "pages/s", of_step),
        *(
            Figure("load", f"p99 of opening, {each.users:,} users", each.open_p99_s, "s", f"{len(each.seen.opens):,}")
            for each in with_users
            if each.open_p99_s is not None
        ),
        Figure("load", "CPU, serve, a read", _serve_ms_a_read(base, step), "ms", f"{reads}; streams included"),
        *(figure for part in step.cores for figure in _cores(part, base, step, scale)),
    ]


def _times(name: str, waits_s: list[float], unit: str, factor: float, samples: str, more: str = "") -> list[Figure]:
    """The median and the p99 of waits; no figure where there were none."""
    if not waits_s:
        return []
    return [
        Figure("load", f"{name}, p50", percentile(waits_s, 50) * factor, unit, samples),
        Figure("load", f"{name}, p99", percentile(waits_s, 99) * factor, f"{unit}{more}", samples),
    ]


def _serve_ms_a_read(base: Step, step: Step) -> float:
    return (step.cores["serve"] - base.cores["serve"]) * step.seconds / max(1, len(step.seen.reads)) * 1e3


def _percent(count: int, of: Sequence[float]) -> float:
    return 100 * count / max(1, len(of))


GROWING = ("serve", "PostgreSQL for serve", "clients")
"""The parts whose work grows with the users. What the others take depends on the messages and the events."""


def _cores(part: str, base: Step, step: Step, scale: Scale) -> Iterator[Figure]:
    """What a part takes without users and with them; what 1,000 users add, and what that makes of all of production."""
    without, with_users = base.cores[part], step.cores[part]
    arriving = f"{scale.load.messages_a_second:.0f} registrations a second, {scale.load.events:,} events"
    yield Figure("load", f"CPU, {part}, without users", without, "cores", arriving)
    yield Figure("load", f"  with {step.users:,} users", with_users, "cores", "")
    if part in GROWING:
        of_user = (with_users - without) / step.users
        yield Figure("load", "  for 1,000 users more", of_user * 1_000, "cores", "on a straight line")
        total = without + of_user * scale.load.users
        yield Figure("load", f"  with {scale.load.users:,} users", total, "cores", _estimate(part, scale.load))


def _estimate(part: str, load: Load) -> str:
    """What `hannun capacity` says of the users' part."""
    estimated, without_users = busy_cores(load), busy_cores(replace(load, users=0))
    estimates = {"serve": estimated.serve, "PostgreSQL for serve": estimated.postgres - without_users.postgres}
    return "on a straight line" + (f"; hannun capacity: {estimates[part]:.2f}" if part in estimates else "")
