"""The answer of a view as a file: the address of the view with `?format=csv`, `xlsx` or `parquet`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Depends, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from hannun.domain import tables, terms
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.questions import Question
from hannun.domain.terms import Language
from hannun.errors import BadRequest
from hannun.files import Format
from hannun.flows.export import Export, ExportRequest, single_page
from hannun.flows.report.cached_reader import Source
from hannun.flows.report.registry import AnyView, view_of
from hannun.web.etags import matches
from hannun.web.language import language_of
from hannun.web.services import Services

READ_S_MAX = 900.0
"""The longest a client may take to download a file, which occupies this server's disk meanwhile."""
FILE_VARY = "Authorization, Cookie, Accept-Encoding, Accept-Language"
_NOT_FILTERS = {"startDate", "endDate", "tz", "refresh", "format", "table", "lang"}


class Form(StrEnum):
    """The form of an answer. The OpenAPI document has a schema of this name."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class FileRequest:
    """The file that a request asks for."""

    format: Format
    table: str | None
    language: Language


async def requested_language(
    request: Request,
    lang: Annotated[
        Literal["ko", "en"] | None, Query(description="the language of a file; by default that of Accept-Language")
    ] = None,
) -> Language:
    """The language of a file."""
    return lang or language_of(request.headers.get("accept-language"))


RequestedLanguage = Annotated[Language, Depends(requested_language)]
RequestedTable = Annotated[
    Literal["figures", "channels", "points", "events"] | None,
    Query(description="for CSV and Parquet: the table of the view that the file holds"),
]


def file_request(form: Form, table: str | None, language: Language) -> FileRequest | None:
    """The file that this form means; None for JSON."""
    return None if form is Form.JSON else FileRequest(Format(form.value), table, language)


async def requested_file(
    language: RequestedLanguage,
    form: Annotated[Form, Query(alias="format", description="the form of the answer: JSON, or a file")] = Form.JSON,
    table: RequestedTable = None,
) -> FileRequest | None:
    """The file that the request asks for; None for JSON."""
    return file_request(form, table, language)


RequestedFile = Annotated[FileRequest | None, Depends(requested_file)]


def check_export(services: Services, principal: Principal, file: FileRequest, view: AnyView) -> None:
    """Whether the file can be made now: before its answer is computed. Raises as `Exports.check`."""
    services.exports.check(exporter_of(principal), ExportRequest(view.tables, file.format, file.language, file.table))


def exporter_of(principal: Principal) -> object:
    """Identifies who exports, for the limits of one caller."""
    return principal.user_id, principal.only_event


async def answer_as_file(
    request: Request,
    services: Services,
    principal: Principal,
    file: FileRequest,
    question: Question,
    answer: EncodedAnswer,
    source: Source,
) -> Response:
    """The answer to a question as a file."""
    view = view_of(question)
    title = await services.reports.event_title(principal, question, answer)
    titled = title and not view.answer_has_title
    rows = ((terms.term("eventTitle").name(file.language), title),) if titled else ()
    headers = {"X-Data-Source": source, **({"X-Data-Stale": "true"} if answer.stale else {})}
    return await _file(request, services, principal, file, view, single_page(answer), title, rows, headers)


async def pages_as_file(
    request: Request,
    services: Services,
    principal: Principal,
    file: FileRequest,
    view: AnyView,
    pages: AsyncGenerator[EncodedAnswer],
) -> Response:
    """All pages of a view as one file.

    Raises:
        BadRequest: the request names a page.
    """
    for name in ("cursor", "limit"):
        if name in request.query_params:
            raise BadRequest("a file holds all events: leave out {field}", code="bad-parameter", field=name)
    return await _file(request, services, principal, file, view, pages, "", (), {"X-Data-Source": "live"})


async def _file(
    request: Request,
    services: Services,
    principal: Principal,
    file: FileRequest,
    view: AnyView,
    pages: AsyncGenerator[EncodedAnswer],
    title: str,
    about_rows: tuple[tuple[str, str], ...],
    more_headers: dict[str, str],
) -> Response:
    filters = tuple((name, value) for name, value in request.query_params.multi_items() if name not in _NOT_FILTERS)
    export_request = ExportRequest(view.tables, file.format, file.language, file.table, about_rows + filters)
    export = await services.exports.start(exporter_of(principal), export_request, pages)
    try:
        suffix = file.format.value
        name = tables.file_name(view.tables.title(file.language), title, export.answer, suffix)
        headers = {
            "ETag": export.etag,
            "Cache-Control": "private, no-cache",
            "Vary": FILE_VARY,
            **more_headers,
        }
        if matches(request.headers.get("if-none-match"), export.etag):
            export.close()
            return Response(status_code=304, headers=headers)
        ascii_name = f"hannun-{view.name}.{suffix}"
        headers |= {
            # RFC 6266: `filename` for clients that do not know `filename*`
            "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name)}",
            "Content-Language": file.language,
            "X-Row-Count": str(export.rows),
        }
        if file.format.grows:
            await export.begun()  # what prevents the first byte is an error with a status
        else:
            headers["Content-Length"] = str(await export.completed())
        return Download(export, headers)
    except BaseException:
        export.close()
        raise


class Download(StreamingResponse):
    """The download of a file. It ends with its client, or after READ_S_MAX, and closes the export in every case."""

    def __init__(self, export: Export, headers: dict[str, str]) -> None:
        self._export = export
        self._chunks = export.chunks()
        super().__init__(self._chunks, headers=headers, media_type=export.request.format.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(READ_S_MAX), aclosing(self._chunks):
                await super().__call__(scope, receive, send)
        finally:
            self._export.close()  # also where no chunk was read
