"""The codes of problem details: stable names for programs, with status and title."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """The HTTP status of a code, and its title in both languages."""

    status: int
    ko: str
    en: str


CODES: dict[str, ProblemKind] = {
    "unauthenticated": ProblemKind(401, "로그인이 필요합니다", "You need to sign in"),
    "forbidden": ProblemKind(403, "권한이 없습니다", "Your token lacks a role for this"),
    "not-found": ProblemKind(404, "찾을 수 없습니다", "There is nothing here that you may see"),
    "no-such-path": ProblemKind(404, "없는 주소입니다", "There is no such path"),
    "method-not-allowed": ProblemKind(405, "허용되지 않는 방식입니다", "This path does not take that method"),
    "malformed-request": ProblemKind(400, "올바른 HTTP 요청이 아닙니다", "This is not a valid HTTP request"),
    "head-too-large": ProblemKind(431, "요청 헤더가 너무 큽니다", "The request line and headers are too large"),
    "request-too-slow": ProblemKind(408, "요청이 제시간에 도착하지 않았습니다", "The request did not arrive in time"),
    "unknown-parameter": ProblemKind(400, "없는 매개변수입니다", "There is no such parameter"),
    "bad-parameter": ProblemKind(400, "매개변수가 올바르지 않습니다", "A parameter is invalid"),
    "bad-date": ProblemKind(400, "날짜가 올바르지 않습니다", "A date is invalid"),
    "no-offset": ProblemKind(400, "시각에 오프셋이 없습니다", "An instant has no UTC offset"),
    "unknown-zone": ProblemKind(400, "없는 시간대입니다", "There is no such time zone"),
    "empty-range": ProblemKind(400, "기간이 비어 있습니다", "The range is empty"),
    "range-too-long": ProblemKind(400, "기간이 너무 깁니다", "The range is too long"),
    "too-many-points": ProblemKind(400, "데이터가 너무 많습니다", "The answer would have too many points"),
    "too-many": ProblemKind(400, "항목이 너무 많습니다", "Too many values are named"),
    "unknown-metric": ProblemKind(400, "없는 지표입니다", "There is no such metric"),
    "unknown-channel": ProblemKind(400, "없는 채널입니다", "There is no such channel"),
    "unknown-merchant": ProblemKind(400, "없는 판매자입니다", "There is no such merchant"),
    "unknown-table": ProblemKind(400, "없는 표입니다", "This view has no such table"),
    "format-not-installed": ProblemKind(501, "지원하지 않는 형식입니다", "This format is not installed here"),
    "bad-cursor": ProblemKind(400, "커서가 올바르지 않습니다", "The cursor is invalid"),
    "bad-body": ProblemKind(400, "본문을 읽을 수 없습니다", "The body cannot be read"),
    "bad-totals": ProblemKind(400, "숫자를 저장할 수 없습니다", "These totals cannot be taken"),
    "outside-of-time": ProblemKind(
        409, "지금 저장할 수 있는 시각이 아닙니다", "Totals of this moment are not taken now"
    ),
    "channel-is-polled": ProblemKind(409, "API로 측정되는 채널입니다", "This channel is measured through its API"),
    "bad-sign-in": ProblemKind(400, "로그인 본문을 읽을 수 없습니다", "The sign-in cannot be read"),
    "not-json": ProblemKind(400, "본문이 JSON이 아닙니다", "The body is not JSON"),
    "body-too-large": ProblemKind(413, "본문이 너무 큽니다", "The body is too large"),
    "unsupported-media-type": ProblemKind(
        415, "지원하지 않는 본문 형식입니다", "The body has a type that is not taken here"
    ),
    "unsupported-encoding": ProblemKind(
        415, "지원하지 않는 압축 방식입니다", "The body has an encoding that is not taken here"
    ),
    "bad-encoding": ProblemKind(400, "본문의 압축을 풀 수 없습니다", "The body cannot be unpacked"),
    "too-many-messages": ProblemKind(413, "메시지가 너무 많습니다", "These are too many messages at once"),
    "too-many-shares": ProblemKind(409, "공유 링크가 너무 많습니다", "There are too many links"),
    "too-many-requests": ProblemKind(429, "요청이 너무 많습니다", "Too many requests"),
    "too-many-connections": ProblemKind(503, "연결이 너무 많습니다", "Too many connections are open"),
    "store-unavailable": ProblemKind(
        503, "잠시 후 다시 시도해 주세요", "The database is unavailable; try again in a moment"
    ),
    "no-room-for-file": ProblemKind(
        503,
        "파일을 만들 공간이 없습니다. 나중에 다시 시도해 주세요",
        "The server has no room for a file; try again later",
    ),
    "issuer-unavailable": ProblemKind(
        503,
        "로그인을 확인할 수 없습니다. 잠시 후 다시 시도해 주세요",
        "Your token cannot be verified now; try again in a moment",
    ),
    "keys-missing": ProblemKind(
        503,
        "서버에 암호화 키가 없어 처리할 수 없습니다. 나중에 다시 시도해 주세요",
        "The server lacks a key of its encrypted data; try again later",
    ),
    "internal": ProblemKind(500, "서버 오류가 발생했습니다", "Something went wrong on our side"),
}
"""Every problem code. `docs/api.md` and the OpenAPI document list them, and each has a test that causes it."""
