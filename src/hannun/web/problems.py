"""Errors as HTTP responses: RFC 9457 problem details with a stable `code`, in Korean or English."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hannun import errors
from hannun.web.body_encodings import ACCEPTED
from hannun.web.korean import KOREAN
from hannun.web.language import Language, language_of
from hannun.web.problem_codes import CODES

_CODE_OF: dict[type[BaseException], str] = {
    errors.Unauthenticated: "unauthenticated",
    errors.Forbidden: "forbidden",
    errors.NotFound: "not-found",
    errors.Busy: "too-many-requests",
    errors.TooManyConnections: "too-many-connections",
    errors.NoRoomForFile: "no-room-for-file",
    errors.StoreUnavailable: "store-unavailable",
    errors.IssuerUnavailable: "issuer-unavailable",
    errors.KeysMissing: "keys-missing",
}
_CODE_OF_STATUS = {404: "no-such-path", 405: "method-not-allowed"}
_VARY = "Accept, Accept-Language, Cookie"
"""A client that prefers HTML gets a page instead, in the theme of its cookie."""
STORE_RETRY_S = 1
KEYS_RETRY_S = 30

PARAMETER_MESSAGES = {
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
"""Message templates by pydantic's error type."""
OTHER_PARAMETER_MESSAGE = "{field} cannot be read"


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


def bad_parameter(error: Mapping[str, Any]) -> errors.BadRequest:
    """FastAPI's validation error of a parameter, with a message that can be translated."""
    name = str(error["loc"][-1])
    template = PARAMETER_MESSAGES.get(error["type"], OTHER_PARAMETER_MESSAGE)
    values = error.get("ctx", {}) if error["type"] in PARAMETER_MESSAGES else {}
    return errors.BadRequest(template, code="bad-parameter", field=in_camel_case(name), **values)


def in_camel_case(name: str) -> str:
    """A name as the API spells it: `event_id` is `eventId`."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


@dataclass(frozen=True, slots=True)
class DescribedProblem:
    """Problem details, and the headers that belong to them."""

    problem: Problem
    language: Language
    headers: Mapping[str, str]

    def response(self) -> Response:
        """The response for programs."""
        return Response(
            msgspec.json.encode(self.problem), self.problem.status, self.headers, media_type="application/problem+json"
        )


def problem_of(error: BaseException, request: Request) -> Response:
    """The response to an error. Only a `LocalizedError` gets a `detail`; other messages are not for callers."""
    return described(error, request, _language_of(request)).response()


def described(error: BaseException, request: Request, language: Language) -> DescribedProblem:
    """An error as problem details in a language."""
    code = next((_CODE_OF[kind] for kind in type(error).__mro__ if kind in _CODE_OF), "internal")
    headers, field = {}, None
    if isinstance(error, errors.BadRequest):
        code, field = error.code, error.field
        if code == "unsupported-encoding":
            headers["Accept-Encoding"] = ACCEPTED
    elif isinstance(error, errors.Busy | errors.IssuerUnavailable):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    elif isinstance(error, errors.StoreUnavailable):
        headers["Retry-After"] = str(STORE_RETRY_S)
    elif isinstance(error, errors.KeysMissing):
        headers["Retry-After"] = str(KEYS_RETRY_S)
    elif isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    detail = _detail(error, language) if isinstance(error, errors.LocalizedError) else None
    return _described(request, code, language, headers, detail, field)


def problem_of_status(status: int, request: Request, headers: Mapping[str, str] | None = None) -> Response:
    """The response where no route matches."""
    return described_status(status, request, _language_of(request), headers).response()


def described_status(
    status: int, request: Request, language: Language, headers: Mapping[str, str] | None = None
) -> DescribedProblem:
    """The status of a request that no route takes, as problem details in a language."""
    return _described(request, _CODE_OF_STATUS.get(status, "internal"), language, headers or {})


def _language_of(request: Request) -> Language:
    return language_of(request.headers.get("accept-language"))


def _described(
    request: Request,
    code: str,
    language: Language,
    headers: Mapping[str, str],
    detail: str | None = None,
    field: str | None = None,
) -> DescribedProblem:
    kind = CODES[code]
    problem = Problem(
        type=f"urn:hannun:problem:{code}",
        title=kind.ko if language == "ko" else kind.en,
        status=kind.status,
        code=code,
        instance=request.url.path,
        detail=detail,
        field=field,
    )
    common = {"Content-Language": language, "Vary": _VARY, "Cache-Control": "no-store"}
    return DescribedProblem(problem, language, common | dict(headers))


def _detail(error: errors.LocalizedError, language: Language) -> str:
    if language == "en":
        return str(error)
    template = KOREAN.get(error.template, error.template)
    return template.format(**error.values) if error.values else template
