"""The name under which a decision of an operator is recorded."""

import getpass
import os
import socket

import pytest

from hannun.cli.terminal import operator


def test_a_user_has_a_name() -> None:
    assert operator() == f"{getpass.getuser()}@{socket.gethostname()}"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes may run a container as any user, and most have no line in /etc/passwd."""

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert operator() == f"{os.getuid()}@{socket.gethostname()}"
