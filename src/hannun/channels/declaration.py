"""Declarations: what the API of a channel looks like, one TOML file a channel.

A declaration names no address and no secret. Those are in the operator's access file (`access.py`). docs/channels.md
explains each key; the files in `declarations/` are examples of all kinds.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from hannun.domain.channels import NAME_LENGTH_MAX, ChannelType, folded
from hannun.errors import OperatorError, reason_of

BYTES_MAX = 16_384
"""Of one declaration."""
FILES_MAX = 500
"""Declarations in the operator's folder."""
BATCH_MAX = 1_000
"""Event ids in one call."""

Column = Literal[
    "impressions",
    "views",
    "clicks",
    "conversions",
    "likes",
    "comments",
    "shares",
    "total_calls",
    "completed_calls",
    "average_duration",
]

Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Template: TypeAlias = Text
"""Text with placeholders such as `{id}`. What may stand between the braces depends on the key."""
JsonPath: TypeAlias = Text
"""Keys and positions with dots between them: `data.0.values`. In a usage header `*` is every key or position."""
Code: TypeAlias = str | int
Statuses: TypeAlias = tuple[Annotated[int, Meta(ge=100, le=599)], ...]

DOTS_MAX = 100
"""Dots in one line: tomllib reads a key of many parts in a time that grows with the square of their number."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a declaration."""


