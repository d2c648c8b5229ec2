"""A view as a file: the same address with `?format=csv`, `xlsx` or `parquet`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from fastapi import Depends, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from hannun.domain import tables, terms
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.tables import View
from hannun.domain.terms import Language
from hannun.errors import BadRequest
from hannun.files import Format
from hannun.flows.export import Export, ExportRequest, only
from hannun.flows.report import Source
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
class Asked:
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
) -> Asked | None:
    """The file that is asked for; None where JSON is."""
    if form is Form.JSON:
        return None
    return Asked(Format(form.value), table, lang or language_of(request.headers.get("accept-language")))


AskedFile = Annotated[Asked | None, Depends(file_of)]


class _Titled(msgspec.Struct, rename="camel"):
    event_title: str


async def answered_as_file(
    request: Request,
    services: Services,
    asker: Principal,
    asked: Asked,
    view: View,
    answer: EncodedAnswer,
    source: Source,
) -> Response:
    """A view's answer as a file."""
    named: tuple[tuple[str, str], ...] = ()
    if view.of_merchant:
        title = ""
    else:
        titled = answer
        if view in (View.CHANNELS, View.TIMELINE):  # which do not tell it
            titled, _ = await services.reports.dashboard(asker, request.path_params["event_id"])
        title = msgspec.json.decode(titled.body, type=_Titled).event_title
        named = ((terms.term("eventTitle").name(asked.language), title),) if titled is not answer else ()
    headers = {"X-Data-Source": source, **({"X-Data-Stale": "true"} if answer.stale else {})}
    return await _file(request, services, asker, asked, view, only(answer), title, named, headers)


async def pages_as_file(
    request: Request, services: Services, asker: Principal, asked: Asked, pages: AsyncGenerator[EncodedAnswer]
) -> Response:
    """All of a merchant's events as a file, however many pages they are.

    Raises:
        BadQuestion: a page was asked for.
    """
    for name in ("cursor", "limit"):
        if name in request.query_params:
            raise BadRequest("a file holds all events: leave {field} out", code="bad-parameter", field=name)
    return await _file(request, services, asker, asked, View.ALL_DASHBOARD, pages, "", (), {"X-Data-Source": "live"})


async def _file(
    request: Request,
    services: Services,
    asker: Principal,
    asked: Asked,
    view: View,
    pages: AsyncGenerator[EncodedAnswer],
    title: str,
    named: tuple[tuple[str, str], ...],
    more_headers: dict[str, str],
) -> Response:
    conditions = tuple((name, value) for name, value in request.query_params.multi_items() if name not in _NOT_ASKED)
    wanted = ExportRequest(view, asked.format, asked.language, asked.table, named + conditions)
    export = await services.exports.begin((asker.user_id, asker.only_event), wanted, pages)
    try:
        suffix = asked.format.value
        name = tables.file_name(view, title, export.answer, suffix, asked.language)
        headers = {
            "ETag": export.etag,
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, Cookie, Accept-Encoding, Accept-Language",
            **more_headers,
        }
        if _same(request.headers.get("if-none-match"), export.etag):
            export.leave()
            return Response(status_code=304, headers=headers)
        headers |= {
            # RFC 6266: the first for who knows no better, the second for everybody
            "Content-Disposition": f"attachment; filename=\"hannun-{view}.{suffix}\"; filename*=UTF-8''{quote(name)}",
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
