"""The codes of the API with their names in Korean and English, for files that people read: the state `planned` is 계획.

The page names the same codes in `web/static/texts/`: a test compares both.
"""

from collections.abc import Mapping

from hannun.domain.terms import Language

Names = Mapping[str, tuple[str, str]]
"""(Korean, English) by code."""


class Code(str):
    """A code among texts, with its names. One without a code has only names: it stands for no value of the API."""

    names: tuple[str, str]

    def __new__(cls, code: str, names: tuple[str, str]) -> "Code":
        made = super().__new__(cls, code)
        made.names = names
        return made

    def name(self, language: Language) -> str:
        return self.names[0] if language == "ko" else self.names[1]


UNATTRIBUTED = Code("", ("채널 미확인", "Channel unknown"))
"""Stands for the channel in the row of the participants of no known channel."""

_KINDS: Names = {
    "measured": ("측정값", "measured"),
    "planned": ("계획값", "planned"),
    "estimated": ("추정값", "estimated"),
    "stale": ("지난 값", "stale"),
    "unknown": ("확인 안 됨", "unknown"),
}
_REASONS: Names = {
    "not-kept": ("보관되지 않음", "not kept"),
    "no-end": ("종료일이 정해지지 않음", "it has no planned end"),
    "over": ("이미 끝남", "it is over"),
    "nobody-came": ("참여자가 없음", "nobody came"),
    "too-early": ("판단하기 이름", "it is too early"),
    "nothing-recorded": ("기록된 매출이 없음", "no sale is recorded"),
    "nothing-invested": ("투자금이 없음", "nothing is invested"),
    "several-events": ("이벤트마다 끝나는 때가 다름", "the events end at different times"),
}
_NAMES: Mapping[str, Names] = {
    "status": {
        "ACTIVE": ("진행 중", "active"),
        "ENDED": ("종료", "ended"),
        "ARCHIVED": ("보관됨", "archived"),
    },
    "state": {
        "measured": ("측정됨", "measured"),
        "stale": ("멈춤", "stopped"),
        "planned": ("계획만", "planned only"),
        "failed": ("실패", "failed"),
        "unknown": ("확인 안 됨", "unknown"),
    },
    "channelType": {"TV": ("TV", "TV"), "SNS": ("SNS", "SNS"), "VOICE": ("전화(ARS)", "Voice")},
    "granularity": {
        "minute": ("1분", "minute"),
        "hourly": ("1시간", "hour"),
        "daily": ("하루", "day"),
        "weekly": ("한 주", "week"),
        "monthly": ("한 달", "month"),
    },
    "weekStart": {"monday": ("월요일", "Monday"), "sunday": ("일요일", "Sunday")},
    "trend.direction": {
        "up": ("증가", "up"),
        "down": ("감소", "down"),
        "flat": ("비슷함", "flat"),
        "early": ("판단하기 이름", "too early to say"),
    },
    "projection.method": {"mean-of-last-weeks": ("최근 몇 주의 하루 평균", "mean day of the last weeks")},
    "reason": _REASONS,
    "kind": _KINDS,
    "currentRoiKind": _KINDS,
    "totalViewsKind": _KINDS,
    "unit": {
        "text": ("글", "text"),
        "count": ("수", "count"),
        "percent": ("%", "%"),
        "KRW": ("원", "KRW"),
        "seconds": ("초", "seconds"),
        "number": ("숫자", "number"),
        "instant": ("시각", "instant"),
        "yes/no": ("예/아니요", "yes/no"),
        "counts": ("수 목록", "counts"),
        "people a bucket, for each bucket": ("구간마다 늘어나는 구간 참여자 수", "people a bucket, for each bucket"),
    },
    "sortOrder": {"asc": ("오름차순", "ascending"), "desc": ("내림차순", "descending")},
    "includeProjection": {"true": ("예", "yes"), "false": ("아니요", "no")},
}


def names_of(path: str) -> Names | None:
    """The names of the codes that a figure has, by the figure's path in an answer; None for one without codes."""
    if path.startswith("projection.reasons."):
        return _REASONS
    return _NAMES.get(path) or _NAMES.get(path.rpartition(".")[2])


def code(value: str, names: Names) -> Code:
    """A code as a cell. One without a name is named by itself."""
    return Code(value, names.get(value, (value, value)))
