"""A request as the server received it, and the response that it is to send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from urllib.parse import parse_qsl, unquote

FIELDS_MAX = 100


class Received:
    """A request.

    Attributes:
        path: the path behind the channel's address, decoded.
        full_path: the path of the whole URL, decoded.
        headers: by name in lower case; of a repeated one the last.
    """

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: bytes, prefix: str = "") -> None:
        path, _, self.query_text = target.partition("?")
        self.method = method
        self.full_path = unquote(path)
        self.path = self.full_path.removeprefix(prefix)
        self.headers = headers
        self.body = body

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the last. Empty where there are too many."""
        try:
            return dict(parse_qsl(self.query_text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
        except ValueError:
            return {}

    @cached_property
    def json(self) -> object:
        """The JSON body; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def fields(self) -> Mapping[str, object]:
        """The fields of the JSON body; none where it is no object."""
        return self.json if isinstance(self.json, dict) else {}


class Sending(Enum):
    """How a response is sent."""

    WHOLE = auto()
    NEVER = auto()
    RESET = auto()
    TRICKLE = auto()
    CUT = auto()
    OVERSIZED = auto()


@dataclass(slots=True)
class Response:
    """A response, and how it is sent.

    Attributes:
        rate: bytes a second (TRICKLE).
        size: bytes of the body (OVERSIZED).
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    delay_s: float = 0.0
    sending: Sending = Sending.WHOLE
    rate: float = 0.0
    size: int = 0
