"""A process that cannot start names the cause and the remedy: status 2 or 75, an error with a hint, no traceback."""

import socket
from collections.abc import Iterator

import psycopg
import pytest
from faults import PostgresRequests, Proxy
from outside import CompletedCommand, Service, StartService, Topics, redis_environment, with_port

from hannun.embedded import PostgresServer, ValkeyServer


def assert_refused(service: Service, *arguments: str, says: str, **environment: str | None) -> CompletedCommand:
    ran = service.run(*arguments, **environment)
    assert ran.status not in (0, 1), ran
    assert says in ran.err, ran.err
    assert "Hint: " in ran.err, ran.err
    assert "Traceback" not in ran.err, ran.err
    return ran


@pytest.fixture
def closed_port() -> Iterator[str]:
    """A port on which no server listens."""
    proxy = Proxy(0, PostgresRequests)
    yield str(proxy.port)
    proxy.__exit__(None, None, None)


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> str:
    """A database without our schema."""
    return postgres.url("postgres")


READING = ("reconcile", "dead-letters list")
RUNNING = ("serve", "ingest", "schedule")


@pytest.mark.parametrize("verb", ["serve", "migrate", *READING])
def test_without_database_url_a_process_does_not_start(service: Service, verb: str) -> None:
    assert_refused(
        service, *verb.split(), says="DATABASE_URL is not set", DATABASE_URL=None, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"
    )


@pytest.mark.parametrize(
    ("verb", "url"),
    [("serve", "postgresql://["), ("reconcile", "not an address"), ("migrate", "mysql://u:p@localhost/db")],
)
def test_a_malformed_database_url_is_refused(service: Service, verb: str, url: str) -> None:
    assert_refused(service, verb, says="DATABASE_URL", DATABASE_URL=url)


@pytest.mark.parametrize("verb", [*RUNNING, "migrate", *READING])
def test_without_postgresql_a_process_does_not_start(service: Service, verb: str, closed_port: str) -> None:
    away = with_port(service.environment["DATABASE_URL"], int(closed_port))
    assert_refused(
        service,
        *verb.split(),
        says="cannot connect to PostgreSQL at 127.0.0.1:" + closed_port,
        DATABASE_URL=away,
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
    )


def test_a_wrong_password_of_the_database_is_refused_and_not_logged(service: Service) -> None:
    wrong = service.environment["DATABASE_URL"].replace(":secret-of-a-test@", ":another@")
    ran = assert_refused(service, "serve", says="password authentication failed", DATABASE_URL=wrong)
    assert "another" not in ran.err, "no output holds a password"


@pytest.mark.parametrize("verb", ["serve", "schedule", *READING])
def test_a_database_that_is_not_migrated_is_refused(service: Service, verb: str, empty_database_url: str) -> None:
    assert_refused(service, *verb.split(), says="hannun migrate", DATABASE_URL=empty_database_url)


def test_a_role_that_may_only_read_is_refused(service: Service) -> None:
    readonly = service.environment["DATABASE_URL"].replace("//analytics_readwrite:", "//analytics_readonly:")
    assert_refused(service, "serve", says="analytics_readonly", DATABASE_URL=readonly)


@pytest.mark.parametrize("verb", RUNNING)
def test_without_redis_a_process_does_not_start(service: Service, verb: str, closed_port: str) -> None:
    assert_refused(
        service,
        verb,
        says="cannot reach Redis at 127.0.0.1:" + closed_port,
        REDIS_PORT=closed_port,
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
    )


def test_a_wrong_password_of_redis_is_refused(service: Service) -> None:
    assert_refused(service, "serve", says="REDIS_PASSWORD", REDIS_PASSWORD="another")


def test_a_metrics_port_that_is_taken_is_refused(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(service, "schedule", says="cannot serve /metrics", HANNUN_SCHEDULE_METRICS_PORT=port)


def test_a_metrics_address_of_another_machine_is_refused(service: Service) -> None:
    elsewhere = {"HANNUN_METRICS_HOST": "192.0.2.1", "HANNUN_SCHEDULE_METRICS_PORT": "0"}
    assert_refused(service, "schedule", says="cannot serve /metrics on 192.0.2.1", **elsewhere)


@pytest.mark.parametrize(
    ("secret", "says"), [(None, "HANNUN_JWT_SECRET is not set"), ("too short", "HANNUN_JWT_SECRET has 9 characters")]
)
def test_a_missing_or_short_secret_for_tokens_is_refused(service: Service, secret: str | None, says: str) -> None:
    assert_refused(service, "serve", says=says, HANNUN_JWT_SECRET=secret)


def test_a_malformed_setting_is_refused(service: Service) -> None:
    assert_refused(service, "serve", says="HANNUN_POOL_SIZE_MAX", HANNUN_POOL_SIZE_MAX="many")


def test_a_role_without_privileges_cannot_migrate(
    service: Service, start_service: StartService, postgres: PostgresServer
) -> None:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS unprivileged")
        conn.execute("CREATE ROLE unprivileged LOGIN PASSWORD 'secret-of-a-test'")
    unprivileged_url = postgres.url("postgres", "unprivileged", "secret-of-a-test")
    assert_refused(service, "migrate", says="cannot migrate", DATABASE_URL=unprivileged_url)


# -- Kafka ---------------------------------------------------------------------------------------------------------


def test_without_kafka_bootstrap_servers_ingest_does_not_start(service: Service) -> None:
    assert_refused(service, "ingest", says="KAFKA_BOOTSTRAP_SERVERS is not set")


def test_without_kafka_ingest_does_not_start(service: Service, closed_port: str) -> None:
    assert_refused(
        service,
        "ingest",
        says=f"no Kafka broker answers at 127.0.0.1:{closed_port}",
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{closed_port}",
    )


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_without_start_from_a_new_partition_waits_for_the_operator(service: Service, topics: Topics) -> None:
    """Each such partition waits and is logged. Partitions that have a position go on."""
    process = service.start("ingest", **topics.environment() | {"HANNUN_START_FROM": ""})
    process.wait_for_log("was never read, and no setting says where to start")
    process.wait_for_log("HANNUN_START_FROM")
    assert "Traceback" not in process.log
    assert service.rows("SELECT count(*) FROM hannun.positions") == [(0,)]


@pytest.mark.usefixtures("valkey")
def test_help_needs_no_setting(service: Service, valkey: ValkeyServer) -> None:
    bare = dict.fromkeys([*redis_environment(valkey.url), "DATABASE_URL", "HANNUN_JWT_SECRET"])
    ran = service.run("--help", **bare)
    assert ran.status == 0
    for verb in ("up", "serve", "ingest", "schedule", "migrate", "token", "reconcile", "dead-letters", "simulate"):
        assert verb in ran.out
