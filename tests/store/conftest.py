"""Both major versions of PostgreSQL; databases of earlier schema versions."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from world import DATABASE_OWNER, NOT_DURABLE, PASSWORD, World, make_owner

from hannun.embedded import PostgresServer, postgres_binaries
from hannun.store.version import migration_files, number_of

OTHER_MAJOR = 16 if os.environ.get("HANNUN_TEST_POSTGRES", "18") == "18" else 18


@pytest.fixture(scope="session")
def other_postgres(home: Path) -> Iterator[PostgresServer]:
    """A server of the other major version that the contract names."""
    with PostgresServer(home / "other", binaries=postgres_binaries(OTHER_MAJOR), settings=NOT_DURABLE) as server:
        make_owner(server)
        yield server


@pytest.fixture(scope="session", params=["this", "other"])
def server(request: pytest.FixtureRequest, postgres: PostgresServer) -> PostgresServer:
    found: PostgresServer = postgres if request.param == "this" else request.getfixturevalue("other_postgres")
    return found


@pytest.fixture
def before(world: World, postgres: PostgresServer) -> Iterator[Callable[[str], str]]:
    """Creates a database of the schema version just before a migration, given by its number. Returns its name."""
    names: list[str] = []

    def create(number: str) -> str:
        name = f"{world.name}_before_{number}"
        names.append(name)
        older = [file for file in migration_files() if file.name < number]
        with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} OWNER {DATABASE_OWNER}")
        with psycopg.connect(postgres.url(name, DATABASE_OWNER, PASSWORD)) as conn:
            conn.execute("CREATE SCHEMA hannun")
            # As alembic creates it.
            conn.execute(
                "CREATE TABLE hannun.schema_version (version_num varchar(32) NOT NULL, "
                "CONSTRAINT schema_version_pkc PRIMARY KEY (version_num))"
            )
            conn.execute("INSERT INTO hannun.schema_version VALUES (%s)", [number_of(older[-1])])
            for file in older:
                conn.execute(file.read_bytes())
        return name

    yield create
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        for name in names:
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
