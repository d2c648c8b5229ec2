"""Our errors as HTTP: RFC 9457 problem details with a stable `code`, in Korean or English."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hannun import errors
from hannun.web.language import language_of


@dataclass(frozen=True, slots=True)
class _Words:
    status: int
    code: str
    ko: str
    en: str


_WORDS: dict[type[BaseException], _Words] = {
    errors.Unauthenticated: _Words(401, "unauthenticated", "로그인이 필요합니다", "You need to sign in"),
    errors.Forbidden: _Words(403, "forbidden", "권한이 없습니다", "Your token lacks a role for this"),
    errors.NotFound: _Words(404, "not-found", "찾을 수 없습니다", "There is nothing here that you may see"),
    errors.BadQuestion: _Words(400, "bad-question", "요청을 이해할 수 없습니다", "This cannot be answered as asked"),
    errors.Busy: _Words(429, "too-many-requests", "요청이 너무 많습니다", "Too many requests"),
    errors.StoreUnavailable: _Words(
        503, "store-unavailable", "잠시 후 다시 시도해 주세요", "The database is away; try again in a moment"
    ),
    errors.IssuerUnavailable: _Words(
        503,
        "issuer-unavailable",
        "로그인을 확인할 수 없습니다. 잠시 후 다시 시도해 주세요",
        "Your token cannot be verified now; try again in a moment",
    ),
}
_UNKNOWN = _Words(500, "internal", "서버 오류가 발생했습니다", "Something went wrong on our side")
_NOT_FOUND = _Words(404, "no-such-path", "없는 주소입니다", "There is no such path")
_METHOD = _Words(405, "method-not-allowed", "허용되지 않는 방식입니다", "This path does not take that method")
STORE_RETRY_S = 1


def problem_of(error: BaseException, request: Request) -> Response:
    """The answer to an error. What was found goes into `detail`, except where it is nobody's business."""
    words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), _UNKNOWN)
    headers = {}
    detail: str | None = str(error)
    code, status = words.code, words.status
    field = None
    if isinstance(error, errors.BadQuestion):
        code, status, field = error.code, error.status, error.field
    elif isinstance(error, errors.Busy):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    elif isinstance(error, errors.IssuerUnavailable):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
        detail = None
    elif isinstance(error, errors.StoreUnavailable):
        headers["Retry-After"] = str(STORE_RETRY_S)
        detail = None
    elif isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    elif words is _UNKNOWN or isinstance(error, errors.NotFound):
        detail = None
    return _problem(request, status, code, words, detail, field, headers)


def problem_of_status(status: int, request: Request, headers: Mapping[str, str] | None = None) -> Response:
    """The answer where no road leads."""
    words = {404: _NOT_FOUND, 405: _METHOD}.get(status, _UNKNOWN)
    return _problem(request, status, words.code, words, None, None, dict(headers or {}))


def _problem(
    request: Request,
    status: int,
    code: str,
    words: _Words,
    detail: str | None,
    field: str | None,
    headers: dict[str, str],
) -> Response:
    language = language_of(request.headers.get("accept-language"))
    body: dict[str, object] = {
        "type": f"urn:hannun:problem:{code}",
        "title": words.ko if language == "ko" else words.en,
        "status": status,
        "code": code,
        "instance": request.url.path,
    }
    if detail:
        body["detail"] = detail
    if field:
        body["field"] = field
    return Response(
        msgspec.json.encode(body),
        status,
        {"Content-Language": language, "Vary": "Accept-Language", "Cache-Control": "no-store", **headers},
        "application/problem+json",
    )
