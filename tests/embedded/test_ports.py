"""Ports of the embedded servers."""

import pytest

from hannun.embedded import ports


def test_a_free_port_is_never_the_one_that_is_about_to_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's listener and its controller once got the same port, and the broker did not start."""
    chosen = iter([5_000, 5_000, 5_001])
    monkeypatch.setattr(ports, "_ephemeral_port", lambda: next(chosen))
    assert ports.find_free_port(excluding=5_000) == 5_001