class Request(_Part, frozen=True):
    """The call that returns the totals of `batch` events."""

    path: Annotated[Template, Meta(pattern="^/")]
    method: Literal["GET", "POST"] = "GET"
    query: dict[str, Template] = {}
    headers: dict[str, Template] = {}
    body: dict[str, Any] = {}
    batch: Annotated[int, Meta(ge=1, le=BATCH_MAX)] = 1
    separator: Text = ","
    only_reads: bool | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the call may be sent twice: it only reads."""
        return self.method == "GET" if self.only_reads is None else self.only_reads

    def __post_init__(self) -> None:
        check_headers(self.headers)
        named = {name for text in self._templates() for name in placeholders(text)}
        if unknown := named - {"id", "ids"}:
            raise ValueError(f"found the placeholder {{{min(unknown)}}}, expected {{id}} or {{ids}}")
        if len(named) != 1:
            raise ValueError("expected the placeholder {id} or {ids}, one of them, in path, query or body")
        if named == {"id"} and self.batch > 1:
            raise ValueError(f"found {{id}} with batch = {self.batch}, expected {{ids}}")

    def _templates(self) -> Iterator[str]:
        yield self.path
        yield from self.query.values()
        yield from texts_in(self.body)


class NoAuthentication(_Part, tag="none", tag_field="kind", frozen=True):
    """The API is open to whoever reaches it."""


class HeaderAuthentication(_Part, tag="header", tag_field="kind", frozen=True):
    """Each call carries headers that hold credentials."""

    headers: Annotated[dict[str, Template], Meta(min_length=1)]

    def __post_init__(self) -> None:
        check_headers(self.headers)


class QueryAuthentication(_Part, tag="query", tag_field="kind", frozen=True):
    """Each call carries query parameters that hold credentials."""

    query: Annotated[dict[str, Template], Meta(min_length=1)]


class OAuth2Authentication(_Part, tag="oauth2", tag_field="kind", frozen=True):
    """OAuth2 client credentials (RFC 6749, 4.4): a bearer token, got with `client_id` and `client_secret`."""

    token_path: Annotated[Text, Meta(pattern="^/")]
    client: Literal["basic", "body"] = "basic"
    scope: str = ""


class HmacAuthentication(_Part, tag="hmac", tag_field="kind", frozen=True):
    """Each call is signed: HMAC of `message` with the credential `secret_key`."""

    message: Template
    headers: Annotated[dict[str, Template], Meta(min_length=1)]
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["base64", "hex"] = "base64"
    timestamp: Literal["milliseconds", "seconds"] = "milliseconds"

    def __post_init__(self) -> None:
        check_headers(self.headers)
        if not any("signature" in placeholders(text) for text in self.headers.values()):
            raise ValueError("expected {signature} in one of the headers")


Authentication: TypeAlias = (
    NoAuthentication | HeaderAuthentication | QueryAuthentication | OAuth2Authentication | HmacAuthentication
)


class NoPaging(_Part, tag="none", tag_field="kind", frozen=True):
    """One response holds everything."""


class PageNumber(_Part, tag="page", tag_field="kind", frozen=True):
    """Pages are numbered. The response says how many there are."""

    parameter: Text
    pages: JsonPath
    first: int = 1
    pages_max: Annotated[int, Meta(ge=1, le=100)] = 20


class Cursor(_Part, tag="cursor", tag_field="kind", frozen=True):
    """The response says whether there is more, and from where to go on."""

    parameter: Text
    next: JsonPath
    more: JsonPath
    pages_max: Annotated[int, Meta(ge=1, le=100)] = 20


class NextToken(_Part, tag="token", tag_field="kind", frozen=True):
    """The response holds a token for the next page; the last page has none."""

    parameter: Text
    next: JsonPath
    pages_max: Annotated[int, Meta(ge=1, le=100)] = 20


Paging: TypeAlias = NoPaging | PageNumber | Cursor | NextToken

Fields: TypeAlias = dict[Column, JsonPath | Annotated[tuple[JsonPath, ...], Meta(min_length=1, max_length=20)]]
"""Where each of our columns is. Several paths are added up."""
Unknown = Literal["unknown", "zero"]


class Items(_Part, tag="items", tag_field="shape", frozen=True):
    """A list of objects, each with the id of its event."""

    items: JsonPath
    id: JsonPath
    counts: Annotated[Fields, Meta(min_length=1)]
    absent: Unknown = "unknown"


class ById(_Part, tag="by-id", tag_field="shape", frozen=True):
    """An object whose keys are the ids."""

    items: JsonPath
    counts: Annotated[Fields, Meta(min_length=1)]
    absent: Unknown = "unknown"


class Columns(_Part, tag="columns", tag_field="shape", frozen=True):
    """A list of column names, and rows with a value for each."""

    columns: JsonPath
    rows: JsonPath
    id: Text
    counts: Annotated[Fields, Meta(min_length=1)]
    name: JsonPath | None = None
    absent: Unknown = "unknown"


class Named(_Part, tag="named", tag_field="shape", frozen=True):
    """A list of metrics of one event, each with its name and its value."""

    items: JsonPath
    name: JsonPath
    value: JsonPath
    counts: Annotated[Fields, Meta(min_length=1)]
    absent: Unknown = "unknown"


Response: TypeAlias = Items | ById | Columns | Named


class BodyCode(_Part, frozen=True):
    """A code in the body of a response, together with its status."""

    path: JsonPath
    values: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=100)]
    statuses: Statuses = ()


class UsageHeader(_Part, frozen=True):
    """A header with JSON that says how much of the quota is used, in percent."""

    header: Text
    percent: Annotated[tuple[JsonPath, ...], Meta(min_length=1, max_length=20)]
    stop_at_percent: Annotated[float, Meta(gt=0, le=100)] = 95.0
    regain: JsonPath | None = None
    regain_unit_s: Annotated[float, Meta(gt=0)] = 60.0
    pause_s: Annotated[float, Meta(gt=0)] = 300.0


class OverQuota(_Part, frozen=True):
    """What says that the quota is used up. It is no failure of the channel."""

    statuses: Statuses = (429,)
    codes: BodyCode | None = None
    usage: UsageHeader | None = None


class ErrorBody(_Part, frozen=True):
    """A response with a good status that reports an error: a value at `path` that is none of `good`."""

    path: JsonPath
    good: Annotated[tuple[Code, ...], Meta(max_length=20)] = ()


class DeclaredBudget(_Part, frozen=True):
    """How many units may be used in a window of time, by all processes together.

    `scope` says whose quota it is, and is only a label.
    The window is a day that begins at midnight in `day_zone`, or any `window_s` seconds.
    """

    name: Annotated[str, Meta(max_length=50, pattern="^[a-z][a-z0-9-]*$")]
    units: Annotated[int, Meta(ge=1, le=2_000_000_000)]
    scope: Literal["app", "account"]
    window_s: Annotated[float, Meta(gt=0, le=31 * 86_400)] | None = None
    day_zone: Text | None = None
    units_per_call: Annotated[int, Meta(ge=1)] = 1

    def __post_init__(self) -> None:
        if (self.window_s is None) == (self.day_zone is None):
            raise ValueError("expected window_s or day_zone, one of them")
        if self.day_zone is not None:
            check_zone(self.day_zone)
        if self.units_per_call > self.units:
            raise ValueError(f"found units_per_call = {self.units_per_call}, expected at most units = {self.units}")


class Lag(_Part, frozen=True):
    """How late the channel's numbers become final: after some hours, or at a time of the next day."""

    hours: Annotated[float, Meta(gt=0, le=31 * 24)] | None = None
    until: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = None
    zone: Text | None = None

    def __post_init__(self) -> None:
        if (self.hours is None) == (self.until is None) or (self.until is None) != (self.zone is None):
            raise ValueError("expected hours; or until and zone")
        if self.zone is not None:
            check_zone(self.zone)


