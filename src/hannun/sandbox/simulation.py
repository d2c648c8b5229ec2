"""One run of the simulated platform against a service. Its home stores how far it has sent."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hannun.errors import OperatorError
from hannun.sandbox.platform import Platform
from hannun.sandbox.send_loop import send_until_stopped
from hannun.sandbox.senders import HttpSender, KafkaSender, Sender

DEMO_SEED = 20_261_123
"""The seed of the demo's merchants and events."""
DEMO_POPULARITY = 6.0
DEMO_PACE = 0.05
"""With this popularity and pace an hour of live messages is about as large as a busy hour of the weeks before.

The event that the demo shows first gets a participant every ten seconds, and no bar of its chart dwarfs the others.
"""


def run_simulation(
    home: Path,
    api: str,
    token: str,
    bootstrap: str | None,
    pace: float,
    stop: threading.Event,
    progress: Callable[[str], None],
) -> None:
    """Simulate until `stop` is set, over Kafka if `bootstrap` names brokers, else over HTTP.

    Raises:
        OperatorError: there are neither brokers nor an API with a token.
    """
    if bootstrap is None and not (api and token):
        raise OperatorError(
            "cannot send messages: neither an API with a token nor Kafka is given",
            hint="--api and --token (HANNUN_API, HANNUN_ADMIN_TOKEN), or --kafka; `hannun up --demo` sets them",
        )
    home.mkdir(parents=True, exist_ok=True)
    state = _SimulationState(home / "simulation.json")
    sender: Sender = KafkaSender(bootstrap) if bootstrap else HttpSender(api, token, wait=stop.wait)
    try:
        send_until_stopped(
            Platform(DEMO_SEED, state.founded_at, DEMO_POPULARITY),
            sender,
            stop=stop,
            clock=lambda: datetime.now(UTC),
            pace=pace,
            progress=progress,
            since=state.sent_until,
            on_sent=state.save_sent_until,
        )
    finally:
        sender.close()


class _SimulationState:
    """The founding time of the platform, and the time up to which the service has accepted all messages.

    If the file is lost, a new run sends everything again. That changes nothing, since every message is a repeat.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        saved: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.founded_at = datetime.fromisoformat(saved["founded"]) if saved else datetime.now(UTC)
        self.sent_until = datetime.fromisoformat(saved["reached"]) if "reached" in saved else None
        self._write()

    def save_sent_until(self, sent_until: datetime) -> None:
        self.sent_until = sent_until
        self._write()

    def _write(self) -> None:
        state = {"founded": self.founded_at.isoformat()}
        if self.sent_until is not None:
            state["reached"] = self.sent_until.isoformat()
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._path)
