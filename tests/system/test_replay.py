"""What the log holds is counted again: into the live tables, or into a shadow that takes their place."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from outside import PASSWORD, Event, Service, StartService, Topics, redis_environment, wait_for
from psycopg import sql

from hannun.embedded import PostgresServer, ValkeyServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]
REPLAYED = ("participants", "sales", "distributions", "untyped_participants")


class Replayed:
    """A service, its topics, and the databases that its replays make."""

    def __init__(self, service: Service, topics: Topics, postgres: PostgresServer) -> None:
        self.service = service
        self.topics = topics
        self.live = service.environment["DATABASE_URL"].rpartition("/")[2]
        self.shadow, self.before = f"{self.live}_shadow", f"{self.live}_before"
        self._postgres = postgres

    def tampers(self, statement: str, *arguments: object, database: str | None = None) -> list[tuple[object, ...]]:
        """Run a statement that nobody should, or look where nobody else looks."""
        with psycopg.connect(self._postgres.url(database or self.live), autocommit=True) as conn:
            cursor = conn.execute(statement, arguments or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def exists(self, database: str) -> bool:
        with psycopg.connect(self._postgres.superuser_url) as conn:
            found = conn.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone()
        return found is not None

    def counted(self, *events: Event, more: bool = False) -> None:
        """Send messages of events, and wait until `ingest` has counted them."""
        for event in events:
            messages = event.later_batch() if more else event.first_batch()
            self.topics.send(messages)
            event.expect(messages)
        self.is_caught_up()

    def loses(self, event: Event) -> None:
        """All that is counted of an event goes, as by a restore of something older that set no position back."""
        (no,) = self.tampers("SELECT event_no FROM hannun.events WHERE event_id = %s", event.id)[0]
        for table in REPLAYED:
            self.tampers(f"DELETE FROM hannun.{table} WHERE event_no = %s", no)
        for table in ("hannun.events", "public.event_stats", "public.channel_stats", "public.timeline_data"):
            self.tampers(f"DELETE FROM {table} WHERE event_id = %s", event.id)

    def participants(self, event: Event) -> set[object]:
        """Who is counted of an event."""
        counted = "SELECT participant::text FROM hannun.participants JOIN hannun.events USING (event_no)"
        return {who for (who,) in self.tampers(f"{counted} WHERE event_id = %s", event.id)}

    def is_caught_up(self) -> None:
        wait_for("the messages to be counted", lambda: self.topics.are_counted(self.service))

    def is_right(self, *events: Event) -> None:
        """The figures are those of the oracle, and proven."""
        for event in events:
            assert self.service.figures(event.id) == event.expected_figures
            assert self.service.dead_letter_count(event.id) == event.expected_dead_letters
        self.service.assert_no_drift()

    def says(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """Run `hannun replay`; what it said, whichever way."""
        ran = self.service.run("replay", *arguments, **environment)
        assert ran.status == status, ran.out + ran.err
        return ran.out + ran.err


@pytest.fixture
def replayed(
    start_service: StartService, database_url: str, valkey: ValkeyServer, topics: Topics, postgres: PostgresServer
) -> Iterator[Replayed]:
    name = database_url.rpartition("/")[2]
    owner = postgres.url(name, "hannun_owner", PASSWORD)
    environment = {"DATABASE_URL": database_url, "HANNUN_OWNER_DATABASE_URL": owner, **topics.environment()}
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        made = Replayed(start_service(**environment, **redis_environment(valkey.url)), topics, postgres)
        yield made
        for database in (made.shadow, made.before):
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


# -- into the live tables


def test_a_replay_into_live_changes_nothing_where_nothing_was_missed(replayed: Replayed) -> None:
    replayed.service.start_ingest()
    event = Event()
    replayed.counted(event)
    before = replayed.tampers("SELECT event_id, version FROM hannun.events")
    assert "counted" not in replayed.says("--into", "live")
    assert replayed.tampers("SELECT event_id, version FROM hannun.events") == before
    replayed.is_right(event)


def test_a_replay_into_live_counts_what_was_lost(replayed: Replayed) -> None:
    replayed.service.start_ingest()
    lost, kept = Event(), Event()
    replayed.counted(lost, kept)
    replayed.loses(lost)
    replayed.service.assert_no_drift()
    assert "counted" in replayed.says("--from", "2020-01-01T00:00:00Z", "--into", "live")
    replayed.is_right(lost, kept)


def test_a_replay_from_an_instant_or_an_offset_counts_exactly_what_lies_behind_it_and_says_how_far_it_is(
    replayed: Replayed,
) -> None:
    topics, event, now = replayed.topics, Event(), datetime.now(UTC)
    registered = topics.names["participant-registered"]

    def end() -> int:
        return next(end for (topic, _), end in topics.ends().items() if topic == registered)

    def sent_from(offset: int) -> set[object]:
        return {
            message["participantId"]
            for (topic, _), at, _, message in topics.delivered
            if topic == registered and at >= offset and isinstance(message, dict) and "participantId" in message
        }

    replayed.service.start_ingest()
    topics.send(event.first_batch(), sent_at=now - timedelta(hours=3))
    early_end = end()
    topics.send(event.later_batch(), sent_at=now - timedelta(hours=1))
    replayed.is_caught_up()
    replayed.loses(event)

    into_live = ("--into", "live", "--topic", registered)
    instant = (now - timedelta(hours=2)).isoformat()
    replayed.says("--from", instant, *into_live)
    assert replayed.participants(event) == sent_from(early_end)
    assert replayed.participants(event) < sent_from(3) < sent_from(0)
    said = replayed.says("--from", "3", *into_live)
    assert replayed.participants(event) == sent_from(3)
    assert f"{end() - 3} of {end() - 3} offsets (100 %)" in said
    replayed.service.assert_no_drift()


def test_a_letter_that_can_be_used_by_now_is_counted_and_resolved(replayed: Replayed) -> None:
    replayed.tampers("ALTER TABLE hannun.sales ADD CONSTRAINT not_now CHECK (amount <> 12000)")
    replayed.service.start_ingest()
    event = Event()
    replayed.counted(event)
    assert replayed.service.dead_letter_count(event.id) == 2
    replayed.tampers("ALTER TABLE hannun.sales DROP CONSTRAINT not_now")
    assert "1 dead letters could be used" in replayed.says("--into", "live")
    assert replayed.tampers("SELECT reason, resolution FROM hannun.dead_letters ORDER BY reason") == [
        ("missing-field", None),
        ("refused-by-the-database", "retried"),
    ]
    assert replayed.service.figures(event.id) == event.expected_figures
    replayed.service.assert_no_drift()


def test_a_partition_that_waits_for_an_operator_is_not_read_past(replayed: Replayed) -> None:
    replayed.service.start_ingest(HANNUN_DEAD_LETTERS_IN_A_ROW_MAX="5")
    topic = replayed.topics.names["participant-registered"]
    for _ in range(20):
        replayed.topics.send_raw("participant-registered", b"not JSON at all")
    stopped = "SELECT count(*) FROM hannun.stopped_partitions WHERE until_decided"
    wait_for("the partition to stop", lambda: replayed.tampers(stopped)[0][0])
    # The other partition may still be counted meanwhile.
    (number,) = replayed.tampers("SELECT min(partition) FROM hannun.stopped_partitions")[0]
    of_it = f"SELECT count(*) FROM hannun.dead_letters WHERE partition = {number}"
    before = replayed.tampers(of_it)
    replayed.says("--into", "live", "--topic", topic)
    assert replayed.tampers(of_it) == before


# -- into the shadow


def test_a_false_figure_is_found_by_comparing_and_mended_by_swapping(replayed: Replayed) -> None:
    service = replayed.service
    service.start_ingest()
    service.start_serve()
    event, other = Event(), Event()
    replayed.counted(event, other)
    replayed.counted(event, more=True)
    wait_for("the cache to be told", lambda: service.pending_invalidations() == 0)
    replayed.tampers(
        "UPDATE public.channel_stats SET participants = participants + 7 WHERE event_id = %s AND channel_name = %s",
        event.id,
        "Instagram",
    )
    path = f"/api/v1/events/{event.id}/analytics"
    false = service.get(path).json()["channelPerformance"]
    assert f"the shadow is {replayed.shadow}" in replayed.says("--from", "earliest")
    said = replayed.says("compare", status=1)
    assert f"channel_stats: {event.id}: Instagram: live has" in said
    assert "differences: 1, of which only the live ledgers know 0" in said
    letters = replayed.tampers("SELECT topic, record_offset, created_at FROM hannun.dead_letters ORDER BY 1, 2")
    replayed.tampers(
        "INSERT INTO hannun.shares VALUES ('link', %s, 'u', 'hash', '', now(), 'u', now() + interval '1 day', now())",
        event.id,
    )
    links = replayed.tampers("SELECT * FROM hannun.shares")
    assert "swapped" in replayed.says("swap")
    replayed.is_right(event, other)
    wait_for("the cache to be told", lambda: service.pending_invalidations() == 0)
    assert service.get(path).json()["channelPerformance"] != false
    assert service.dashboard(event.id) == event.expected_figures
    assert replayed.tampers("SELECT topic, record_offset, created_at FROM hannun.dead_letters ORDER BY 1, 2") == letters
    assert replayed.tampers("SELECT * FROM hannun.shares") == links
    replayed.counted(event, more=True)
    replayed.is_right(event, other)
    assert "is dropped" in replayed.says("drop", "--before")
    assert not replayed.exists(replayed.before)


@pytest.mark.faults
def test_counting_goes_on_while_the_databases_change_places(replayed: Replayed) -> None:
    """Kafka and HTTP both, over the swap; nobody is started again."""
    service, topics = replayed.service, replayed.topics
    ingest, serve = service.start_ingest(), service.start_serve()
    events = [Event() for _ in range(5)]
    replayed.counted(*events)
    assert service.dashboard(events[0].id) == events[0].expected_figures
    replayed.says("--from", "earliest")
    swap = service.start("replay", "swap")
    while swap.is_running:
        for event in events:
            messages = [event.registered("Instagram"), event.sold(1_000), event.registered("KAKAO")]
            topics.send(messages)
            event.expect(messages)
    assert swap.wait() == 0, swap.log
    assert replayed.exists(replayed.before)
    replayed.counted(*events, more=True)
    late = Event()
    body = late.first_batch()
    service.post_until_accepted(body)
    late.expect(body)
    replayed.is_right(*events, late)
    wait_for("the cache to be told", lambda: service.pending_invalidations() == 0)
    for event in (*events, late):
        assert service.dashboard(event.id) == event.expected_figures
    assert ingest.is_running
    assert serve.is_running


@pytest.mark.faults
def test_what_came_over_http_is_named_and_not_lost_by_mistake(replayed: Replayed) -> None:
    service = replayed.service
    service.start_ingest()
    service.start_serve()
    event, posted = Event(), Event()
    replayed.counted(event)
    body = posted.first_batch()
    service.post_until_accepted(body)
    posted.expect(body)
    replayed.says("--from", "earliest")
    said = replayed.says("compare", status=1)
    assert f"participants: {posted.id}" in said
    assert f"sales: {posted.id}" in said
    assert event.id not in said
    assert "nothing was swapped" in replayed.says("swap", status=2)
    replayed.is_right(event, posted)
    replayed.says("swap", "--accept-differences")
    assert service.figures(posted.id) is None
    assert service.dead_letter_count(posted.id) == 1, "letters are kept, wherever they came from"
    replayed.is_right(event)


@pytest.mark.faults
def test_a_replay_that_was_killed_is_begun_again_and_goes_on(replayed: Replayed) -> None:
    replayed.service.start_ingest()
    events = [Event() for _ in range(20)]
    replayed.counted(*events)
    slowly = replayed.service.start("replay", "--from", "earliest", HANNUN_BATCH_MESSAGES_MAX="1")
    wait_for("the shadow", lambda: replayed.exists(replayed.shadow))
    done = "SELECT coalesce(sum(participants), 0) FROM hannun.events"

    def some() -> bool:
        try:
            return bool(replayed.tampers(done, database=replayed.shadow)[0][0])
        except psycopg.Error:  # it is not migrated yet
            return False

    wait_for("some of it", some)
    slowly.kill()
    all_ = sum(event.expected_figures.participants for event in events if event.expected_figures)
    assert 0 < replayed.tampers(done, database=replayed.shadow)[0][0] < all_  # type: ignore[operator]
    assert "going on where it stands" in replayed.says("--from", "earliest")
    assert replayed.tampers(done, database=replayed.shadow)[0][0] == all_
    positions = "SELECT topic, partition, topic_id, next_offset FROM hannun.positions ORDER BY 1, 2"
    assert replayed.tampers(positions, database=replayed.shadow) == replayed.tampers(positions)
    assert "differences: 0" in replayed.says("compare")
    replayed.says("swap")
    replayed.is_right(*events)


@pytest.mark.faults
def test_a_replay_that_is_told_to_end_says_how_to_go_on(replayed: Replayed) -> None:
    replayed.service.start_ingest()
    replayed.counted(*(Event() for _ in range(30)))
    slowly = replayed.service.start("replay", "--into", "live", HANNUN_BATCH_MESSAGES_MAX="1")
    locked = psycopg.connect(replayed.service.environment["HANNUN_OWNER_DATABASE_URL"])
    with locked:
        locked.execute("LOCK TABLE hannun.events IN EXCLUSIVE MODE")  # it can be told before its end
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_for("the replay to wait", lambda: replayed.tampers(waits)[0][0])
        slowly.send_signal()
    assert slowly.wait() == 75
    assert "told to stop before its end" in slowly.log


@pytest.mark.faults
def test_postgresql_that_goes_away_during_a_comparison_is_said_in_words(replayed: Replayed) -> None:
    replayed.service.start_ingest()
    replayed.counted(Event())
    replayed.says("--from", "earliest")
    with psycopg.connect(replayed.service.environment["HANNUN_OWNER_DATABASE_URL"]) as locked:
        locked.execute("LOCK TABLE hannun.events IN ACCESS EXCLUSIVE MODE")
        comparing = replayed.service.start("replay", "compare")
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'hannun-replay'"
        wait_for("the comparison to wait", lambda: replayed.tampers(waits))
        replayed.tampers(f"SELECT pg_terminate_backend(pid) FROM ({waits}) AS waiting")
    assert comparing.wait() == 75
    assert "terminating connection" in comparing.log
    assert "Traceback" not in comparing.log


@pytest.mark.faults
def test_a_swap_that_was_killed_while_the_door_was_shut_is_mended_by_the_next(replayed: Replayed) -> None:
    replayed.service.start_ingest()
    event = Event()
    replayed.counted(event)
    replayed.says("--from", "earliest")
    name = sql.Identifier(replayed.live)
    with psycopg.connect(replayed._postgres.superuser_url, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(name))
    replayed.says("swap")
    replayed.is_right(event)


@pytest.mark.faults
def test_what_cannot_be_done_is_said_and_nothing_is_harmed(replayed: Replayed, postgres: PostgresServer) -> None:
    event = Event()
    replayed.service.start_ingest()
    replayed.counted(event)
    assert "there is no shadow" in replayed.says("compare", status=2)
    assert "there is no shadow" in replayed.says("swap", status=2)
    assert "there is no " in replayed.says("drop")
    assert "is no topic of ours" in replayed.says("--topic", "other", status=2)
    assert "is no place in a log" in replayed.says("--from", "yesterday", status=2)
    assert "is no place in a log" in replayed.says("--from", "\N{SUPERSCRIPT TWO}", status=2)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(replayed.shadow)))
        for arguments in (["--from", "earliest"], ["compare"], ["drop"]):
            assert "that no replay created" in replayed.says(*arguments, status=2)
        conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(replayed.shadow)))
        conn.execute("ALTER ROLE hannun_owner NOCREATEDB")
        assert "may not create a database" in replayed.says("--from", "earliest", status=2)
    replayed.is_right(event)


@pytest.mark.faults
def test_a_swap_that_somebody_stands_in_the_way_of_changes_nothing(
    replayed: Replayed, postgres: PostgresServer
) -> None:
    event = Event()
    replayed.service.start_ingest()
    replayed.counted(event)
    replayed.says("--from", "earliest")
    with psycopg.connect(postgres.url(replayed.live)):
        said = replayed.says("swap", status=2)
    assert "cannot rename the databases while" in said
    with psycopg.connect(postgres.url(replayed.live)) as writer:
        writer.execute("SELECT FROM hannun.events FOR UPDATE")
        assert "a writer held the live tables" in replayed.says("swap", status=75)
    with psycopg.connect(postgres.url(replayed.shadow)):
        assert "cannot drop" in replayed.says("drop", status=2)
    replayed.tampers("UPDATE hannun.identity SET participant_key = 'another'", database=replayed.shadow)
    assert "its creation was interrupted" in replayed.says("compare", status=2)
    replayed.says("--from", "earliest")
    let_go_in_the_last_moment(replayed, postgres)
    replayed.counted(event, more=True)
    replayed.is_right(event)
    replayed.tampers(
        "INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by, until_decided) "
        "SELECT topic, partition, 'carried over', 'by a swap that failed', '', true FROM hannun.positions",
        database=replayed.shadow,
    )
    replayed.says("swap")
    replayed.is_right(event)
    assert replayed.tampers("SELECT count(*) FROM hannun.position_decisions WHERE how = 'replay swap'") == (
        replayed.tampers("SELECT count(*) FROM hannun.positions")
    ), "a swap that failed is no swap"


def let_go_in_the_last_moment(replayed: Replayed, postgres: PostgresServer) -> None:
    """A writer whom nobody may put out waits for the swap's lock, and leaves with its commit as soon as it is gone."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'hannun.events'::regclass"

    def writes() -> None:
        with psycopg.connect(postgres.url(replayed.live)) as late:
            late.execute("UPDATE hannun.events SET version = version + 1")

    with psycopg.connect(postgres.url(replayed.live)) as first:
        first.execute("LOCK TABLE hannun.events IN ROW EXCLUSIVE MODE")
        swap = replayed.service.start("replay", "swap")
        wait_for("the swap to wait", lambda: replayed.tampers(waiting)[0][0])
        writer = threading.Thread(target=writes)
        writer.start()
        wait_for("the writer behind it", lambda: replayed.tampers(waiting)[0][0] == 2)
    assert swap.wait() == 2, swap.log
    writer.join()
    assert not replayed.exists(replayed.before)