class Limits(_Part, frozen=True):
    """Bounds of one call. The defaults suit an API that answers within a second."""

    connect_s: Annotated[float, Meta(gt=0, le=60)] = 2.0
    read_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    call_s: Annotated[float, Meta(gt=0, le=120)] = 15.0
    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    body_bytes: Annotated[int, Meta(ge=1_000, le=50_000_000)] = 1_000_000


class Title(_Part, frozen=True):
    """What people call the channel, in Korean and in English."""

    ko: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
    en: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]


class Declaration(_Part, frozen=True):
    """The API of one channel. Without `request` the channel has no API: its totals are typed or imported."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
    type: ChannelType | None = None
    aliases: tuple[Text, ...] = ()
    title: Title | None = None
    request: Request | None = None
    authentication: Authentication = NoAuthentication()
    paging: Paging = NoPaging()
    response: Response | None = None
    unknown_id: BodyCode | None = None
    error: ErrorBody | None = None
    over_quota: OverQuota = OverQuota()
    budget: Annotated[tuple[DeclaredBudget, ...], Meta(max_length=10)] = ()
    lag: Lag | None = None
    limits: Limits = Limits()

    @property
    def key(self) -> str:
        """What identifies the channel: `domain.channels.Channel.key`."""
        return folded(self.name)

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the credentials that the access file must hold for this channel."""
        return tuple(sorted(_credentials(self.authentication)))

    def __post_init__(self) -> None:
        if (self.request is None) != (self.response is None):
            raise ValueError("expected request and response, or neither")
        if self.response is not None and not isinstance(self.response.counts.get("average_duration", ""), str):
            raise ValueError("response.counts.average_duration: found several paths, expected one: it is a mean")
        if isinstance(self.response, Named) and self.request is not None and self.request.batch > 1:
            raise ValueError('found shape = "named" with batch > 1, expected batch = 1')
        if len({budget.name for budget in self.budget}) < len(self.budget):
            raise ValueError("found two budgets of one name")
        for budget in self.budget:
            if budget.units < budget.units_per_call * self.limits.attempts:
                raise ValueError(
                    f"found limits.attempts = {self.limits.attempts} with a budget of {budget.units} units, "
                    "expected a budget for all attempts of one call"
                )


def placeholders(template: str) -> list[str]:
    """The names between braces."""
    return PLACEHOLDER.findall(template)


def texts_in(value: object) -> Iterator[str]:
    """Every text in a JSON value, but not the keys of objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def check_headers(headers: Mapping[str, str]) -> None:
    """Check names and values of headers.

    Raises:
        ValueError: HTTP does not allow one, or the client sets it itself.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ValueError(f"found the header {shortened(name)}, expected another name")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"found {shortened(value)} in the header {name}, expected printable ASCII")


