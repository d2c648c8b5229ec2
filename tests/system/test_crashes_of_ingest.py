"""`ingest` is killed, or loses PostgreSQL, at every request of a batch, and resumes from the positions in PostgreSQL.

One round sends messages of every kind in one transaction, after an aborted one, so that offsets have gaps. Wherever the
fault happens, one snapshot of the database holds exactly the messages before the positions. In the end every message is
counted once.
"""

from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest
from accounts import account
from faults import Crash, Fault, PostgresRequests, Proxy, Request, every_crash, kill_between, no_crash
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
    """Runs one round after the other with an `ingest` whose PostgreSQL connections pass through a proxy."""

    def __init__(self, service: Service, topics: Topics, proxy: Proxy) -> None:
        self._service = service
        self._topics = topics
        self._proxy = proxy
        self._months = (f"{year}-{month:02}" for year in range(2015, 2026) for month in range(2, 13))
        # The job that delivers old outbox entries would disturb the count of requests. `schedule` runs it instead.
        proxy.hold("owed_at <")
        self._through_proxy = {"DATABASE_URL": with_port(service.environment["DATABASE_URL"], proxy.port)}
        service.start_schedule()
        self.ingest = self._start_ingest()

    def run(self, crash: Crash) -> None:
        """Run a round with this crash."""
        service, topics = self._service, self._topics
        known, new = Event(month="2024-05"), Event(month=next(self._months))
        topics.send_in_transaction(known.first_batch())
        # Wait for the transaction's control records too: moving over them would disturb the count of requests.
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
            assert_counts_match_positions(service, topics, (known, new), crash)
            self.ingest = self._start_ingest()
        wait_for(f"all to be counted, {crash.description}", lambda: topics.are_counted(service))
        assert_counts_match_positions(service, topics, (known, new), crash)
        wait_for(
            f"the invalidations to be delivered, {crash.description}", lambda: service.pending_invalidations() == 0
        )

    def _start_ingest(self) -> Process:
        return self._service.start_ingest(
            **self._topics.environment(), HANNUN_BATCH_WAIT_S="0.1", **self._through_proxy
        )


def assert_counts_match_positions(service: Service, topics: Topics, events: Sequence[Event], crash: Crash) -> None:
    """One snapshot of the database holds exactly the messages before the positions."""
    with psycopg.connect(service.environment["DATABASE_URL"]) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with conn.transaction():
            found = positions(conn)
            counted = {event.id: figures_in(conn, event.id) for event in events}
            dead_letters = dict(
                conn.execute("SELECT event_id, count(*) FROM hannun.dead_letters GROUP BY event_id").fetchall()
            )
    for event in events:
        event.expected_messages = topics.messages_before(found, event.id)
        assert counted[event.id] == event.expected_figures, crash.description
        assert dead_letters.get(event.id, 0) == event.expected_dead_letters, crash.description


@pytest.fixture
def rounds(service: Service, topics: Topics, postgres: PostgresServer) -> Iterator[Rounds]:
    with Proxy(postgres.port, PostgresRequests) as proxy:
        yield Rounds(service, topics, proxy)
        service.assert_no_drift()
        account(service, topics)


def is_counting(request: Request) -> bool:
    return request.application in ("hannun-ingest", "hannun-ingest-relay")


def is_commit(request: Request) -> bool:
    return is_counting(request) and request.text == "COMMIT"


def count_requests(run: Callable[[Crash], None]) -> int:
    """How many requests every round without a fault sends.

    It is the minimum of three rounds, since the work of a round falls into more or fewer batches.
    """
    rounds = [no_crash(matches=is_counting) for _ in range(3)]
    for clean in rounds:
        run(clean)
    return min(len(clean.trace) for clean in rounds)


def crash_at_each_request(run: Callable[[Crash], None], fault: Fault, *, more_than: int) -> None:
    """Run rounds with this fault at each request of a batch, of which there are more than so many."""
    request_count = count_requests(run)
    for crash in every_crash(fault, matches=is_counting, at_least=request_count):
        run(crash)
    assert crash.nth > request_count > more_than


def crash_at_each_commit(run: Callable[[Crash], None], fault: Fault) -> None:
    """Run rounds with this fault at each COMMIT of a batch."""
    for crash in every_crash(fault, matches=is_commit):
        run(crash)
    assert crash.nth >= 5, "commits of months, of surrogate keys, of the batch, and of the delivered outbox entry"


def test_ingest_killed_after_any_commit_loses_and_doubles_nothing(rounds: Rounds) -> None:
    crash_at_each_commit(rounds.run, "kill after")


def test_a_postgresql_connection_cut_after_any_commit_loses_and_doubles_nothing(rounds: Rounds) -> None:
    crash_at_each_commit(rounds.run, "cut after")


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["cut before", "cut after"])
def test_a_postgresql_connection_cut_at_any_request_loses_and_doubles_nothing(rounds: Rounds, fault: Fault) -> None:
    crash_at_each_request(rounds.run, fault, more_than=30)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_ingest_killed_at_any_request_of_a_batch_loses_and_doubles_nothing(rounds: Rounds, fault: Fault) -> None:
    crash_at_each_request(rounds.run, fault, more_than=30)


