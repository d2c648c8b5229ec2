"""Calls the control address of a running channel sandbox."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from hannun.errors import OperatorError, Transient

WAIT_S = 10.0
_ONLY_OURS = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy: the sandbox is on this machine."""


class ControlClient:
    """Tells a running sandbox what to do.

    Args:
        address: where it listens, as in http://127.0.0.1:8090.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def state(self) -> dict[str, Any]:
        """What every channel has done, and what is in force."""
        return self._call("GET", "/_control")

    def tell(self, channel: str, behaviour: str, instruction: dict[str, object]) -> dict[str, Any]:
        """Put a behaviour in force on a channel, or on `all`."""
        return self._call("PUT", f"/_control/{quote(channel, '')}/{quote(behaviour, '')}", instruction)

    def forget(self, channel: str, behaviour: str | None = None) -> dict[str, Any]:
        """Stop a behaviour of a channel, or all."""
        rest = "" if behaviour is None else f"/{quote(behaviour, '')}"
        return self._call("DELETE", f"/_control/{quote(channel, '')}{rest}")

    def reset(self) -> dict[str, Any]:
        """Stop every behaviour, and begin counts, budgets and the clock anew."""
        return self._call("DELETE", "/_control")

    def set_clock(self, setting: dict[str, object]) -> dict[str, Any]:
        """Set the clock to an instant, or move it."""
        return self._call("PUT", "/_clock", setting)

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The JSON of the answer.

        Raises:
            OperatorError: the sandbox refuses it, or this is no sandbox.
            Transient: nobody answers.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            request = urllib.request.Request(self._address + path, data, method=method)  # noqa: S310  the operator's
            with _ONLY_OURS.open(request, timeout=WAIT_S) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except OSError as error:
            raise Transient(
                f"the channel sandbox at {self._address} does not answer: {getattr(error, 'reason', error)}",
                hint="does `hannun sandbox serve` or `hannun up --demo` run?",
            ) from error
        except ValueError as error:
            raise self._no_sandbox() from error

    def _refused(self, error: urllib.error.HTTPError) -> OperatorError:
        try:
            said = json.load(error)
            return OperatorError(str(said["error"]), hint=str(said["hint"]))
        except (ValueError, LookupError, TypeError, OSError):
            return self._no_sandbox()

    def _no_sandbox(self) -> OperatorError:
        return OperatorError(
            f"what answers at {self._address} is no channel sandbox", hint="--at as in http://127.0.0.1:8090"
        )
