"""What a route promises beside what FastAPI sees of it: what it answers, what it takes, and how it may refuse.

    @router.get("/events/{event_id}/analytics")
    @answers_with(answers.Dashboard, refuses=(*VIEW, "forbidden"))

`web/openapi.py` makes the document of it, and the tests hold the service to the document.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hannun.domain.questions import EventSubject
from hannun.files import Format
from hannun.flows.report.registry import AnyView

Route = TypeVar("Route", bound=Callable[..., Any])

CALLER = ("unauthenticated", "too-many-requests", "issuer-unavailable", "unknown-parameter")
"""How anybody may be refused who brings a token."""
OF_EVENT = (*CALLER, "not-found", "bad-parameter", "store-unavailable")
RANGE = ("bad-date", "no-offset", "unknown-zone", "empty-range", "range-too-long")
EVENT_VIEW = (*OF_EVENT, *RANGE, "forbidden")
"""Forbidden is rebuilding (`refresh=true`) for who looks through a link."""
FILE = ("unknown-table", "format-not-installed")
"""How a view may be refused as a file."""
USER_VIEW = (*OF_EVENT, *RANGE)

BEARER: Mapping[str, list[str]] = {"bearer": []}
SESSION: Mapping[str, list[str]] = {"session": []}
NOBODY: Mapping[str, list[str]] = {}
TOKEN = (BEARER, SESSION)


@dataclass(frozen=True, slots=True)
class Body:
    """What a route takes: for each media type a struct or a schema."""

    content: Mapping[str, Any]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a route answers.

    Args:
        shape: the struct of a successful answer; None for one without a body.
        status: of a successful answer.
        media_type: of its body; other than JSON it has no shape.
        headers: of a successful answer, by name.
        conditional: whether `If-None-Match` is heeded, with 304.
        refuses: by which codes of `web/problems.py` it may be refused.
        callers: who may call, any one of these.
        takes: the body it takes.
        follows: where its answer leads: for each name an operation and its parameters, as OpenAPI links have them.
        files: the media types of the files that it may be asked for instead.
        tables: the tables that such a file can hold.
    """

    shape: type | None
    status: int
    media_type: str
    headers: tuple[str, ...]
    conditional: bool
    refuses: tuple[str, ...]
    callers: tuple[Mapping[str, list[str]], ...]
    takes: Body | None
    follows: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


PROMISES: dict[str, Promise] = {}
"""By the name of the route's function, which is also its operationId."""


def answers_with(
    shape: type | None,
    status: int = 200,
    *,
    refuses: tuple[str, ...],
    media_type: str = "application/json",
    headers: tuple[str, ...] = ("Cache-Control",),
    conditional: bool = False,
    callers: tuple[Mapping[str, list[str]], ...] = TOKEN,
    takes: Body | None = None,
    follows: Mapping[str, tuple[str, Mapping[str, str]]] | None = None,
    files: tuple[str, ...] = (),
    tables: tuple[str, ...] = (),
) -> Callable[[Route], Route]:
    """Promise what the route below answers."""
    promise = Promise(
        shape, status, media_type, headers, conditional, refuses, callers, takes, follows or {}, files, tables
    )

    def promised(route: Route) -> Route:
        PROMISES[route.__name__] = promise
        return route

    return promised


def answers_with_view(
    view: AnyView, *more: str, follows: Mapping[str, tuple[str, Mapping[str, str]]] | None = None
) -> Callable[[Route], Route]:
    """Promise what every view answers: its schema with an ETag, 304, files, and refusals; `more` are its own codes."""
    return answers_with(
        view.schema,
        refuses=(*(EVENT_VIEW if view.subject is EventSubject else USER_VIEW), *FILE, *more),
        headers=("ETag", "Cache-Control", "Vary", "X-Data-Source"),
        conditional=True,
        follows=follows,
        files=tuple(format_.media_type for format_ in Format),
        tables=view.tables.names,
    )
