"""What a route promises beyond what FastAPI knows about it: its responses, its request body and its problems.

    @router.get("/users/{user_id}/live")
    @answers_with(None, problems=(*AUTHENTICATION_PROBLEMS, "not-found"), media_type="text/event-stream")

`web/openapi.py` builds the OpenAPI document from it, and the tests compare the service with the document.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hannun.domain.questions import EventSubject
from hannun.files import Format
from hannun.flows.report.registry import AnyView

Route = TypeVar("Route", bound=Callable[..., Any])
Json = dict[str, Any]

AUTHENTICATION_PROBLEMS = (
    "unauthenticated",
    "forbidden",
    "too-many-requests",
    "issuer-unavailable",
    "unknown-parameter",
)
"""The problem codes of every route that needs a token."""
EVENT_PROBLEMS = (*AUTHENTICATION_PROBLEMS, "not-found", "bad-parameter", "store-unavailable", "keys-missing")
RANGE_PROBLEMS = ("bad-date", "no-offset", "unknown-zone", "empty-range", "range-too-long")
EVENT_VIEW_PROBLEMS = (*EVENT_PROBLEMS, *RANGE_PROBLEMS)
MERCHANT_VIEW_PROBLEMS = (*EVENT_PROBLEMS, *RANGE_PROBLEMS)
FILE_PROBLEMS = ("unknown-table", "format-not-installed", "no-room-for-file")
"""The problem codes of a view that is requested as a file."""

BODY_PROBLEMS = ("body-too-large", "unsupported-encoding", "bad-encoding")
"""The problem codes of every route that reads a body."""

SecurityRequirement = Mapping[str, list[str]]
"""An OpenAPI security requirement: the credentials that a caller needs."""
BEARER: SecurityRequirement = {"bearer": []}
SESSION: SecurityRequirement = {"session": []}
ANONYMOUS: SecurityRequirement = {}
TOKEN = (BEARER, SESSION)

Links = Mapping[str, tuple[str, Mapping[str, str]]]
"""OpenAPI links: for each name an operation and its parameters."""


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The request body of a route: for each media type a struct or a JSON schema."""

    content: Mapping[str, type | Json]
    description: str = ""


@dataclass(frozen=True, slots=True)
class RouteContract:
    """What a route promises.

    Args:
        schema: the struct of a successful response; None for one without a body.
        status: of a successful response.
        media_type: of its body; a body other than JSON has no schema.
        headers: the names of its headers.
        conditional: whether the route supports `If-None-Match` with 304.
        problems: the codes of its problems, from `web/problems.py`.
        security: the credentials that it accepts, any one of these.
        request_body: the body that it takes.
        links: the operations that its response leads to.
        files: the media types of the files that it can answer with instead.
        tables: the tables that such a file can hold.
    """

    schema: type | None
    status: int
    media_type: str
    headers: tuple[str, ...]
    conditional: bool
    problems: tuple[str, ...]
    security: tuple[SecurityRequirement, ...]
    request_body: RequestBody | None
    links: Links = field(default_factory=dict)
    files: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


ROUTE_CONTRACTS: dict[str, RouteContract] = {}
"""By the name of the route's function, which is also its operationId."""


def answers_with(
    schema: type | None,
    status: int = 200,
    *,
    problems: tuple[str, ...],
    media_type: str = "application/json",
    headers: tuple[str, ...] = ("Cache-Control",),
    conditional: bool = False,
    security: tuple[SecurityRequirement, ...] = TOKEN,
    request_body: RequestBody | None = None,
    links: Links | None = None,
    files: tuple[str, ...] = (),
    tables: tuple[str, ...] = (),
) -> Callable[[Route], Route]:
    """Decorates a route with its contract."""
    contract = RouteContract(
        schema, status, media_type, headers, conditional, problems, security, request_body, links or {}, files, tables
    )

    def register(route: Route) -> Route:
        ROUTE_CONTRACTS[route.__name__] = contract
        return route

    return register


def answers_with_view(
    view: AnyView, *more_problems: str, links: Links | None = None, documents: tuple[str, ...] = ()
) -> Callable[[Route], Route]:
    """Decorates a route with the contract of every view: its schema with an ETag, 304, files where it has any,
    and its problems. `documents` are the media types of the documents that it can answer with besides files."""
    problems = EVENT_VIEW_PROBLEMS if view.subject is EventSubject else MERCHANT_VIEW_PROBLEMS
    has_files = bool(view.tables.names)
    return answers_with(
        view.schema,
        problems=(*problems, *(FILE_PROBLEMS if has_files else ()), *more_problems),
        headers=("ETag", "Cache-Control", "Vary", "X-Data-Source"),
        conditional=True,
        links=links,
        files=(*(format_.media_type for format_ in Format if has_files), *documents),
        tables=view.tables.names,
    )
