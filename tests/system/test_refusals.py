"""PostgreSQL refuses a row, finds a deadlock, or aborts a transaction. The other messages of a batch count once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from accounts import account
from faults import PostgresRequests, Proxy
from outside import Event, Service, Superuser, Topics, wait_for, with_port

from hannun.embedded import PostgresServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]


def assert_counted(service: Service, topics: Topics, *events: Event) -> None:
    wait_for(f"all to be counted: {topics.ends()}", lambda: topics.are_counted(service))
    for event in events:
        assert service.figures(event.id) == event.expected_figures
    service.assert_no_drift()


def test_one_message_that_postgresql_refuses_becomes_a_dead_letter_and_the_others_count(
    service: Service, topics: Topics, superuser: Superuser
) -> None:
    superuser.execute("ALTER TABLE hannun.sales ADD CONSTRAINT never CHECK (amount <> 666)")
    event = Event()
    refused = event.sold(666)
    sent = [*event.first_batch(), *(event.sold(10) for _ in range(30)), refused, event.sold(20)]
    topics.send(sent)
    event.expect([message for message in sent if message is not refused])
    record = next((partition, offset) for partition, offset, _, message in topics.delivered if message is refused)
    process = service.start_ingest(**topics.environment())
    assert_counted(service, topics, event)
    assert "PostgreSQL refuses a message of a batch" in process.log
    reasons = service.rows(
        "SELECT reason, record_offset FROM hannun.dead_letters WHERE reason = 'refused-by-the-database'"
    )
    assert reasons == [("refused-by-the-database", record[1])]
    account(service, topics, refused=[record])


FAILS = """
CREATE SEQUENCE tries_in_a_statement;
CREATE SEQUENCE tries_at_the_commit;
CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    nth bigint := nextval('public.' || TG_ARGV[0]);  -- a rollback does not reset a sequence
BEGIN
    IF nth < TG_NARGS THEN
        RAISE EXCEPTION 'planned' USING ERRCODE = TG_ARGV[nth];
    END IF;
    RETURN NULL;
END $$;
"""


@pytest.mark.faults
def test_transactions_that_fail_to_serialize_or_deadlock_are_retried(
    service: Service, topics: Topics, superuser: Superuser
) -> None:
    """Serialization failures and deadlocks, several in a row, in a statement and as the answer to COMMIT."""
    superuser.execute(FAILS)
    for name, when in (("in_a_statement", "INITIALLY IMMEDIATE"), ("at_the_commit", "INITIALLY DEFERRED")):
        superuser.execute(
            f"CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON hannun.owed_invalidations DEFERRABLE {when} "
            f"FOR EACH ROW EXECUTE FUNCTION fails('tries_{name}', '40001', '40P01')"
        )
    event = Event()
    sent = event.first_batch()
    topics.send(sent)
    event.expect(sent)
    process = service.start_ingest(**topics.environment())
    assert_counted(service, topics, event)
    tries = "SELECT s.last_value >= 5, c.last_value >= 3 FROM tries_in_a_statement s, tries_at_the_commit c"
    assert superuser.execute(tries).fetchall() == [(True, True)], "two failures in a statement, two at the commit"
    account(service, topics)
    assert service.dead_letter_count(event.id) == event.expected_dead_letters
    assert process.is_running


@pytest.mark.faults
def test_a_deadlock_with_another_session_costs_the_batch_one_retry(
    service: Service, topics: Topics, superuser: Superuser, postgres: PostgresServer
) -> None:
    """Batches do not deadlock with each other, but they may with a session that locks rows in another order."""
    event = Event()
    topics.send([event.created()])
    event.expect([event.created()])
    with Proxy(postgres.port, PostgresRequests) as proxy, ThreadPoolExecutor() as pool:
        process = service.start_ingest(
            **topics.environment(), DATABASE_URL=with_port(service.environment["DATABASE_URL"], proxy.port)
        )
        assert_counted(service, topics, event)
        # The batch holds its event. The other session holds the event's row in event_stats, and wants the event.
        proxy.hold("UPDATE public.event_stats")
        more = [event.registered("Instagram"), event.registered()]
        topics.send(more)
        event.expect(more)
        proxy.wait_until_held()
        superuser.execute("SET deadlock_timeout = '1h'")  # so that PostgreSQL aborts the batch and not this session
        superuser.execute("SET statement_timeout = '60s'")
        with superuser.transaction():
            superuser.execute("SELECT FROM public.event_stats WHERE event_id = %s FOR UPDATE", [event.id])
            waiting = pool.submit(
                superuser.execute, "SELECT FROM hannun.events WHERE event_id = %s FOR UPDATE", [event.id]
            )
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            wait_for("the other session to wait", lambda: service.rows(waits)[0][0])
            proxy.release()
            waiting.result()
        process.wait_for_log("deadlock detected")
        assert_counted(service, topics, event)
    account(service, topics)
    assert process.is_running
