"""The environment of a process that imports its modules before anybody knows it: over a pipe, as JSON."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress


def send(fd: int, environment: Mapping[str, str]) -> None:
    """Send the environment, and close the pipe. A process that has ended receives nothing."""
    with suppress(BrokenPipeError), os.fdopen(fd, "wb") as pipe:
        pipe.write(json.dumps(dict(environment)).encode())


def receive(fd: int) -> None:
    """Wait for the environment, and replace this process's own. Where the sender has ended, this process ends."""
    with os.fdopen(fd, "rb") as pipe:
        sent = pipe.read()
    if not sent:
        sys.exit(0)
    os.environ.clear()
    os.environ.update(json.loads(sent))
