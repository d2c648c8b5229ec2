"""Shapes: what a simulated API of a channel expects and answers, one TOML file a channel.

A new simulated channel is a file, no code. `shapes/` holds those of the six channels; docs/channels.md explains the
keys. A shape is written by hand after the documentation of the real API, and not derived from the declaration with
which Hannun calls that API: a mistake in one of the two then fails a test.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from hannun.errors import OperatorError, reason_of
from hannun.sandbox.channels.numbers import Totals

BYTES_MAX = 65_536
"""Of one shape."""

Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
JsonText = Annotated[str, Meta(min_length=1, max_length=20_000)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a shape."""


class Request(_Part, frozen=True):
    """The call that returns totals.

    Attributes:
        path: with `{id}` where the id of the event is a part of the path.
        ids: where the ids are: in the path, in a query parameter, or in a field of the JSON body.
        ids_key: the name of that parameter or field.
        batch: the most ids in one call.
        needs: query parameters that must be there, with their values.
    """

    path: Annotated[Text, Meta(pattern="^/")]
    method: Literal["GET", "POST"] = "GET"
    ids: Literal["path", "query", "body"] = "query"
    ids_key: Text = "ids"
    separator: Text = ","
    batch: Annotated[int, Meta(ge=1, le=1_000)] = 1
    needs: dict[str, Text] = {}

    def __post_init__(self) -> None:
        if (self.path.count("{id}") == 1) != (self.ids == "path"):
            raise ValueError('expected {id} once in path with ids = "path", and nowhere else')
        if self.ids == "path" and self.batch > 1:
            raise ValueError('expected batch = 1 with ids = "path"')
        if self.ids == "body" and self.method != "POST":
            raise ValueError('expected method = "POST" with ids = "body"')


class Authentication(_Part, frozen=True):
    """What a call must carry. Names between braces in the templates are keys of `credentials`.

    Attributes:
        headers, query: templates of header fields and of query parameters (kinds header, query and hmac).
        message: what is signed (kind hmac): a template that may also name timestamp, method, path and query.
        token_path: where a bearer token is got (kind oauth2).
    """

    kind: Literal["none", "header", "query", "oauth2", "hmac"]
    headers: dict[str, Text] = {}
    query: dict[str, Text] = {}
    message: str = ""
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["base64", "hex"] = "base64"
    timestamp: Literal["milliseconds", "seconds"] = "milliseconds"
    token_path: str = ""
    token_lasts_s: Annotated[int, Meta(ge=1, le=86_400)] = 3_600


class Paging(_Part, frozen=True):
    """How a long answer is divided.

    Attributes:
        kind: `page` takes a page number from `first` on; `token` takes the text that the page before returned.
    """

    kind: Literal["page", "token"]
    parameter: Text
    size: Annotated[int, Meta(ge=1, le=1_000)]
    first: Annotated[int, Meta(ge=0, le=1)] = 1


class Answer(_Part, frozen=True):
    """The body of a good response.

    Attributes:
        each: JSON for one event. A text `$views` stands for the number, `$views:text` for the number as a string,
            `$views:third` and `$views:rest` for a third of it and for the rest.
        whole: JSON around them: `$items`, and for paging `$next`, `$more`, `$page`, `$pages`. On the last page the
            member with `$next` is left out.
        items: `list` puts one element for each event into `$items`; `spread` puts the elements of the list `each`;
            `object` makes `$items` an object whose keys are the ids.
    """

    each: JsonText
    whole: JsonText
    items: Literal["list", "spread", "object"] = "list"


class Fixed(_Part, frozen=True):
    """A response that never varies."""

    status: Annotated[int, Meta(ge=200, le=599)]
    body: JsonText = "{}"
    headers: dict[str, Text] = {}


class Usage(_Part, frozen=True):
    """A header that says how much of the quota is used: `$percent` in `value`."""

    header: Text
    value: Text


class Budget(_Part, frozen=True):
    """At most `units` within any `window_s` seconds, or within a day that begins at midnight in `day_zone`."""

    name: Text
    units: Annotated[int, Meta(ge=1, le=2_000_000_000)]
    window_s: Annotated[float, Meta(gt=0, le=31 * 86_400)] | None = None
    day_zone: Text | None = None
    units_per_call: Annotated[int, Meta(ge=1)] = 1

    def __post_init__(self) -> None:
        if (self.window_s is None) == (self.day_zone is None):
            raise ValueError("expected window_s or day_zone, one of them")
        if self.day_zone is not None:
            try:
                ZoneInfo(self.day_zone)
            except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
                raise ValueError(f"found {self.day_zone!r}, expected a time zone such as Asia/Seoul") from None


