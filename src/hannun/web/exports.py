"""A view as a file: the same address with `?format=csv`, `xlsx` or `parquet`."""

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
from hannun.flows.export import Export, ExportRequest, only
from hannun.flows.report.cached_reader import Source
from hannun.flows.report.registry import AnyView, view_of
from hannun.web.language import language_of
from hannun.web.services import Services

READ_S_MAX = 900.0
"""How long somebody may take to read a file, which lies on our disk meanwhile."""
_NOT_ASKED = {"startDate", "endDate", "tz", "refresh", "format", "table", "lang"}


class Form(StrEnum):
    """What a view is answered as."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class FileRequest:
    """The file that is asked for."""

    format: Format
    table: str | None
    language: Language


async def file_of(
    request: Request,
    form: Annotated[Form, Query(alias="format", description="the answer as a file")] = Form.JSON,
    table: Annotated[
        Literal["figures", "channels", "points", "events"] | None,
        Query(description="of a CSV or Parquet file: which of the view's tables"),
    ] = None,
    lang: Annotated[Literal["ko", "en"] | None, Query(description="of a file; without it by Accept-Language")] = None,
) -> FileRequest | None:
    """The file that is asked for; None where JSON is."""
    if form is Form.JSON:
        return None
    return FileRequest(Format(form.value), table, lang or language_of(request.headers.get("accept-language")))


RequestedFile = Annotated[FileRequest | None, Depends(file_of)]


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
    return await _file(request, services, principal, file, view, only(answer), title, rows, headers)


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
    asked: FileRequest,
    view: AnyView,
    pages: AsyncGenerator[EncodedAnswer],
    title: str,
    named: tuple[tuple[str, str], ...],
    more_headers: dict[str, str],
) -> Response:
    conditions = tuple((name, value) for name, value in request.query_params.multi_items() if name not in _NOT_ASKED)
    wanted = ExportRequest(view.tables, asked.format, asked.language, asked.table, named + conditions)
    export = await services.exports.begin((principal.user_id, principal.only_event), wanted, pages)
    try:
        suffix = asked.format.value
        name = tables.file_name(view.tables, title, export.answer, suffix, asked.language)
        headers = {
            "ETag": export.etag,
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, Cookie, Accept-Encoding, Accept-Language",
            **more_headers,
        }
        if _same(request.headers.get("if-none-match"), export.etag):
            export.leave()
            return Response(status_code=304, headers=headers)
        ascii_name = f"hannun-{view.name}.{suffix}"
        headers |= {
            # RFC 6266: `filename` for clients that do not know `filename*`
            "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name)}",
            "Content-Language": asked.language,
            "X-Row-Count": str(export.rows),
        }
        if not asked.format.grows:
            headers["Content-Length"] = str(await export.completed())
        return Download(export, headers)
    except BaseException:
        export.leave()
        raise


def _same(if_none_match: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags


class Download(StreamingResponse):
    """A file on its way. Whoever leaves before its end, or takes too long, leaves nothing behind."""

    def __init__(self, export: Export, headers: dict[str, str]) -> None:
        self._export = export
        self._chunks = export.chunks()
        super().__init__(self._chunks, headers=headers, media_type=export.wanted.format.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(READ_S_MAX), aclosing(self._chunks):
                await super().__call__(scope, receive, send)
        finally:
            self._export.leave()  # also where no chunk was asked for
