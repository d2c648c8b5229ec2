"""A database beside the live one: found, created anew where its creation was interrupted, and never somebody else's."""

from collections.abc import Iterator

import psycopg
import pytest
from world import World

from hannun.domain.channels import load_table
from hannun.embedded import PostgresServer
from hannun.errors import OperatorError
from hannun.store.shadow import Shadow

Superuser = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def superuser(world: World, postgres: PostgresServer) -> Iterator[Superuser]:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute("ALTER ROLE hannun_owner CREATEDB")
        yield conn
        conn.execute(f"DROP DATABASE IF EXISTS {world.name}_shadow WITH (FORCE)")


def test_one_whose_creation_was_interrupted_is_created_anew(world: World, superuser: Superuser) -> None:
    shadow = Shadow(world.owner_url, world.url)
    superuser.execute(f"CREATE DATABASE {shadow.name} OWNER hannun_owner ALLOW_CONNECTIONS false")
    with pytest.raises(OperatorError, match="its creation was interrupted"):
        shadow.check_complete()
    assert shadow.create(load_table(), "by a test")
    assert not shadow.create(load_table(), "by a test")
    shadow.check_complete()


def test_somebody_elses_database_is_left_alone(world: World, superuser: Superuser) -> None:
    shadow = Shadow(world.owner_url, world.url)
    superuser.execute(f"CREATE DATABASE {shadow.name} OWNER hannun_owner")
    with pytest.raises(OperatorError, match="another database already has it"):
        shadow.create(load_table(), "by a test")
