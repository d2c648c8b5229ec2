"""What the tests of the simulated channels share. Each module has a `server` of its own kind."""

import pytest
from channel_calls import Api


@pytest.fixture
def api(server: Api) -> Api:
    """The server of the module, as it is after its start."""
    server.reset()
    return server
