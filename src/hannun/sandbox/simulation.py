"""One run of the simulated platform against a service. Its home stores how far it has sent."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hannun.errors import OperatorError, reason_of
from hannun.sandbox.platform import Platform

if TYPE_CHECKING:
    from hannun.sandbox.senders import KafkaOptions, Sender

_STATE_NAME = "simulation.json"
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
    kafka: "KafkaOptions | None",
    pace: float,
    stop: threading.Event,
    progress: Callable[[str], None],
) -> None:
    """Simulate until `stop` is set, over Kafka if it is given, else over HTTP.

    Raises:
        OperatorError: there are neither brokers nor an API with a token.
    """
    if kafka is None and not (api and token):
        raise OperatorError(
            "cannot send messages: neither an API with a token nor Kafka is given",
            hint="--api and --token (HANNUN_API, HANNUN_ADMIN_TOKEN), or --kafka; `hannun up --demo` sets them",
        )
    # `hannun up` imports this module without sending anything itself
    from hannun.sandbox.send_loop import send_until_stopped
    from hannun.sandbox.senders import HttpSender, KafkaSender

    state = _SimulationState(home / _STATE_NAME)
    sender: Sender = KafkaSender(kafka) if kafka else HttpSender(api, token, wait=stop.wait)
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


def has_sent_history(home: Path) -> bool:
    """Whether a run on this home has sent the simulated weeks before its start."""
    return "reached" in _read_state(home / _STATE_NAME)


def _read_state(path: Path) -> dict[str, datetime]:
    """
    Raises:
        OperatorError: the file is there, and cannot be read.
    """
    try:
        saved: dict[str, Any] = json.loads(path.read_text())
        return {name: datetime.fromisoformat(value) for name, value in saved.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise OperatorError(
            f"cannot read the state of the simulation in {path}: {reason_of(error)}",
            hint="remove the file: another simulated platform begins then, beside what is counted",
        ) from error


def founding_time(home: Path) -> datetime:
    """The founding time of the platform that this home simulates. Where there is none yet, it is now.

    Raises:
        OperatorError: the home cannot be read, or cannot be written where it has none.
    """
    path = home / _STATE_NAME
    saved = _read_state(path)  # no more than this where a simulation runs: it writes the file
    return saved["founded"] if "founded" in saved else _SimulationState(path).founded_at


class _SimulationState:
    """The founding time of the platform, and the time up to which the service has accepted all messages.

    If the file is lost, a new run sends everything again. That changes nothing, since every message is a repeat.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        saved = _read_state(path)
        self.founded_at = saved.get("founded", datetime.now(UTC))
        self.sent_until = saved.get("reached")
        self._write()

    def save_sent_until(self, sent_until: datetime) -> None:
        self.sent_until = sent_until
        self._write()

    def _write(self) -> None:
        state = {"founded": self.founded_at.isoformat()}
        if self.sent_until is not None:
            state["reached"] = self.sent_until.isoformat()
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(state))
            new.replace(self._path)
        except OSError as error:
            raise OperatorError(
                f"cannot write the state of the simulation to {self._path}: {error.strerror}",
                hint="--home names a folder that this user may write, on a disk with space",
            ) from error
