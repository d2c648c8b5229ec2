"""`ingest` is killed, or loses PostgreSQL, at every step of a batch; it goes on from where PostgreSQL stands.

One round: messages of all kinds are sent in one transaction, after one that was given up (so offsets have gaps). At
whichever step it happens: what is counted is exactly what lies before the positions, in one snapshot; and in the end
everything that was sent is counted once.
"""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from accounts import account
from faults import Crash, Fault, PostgresRequests, Proxy, Request, every_crash, no_crash
from outside import (
    Event,
    Process,
    Service,
    Topics,
    event_for_partition,
    figures_in,
    positions,
    wait_for,
    with_both_protocols,
    with_port,
)

from hannun.embedded import PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]


class Rounds:
    """An `ingest` behind a proxy, and one round after the other."""

    def __init__(self, service: Service, topics: Topics, proxy: Proxy) -> None:
        self._service = service
        self._topics = topics
        self._proxy = proxy
        self._months = (f"{year}-{month:02}" for year in range(2015, 2026) for month in range(2, 13))
        # The job for old debts would disturb the count of steps; the one in `schedule` does it.
        proxy.hold("owed_at <")
        self._behind = {"DATABASE_URL": with_port(service.environment["DATABASE_URL"], proxy.port)}
        service.start_schedule()
        self.ingest = self._ingests()

    def goes(self, crash: Crash) -> None:
        """A round with this crash."""
        service, topics = self._service, self._topics
        known, new = Event(month="2024-05"), Event(month=next(self._months))
        topics.send_in_transaction(known.first_batch())
        # Behind the marks of the transaction too: moving over them would disturb the count of steps.
        wait_for("the ends of the logs", lambda: positions(service.database) == topics.high_watermarks())

        with self._proxy.inject(crash, self.ingest.pid):
            topics.send_in_transaction(known.later_batch() + new.first_batch(), after=[known.registered(), new.sold(1)])
            wait_for(
                "the batch, or the crash",
                lambda: (
                    crash.happened.is_set() or (topics.are_counted(service) and service.pending_invalidations() == 0)
                ),
            )
        if crash.happened.is_set() and crash.fault.startswith("kill"):
            self.ingest.wait()
            self._positions_are_those_of_the_counts((known, new), crash)
            self.ingest = self._ingests()
        wait_for(f"all to be counted, {crash.description}", lambda: topics.are_counted(service))
        self._positions_are_those_of_the_counts((known, new), crash)
        wait_for(f"the cache to be told, {crash.description}", lambda: service.pending_invalidations() == 0)

    def _positions_are_those_of_the_counts(self, events: tuple[Event, ...], crash: Crash) -> None:
        with psycopg.connect(self._service.environment["DATABASE_URL"]) as conn:
            conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with conn.transaction():
                found = positions(conn)
                counted = {event.id: figures_in(conn, event.id) for event in events}
                letters = dict(
                    conn.execute("SELECT event_id, count(*) FROM hannun.dead_letters GROUP BY event_id").fetchall()
                )
        for event in events:
            event.expected_messages = self._topics.messages_before(found, event.id)
            assert counted[event.id] == event.expected_figures, crash.description
            assert letters.get(event.id, 0) == event.expected_dead_letters, crash.description

    def _ingests(self) -> Process:
        return self._service.start_ingest(**self._topics.environment(), HANNUN_BATCH_WAIT_S="0.1", **self._behind)


@pytest.fixture
def rounds(service: Service, topics: Topics, postgres: PostgresServer) -> Iterator[Rounds]:
    with Proxy(postgres.port, PostgresRequests) as proxy:
        yield Rounds(service, topics, proxy)
        service.assert_no_drift()
        account(service, topics)


def is_counting(request: Request) -> bool:
    return request.application in ("hannun-ingest", "hannun-ingest-payer")


def is_commit(request: Request) -> bool:
    return is_counting(request) and request.text == "COMMIT"


def steps_of(goes: Callable[[Crash], None]) -> int:
    """How many steps each round has that runs through: the least of a few, since their work falls into more or fewer
    batches."""
    rounds = [no_crash(matches=is_counting) for _ in range(3)]
    for clean in rounds:
        goes(clean)
    return min(len(clean.trace) for clean in rounds)


def test_ingest_killed_after_any_commit_loses_and_doubles_nothing(rounds: Rounds) -> None:
    for crash in every_crash("kill after", matches=is_commit):
        rounds.goes(crash)
    assert crash.nth >= 5, "commits of months, numbers, the batch, and the debt paid"


