"""Our errors as HTTP: RFC 9457 problem details with a stable `code`, in Korean or English."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hannun import errors
from hannun.web.korean import KOREAN
from hannun.web.language import Language, language_of


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means: its status, and its title in both languages."""

    status: int
    ko: str
    en: str


CODES: dict[str, Kind] = {
    "unauthenticated": Kind(401, "로그인이 필요합니다", "You need to sign in"),
    "forbidden": Kind(403, "권한이 없습니다", "Your token lacks a role for this"),
    "not-found": Kind(404, "찾을 수 없습니다", "There is nothing here that you may see"),
    "no-such-path": Kind(404, "없는 주소입니다", "There is no such path"),
    "method-not-allowed": Kind(405, "허용되지 않는 방식입니다", "This path does not take that method"),
    "unknown-parameter": Kind(400, "없는 매개변수입니다", "There is no such parameter"),
    "bad-parameter": Kind(400, "매개변수가 올바르지 않습니다", "A parameter is not what it should be"),
    "bad-date": Kind(400, "날짜가 올바르지 않습니다", "A date is not what it should be"),
    "no-offset": Kind(400, "시각에 오프셋이 없습니다", "An instant has no offset"),
    "unknown-zone": Kind(400, "없는 시간대입니다", "There is no such zone"),
    "empty-range": Kind(400, "기간이 비어 있습니다", "The range is empty"),
    "range-too-long": Kind(400, "기간이 너무 깁니다", "The range is too long"),
    "too-many-points": Kind(400, "데이터가 너무 많습니다", "These would be too many points"),
    "too-many": Kind(400, "항목이 너무 많습니다", "Too many are named"),
    "unknown-metric": Kind(400, "없는 지표입니다", "There is no such metric"),
    "unknown-table": Kind(400, "없는 표입니다", "This view has no such table"),
    "format-not-installed": Kind(501, "지원하지 않는 형식입니다", "This format is not installed here"),
    "bad-cursor": Kind(400, "커서가 올바르지 않습니다", "The cursor is not one of ours"),
    "bad-body": Kind(400, "본문을 읽을 수 없습니다", "The body cannot be read"),
    "bad-sign-in": Kind(400, "로그인 본문을 읽을 수 없습니다", "The sign-in cannot be read"),
    "not-json": Kind(400, "본문이 JSON이 아닙니다", "The body is not JSON"),
    "body-too-large": Kind(413, "본문이 너무 큽니다", "The body is too large"),
    "too-many-messages": Kind(413, "메시지가 너무 많습니다", "These are too many messages at once"),
    "too-many-shares": Kind(409, "공유 링크가 너무 많습니다", "There are too many links"),
    "too-many-requests": Kind(429, "요청이 너무 많습니다", "Too many requests"),
    "store-unavailable": Kind(503, "잠시 후 다시 시도해 주세요", "The database is away; try again in a moment"),
    "issuer-unavailable": Kind(
        503,
        "로그인을 확인할 수 없습니다. 잠시 후 다시 시도해 주세요",
        "Your token cannot be verified now; try again in a moment",
    ),
    "internal": Kind(500, "서버 오류가 발생했습니다", "Something went wrong on our side"),
}
"""Every code there is. `docs/api.md` and the OpenAPI document list them, and a test reaches each."""

_CODE_OF: dict[type[BaseException], str] = {
    errors.Unauthenticated: "unauthenticated",
    errors.Forbidden: "forbidden",
    errors.NotFound: "not-found",
    errors.Busy: "too-many-requests",
    errors.StoreUnavailable: "store-unavailable",
    errors.IssuerUnavailable: "issuer-unavailable",
}
_CODE_OF_STATUS = {404: "no-such-path", 405: "method-not-allowed"}
STORE_RETRY_S = 1

_INVALID = {
    "missing": "{field} is missing",
    "string_too_short": "{field}: at least {min_length} characters",
    "string_too_long": "{field}: at most {max_length} characters",
    "string_pattern_mismatch": "{field}: must have the form {pattern}",
    "enum": "{field}: must be {expected}",
    "bool_parsing": "{field}: must be true or false",
    "int_parsing": "{field}: must be a whole number",
    "int_parsing_size": "{field}: must be a whole number",
    "greater_than_equal": "{field}: at least {ge}",
    "less_than_equal": "{field}: at most {le}",
}


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457 problem details. `code` is stable and for programs; `title` and `detail` are for people, in the language
    of `Content-Language`. `field` is the parameter that is wrong."""

    type: str
    title: str
    status: int
    code: str
    instance: str
    detail: str | None = None
    field: str | None = None


def invalid(found: Mapping[str, Any]) -> errors.BadRequest:
    """What FastAPI has found wrong with a parameter, in words of ours."""
    name = str(found["loc"][-1])
    said = _INVALID.get(found["type"], "{field} cannot be read")
    facts = found.get("ctx", {}) if found["type"] in _INVALID else {}
    return errors.BadRequest(said, code="bad-parameter", field=in_camel_case(name), **facts)


def in_camel_case(name: str) -> str:
    """A parameter as the contract writes it: `event_id` is eventId."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def problem_of(error: BaseException, request: Request) -> Response:
    """The answer to an error. What was found goes into `detail`, except where it is nobody's business."""
    code = next((_CODE_OF[kind] for kind in type(error).__mro__ if kind in _CODE_OF), "internal")
    headers, field = {}, None
    if isinstance(error, errors.BadRequest):
        code, field = error.code, error.field
    elif isinstance(error, errors.Busy | errors.IssuerUnavailable):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    elif isinstance(error, errors.StoreUnavailable):
        headers["Retry-After"] = str(STORE_RETRY_S)
    elif isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return _problem(request, code, error if isinstance(error, errors.LocalizedError) else None, field, headers)


def problem_of_status(status: int, request: Request, headers: Mapping[str, str] | None = None) -> Response:
    """The answer where no road leads."""
    return _problem(request, _CODE_OF_STATUS.get(status, "internal"), None, None, dict(headers or {}))


def _problem(
    request: Request, code: str, told: errors.LocalizedError | None, field: str | None, headers: dict[str, str]
) -> Response:
    kind, language = CODES[code], language_of(request.headers.get("accept-language"))
    body = Problem(
        type=f"urn:hannun:problem:{code}",
        title=kind.ko if language == "ko" else kind.en,
        status=kind.status,
        code=code,
        instance=request.url.path,
        detail=None if told is None else _detail(told, language),
        field=field,
    )
    return Response(
        msgspec.json.encode(body),
        kind.status,
        {"Content-Language": language, "Vary": "Accept-Language", "Cache-Control": "no-store", **headers},
        "application/problem+json",
    )


def _detail(told: errors.LocalizedError, language: Language) -> str:
    if language == "en":
        return str(told)
    said = KOREAN.get(told.said, told.said)
    return said.format(**told.facts) if told.facts else said
