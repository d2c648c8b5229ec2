"""What cannot start says why, and what mends it: a status that is not 0, words on standard error, no traceback."""

import socket
from collections.abc import Iterator

import psycopg
import pytest
from faults import PostgresRequests, Proxy
from outside import CompletedCommand, Service, StartService, Topics, redis_environment, with_port

from hannun.embedded import PostgresServer, ValkeyServer


def is_refused(service: Service, *arguments: str, says: str, **environment: str | None) -> CompletedCommand:
    ran = service.run(*arguments, **environment)
    assert ran.status not in (0, 1), ran
    assert says in ran.err, ran.err
    assert "Hint: " in ran.err, ran.err
    assert "Traceback" not in ran.err, ran.err
    return ran


@pytest.fixture
def nobody_there() -> Iterator[str]:
    """A port on which nobody listens."""
    proxy = Proxy(0, PostgresRequests)
    yield str(proxy.port)
    proxy.__exit__(None, None, None)


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> str:
    """A database of PostgreSQL in which nothing of ours is."""
    return postgres.url("postgres")


READERS = ("reconcile", "dead-letters list")
RUNNING = ("serve", "ingest", "schedule")


@pytest.mark.parametrize("verb", ["serve", "migrate", *READERS])
def test_no_database_is_named(service: Service, verb: str) -> None:
    is_refused(
        service, *verb.split(), says="DATABASE_URL is not set", DATABASE_URL=None, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"
    )


@pytest.mark.parametrize(
    ("verb", "url"),
    [("serve", "postgresql://["), ("reconcile", "not an address"), ("migrate", "mysql://u:p@localhost/db")],
)
def test_the_address_of_the_database_is_none(service: Service, verb: str, url: str) -> None:
    is_refused(service, verb, says="DATABASE_URL", DATABASE_URL=url)


@pytest.mark.parametrize("verb", [*RUNNING, "migrate", *READERS])
def test_postgresql_is_not_there(service: Service, verb: str, nobody_there: str) -> None:
    away = with_port(service.environment["DATABASE_URL"], int(nobody_there))
    is_refused(
        service,
        *verb.split(),
        says="cannot connect to PostgreSQL at 127.0.0.1:" + nobody_there,
        DATABASE_URL=away,
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
    )


def test_the_password_of_the_database_is_wrong(service: Service) -> None:
    wrong = service.environment["DATABASE_URL"].replace(":secret-of-a-test@", ":another@")
    ran = is_refused(service, "serve", says="password authentication failed", DATABASE_URL=wrong)
    assert "another" not in ran.err, "a password is told to nobody"


@pytest.mark.parametrize("verb", ["serve", "schedule", *READERS])
def test_the_database_is_not_migrated(service: Service, verb: str, empty_database_url: str) -> None:
    is_refused(service, *verb.split(), says="hannun migrate", DATABASE_URL=empty_database_url)


def test_the_database_may_only_be_read(service: Service) -> None:
    readonly = service.environment["DATABASE_URL"].replace("//analytics_readwrite:", "//analytics_readonly:")
    is_refused(service, "serve", says="analytics_readonly", DATABASE_URL=readonly)


@pytest.mark.parametrize("verb", RUNNING)
def test_redis_is_not_there(service: Service, verb: str, nobody_there: str) -> None:
    is_refused(
        service,
        verb,
        says="cannot reach Redis at 127.0.0.1:" + nobody_there,
        REDIS_PORT=nobody_there,
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
    )


def test_the_password_of_redis_is_wrong(service: Service) -> None:
    is_refused(service, "serve", says="REDIS_PASSWORD", REDIS_PASSWORD="another")


def test_the_port_for_metrics_is_taken(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        is_refused(service, "schedule", says="cannot serve /metrics", HANNUN_SCHEDULE_METRICS_PORT=port)


@pytest.mark.parametrize(
    ("secret", "says"), [(None, "HANNUN_JWT_SECRET is not set"), ("too short", "HANNUN_JWT_SECRET has 9 characters")]
)
def test_no_secret_for_tokens(service: Service, secret: str | None, says: str) -> None:
    is_refused(service, "serve", says=says, HANNUN_JWT_SECRET=secret)


def test_a_setting_that_is_none(service: Service) -> None:
    is_refused(service, "serve", says="HANNUN_POOL_SIZE_MAX", HANNUN_POOL_SIZE_MAX="many")


def test_migrating_as_one_who_may_not(service: Service, start_service: StartService, postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS a_stranger")
        conn.execute("CREATE ROLE a_stranger LOGIN PASSWORD 'secret-of-a-test'")
    stranger = postgres.url("postgres", "a_stranger", "secret-of-a-test")
    is_refused(service, "migrate", says="cannot migrate", DATABASE_URL=stranger)


# -- Kafka ---------------------------------------------------------------------------------------------------------


def test_no_kafka_is_named(service: Service) -> None:
    is_refused(service, "ingest", says="KAFKA_BOOTSTRAP_SERVERS is not set")


def test_kafka_is_not_there(service: Service, nobody_there: str) -> None:
    is_refused(
        service,
        "ingest",
        says=f"no Kafka broker answers at 127.0.0.1:{nobody_there}",
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{nobody_there}",
    )


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_a_topic_is_missing(service: Service, topics: Topics) -> None:
    is_refused(
        service,
        "ingest",
        says="has no topic nowhere",
        **topics.environment() | {"HANNUN_TOPIC_SALES_RECORDED": "nowhere"},
    )


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_nobody_has_said_where_to_begin(service: Service, topics: Topics) -> None:
    """Each partition waits by itself for a decision, loudly: others, which have a position, go on."""
    process = service.start("ingest", **topics.environment() | {"HANNUN_START_FROM": ""})
    process.wait_for_log("was never read, and no setting says where to start")
    process.wait_for_log("set HANNUN_START_FROM=earliest")
    assert "Traceback" not in process.log
    assert service.rows("SELECT count(*) FROM hannun.positions") == [(0,)]


@pytest.mark.usefixtures("valkey")
def test_help_needs_nothing(service: Service, valkey: ValkeyServer) -> None:
    bare = dict.fromkeys([*redis_environment(valkey.url), "DATABASE_URL", "HANNUN_JWT_SECRET"])
    ran = service.run("--help", **bare)
    assert ran.status == 0
    for verb in ("up", "serve", "ingest", "schedule", "migrate", "token", "reconcile", "dead-letters", "simulate"):
        assert verb in ran.out
