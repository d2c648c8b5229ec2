"""Worlds for the tests of the cache: each begins with an empty Redis."""

from collections.abc import Iterator

import pytest
from cache_readers import plain_client
from world import World

from hannun.embedded import PostgresServer, ValkeyServer


@pytest.fixture
def world(world: World) -> World:
    """A world whose Redis is empty."""
    with plain_client(world) as client:
        client.flushall()
    return world


@pytest.fixture
def own_valkey(
    postgres: PostgresServer, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, ValkeyServer]]:
    """A world with a Valkey of its own, which a test may stop and start again."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as valkey, World(postgres, valkey, database) as world:
        yield world, valkey
