"""What a simulated channel can be told to do wrong: the behaviours, their options, and to which calls each applies.

Several behaviours may be in force on a channel at once. Those of one stage are tried in the order in which they were
told; where only one can act (`response`, `connection`), the first that applies does.

    connection  refuse, cut-tls                    no request is read
    response    status, quota, error-body, ...     another response
    numbers     strings, fall, negative, ...       a response with other numbers
    sending     slow, hang, trickle, cut           the response comes late, slowly, or not to its end
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from hannun.errors import OperatorError
from hannun.sandbox.channels.numbers import Totals

EVENTS_MAX = 1_000
EVENT_ID_LENGTH_MAX = 200
TOLD_MAX = 50
"""Behaviours in force on one channel."""
SECONDS_MAX = 31 * 86_400.0
CALLS_MAX = 1_000_000_000
SEED_MAX = 2**63 - 1

OptionValue = int | float | str


class Option(NamedTuple):
    """An option of one behaviour. A number has bounds; a text is one of `choices`, or any text of at most 500."""

    name: str
    default: OptionValue
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    def parse(self, value: object) -> OptionValue:
        """The value, of the type of the default.

        Raises:
            ValueError: it is of another type or out of bounds.
        """
        if isinstance(self.default, str):
            return self._parse_text(value)
        whole = isinstance(self.default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ValueError(f"{self.name} is a {'whole ' if whole else ''}number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{self.name} is between {self.low:.15g} and {self.high:.15g}")
        return value if whole else float(value)

    def _parse_text(self, value: object) -> str:
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} is one of {', '.join(self.choices)}")
        if not isinstance(value, str) or len(value) > 500 or not value.isprintable() or not value.isascii():
            raise ValueError(f"{self.name} is a text of at most 500 printable ASCII characters")
        return value


class Behaviour(NamedTuple):
    """One way to be wrong."""

    name: str
    summary: str
    options: tuple[Option, ...] = ()


_COUNTS = Totals._fields

BEHAVIOURS: Mapping[str, Behaviour] = {
    behaviour.name: behaviour
    for behaviour in (
        Behaviour("refuse", "the connection is reset, without a response"),
        Behaviour("cut-tls", "the TLS handshake is refused (on the TLS address)"),
        Behaviour("hang", "no response ever comes"),
        Behaviour("slow", "the response comes late", (Option("delay_s", 2.0, 0.0, 3_600.0),)),
        Behaviour("trickle", "the body comes in drops", (Option("bytes_per_s", 1.0, 0.01, 1_000_000.0),)),
        Behaviour("cut", "the connection ends in the middle of the body"),
        Behaviour(
            "status",
            "this status, with Retry-After where retry_after_s is not 0",
            (Option("status", 503, 200, 599), Option("retry_after_s", 0, 0, 86_400)),
        ),
        Behaviour("quota", "what the API says when its quota is used up"),
        Behaviour(
            "usage",
            "the usage header climbs with each call; at 100 the quota is used up",
            (Option("from_percent", 0.0, 0.0, 100.0), Option("step_percent", 10.0, 0.0, 100.0)),
        ),
        Behaviour("error-body", "a good status, and a body that reports an error"),
        Behaviour("html", "a page in HTML, with status 200"),
        Behaviour("redirect", "a redirect to another address", (Option("to", "http://127.0.0.1:9/"),)),
        Behaviour("oversized", "a body without end, or of this size", (Option("bytes", 100_000_000, 1, 10**12),)),
        Behaviour("empty", "an empty set: no event is known"),
        Behaviour("removed", "a count is no longer there", (Option("metric", "views", choices=_COUNTS),)),
        Behaviour("shift", "events appear while pages are read; below 0 they vanish", (Option("by", 1, -100, 100),)),
        Behaviour("strings", "numbers are strings"),
        Behaviour("fall", "totals are lower by this part", (Option("by", 0.5, 0.0, 1.0),)),
        Behaviour("negative", "totals are negative"),
        Behaviour("huge", "totals are 2^63"),
        Behaviour("wrong-type", "totals are objects, lists, true and words"),
        Behaviour("more-completed", "more calls are completed than were made"),
    )
}
"""All behaviours by name, in the order of docs/channels.md."""


class Instruction(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What the caller of the control address says about one behaviour.

    Attributes:
        share: the part of the calls to which it applies.
        seconds: how long it is in force, by the clock of the sandbox; None for ever.
        calls: to how many calls it applies; None to all.
        after_calls: how many calls to which it would apply pass before.
        events: it applies only to calls for one of these, and changes only their numbers; empty for all events.
        seed: chooses which calls belong to the share. The same seed chooses the same call of each event.
    """

    behaviour: str
    options: dict[str, OptionValue] = {}
    share: float = 1.0
    seconds: float | None = None
    calls: int | None = None
    after_calls: int = 0
    events: list[str] = []
    seed: int = 0


