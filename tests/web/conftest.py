"""A site for each test: the service over the test's world."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from served import Site, opened
from world import World


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with opened(world) as site:
        yield site


@pytest.fixture
def site_with(world: World) -> Iterator[Callable[..., Site]]:
    """A site with settings of the test's own."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(opened(world, **settings))
