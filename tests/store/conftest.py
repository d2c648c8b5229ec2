"""Databases of earlier schema versions."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from world import DATABASE_OWNER, PASSWORD, World

from hannun.embedded import PostgresServer
from hannun.store.version import migration_files, number_of


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
