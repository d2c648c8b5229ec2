"""Runs the simulated platform against a service, and remembers in its home how far it has come."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hannun.errors import OperatorError
from hannun.sandbox.drive import simulate
from hannun.sandbox.platform import Platform
from hannun.sandbox.senders import HttpSender, KafkaSender, Sender

SEED = 20_261_123
"""The demo's cast."""


def simulate_for(
    home: Path,
    api: str,
    token: str,
    bootstrap: str | None,
    pace: float,
    stop: threading.Event,
    progress: Callable[[str], None],
) -> None:
    """Simulate until told to stop, over Kafka where `bootstrap` names a broker, else over HTTP.

    Raises:
        OperatorError: nowhere to send to.
    """
    if bootstrap is None and not (api and token):
        raise OperatorError(
            "there is nowhere to send messages to",
            hint="--api and --token (HANNUN_API, HANNUN_ADMIN_TOKEN), or --kafka; `hannun up --demo` sets them",
        )
    home.mkdir(parents=True, exist_ok=True)
    state = _State(home / "simulation.json")
    sender: Sender = KafkaSender(bootstrap) if bootstrap else HttpSender(api, token, wait=stop.wait)
    try:
        simulate(
            Platform(SEED, state.founded),
            sender,
            stop=stop,
            clock=lambda: datetime.now(UTC),
            pace=pace,
            progress=progress,
            since=state.reached,
            reached=state.keep,
        )
    finally:
        sender.close()


class _State:
    """When the platform was founded, and up to when everything has been taken. A lost file sends all of it again,
    which changes nothing: every message is a repeat."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.founded = datetime.fromisoformat(kept["founded"]) if kept else datetime.now(UTC)
        self.reached = datetime.fromisoformat(kept["reached"]) if "reached" in kept else None
        self._write()

    def keep(self, reached: datetime) -> None:
        self.reached = reached
        self._write()

    def _write(self) -> None:
        told = {"founded": self.founded.isoformat()}
        if self.reached is not None:
            told["reached"] = self.reached.isoformat()
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(told))
        new.replace(self._path)
