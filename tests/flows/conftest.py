"""Fixtures of the tests of flows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from channel_rounds import Rounds, open_rounds
from world import World


@pytest.fixture
def rounds(world: World, tmp_path: Path) -> Iterator[Rounds]:
    """Rounds of the refresh over simulated channels."""
    with open_rounds(world, tmp_path) as rounds:
        yield rounds
