"""Fixtures that drive the service from outside: shared servers, and for each test its own database and processes."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from outside import PASSWORD, Service, StartService, Superuser, Topics, redis_environment

from hannun.embedded import KafkaServer, PostgresServer, ValkeyServer


@contextmanager
def create_database(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database that is dropped at the end. Yields its URL for the service's role."""
    name = f"system_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy OWNER hannun_owner")
        yield postgres.url(name, "analytics_readwrite", PASSWORD)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def superuser(service: Service, postgres: PostgresServer) -> Iterator[Superuser]:
    """A superuser's connection to this test's database."""
    with psycopg.connect(postgres.url(service.environment["DATABASE_URL"].rpartition("/")[2]), autocommit=True) as conn:
        yield conn


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of this test's own migrated database."""
    with create_database(postgres) as url:
        yield url


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[StartService]:
    """Creates services. Their processes are killed at the end of the test."""
    with ExitStack() as stack:
        yield lambda **environment: stack.enter_context(Service(tmp_path, **environment))


@pytest.fixture
def service(start_service: StartService, database_url: str, valkey: ValkeyServer) -> Service:
    """The service with this test's database."""
    return start_service(DATABASE_URL=database_url, **redis_environment(valkey.url))


@pytest.fixture(scope="module")
def a_service(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, valkey: ValkeyServer
) -> Iterator[Service]:
    """One service for all tests of a module."""
    with (
        create_database(postgres) as url,
        Service(tmp_path_factory.mktemp("service"), DATABASE_URL=url, **redis_environment(valkey.url)) as service,
    ):
        yield service


@pytest.fixture
def own_valkey(home: Path) -> Iterator[ValkeyServer]:
    """A Valkey of this test's own, which it may kill."""
    with ValkeyServer(home / "own-valkey") as server:
        yield server


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    """This test's own five topics, of two partitions each."""
    topics = Topics(kafka.bootstrap)
    kafka.create_topics(dict.fromkeys(topics.names.values(), 2))
    return topics


@pytest.fixture
def protocol(request: pytest.FixtureRequest) -> str:
    """The rebalance protocol of the group: "classic" unless a test is parametrised."""
    return str(getattr(request, "param", "classic"))
