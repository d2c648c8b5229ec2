"""`hannun replay`: the log is counted again, into the live tables or into a shadow that replaces them."""

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from outside import PASSWORD, Event, Message, Service, StartService, Topics, redis_environment, wait_for
from psycopg import sql

from hannun.embedded import PostgresServer, ValkeyServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]
MONTHLY = "timeline?granularity=monthly&startDate=2024-05-01"
REPLAYED = ("participants", "sales", "distributions", "untyped_participants", "timeline_months")


class ReplayWorld:
    """A service, its topics, and the databases that its replays create."""

    def __init__(self, service: Service, topics: Topics, postgres: PostgresServer) -> None:
        self.service = service
        self.topics = topics
        self.live = service.environment["DATABASE_URL"].rpartition("/")[2]
        self.shadow, self.before = f"{self.live}_shadow", f"{self.live}_before"
        self._postgres = postgres

    def execute(self, statement: str, *arguments: object, database: str | None = None) -> list[tuple[object, ...]]:
        """Run a statement as the superuser, in the live database or another one."""
        with psycopg.connect(self._postgres.url(database or self.live), autocommit=True) as conn:
            cursor = conn.execute(statement, arguments or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def exists(self, database: str) -> bool:
        with psycopg.connect(self._postgres.superuser_url) as conn:
            found = conn.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone()
        return found is not None

    def send_and_count(self, *events: Event, more: bool = False) -> None:
        """Send messages of events, and wait until `ingest` has counted them."""
        for event in events:
            messages = event.later_batch() if more else event.first_batch()
            self.topics.send(messages)
            event.expect(messages)
        self.wait_until_counted()

    def lose(self, event: Event) -> None:
        """Delete what is counted of an event, as a restore of older tables without older positions would."""
        (no,) = self.execute("SELECT event_no FROM hannun.events WHERE event_id = %s", event.id)[0]
        for table in REPLAYED:
            self.execute(f"DELETE FROM hannun.{table} WHERE event_no = %s", no)
        for table in ("hannun.events", "public.event_stats", "public.channel_stats", "public.timeline_data"):
            self.execute(f"DELETE FROM {table} WHERE event_id = %s", event.id)

    def stop_by_garbage(self, kind: str = "participant-registered", count: int = 20) -> tuple[str, int]:
        """Send messages that cannot be used to one partition, until it is stopped. Returns the partition."""
        for _ in range(count):
            self.topics.send_raw(kind, b"not JSON at all", key="all in one partition")
        stopped = "SELECT topic, partition FROM hannun.stopped_partitions WHERE until_decided"
        ((topic, partition),) = wait_for("the partition to stop", lambda: self.execute(stopped))
        self.topics.forget(lambda place, _: place == (topic, partition))
        return str(topic), int(str(partition))

    def decide(self, *arguments: str) -> str:
        """Run a command by which an operator decides something."""
        ran = self.service.run(*arguments)
        assert ran.status == 0, ran.out + ran.err
        return ran.out

    def detach_old_months(self) -> None:
        """Detach the months of events, as the retention does."""
        ran = self.service.run("partitions", HANNUN_MONTHS_KEPT="3")
        assert "timeline_data_2024_05 detached" in ran.out, ran.err
        wait_for("the invalidations to be delivered", lambda: self.service.pending_invalidations() == 0)

    def answers(self, event: Event) -> dict[str, Message]:
        """The answers about an event, without when they were computed."""
        views = ("", "channels", MONTHLY, "timeline?granularity=daily", "roi")
        found = {}
        for view in views:
            response = self.service.get(f"/api/v1/events/{event.id}/analytics/{view}".rstrip("/"))
            assert response.status_code == 200, response.text
            found[view] = without_times(response.json())
        return found

    def dead_letters(self) -> list[tuple[object, ...]]:
        """All dead letters, with what operators have decided about them."""
        return self.execute(
            "SELECT dead_letter_no, reason, topic, partition, record_offset, encode(hash, 'hex'), created_at, "
            "resolved_at, resolution, resolved_by FROM hannun.dead_letters ORDER BY dead_letter_no"
        )

    def participants(self, event: Event) -> set[object]:
        """The counted participants of an event."""
        counted = "SELECT participant::text FROM hannun.participants JOIN hannun.events USING (event_no)"
        return {who for (who,) in self.execute(f"{counted} WHERE event_id = %s", event.id)}

    def wait_until_counted(self) -> None:
        wait_for("the messages to be counted", lambda: self.topics.are_counted(self.service))

    def assert_as_expected(self, *events: Event) -> None:
        """The figures equal those of the oracle, and `reconcile` finds no drift."""
        for event in events:
            assert self.service.figures(event.id) == event.expected_figures
            assert self.service.dead_letter_count(event.id) == event.expected_dead_letters
        self.service.assert_no_drift()

    def run(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """Run `hannun replay` in a terminal of 80 columns. Returns its output, of both streams, as one line."""
        ran = self.service.run("replay", *arguments, COLUMNS="80", **environment)
        assert ran.status == status, ran.out + ran.err
        lines = [line for line in (ran.out + ran.err).splitlines() if not line.startswith("{")]  # but those of the log
        assert [line for line in lines if len(line) > 80 and len(line.split()) > 1] == []
        return " ".join((ran.out + ran.err).split())


def without_times(answer: Any) -> Any:
    """An answer without the times at which something was counted: a replay counts everything again."""
    if isinstance(answer, list):
        return [without_times(part) for part in answer]
    if not isinstance(answer, dict):
        return answer
    return {name: without_times(part) for name, part in answer.items() if name not in ("lastUpdatedAt", "asOf")}


@pytest.fixture
def replayed(
    start_service: StartService, database_url: str, valkey: ValkeyServer, topics: Topics, postgres: PostgresServer
) -> Iterator[ReplayWorld]:
    name = database_url.rpartition("/")[2]
    owner = postgres.url(name, "hannun_owner", PASSWORD)
    environment = {"DATABASE_URL": database_url, "HANNUN_OWNER_DATABASE_URL": owner, **topics.environment()}
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        world = ReplayWorld(start_service(**environment, **redis_environment(valkey.url)), topics, postgres)
        yield world
        for database in (world.shadow, world.before):
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


# -- into the live tables


def test_a_replay_into_live_changes_nothing_when_no_message_was_missed(replayed: ReplayWorld) -> None:
    replayed.service.start_ingest()
    event = Event()
    replayed.send_and_count(event)
    before = replayed.execute("SELECT event_id, version FROM hannun.events")
    assert "counted" not in replayed.run("--into", "live")
    assert replayed.execute("SELECT event_id, version FROM hannun.events") == before
    replayed.assert_as_expected(event)


def test_a_replay_into_live_counts_what_was_lost(replayed: ReplayWorld) -> None:
    replayed.service.start_ingest()
    lost, kept = Event(), Event()
    replayed.send_and_count(lost, kept)
    replayed.lose(lost)
    replayed.service.assert_no_drift()
    assert "counted" in replayed.run("--from", "2020-01-01T00:00:00Z", "--into", "live")
    replayed.assert_as_expected(lost, kept)


def test_a_replay_from_an_instant_or_an_offset_counts_exactly_what_follows_and_shows_its_progress(
    replayed: ReplayWorld,
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
    replayed.wait_until_counted()
    replayed.lose(event)

    into_live = ("--into", "live", "--topic", registered)
    instant = (now - timedelta(hours=2)).isoformat()
    replayed.run("--from", instant, *into_live)
    assert replayed.participants(event) == sent_from(early_end)
    assert replayed.participants(event) < sent_from(3) < sent_from(0)
    said = replayed.run("--from", "3", *into_live)
    assert replayed.participants(event) == sent_from(3)
    assert f"{end() - 3} of {end() - 3} offsets (100 %)" in said
    replayed.service.assert_no_drift()


def test_a_dead_letter_that_can_be_used_by_now_is_counted_and_resolved(replayed: ReplayWorld) -> None:
    replayed.execute("ALTER TABLE hannun.sales ADD CONSTRAINT not_now CHECK (amount <> 12000)")
    replayed.service.start_ingest()
    event = Event()
    replayed.send_and_count(event)
    assert replayed.service.dead_letter_count(event.id) == 2
    replayed.execute("ALTER TABLE hannun.sales DROP CONSTRAINT not_now")
    assert "1 dead letters could be used" in replayed.run("--into", "live")
    assert replayed.execute("SELECT reason, resolution FROM hannun.dead_letters ORDER BY reason") == [
        ("missing-field", None),
        ("refused-by-the-database", "retried"),
    ]
    assert replayed.service.figures(event.id) == event.expected_figures
    replayed.service.assert_no_drift()


def test_a_replay_into_live_does_not_read_past_a_stopped_partition(replayed: ReplayWorld) -> None:
    replayed.service.start_ingest(HANNUN_DEAD_LETTERS_IN_A_ROW_MAX="5")
    topic = replayed.topics.names["participant-registered"]
    for _ in range(20):
        replayed.topics.send_raw("participant-registered", b"not JSON at all")
    stopped = "SELECT count(*) FROM hannun.stopped_partitions WHERE until_decided"
    wait_for("the partition to stop", lambda: replayed.execute(stopped)[0][0])
    # The other partition may still be counted meanwhile.
    (number,) = replayed.execute("SELECT min(partition) FROM hannun.stopped_partitions")[0]
    of_it = f"SELECT count(*) FROM hannun.dead_letters WHERE partition = {number}"
    before = replayed.execute(of_it)
    said = replayed.run("--into", "live", "--topic", topic)
    assert re.search(rf"not read: {topic}\[{number}\] from offset \d+ on: it waits for an operator", said)
    assert replayed.execute(of_it) == before


def test_a_replay_into_live_passes_over_what_an_operator_skipped_and_keeps_the_limits(replayed: ReplayWorld) -> None:
    few = {"HANNUN_DEAD_LETTERS_IN_A_ROW_MAX": "5"}
    replayed.service.start_ingest(**few)
    topic, partition = replayed.stop_by_garbage()
    replayed.decide("positions", "set", topic, "--to", "latest")
    event = Event()
    replayed.send_and_count(event)
    before = replayed.dead_letters()
    skipped = replayed.execute("SELECT sum(goes_on_at - skipped_from) FROM hannun.position_decisions")[0][0]
    said = replayed.run("--into", "live", **few)
    assert f"passed over {skipped} offsets that operators have skipped" in said
    assert replayed.dead_letters() == before
    said = replayed.run("--into", "live", "--include-skipped", "--topic", topic, status=1, **few)
    assert f"not read: {topic}[{partition}]: " in said and "messages in a row cannot be used" in said
    assert len(replayed.dead_letters()) <= len(before) + 5, "the limit, as in ingest"
    replayed.assert_as_expected(event)


# -- into the shadow


def test_compare_finds_a_wrong_figure_and_swap_corrects_it(replayed: ReplayWorld) -> None:
    service = replayed.service
    service.start_ingest()
    service.start_serve()
    event, other = Event(), Event()
    replayed.send_and_count(event, other)
    replayed.send_and_count(event, more=True)
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    replayed.execute(
        "UPDATE public.channel_stats SET participants = participants + 7 WHERE event_id = %s AND channel_name = %s",
        event.id,
        "Instagram",
    )
    path = f"/api/v1/events/{event.id}/analytics"
    wrong = service.get(path).json()["channelPerformance"]
    assert f"the shadow is {replayed.shadow}" in replayed.run("--from", "earliest")
    said = replayed.run("compare", status=1)
    assert f"channel_stats: {event.id}: Instagram: participants: live 15, log 8" in said
    assert "differences: 1, of which only the live ledgers know 0" in said
    records = replayed.execute("SELECT topic, record_offset, created_at FROM hannun.dead_letters ORDER BY 1, 2")
    replayed.execute(
        "INSERT INTO hannun.shares VALUES ('link', %s, 'u', 'hash', '', now(), 'u', now() + interval '1 day', now())",
        event.id,
    )
    replayed.execute("INSERT INTO hannun.ended_sessions VALUES ('hash', now(), now() + interval '1 day')")
    links = replayed.execute("SELECT * FROM hannun.shares")
    ended = replayed.execute("SELECT * FROM hannun.ended_sessions")
    replayed.execute("INSERT INTO hannun.operation_runs (kind, started_at) VALUES ('drill', now()), ('restore', now())")
    runs = replayed.execute("SELECT * FROM hannun.operation_runs ORDER BY run_no")
    assert "swapped" in replayed.run("swap")
    replayed.assert_as_expected(event, other)
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    assert service.get(path).json()["channelPerformance"] != wrong
    assert service.dashboard(event.id) == event.expected_figures
    assert replayed.execute("SELECT topic, record_offset, created_at FROM hannun.dead_letters ORDER BY 1, 2") == records
    assert replayed.execute("SELECT * FROM hannun.shares") == links
    assert replayed.execute("SELECT * FROM hannun.ended_sessions") == ended != []
    carried_over = "SELECT * FROM hannun.operation_runs WHERE kind <> 'reconcile' ORDER BY run_no"
    assert replayed.execute(carried_over) == runs != []
    replayed.execute("INSERT INTO hannun.operation_runs (kind, started_at) VALUES ('drill', now())")
    replayed.send_and_count(event, more=True)
    replayed.assert_as_expected(event, other)
    assert "is dropped" in replayed.run("drop", "--before")
    assert not replayed.exists(replayed.before)


@pytest.mark.faults
def test_after_a_swap_an_event_with_detached_months_has_the_answers_it_had(replayed: ReplayWorld) -> None:
    """Its months are detached in the live database, and attached in the shadow until the retention runs again."""
    service, event = replayed.service, Event()
    service.start_ingest()
    service.start_serve()
    messages = [*event.first_batch(), event.registered("Instagram", at=datetime.now(UTC).isoformat())]
    replayed.topics.send(messages)
    replayed.wait_until_counted()
    replayed.detach_old_months()
    before = replayed.answers(event)
    timeline = before[MONTHLY]
    assert {point.get("reason") for point in timeline["dataPoints"]} >= {"not-kept"}, timeline
    replayed.run("--from", "earliest")
    assert "differences: 0" in replayed.run("compare")
    assert "swapped" in replayed.run("swap")
    replayed.detach_old_months()
    assert replayed.answers(event) == before
    service.assert_no_drift()


@pytest.mark.faults
def test_ingest_and_serve_go_on_counting_across_a_swap(replayed: ReplayWorld) -> None:
    """Over Kafka and over HTTP; no process is restarted."""
    service, topics = replayed.service, replayed.topics
    ingest, serve = service.start_ingest(), service.start_serve()
    events = [Event() for _ in range(5)]
    replayed.send_and_count(*events)
    assert service.dashboard(events[0].id) == events[0].expected_figures
    replayed.run("--from", "earliest")
    swap = service.start("replay", "swap")
    while swap.is_running:
        for event in events:
            messages = [event.registered("Instagram"), event.sold(1_000), event.registered("KAKAO")]
            topics.send(messages)
            event.expect(messages)
    assert swap.wait() == 0, swap.log
    assert replayed.exists(replayed.before)
    replayed.send_and_count(*events, more=True)
    late = Event()
    body = late.first_batch()
    service.post_until_accepted(body)
    late.expect(body)
    replayed.assert_as_expected(*events, late)
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    for event in (*events, late):
        assert service.dashboard(event.id) == event.expected_figures
    assert ingest.is_running
    assert serve.is_running


@pytest.mark.faults
def test_a_swap_refuses_to_lose_messages_that_came_over_http(replayed: ReplayWorld) -> None:
    service = replayed.service
    service.start_ingest()
    service.start_serve()
    event, posted = Event(), Event()
    replayed.send_and_count(event)
    body = posted.first_batch()
    service.post_until_accepted(body)
    posted.expect(body)
    replayed.run("--from", "earliest")
    said = replayed.run("compare", status=1)
    assert f"participants: {posted.id}" in said
    assert f"sales: {posted.id}" in said
    assert event.id not in said
    refused = replayed.run("swap", status=2)
    assert "nothing was swapped" in refused
    assert "`hannun replay swap --accept-differences` swaps all the same" in refused
    replayed.assert_as_expected(event, posted)
    assert re.search(r"\d+ rows are in \w+_before only", replayed.run("swap", "--accept-differences"))
    assert service.figures(posted.id) is None
    assert service.dead_letter_count(posted.id) == 1, "dead letters are kept, also those of HTTP"
    replayed.assert_as_expected(event)


@pytest.mark.faults
def test_what_operators_decided_survives_a_swap_and_one_that_failed_before(
    replayed: ReplayWorld, postgres: PostgresServer
) -> None:
    service = replayed.service
    replayed.execute("ALTER TABLE hannun.sales ADD CONSTRAINT not_now CHECK (amount <> 12000)")
    service.start_ingest(HANNUN_DEAD_LETTERS_IN_A_ROW_MAX="5")
    service.start_serve()
    events = [Event(), Event()]  # each with a message that is unusable, and a sale that is refused for now
    replayed.send_and_count(*events)
    service.post_until_accepted([Event().unusable(), Event().unusable()])
    topic, _ = replayed.stop_by_garbage("distribution-completed")
    replayed.decide("positions", "set", topic, "--to", "latest")
    replayed.execute("ALTER TABLE hannun.sales DROP CONSTRAINT not_now")
    unusable, sales, posted = (
        replayed.execute(f"SELECT dead_letter_no FROM hannun.dead_letters WHERE {which} ORDER BY 1")
        for which in ("reason = 'missing-field' AND topic IS NOT NULL", "reason LIKE 'refused%%'", "topic IS NULL")
    )
    replayed.decide("dead-letters", "drop", str(unusable[0][0]), str(posted[0][0]))
    replayed.decide("dead-letters", "retry", str(sales[0][0]))
    before = replayed.dead_letters()

    replayed.run("--from", "earliest")
    said = replayed.run("compare", status=1)
    assert "dead_letters: sales-recorded" in said and "reason: live refused-by-the-database, log counted" in said
    assert "differences: 3, of which only the live ledgers know 0" in said
    assert "carries over: 3 resolved dead letters, 2 decisions about positions" in said
    with psycopg.connect(postgres.url(replayed.live)):
        assert "cannot rename the databases while" in replayed.run("swap", status=2)
    assert replayed.dead_letters() == before
    replayed.decide("dead-letters", "drop", str(posted[1][0]))
    before = replayed.dead_letters()
    replayed.run("swap")
    (counted,) = sales[1]
    after = replayed.dead_letters()
    assert [row for row in after if row[0] != counted] == [row for row in before if row[0] != counted]
    assert [row[-2] for row in after if row[0] == counted] == ["retried"], "the log's message is counted now"
    for event in events:
        assert service.figures(event.id) == event.expected_figures
    service.assert_no_drift()
    decided = "SELECT topic, how FROM hannun.position_decisions WHERE how NOT LIKE 'replay%%'"
    assert set(replayed.execute(decided)) == {(topic, "--to latest")}
    swaps = {"replay swap begun": 2, "replay swapped": 1}
    recorded = dict(replayed.execute("SELECT action, count(*) FROM hannun.audit_log GROUP BY 1"))
    assert recorded.pop("position set") == len(replayed.execute(decided))
    assert recorded == {"dead letter dropped": 2, "dead letter retried": 1, **swaps}
    assert "the audit log is whole" in replayed.decide("audit", "verify")
    replayed.send_and_count(events[0], more=True)
    assert replayed.dead_letters()[: len(after)] == after


@pytest.mark.faults
def test_a_killed_replay_continues_when_it_is_started_again(replayed: ReplayWorld) -> None:
    replayed.service.start_ingest()
    events = [Event() for _ in range(20)]
    replayed.send_and_count(*events)
    slowly = replayed.service.start("replay", "--from", "earliest", HANNUN_BATCH_MESSAGES_MAX="1")
    wait_for("the shadow", lambda: replayed.exists(replayed.shadow))
    done = "SELECT coalesce(sum(participants), 0) FROM hannun.events"

    def counted_some() -> bool:
        try:
            return bool(replayed.execute(done, database=replayed.shadow)[0][0])
        except psycopg.Error:  # it is not migrated yet
            return False

    wait_for("the first counts", counted_some)
    slowly.kill()
    all_ = sum(event.expected_figures.participants for event in events if event.expected_figures)
    assert 0 < replayed.execute(done, database=replayed.shadow)[0][0] < all_  # type: ignore[operator]
    assert "going on where it stands" in replayed.run("--from", "earliest")
    assert replayed.execute(done, database=replayed.shadow)[0][0] == all_
    positions = "SELECT topic, partition, topic_id, next_offset FROM hannun.positions ORDER BY 1, 2"
    assert replayed.execute(positions, database=replayed.shadow) == replayed.execute(positions)
    assert "differences: 0" in replayed.run("compare")
    replayed.run("swap")
    replayed.assert_as_expected(*events)


@pytest.mark.faults
def test_a_stopped_replay_says_how_to_continue(replayed: ReplayWorld) -> None:
    replayed.service.start_ingest()
    replayed.send_and_count(*(Event() for _ in range(30)))
    slowly = replayed.service.start("replay", "--into", "live", HANNUN_BATCH_MESSAGES_MAX="1")
    locked = psycopg.connect(replayed.service.environment["HANNUN_OWNER_DATABASE_URL"])
    with locked:
        locked.execute("LOCK TABLE hannun.events IN EXCLUSIVE MODE")  # so that the signal comes before its end
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_for("the replay to wait", lambda: replayed.execute(waits)[0][0])
        slowly.send_signal()
    assert slowly.wait() == 75
    assert "was stopped before its end" in slowly.log


@pytest.mark.faults
def test_a_comparison_reports_that_postgresql_went_away(replayed: ReplayWorld) -> None:
    replayed.service.start_ingest()
    replayed.send_and_count(Event())
    replayed.run("--from", "earliest")
    with psycopg.connect(replayed.service.environment["HANNUN_OWNER_DATABASE_URL"]) as locked:
        locked.execute("LOCK TABLE hannun.events IN ACCESS EXCLUSIVE MODE")
        comparing = replayed.service.start("replay", "compare")
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'hannun-replay'"
        wait_for("the comparison to wait", lambda: replayed.execute(waits))
        replayed.execute(f"SELECT pg_terminate_backend(pid) FROM ({waits}) AS waiting")
    assert comparing.wait() == 75
    assert "terminating connection" in comparing.log
    assert "Traceback" not in comparing.log


@pytest.mark.faults
def test_a_swap_reopens_a_database_that_a_killed_swap_left_closed(replayed: ReplayWorld) -> None:
    replayed.service.start_ingest()
    event = Event()
    replayed.send_and_count(event)
    replayed.run("--from", "earliest")
    name = sql.Identifier(replayed.live)
    with psycopg.connect(replayed._postgres.superuser_url, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(name))
    replayed.run("swap")
    replayed.assert_as_expected(event)


@pytest.mark.faults
def test_what_replay_cannot_do_is_an_error_and_changes_nothing(replayed: ReplayWorld, postgres: PostgresServer) -> None:
    event = Event()
    replayed.service.start_ingest()
    replayed.send_and_count(event)
    assert "there is no shadow" in replayed.run("compare", status=2)
    assert "there is no shadow" in replayed.run("swap", status=2)
    assert "nothing to drop: there is no shadow " in replayed.run("drop")
    assert "which a swap would have left" in replayed.run("drop", "--before")
    assert "is not a topic of the settings" in replayed.run("--topic", "other", status=2)
    assert "is not a point in a log" in replayed.run("--from", "yesterday", status=2)
    assert "is not a point in a log" in replayed.run("--from", "\N{SUPERSCRIPT TWO}", status=2)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(replayed.shadow)))
        for arguments in (["--from", "earliest"], ["compare"], ["drop"]):
            assert "another database already has it" in replayed.run(*arguments, status=2)
        conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(replayed.shadow)))
        conn.execute("ALTER ROLE hannun_owner NOCREATEDB")
        assert "may not create a database" in replayed.run("--from", "earliest", status=2)
    replayed.assert_as_expected(event)


