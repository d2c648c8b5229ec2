"""The documents: the page, with its first numbers where its reader is signed in, and the API documentation."""

import hashlib
from functools import partial
from html import escape
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from hannun.web.etags import matches
from hannun.web.first_answers import first_answers
from hannun.web.first_numbers import document_with_numbers
from hannun.web.language import Language, chosen_language, language_of
from hannun.web.request_limits import Served
from hannun.web.services import Services
from hannun.web.static_files import REVALIDATED, chosen_theme, static_files

_VARY = "Accept-Encoding, Cookie"
router = APIRouter(include_in_schema=False)
_KEPT_PARAMETERS: Final = ("lang", "tz")
"""The parameters of the page's addresses that stay the same in all views."""


@router.get("/")
@router.get("/events/{event_id}")
@router.get("/users/{user_id}")
async def page(request: Request, services: Served) -> Response:
    """The page. Its own code selects the view by the address."""
    answers = await first_answers(request, services)
    if answers is None:
        return await _page(request, services)
    language = chosen_language(request) or language_of(request.headers.get("accept-language"))
    document = static_files().page(chosen_theme(request), services.sign_in_url).body.decode()
    body = document_with_numbers(document, answers, language, partial(_address, request))
    headers = {
        "ETag": f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Cookie, Accept-Language",
        "Content-Language": language,
    }
    if matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="text/html")


@router.get("/ops")
async def operations(request: Request, services: Served) -> Response:
    """The page, for operators."""
    return await _page(request, services)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The API documentation, to read and to try."""
    file = static_files().document("docs.html", chosen_theme(request))
    return await file.response(request, REVALIDATED, vary=_VARY)


async def _page(request: Request, services: Services) -> Response:
    file = static_files().page(chosen_theme(request), services.sign_in_url)
    return await file.response(request, REVALIDATED, vary=_VARY)


def _address(request: Request, path: str, language: Language | None) -> str:
    """The address of a path of the page, for an attribute; an empty path is that of the request, with all its query."""
    query = {name: value for name, value in request.query_params.items() if not path or name in _KEPT_PARAMETERS} | (
        {} if language is None else {"lang": language}
    )
    return escape((path or request.url.path) + (f"?{urlencode(query)}" if query else ""))
