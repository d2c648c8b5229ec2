"""The documents of an event: the address of its dashboard with `?format=pdf` or `txt`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec
from fastapi import Depends, Query, Request, Response

from hannun.domain import tables
from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.questions import EventDashboardQuestion, InsightsQuestion, Question, TimelineQuestion
from hannun.domain.response_schemas import ApiStruct, Dashboard, EventInsights, EventTimeline
from hannun.domain.terms import word
from hannun.errors import BadRequest
from hannun.files.layout_version import layout_version
from hannun.flows.event_documents import Document
from hannun.flows.report.cached_reader import Source
from hannun.web.etags import matches
from hannun.web.exports import (
    FILE_VARY,
    FileRequest,
    Form,
    RequestedLanguage,
    RequestedTable,
    exporter_of,
    file_request,
)
from hannun.web.language import Language
from hannun.web.services import Services

A = TypeVar("A", bound=ApiStruct)
SAME_VERSION_TRIES = 3
"""How often the answers are read until they are of one version. While messages come, one may be newer than another."""


class DashboardForm(StrEnum):
    """The form of an event's dashboard: JSON, a file of its tables, or a document for people."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    PDF = "pdf"
    TXT = "txt"


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """The document that a request asks for."""

    document: Document
    language: Language


async def requested_form(
    language: RequestedLanguage,
    table: RequestedTable = None,
    form: Annotated[
        DashboardForm,
        Query(
            alias="format",
            description="the form of the answer: JSON, a file, a report of one page (pdf), or a text to send (txt)",
        ),
    ] = DashboardForm.JSON,
) -> FileRequest | DocumentRequest | None:
    """The file or the document that the request asks for; None for JSON.

    Raises:
        BadRequest: a document with a table.
    """
    if form not in (DashboardForm.PDF, DashboardForm.TXT):
        return file_request(Form(form.value), table, language)
    if table is not None:
        raise BadRequest("a document has no tables: leave out {field}", code="bad-parameter", field="table")
    return DocumentRequest(Document(form.value), language)


RequestedForm = Annotated[FileRequest | DocumentRequest | None, Depends(requested_form)]


async def answer_as_document(
    request: Request,
    services: Services,
    principal: Principal,
    wanted: DocumentRequest,
    question: EventDashboardQuestion,
    *,
    refresh: bool,
) -> Response:
    """The document of an event, as a question for its dashboard asks."""
    documents, is_pdf = services.documents, wanted.document is Document.PDF
    if is_pdf:
        documents.check(exporter_of(principal))
    answers, source = await _answers(services, principal, question, with_timeline=is_pdf, refresh=refresh)
    etag = _etag(answers, wanted)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": FILE_VARY, "X-Data-Source": source}
    if any(answer.stale for answer in answers):
        headers["X-Data-Stale"] = "true"
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    figures = _decode(answers[0], Dashboard)
    insights = _decode(answers[1], EventInsights)
    if is_pdf:
        points = _decode(answers[2], EventTimeline)
        body = await documents.pdf(exporter_of(principal), figures, points, insights, wanted.language)
    else:
        body = documents.text(figures, insights, wanted.language)
    kind = word("report" if is_pdf else "summary", wanted.language)
    name = tables.file_name(kind, figures.event_title, figures, wanted.document.value)
    ascii_name = f"hannun-{'report' if is_pdf else 'summary'}.{wanted.document.value}"
    headers |= {
        # RFC 6266: `filename` for clients that do not know `filename*`
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name)}",
        "Content-Language": wanted.language,
    }
    return Response(body, headers=headers, media_type=wanted.document.media_type)


async def _answers(
    services: Services, principal: Principal, question: EventDashboardQuestion, *, with_timeline: bool, refresh: bool
) -> tuple[list[EncodedAnswer], Source]:
    """Dashboard, insights and timeline, of one version if that can be had; and where the dashboard comes from."""
    reports, week_start = services.file_reports, services.week_start
    others: list[Question] = [InsightsQuestion(question.subject, question.range.tz, week_start)]
    if with_timeline:
        others.append(TimelineQuestion(question.subject, question.range, week_start=week_start))
    for _ in range(SAME_VERSION_TRIES):
        dashboard, source = await reports.answer(principal, question, refresh=refresh)
        answers = [dashboard, *[(await reports.answer(principal, other, refresh=refresh))[0] for other in others]]
        if len({answer.version for answer in answers}) == 1:
            break
    return answers, source


def _decode(answer: EncodedAnswer, schema: type[A]) -> A:
    return msgspec.json.decode(answer.body, type=schema)


def _etag(answers: list[EncodedAnswer], wanted: DocumentRequest) -> str:
    parts = [each.etag.strip('W/"') for each in answers]
    return f'"{"-".join([*parts, wanted.document.value, wanted.language, layout_version()])}"'