@pytest.mark.faults
def test_a_swap_that_other_sessions_block_changes_nothing(replayed: ReplayWorld, postgres: PostgresServer) -> None:
    event = Event()
    replayed.service.start_ingest()
    replayed.send_and_count(event)
    replayed.run("--from", "earliest")
    with psycopg.connect(postgres.url(replayed.live)):
        said = replayed.run("swap", status=2)
    assert "cannot rename the databases while" in said
    with psycopg.connect(postgres.url(replayed.live)) as writer:
        writer.execute("SELECT FROM hannun.events FOR UPDATE")
        assert "a writer held the live tables" in replayed.run("swap", status=75)
    with psycopg.connect(postgres.url(replayed.shadow)):
        assert "cannot drop" in replayed.run("drop", status=2)
    replayed.execute("UPDATE hannun.identity SET participant_key = 'another'", database=replayed.shadow)
    assert "its creation was interrupted" in replayed.run("compare", status=2)
    replayed.run("--from", "earliest")
    a_writer_commits_just_before_the_swap_ends(replayed, postgres)
    replayed.send_and_count(event, more=True)
    replayed.assert_as_expected(event)
    replayed.execute(
        "INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by, until_decided) "
        "SELECT topic, partition, 'carried over', 'by a swap that failed', '', true FROM hannun.positions",
        database=replayed.shadow,
    )
    replayed.run("swap")
    replayed.assert_as_expected(event)
    assert replayed.execute("SELECT count(*) FROM hannun.position_decisions WHERE how = 'replay swap'") == (
        replayed.execute("SELECT count(*) FROM hannun.positions")
    ), "a failed swap leaves no record"


def a_writer_commits_just_before_the_swap_ends(replayed: ReplayWorld, postgres: PostgresServer) -> None:
    """A writer whose session the swap may not end waits for the swap's lock, and commits when the lock is released."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'hannun.events'::regclass"

    def writes() -> None:
        with psycopg.connect(postgres.url(replayed.live)) as late:
            late.execute("UPDATE hannun.events SET version = version + 1")

    with psycopg.connect(postgres.url(replayed.live)) as first:
        first.execute("LOCK TABLE hannun.events IN ROW EXCLUSIVE MODE")
        swap = replayed.service.start("replay", "swap")
        wait_for("the swap to wait", lambda: replayed.execute(waiting)[0][0])
        writer = threading.Thread(target=writes)
        writer.start()
        wait_for("the writer behind it", lambda: replayed.execute(waiting)[0][0] == 2)
    assert swap.wait() == 2, swap.log
    writer.join()
    assert not replayed.exists(replayed.before)