def test_a_postgresql_connection_cut_after_any_commit_loses_and_doubles_nothing(rounds: Rounds) -> None:
    for crash in every_crash("cut after", matches=is_commit):
        rounds.goes(crash)
    assert crash.nth >= 5


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_postgresql_connection_cut_at_any_request_loses_and_doubles_nothing(rounds: Rounds, fault: Fault) -> None:
    steps = steps_of(rounds.goes)
    for crash in every_crash(fault, matches=is_counting, at_least=steps):
        rounds.goes(crash)
    assert crash.nth > steps > 30


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_ingest_killed_at_any_request_of_a_batch_loses_and_doubles_nothing(rounds: Rounds, fault: Fault) -> None:
    steps = steps_of(rounds.goes)
    for crash in every_crash(fault, matches=is_counting, at_least=steps):
        rounds.goes(crash)
    assert crash.nth > steps > 30


class Pair:
    """Two members of one group, of which the first stands behind a proxy, and one round after the other."""

    def __init__(self, service: Service, topics: Topics, proxy: Proxy, protocol: str) -> None:
        self._service = service
        self._topics = topics
        self._proxy = proxy
        self._environment = topics.environment() | {
            "HANNUN_BATCH_WAIT_S": "0.1",
            "HANNUN_KAFKA_SESSION_TIMEOUT_S": "6",
            "HANNUN_KAFKA_GROUP_PROTOCOL": protocol,
        }
        self._months = (f"{year}-{month:02}" for year in range(2015, 2026) for month in range(2, 13))
        proxy.hold("owed_at <")
        service.start_schedule()
        self._second = self._ingests()
        self._first = self._ingests_behind()

    def goes(self, crash: Crash) -> None:
        """A round with this crash of the first; the second, and who comes for the first, count on."""
        service, topics = self._service, self._topics
        self._both_have_partitions()
        month = next(self._months)
        events = [
            event_for_partition(number, 2, month) for number in (0, 1) for _ in range(2)
        ]  # both members have some to do
        with self._proxy.inject(crash, self._first.pid):
            for event in events:
                event.expect(event.first_batch())
            topics.send([message for event in events for message in event.expected_messages])
            wait_for(
                "the batch, or the crash",
                lambda: (
                    crash.happened.is_set() or (topics.are_counted(service) and service.pending_invalidations() == 0)
                ),
            )
        if crash.happened.is_set():
            self._first.wait()
            self._first = self._ingests_behind()
        wait_for(f"all to be counted, {crash.description}", lambda: topics.are_counted(service), deadline_s=60)
        for event in events:
            assert service.figures(event.id) == event.expected_figures, crash.description
            assert service.dead_letter_count(event.id) == event.expected_dead_letters, crash.description
        assert self._second.is_running

    def _both_have_partitions(self) -> None:
        wanted = {str(self._first.pid), str(self._second.pid)}
        owners = "SELECT DISTINCT split_part(owner, '/', 2) FROM hannun.positions"
        wait_for("both to have partitions", lambda: {pid for (pid,) in self._service.rows(owners)} == wanted, 60)

    def _ingests(self, **environment: str) -> Process:
        return self._service.start_ingest(**self._environment | environment)

    def _ingests_behind(self) -> Process:
        return self._ingests(DATABASE_URL=with_port(self._service.environment["DATABASE_URL"], self._proxy.port))


@pytest.fixture
def pair(service: Service, topics: Topics, postgres: PostgresServer, protocol: str) -> Iterator[Pair]:
    with Proxy(postgres.port, PostgresRequests) as proxy:
        yield Pair(service, topics, proxy, protocol)
        service.assert_no_drift()
        account(service, topics)


@with_both_protocols
def test_when_one_of_two_members_is_killed_in_a_batch_the_other_counts_on(pair: Pair) -> None:
    crash = Crash(
        "kill before", 1, matches=lambda request: is_counting(request) and "owed_invalidations (" in request.text
    )
    pair.goes(crash)
    assert crash.happened.is_set()


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_when_one_of_two_members_is_killed_at_any_request_the_other_counts_on(pair: Pair, fault: Fault) -> None:
    steps = steps_of(pair.goes)
    for crash in every_crash(fault, matches=is_counting, at_least=steps):
        pair.goes(crash)
    assert crash.nth > steps > 20, "of the topics that fall to it"