def check_zone(name: str) -> None:
    """Check that a time zone exists.

    Raises:
        ValueError: it does not.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"found {name!r}, expected a time zone such as Asia/Seoul") from None


def load(text: str, source: str) -> Declaration:
    """A declaration from TOML text.

    Args:
        source: the name of the file, for errors.

    Raises:
        OperatorError: it is no declaration. The message names file, key, what was found and what is expected.
    """
    if len(text) > BYTES_MAX:
        raise _refused(source, f"found {len(text)} characters, expected at most {BYTES_MAX}")
    if any(line.count(".") > DOTS_MAX for line in text.splitlines()):
        raise _refused(source, f"found a line with more than {DOTS_MAX} dots, expected keys of few parts")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _refused(source, f"expected TOML: {error}") from None
    try:
        return msgspec.convert(document, Declaration)
    except msgspec.ValidationError as error:
        raise _refused(source, _described(str(error), document)) from None
    except RecursionError:
        raise _refused(source, "found tables nested too deeply") from None


@cache
def shipped() -> Mapping[str, Declaration]:
    """The declarations that are part of Hannun, by the key of their channel. They are read once."""
    folder = resources.files("hannun.channels").joinpath("declarations")
    texts = ((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return MappingProxyType(_by_key(texts))


def load_all(folder: str = "") -> dict[str, Declaration]:
    """All declarations, by the key of their channel: those of Hannun, and those of the operator's folder instead.

    Raises:
        OperatorError: a file cannot be read or is no declaration, or two in the folder declare one channel.
    """
    return {**shipped(), **(in_folder(folder) if folder else {})}


def in_folder(folder: str) -> dict[str, Declaration]:
    """The declarations in the operator's folder, by the key of their channel.

    Raises:
        OperatorError: as `load_all`.
    """
    return _by_key(_texts_in(Path(folder)))


def _texts_in(folder: Path) -> Iterator[tuple[str, str]]:
    hint = "HANNUN_CHANNEL_DECLARATIONS names a folder with files NAME.toml"
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
        if len(paths) > FILES_MAX:
            raise OperatorError(f"{folder} has {len(paths)} declarations, expected at most {FILES_MAX}", hint=hint)
        for path in paths:
            with path.open("rb") as file:
                yield str(path), file.read(BYTES_MAX * 4 + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"the declarations in {folder} cannot be read: {reason_of(error)}", hint=hint) from error


def _by_key(texts: Iterator[tuple[str, str]]) -> dict[str, Declaration]:
    declarations: dict[str, Declaration] = {}
    for source, text in texts:
        declaration = load(text, source)
        if declaration.key in declarations:
            raise _refused(source, f"name: found {declaration.name!r}, which another file declares too")
        declarations[declaration.key] = declaration
    return declarations


def _credentials(authentication: Authentication) -> set[str]:
    match authentication:
        case HeaderAuthentication(headers=templates) | QueryAuthentication(query=templates):
            return {name for text in templates.values() for name in placeholders(text)}
        case HmacAuthentication(message=message, headers=templates):
            named = {name for text in (message, *templates.values()) for name in placeholders(text)}
            return {"secret_key"} | named - set(SIGNED)
        case OAuth2Authentication():
            return {"client_id", "client_secret"}
        case _:
            return set()


SIGNED = ("timestamp", "method", "path", "query", "signature")
"""Placeholders of a signed request that are no credentials."""


def _tags(union: Any) -> list[str]:
    return [kind.__struct_config__.tag for kind in get_args(union)]


_ALLOWED: Mapping[str, Sequence[str]] = {
    "type": list(ChannelType),
    "request.method": ["GET", "POST"],
    "authentication.kind": _tags(Authentication),
    "authentication.client": ["basic", "body"],
    "authentication.algorithm": ["sha256", "sha512"],
    "authentication.encoding": ["base64", "hex"],
    "authentication.timestamp": ["milliseconds", "seconds"],
    "paging.kind": _tags(Paging),
    "response.shape": _tags(Response),
    "response.counts": list(get_args(Column)),
    "response.absent": list(get_args(Unknown)),
    "budget.scope": ["app", "account"],
}
"""What a key may be where it is one of few words, for errors."""


def _described(message: str, document: Mapping[str, Any]) -> str:
    """What msgspec says, as key, found and expected."""
    what, _, where = message.partition(" - at `")
    key = re.sub(r"^key` in `|`$|\[\.\.\.\]", "", where).removeprefix("$").lstrip(".")
    prefix = f"{key}: " if key else ""
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return f"{prefix}expected the key {missing[1]}, found none"
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        return f"{prefix}found the key {unknown[1]}, expected none of that name"
    if invalid := re.fullmatch(r"Invalid (?:enum )?value (.*)", what):
        allowed = _ALLOWED.get(re.sub(r"\[\d+\]", "", key), ["another value"])
        return f"{prefix}found {invalid[1]}, expected one of {', '.join(allowed)}"
    if wrong := re.match(r"Expected (.*?)(?:, got `(.*)`)?$", what):
        found = wrong[2] or shortened(_value_at(document, key))
        return f"{prefix}found {found}, expected {wrong[1].replace('`', '')}"
    return f"{prefix}{what}"


def _value_at(value: Any, key: str) -> object:
    """The value of a key as msgspec writes it: `budget[0].units`."""
    for part in re.findall(r"[^.\[\]]+", key):
        value = value[int(part)] if isinstance(value, list) else value.get(part) if isinstance(value, dict) else None
    return value


def shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refused(source: str, problem: str) -> OperatorError:
    return OperatorError(f"{source}: {problem}", hint="docs/channels.md explains every key of a declaration")
