"""`hannun reconcile` while the service counts."""

from concurrent.futures import ThreadPoolExecutor

from faults import PostgresRequests, Proxy
from outside import Event, Service, wait_for, with_port

from hannun.embedded import PostgresServer


def test_reconcile_finds_no_drift_when_a_batch_commits_meanwhile(service: Service, postgres: PostgresServer) -> None:
    event = Event()
    with Proxy(postgres.port, PostgresRequests) as proxy, ThreadPoolExecutor() as pool:
        service.start_serve(DATABASE_URL=with_port(service.environment["DATABASE_URL"], proxy.port))
        assert service.post([event.created(), event.registered()]).status_code == 200

        # Two more minutes are counted. Just before the commit, reconcile writes the pending roll-up of the first batch.
        proxy.hold("INSERT INTO hannun.owed_invalidations")
        later = [event.registered(at=event.at(20, "09:00:00")), event.registered(at=event.at(21))]
        posting = pool.submit(service.post, later)
        proxy.wait_until_held()
        reconciling = pool.submit(service.run, "reconcile")
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        wait_for("reconcile to wait for the batch", lambda: service.rows(waits)[0][0])
        proxy.release()

        assert posting.result().status_code == 200
        assert reconciling.result().status == 0, reconciling.result().out
    service.assert_no_drift()
