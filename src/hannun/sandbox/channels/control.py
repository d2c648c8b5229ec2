"""The control address of the sandbox: what it reads and what it answers. It changes nothing but the sandbox.

    GET    /_control                      clock, and for each channel address, counts, budgets and behaviours
    PUT    /_control/CHANNEL/BEHAVIOUR    put it in force; the body is its instruction, or empty
    PUT    /_control/CHANNEL              replace all behaviours of the channel; the body is a list of instructions
    DELETE /_control/CHANNEL[/BEHAVIOUR]  stop the behaviour, or all of the channel
    DELETE /_control                      reset behaviours, counts, budgets and the clock
    PUT    /_clock                        {"now": INSTANT} or {"moveS": SECONDS}, with {"stopped": true} to stand still
    GET    /_behaviours                   all behaviours with their options

CHANNEL is the name of a channel, or `all`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from hannun.errors import OperatorError
from hannun.sandbox.channels.behaviours import BEHAVIOURS, Instruction
from hannun.sandbox.channels.channel import SimulatedChannel
from hannun.sandbox.channels.clock import Clock
from hannun.sandbox.channels.exchange import Received, Response

ALL = "all"
"""Stands for every channel."""
MOVE_S_MAX = 10 * 366 * 86_400.0
_YEARS = (2000, 2100)

T = TypeVar("T")


class _ClockSetting(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What the clock is told."""

    now: str | None = None
    move_s: float | None = None
    stopped: bool = False


class Control:
    """Answers requests to the control address.

    Args:
        addresses: of each channel, the addresses under which it is called, by their kind.
    """

    def __init__(
        self,
        channels: Mapping[str, SimulatedChannel],
        clock: Clock,
        addresses: Mapping[str, Mapping[str, str]],
        certificate: str | None,
    ) -> None:
        self._channels = channels
        self._clock = clock
        self._addresses = addresses
        self._certificate = certificate

    def respond(self, request: Received) -> Response:
        """The response to a request for `/_...`."""
        try:
            return self._json(200, self._result(request))
        except OperatorError as error:
            return self._json(400, {"error": error.args[0], "hint": error.hint})
        except LookupError as error:
            return self._json(404, {"error": str(error.args[0]), "hint": "`hannun sandbox list`, or GET /_control"})

    def _result(self, request: Received) -> object:
        match request.method, request.full_path.strip("/").split("/"):
            case "GET", ["_control"]:
                return self._state()
            case "GET", ["_behaviours"]:
                return [_described(name) for name in BEHAVIOURS]
            case "PUT", ["_clock"]:
                self._set_clock(_parse(request.body, _ClockSetting))
            case "PUT", ["_control", name]:
                self._replace(self._named(name), _parse(request.body, list[Instruction]))
            case "PUT", ["_control", name, behaviour]:
                fields = _parse(request.body or b"{}", dict[str, msgspec.Raw])
                body = msgspec.json.encode({**fields, "behaviour": behaviour})
                for channel in self._named(name):
                    channel.tell(_parse(body, Instruction))
            case "DELETE", ["_control"]:
                self._clock.reset()
                for channel in self._channels.values():
                    channel.reset()
            case "DELETE", ["_control", name, *behaviours] if len(behaviours) <= 1:
                for channel in self._named(name):
                    channel.forget(*behaviours)
            case method, _:
                raise LookupError(f"there is no {method} {request.full_path[:200]}")
        return self._state()

    def _named(self, name: str) -> Sequence[SimulatedChannel]:
        if name == ALL:
            return list(self._channels.values())
        try:
            return [self._channels[name]]
        except KeyError:
            raise LookupError(f"there is no channel {name[:50]!r}; one of {', '.join(self._channels)}, {ALL}") from None

    def _replace(self, channels: Sequence[SimulatedChannel], instructions: list[Instruction]) -> None:
        for channel in channels:
            before = channel.told
            channel.forget()
            try:
                channel.tell(*instructions)
            except OperatorError:
                channel.told = before
                raise

    def _set_clock(self, setting: _ClockSetting) -> None:
        if (setting.now is None) == (setting.move_s is None):
            raise OperatorError("the clock takes now or moveS, one of them", hint="an instant with an offset; seconds")
        try:
            if setting.now is not None:
                now = datetime.fromisoformat(setting.now).astimezone(UTC)
            else:
                assert setting.move_s is not None
                if not abs(setting.move_s) <= MOVE_S_MAX:
                    raise ValueError(f"moveS is at most {MOVE_S_MAX:.0f}, forward or back")
                now = self._clock.now() + timedelta(seconds=setting.move_s)
            if not _YEARS[0] <= now.year < _YEARS[1]:
                raise ValueError(f"the year is between {_YEARS[0]} and {_YEARS[1]}")
        except (ValueError, OverflowError) as error:
            raise OperatorError(
                f"the clock cannot be set: {error}", hint="an instant such as 2026-11-27T09:00Z"
            ) from error
        self._clock.set(now, stopped=setting.stopped)

    def _state(self) -> dict[str, object]:
        return {
            "clock": self._clock.now().isoformat(),
            "clockStopped": self._clock.is_stopped,
            "certificate": self._certificate,
            "channels": {
                name: {**self._addresses[name], **channel.as_json()} for name, channel in self._channels.items()
            },
        }

    def _json(self, status: int, body: object) -> Response:
        return Response(status, msgspec.json.encode(body))


def _parse(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OperatorError(f"the body cannot be used: {error}", hint="docs/channels.md, `The sandbox`") from error


def _described(name: str) -> dict[str, object]:
    behaviour = BEHAVIOURS[name]
    options = {
        option.name: {"default": option.default}
        | ({"choices": option.choices} if option.choices else {})
        | ({} if isinstance(option.default, str) else {"min": option.low, "max": option.high})
        for option in behaviour.options
    }
    return {"behaviour": name, "summary": behaviour.summary, "options": options}
