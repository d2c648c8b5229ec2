"""One run of the channel sandbox: what it serves, where, and what it is told at its start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from hannun.sandbox.channels.access import access_toml, write_address, write_private
from hannun.sandbox.channels.demo import demo_instructions
from hannun.sandbox.channels.numbers import Sources
from hannun.sandbox.channels.server import Sandbox, listen, serving_in_thread
from hannun.sandbox.channels.shape import load_all
from hannun.sandbox.platform import Platform
from hannun.sandbox.simulation import DEMO_PACE, DEMO_POPULARITY, DEMO_SEED, founding_time


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What to serve.

    Attributes:
        home: the folder of the simulated platform whose events have numbers; None for a platform that begins now.
        port: 0 for any free one.
        fd: an open socket to listen on, instead of a port.
        shapes: a folder with more shapes.
        access_file: where to write the access file.
        budgets: whether budgets are enforced. Load runs call more often than any budget allows.
        demo: begin with what the demo shows: one event whose channel fails, one whose numbers become stale.
    """

    home: Path | None = None
    port: int = 0
    fd: int | None = None
    shapes: Path | None = None
    access_file: Path | None = None
    tls: bool = False
    budgets: bool = True
    demo: bool = False


@contextmanager
def running(options: SandboxOptions) -> Iterator[str]:
    """Serve until the block ends; yields the address.

    Raises:
        OperatorError: a shape or file cannot be used, or the port is taken.
    """
    shapes = load_all(options.shapes)
    if not options.budgets:
        shapes = {name: msgspec.structs.replace(shape, budget=[]) for name, shape in shapes.items()}
    founded_at = datetime.now(UTC) if options.home is None else founding_time(options.home)
    platform = Platform(DEMO_SEED, founded_at, DEMO_POPULARITY)
    sandbox = Sandbox.of(shapes, Sources(platform, pace=DEMO_PACE))
    if options.demo:
        for name, instructions in demo_instructions(platform).items():
            sandbox.channels[name].tell(*instructions)
    with serving_in_thread(sandbox, _listener(options), tls=options.tls) as address:
        if options.home is not None:
            write_address(options.home, address)
        if options.access_file is not None:
            write_private(options.access_file, access_toml(shapes, address))
        yield address


def _listener(options: SandboxOptions) -> socket.socket:
    if options.fd is None:
        return listen(options.port)
    listener = socket.socket(fileno=options.fd)
    listener.setblocking(False)
    return listener