class Call(NamedTuple):
    """A call that reached a channel: the ids in it, and how many calls before had the same first id."""

    ids: Sequence[str]
    number: int


@dataclass(slots=True)
class Told:
    """A behaviour in force on a channel."""

    behaviour: Behaviour
    options: Mapping[str, OptionValue]
    instruction: Instruction
    ends_at: datetime | None
    events: frozenset[str]
    passed: int = 0
    applied: int = 0

    def number(self, option: str) -> float:
        """The value of an option that is a number."""
        value = self.options[option]
        assert not isinstance(value, str)
        return value

    def text(self, option: str) -> str:
        return str(self.options[option])

    def is_over(self, now: datetime) -> bool:
        """Whether it applies to no call any more."""
        calls = self.instruction.calls
        return (self.ends_at is not None and now >= self.ends_at) or (calls is not None and self.applied >= calls)

    def concerns(self, event_id: str) -> bool:
        return not self.events or event_id in self.events

    def applies(self, call: Call, now: datetime) -> bool:
        """Whether it applies to this call; counts those to which it does."""
        if self.is_over(now) or (self.events and self.events.isdisjoint(call.ids)):
            return False
        if self.instruction.share < 1.0 and self._chance(call) >= self.instruction.share:
            return False
        if self.passed < self.instruction.after_calls:
            self.passed += 1
            return False
        self.applied += 1
        return True

    def _chance(self, call: Call) -> float:
        """A number from 0 to 1 that depends on the seed, the event and the call's number alone."""
        first = call.ids[0] if call.ids else ""
        key = f"{self.instruction.seed}/{self.behaviour.name}/{first}/{call.number}".encode()
        return int.from_bytes(blake2b(key, digest_size=8).digest()) / 2**64

    def as_json(self, now: datetime) -> dict[str, object]:
        """What was told, with all options, and how often it has applied."""
        told = self.instruction
        left = None if self.ends_at is None else max(0.0, (self.ends_at - now).total_seconds())
        return {
            "behaviour": self.behaviour.name,
            "options": dict(self.options),
            "share": told.share,
            "secondsLeft": left,
            "calls": told.calls,
            "afterCalls": told.after_calls,
            "events": list(told.events),
            "seed": told.seed,
            "applied": self.applied,
        }


def tell(instruction: Instruction, now: datetime) -> Told:
    """Check an instruction.

    Raises:
        OperatorError: there is no such behaviour or option, or a value is out of bounds.
    """
    try:
        behaviour = BEHAVIOURS[instruction.behaviour]
    except KeyError:
        found = repr(instruction.behaviour[:50])
        raise OperatorError(f"there is no behaviour {found}", hint=f"one of {', '.join(BEHAVIOURS)}") from None
    known = {option.name: option for option in behaviour.options}
    try:
        if unknown := set(instruction.options) - set(known):
            name = repr(min(unknown)[:50])
            raise ValueError(f"has no option {name}; its options: {', '.join(known) or 'none'}")
        options = {name: option.parse(instruction.options.get(name, option.default)) for name, option in known.items()}
        _check_bounds(instruction)
    except ValueError as error:
        raise OperatorError(
            f"the behaviour {behaviour.name}: {error}", hint="docs/channels.md, `The sandbox`, lists the options"
        ) from error
    ends_at = None if instruction.seconds is None else now + timedelta(seconds=instruction.seconds)
    return Told(behaviour, options, instruction, ends_at, frozenset(instruction.events))


def _check_bounds(told: Instruction) -> None:
    if not 0 < told.share <= 1:  # also true for NaN
        raise ValueError("share is above 0 and at most 1")
    if told.seconds is not None and not 0 < told.seconds <= SECONDS_MAX:
        raise ValueError(f"seconds is above 0 and at most {SECONDS_MAX:.0f}")
    if told.calls is not None and not 1 <= told.calls <= CALLS_MAX:
        raise ValueError(f"calls is between 1 and {CALLS_MAX}")
    if not 0 <= told.after_calls <= CALLS_MAX:
        raise ValueError(f"afterCalls is between 0 and {CALLS_MAX}")
    if not -SEED_MAX <= told.seed <= SEED_MAX:
        raise ValueError("seed is a number of 64 bits")
    if len(told.events) > EVENTS_MAX or any(not 0 < len(id_) <= EVENT_ID_LENGTH_MAX for id_ in told.events):
        raise ValueError(f"events are at most {EVENTS_MAX} ids of at most {EVENT_ID_LENGTH_MAX} characters")
