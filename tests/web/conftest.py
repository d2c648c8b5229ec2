"""A site for each test: the service on the test's world."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from served import Site, open_site
from world import World


@pytest.fixture(autouse=True)
def patient_health_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A health report waits longer for a dependency than a loaded machine stands still, and finds it ready."""
    monkeypatch.setattr("hannun.flows.health_checks.CHECK_WAIT_S", 5.0)


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as site:
        yield site


@pytest.fixture
def site_with(world: World) -> Iterator[Callable[..., Site]]:
    """Opens a site with settings of the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(open_site(world, **settings))