class Shape(_Part, frozen=True):
    """The simulated API of one channel.

    Attributes:
        credentials: what Hannun's access file must hold for this channel.
        unknown_id: the response for an event that the channel does not know; without it, the event is left out.
        error_body: the response with a good status that reports an error.
    """

    name: Annotated[str, Meta(max_length=50, pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    type: Literal["TV", "SNS", "VOICE"]
    request: Request
    authentication: Authentication
    answer: Answer
    error_body: Fixed
    over_quota: Fixed
    credentials: dict[str, Text] = {}
    paging: Paging | None = None
    budget: Annotated[list[Budget], Meta(max_length=10)] = []
    usage: Usage | None = None
    unauthorized: Fixed = Fixed(401, '{"error": "unauthorized"}')
    unknown_id: Fixed | None = None

    def __post_init__(self) -> None:
        for key, text, known in (
            ("answer.each", self.answer.each, COUNTS | {"id"}),
            ("answer.whole", self.answer.whole, {"items", "next", "more", "page", "pages"}),
        ):
            if unknown := Template(text, key).names - known:
                raise ValueError(f"{key}: found ${min(unknown)}, expected one of {', '.join(sorted(known))}")
        for fixed in (self.error_body, self.over_quota, self.unauthorized, self.unknown_id):
            if fixed is not None:
                _parse_json(fixed.body, "body")


_PLACEHOLDER = re.compile(r'"\$([a-z_]+)(?::(text|third|rest))?"')
COUNTS = frozenset(Totals._fields)


class Template:
    """JSON with placeholders: rendered by joining texts, since an answer of the load run must be cheap."""

    def __init__(self, text: str, key: str, removed: frozenset[str] = frozenset()) -> None:
        tree = _parse_json(text, key)
        for name in removed:
            tree = _without(tree, name)
        self._parts = _PLACEHOLDER.split(json.dumps(tree, ensure_ascii=False))

    def render(self, values: Mapping[str, str]) -> str:
        """Put in the values, which are JSON. Only a number can be quoted or divided; other values stay as they are."""
        parts = self._parts
        out = [parts[0]]
        for n in range(1, len(parts), 3):
            value, how = values[parts[n]], parts[n + 1]
            out.append(_written(value, how) if how else value)
            out.append(parts[n + 2])
        return "".join(out)

    @property
    def names(self) -> set[str]:
        return set(self._parts[1::3])


def _written(value: str, how: str) -> str:
    """A number as its placeholder says. A number that is a string already stays one."""
    digits = value.strip('"')
    if not digits.lstrip("-").isdigit():
        return value
    third = int(digits) // 3
    number = {"third": str(third), "rest": str(int(digits) - third)}.get(how, digits)
    return f'"{number}"' if how == "text" or value != digits else number


def _parse_json(text: str, key: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{key}: expected JSON: {error}") from None


def _without(tree: Any, name: str) -> Any:
    """The tree without the largest parts that hold this placeholder and no other."""
    if isinstance(tree, dict):
        return {key: _without(value, name) for key, value in tree.items() if _names_in(value) != {name}}
    if isinstance(tree, list):
        return [_without(value, name) for value in tree if _names_in(value) != {name}]
    return tree


def _names_in(tree: Any) -> set[str]:
    return {name for name, _ in _PLACEHOLDER.findall(json.dumps(tree, ensure_ascii=False))}


def load(text: str, source: str) -> Shape:
    """A shape from TOML text.

    Raises:
        OperatorError: it is no shape; the message names the file, the key, and what was found and expected.
    """
    hint = "docs/channels.md, `The sandbox`, explains the keys; src/hannun/sandbox/channels/shapes has six examples"
    try:
        if len(text) > BYTES_MAX:
            raise ValueError(f"found {len(text)} characters, expected at most {BYTES_MAX}")
        return msgspec.convert(tomllib.loads(text), Shape)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and ValidationError are ValueErrors
        raise OperatorError(f"the shape {source} cannot be used: {error}", hint=hint) from error


def load_all(folder: Path | None = None) -> dict[str, Shape]:
    """All shapes by the name of their channel: those of Hannun, and those of the folder, which replace them.

    Raises:
        OperatorError: a file cannot be read or is no shape.
    """
    shapes = {shape.name: shape for shape in _shipped()}
    if folder is not None:
        try:
            texts = [(str(path), path.read_text("utf-8")) for path in sorted(folder.glob("*.toml"))]
            folder.stat()
        except (OSError, UnicodeDecodeError) as error:
            raise OperatorError(
                f"the shapes in {folder} cannot be read: {reason_of(error)}",
                hint="--shapes names a folder with files NAME.toml",
            ) from error
        shapes |= {shape.name: shape for shape in (load(text, source) for source, text in texts)}
    return shapes


def _shipped() -> Iterator[Shape]:
    folder = resources.files("hannun.sandbox.channels").joinpath("shapes")
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            yield load(entry.read_text("utf-8"), entry.name)