class Gap:
    """Kills an `ingest` exactly between its positions and its counts, at whichever it writes second."""

    POINTS = {  # noqa: RUF012  # never changed
        "positions": r"UPDATE hannun\.positions SET next_offset",
        "counts": r"(COPY|INSERT INTO) hannun\.participants|UPDATE (hannun\.events|public\.event_stats)",
    }

    def __init__(self, service: Service, topics: Topics, proxy: Proxy) -> None:
        self._service = service
        self._topics = topics
        self._proxy = proxy
        proxy.hold("owed_at <")

    def kill(self, variant: str | None) -> tuple[Event, Crash, str]:
        """Kill an `ingest`, or a variant of it, in a batch of registrations. Returns the order in which it writes."""
        service, topics = self._service, self._topics
        url = with_port(service.environment["DATABASE_URL"], self._proxy.port)
        ingest = service.start_ingest(variant=variant, **topics.environment(), DATABASE_URL=url)
        event = Event()
        event.expect([event.created(), event.registered("Instagram")])
        topics.send(event.expected_messages)
        wait_for("the positions", lambda: topics.are_counted(service))
        wait_for("the counts", lambda: service.figures(event.id) == event.expected_figures)
        crash = kill_between(self.POINTS, matches=lambda request: request.application == "hannun-ingest")
        with self._proxy.inject(crash, ingest.pid):
            topics.send([event.registered("Instagram") for _ in range(3)])
            wait_for("the crash", crash.happened.is_set)
        ingest.wait()
        return event, crash, ", ".join(crash.order)

    def assert_consistent(self, event: Event, crash: Crash) -> None:
        """Nothing is lost or doubled by the crash, neither at once nor after the next start."""
        service, topics = self._service, self._topics
        assert_counts_match_positions(service, topics, [event], crash)
        service.start_ingest(**topics.environment())
        wait_for("all to be counted", lambda: topics.are_counted(service))
        assert_counts_match_positions(service, topics, [event], crash)
        service.assert_no_drift()
        account(service, topics)


@pytest.fixture
def gap(service: Service, topics: Topics, postgres: PostgresServer) -> Iterator[Gap]:
    with Proxy(postgres.port, PostgresRequests) as proxy:
        yield Gap(service, topics, proxy)


@pytest.mark.faults
@pytest.mark.parametrize(("variant", "order"), [(None, "positions, counts"), ("positions-last", "counts, positions")])
def test_ingest_killed_between_positions_and_counts_loses_and_doubles_nothing(
    gap: Gap, variant: str | None, order: str
) -> None:
    event, crash, found = gap.kill(variant)
    assert found == order
    gap.assert_consistent(event, crash)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("mistake", "order"),
    [("positions-committed-before", "positions, counts"), ("positions-committed-after", "counts, positions")],
)
def test_a_kill_between_positions_and_counts_finds_two_transactions(gap: Gap, mistake: str, order: str) -> None:
    event, crash, found = gap.kill(mistake)
    assert found == order
    with pytest.raises(AssertionError, match="kill before request 2"):
        gap.assert_consistent(event, crash)


class Pair:
    """Runs one round after the other with two members of one group, the first behind a proxy."""

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
        self._second = self._start_ingest()
        self._first = self._start_ingest_through_proxy()

    def run(self, crash: Crash) -> None:
        """Run a round with this crash of the first member. The second counts on; a new member replaces the first."""
        service, topics = self._service, self._topics
        self._wait_until_both_own_partitions()
        month = next(self._months)
        events = [
            event_for_partition(number, 2, month) for number in (0, 1) for _ in range(2)
        ]  # so that both members have work
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
            self._first = self._start_ingest_through_proxy()
        wait_for(f"all to be counted, {crash.description}", lambda: topics.are_counted(service), deadline_s=60)
        for event in events:
            assert service.figures(event.id) == event.expected_figures, crash.description
            assert service.dead_letter_count(event.id) == event.expected_dead_letters, crash.description
        assert self._second.is_running

    def _wait_until_both_own_partitions(self) -> None:
        wanted = {str(self._first.pid), str(self._second.pid)}
        owners = "SELECT DISTINCT split_part(owner, '/', 2) FROM hannun.positions"
        wait_for("both to own partitions", lambda: {pid for (pid,) in self._service.rows(owners)} == wanted, 60)

    def _start_ingest(self, **environment: str) -> Process:
        return self._service.start_ingest(**self._environment | environment)

    def _start_ingest_through_proxy(self) -> Process:
        return self._start_ingest(DATABASE_URL=with_port(self._service.environment["DATABASE_URL"], self._proxy.port))


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
    pair.run(crash)
    assert crash.happened.is_set()


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_when_one_of_two_members_is_killed_at_any_request_the_other_counts_on(pair: Pair, fault: Fault) -> None:
    crash_at_each_request(pair.run, fault, more_than=20)  # of the topics that are assigned to it
