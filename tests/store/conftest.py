"""Databases as they were before a migration."""

from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import psycopg
import pytest
from world import DATABASE_OWNER, PASSWORD, World

from hannun.embedded import PostgresServer


@pytest.fixture
def before(world: World, postgres: PostgresServer) -> Iterator[Callable[[str], str]]:
    """Makes a database of the test's own as it was before a migration, which is named by its number. Its name."""
    name = f"{world.name}_old"

    def make(number: str) -> str:
        files = sorted(Path(str(resources.files("hannun.store").joinpath("migrations"))).glob("[0-9]*.sql"))
        older = [file for file in files if file.name < number]
        with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} OWNER {DATABASE_OWNER}")
        with psycopg.connect(postgres.url(name, DATABASE_OWNER, PASSWORD)) as conn:
            conn.execute("CREATE SCHEMA hannun")
            conn.execute("CREATE TABLE hannun.schema_version (version_num varchar(32) PRIMARY KEY)")
            conn.execute("INSERT INTO hannun.schema_version VALUES (%s)", [older[-1].name[:4]])
            for file in older:
                conn.execute(file.read_bytes())
        return name

    yield make
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
