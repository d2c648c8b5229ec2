"""The names of figures in Korean and English, with unit and meaning, for exported files.

A figure is looked up by its path in an answer, or by the last parts of it: `summary.totalViews` has the term of
`totalViews`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

Language = Literal["ko", "en"]


class Bilingual(msgspec.Struct, frozen=True):
    """A text in Korean and in English."""

    ko: str
    en: str

    def text(self, language: Language) -> str:
        return self.ko if language == "ko" else self.en


class Unit(StrEnum):
    """The unit, or the kind of value, of a cell."""

    TEXT = "text"
    COUNT = "count"
    PERCENT = "percent"
    WON = "KRW"
    SECONDS = "seconds"
    NUMBER = "number"
    INSTANT = "instant"
    YES_NO = "yes/no"
    COUNTS = "counts"

    @property
    def is_number(self) -> bool:
        return self in (Unit.COUNT, Unit.PERCENT, Unit.WON, Unit.SECONDS, Unit.NUMBER)


@dataclass(frozen=True, slots=True)
class Term:
    """A figure's unit, its name in both languages, and its meaning where the name does not give it."""

    unit: Unit
    ko: str
    en: str
    meaning_ko: str = ""
    meaning_en: str = ""

    def name(self, language: Language) -> str:
        return self.ko if language == "ko" else self.en

    def meaning(self, language: Language) -> str:
        return self.meaning_ko if language == "ko" else self.meaning_en


_UNITS_SHOWN = {
    Unit.PERCENT: ("%", "%"),
    Unit.WON: ("원", "KRW"),
    Unit.SECONDS: ("초", "s"),
}


def heading(term: Term, language: Language, tz: str) -> str:
    """A column's title with its unit, or with the zone of its instants."""
    name = term.name(language)
    if term.unit is Unit.INSTANT:
        return f"{name} ({tz})"
    shown = _UNITS_SHOWN.get(term.unit)
    return name if shown is None else f"{name} ({shown[0] if language == 'ko' else shown[1]})"


_T, _C, _P, _W, _I = Unit.TEXT, Unit.COUNT, Unit.PERCENT, Unit.WON, Unit.INSTANT

TERMS: dict[str, Term] = {
    # what it is about
    "eventId": Term(_T, "이벤트 ID", "Event ID"),
    "eventTitle": Term(_T, "이벤트명", "Event"),
    "userId": Term(_T, "판매자 ID", "Merchant ID"),
    "totalEvents": Term(_C, "이벤트 수", "Events"),
    "status": Term(_T, "상태", "Status"),
    "startDate": Term(_I, "시작", "Start"),
    "endDate": Term(_I, "끝", "End"),
    "tz": Term(_T, "시간대", "Time zone"),
    "granularity": Term(_T, "집계 단위", "Granularity"),
    "weekStart": Term(_T, "한 주의 첫날", "First day of the week"),
    "lastUpdatedAt": Term(_I, "마지막 변경", "Last change"),
    # channels
    "channelName": Term(_T, "채널", "Channel"),
    "channelType": Term(_T, "채널 유형", "Channel type"),
    "state": Term(
        _T,
        "상태",
        "State",
        "측정값의 상태: 측정됨, 멈춤(지난 값), 계획만(배포됨, 측정 전), 실패(배포 실패), 확인 안 됨",
        "what the measured counts are: measured, stopped (stale), planned only (distributed, not measured yet), "
        "failed (its distribution failed), unknown",
    ),
    "measuredAt": Term(_I, "측정 시각", "Measured at"),
    "staleSince": Term(
        _I,
        "오래된 값이 된 시각",
        "Stale since",
        "이 시각부터 새 측정값이 없습니다. 비어 있으면 오래된 값이 아닙니다.",
        "since then a newer measurement is missing; empty where the counts are not stale",
    ),
    # counts
    "totalParticipants": Term(
        _C,
        "참여자",
        "Participants",
        "이벤트마다 한 사람을 한 번만 셉니다. 채널별 참여자와 채널 미확인을 더하면 전체입니다.",
        "each person once an event; channels and those of no known channel add up to it",
    ),
    "unattributedParticipants": Term(_C, "채널 미확인 참여자", "Participants by an unknown channel"),
    "participants": Term(_C, "참여자", "Participants"),
    "cumulativeParticipants": Term(
        _C,
        "누적 참여자",
        "Cumulative participants",
        "이벤트 시작부터 구간의 끝(조회 기간이 먼저 끝나면 그때)까지의 모든 참여자",
        "everybody since the event began, until the end of the bucket or of the range",
    ),
    "totalViews": Term(_C, "조회수", "Views"),
    "views": Term(_C, "조회수", "Views"),
    "expectedViews": Term(_C, "계획한 조회수", "Planned views", "배포 계획의 값", "of the distribution's plan"),
    "totalReach": Term(_C, "노출수", "Impressions"),
    "impressions": Term(_C, "노출수", "Impressions"),
    "totalClicks": Term(_C, "클릭수", "Clicks"),
    "clicks": Term(_C, "클릭수", "Clicks"),
    "totalConversions": Term(_C, "전환", "Conversions"),
    "conversions": Term(_C, "전환", "Conversions"),
    "engagement": Term(_C, "반응수", "Engagement", "좋아요 + 댓글 + 공유 + 클릭", "likes + comments + shares + clicks"),
    "socialInteractions": Term(_C, "좋아요, 댓글, 공유", "Likes, comments, shares"),
    "likes": Term(_C, "좋아요", "Likes"),
    "comments": Term(_C, "댓글", "Comments"),
    "shares": Term(_C, "공유", "Shares"),
    "totalCalls": Term(_C, "전체 통화", "Calls"),
    "completedCalls": Term(_C, "완료 통화", "Completed calls"),
    "averageDuration": Term(Unit.SECONDS, "평균 통화 시간", "Mean call length"),
    # rates
    "clickThroughRate": Term(_P, "클릭률", "Click-through rate", "클릭 ÷ 노출", "clicks / impressions"),
    "engagementRate": Term(_P, "반응률", "Engagement rate", "반응 ÷ 노출", "engagement / impressions"),
    "participationRate": Term(_P, "참여율", "Participation rate", "참여자 ÷ 조회수", "participants / views"),
    "conversionRate": Term(
        _P,
        "전환율",
        "Conversion rate",
        "전환 ÷ 클릭 (TV, SNS). 전화(ARS) 채널은 완료 통화 ÷ 전체 통화",
        "conversions / clicks (TV, SNS); of a VOICE channel completed calls / calls",
    ),
    # money
    "distributionCost": Term(_W, "비용", "Cost"),
    "costPerParticipant": Term(
        _W,
        "참여자당 비용",
        "Cost per participant",
        "비용 ÷ 참여자 (금액의 기간 기준)",
        "cost / participants, of the period of money",
    ),
    "costPerView": Term(
        _W, "조회당 비용", "Cost per view", "비용 ÷ 조회수 (금액의 기간 기준)", "cost / views, of the period of money"
    ),
    "costPerConversion": Term(
        _W,
        "전환당 비용",
        "Cost per conversion",
        "비용 ÷ 전환 (금액의 기간 기준)",
        "cost / conversions, of the period of money",
    ),
    "currentRoi": Term(
        _P,
        "현재 ROI",
        "Current ROI",
        "(매출 − 투자금) ÷ 투자금. 손실은 음수, 투자금이 없으면 빈칸",
        "(revenue - investment) / investment; a loss is negative, nothing invested is empty",
    ),
    "totalViewsKind": Term(
        _T,
        "조회수의 종류",
        "Kind of the views",
        "채널이 측정하지 않았으면 알 수 없음",
        "unknown where no channel has measured them",
    ),
    "currentRoiKind": Term(
        _T,
        "현재 ROI의 종류",
        "Kind of the current ROI",
        "기록된 매출이 없으면 예상 매출로 계산한 추정값",
        "estimated where no sale is recorded: it is then that of the expected revenue",
    ),
    "targetRoi": Term(_P, "목표 ROI", "Target ROI"),
    "estimatedRoi": Term(
        _P, "예상 ROI", "Expected ROI", "예상 매출로 계산한 ROI", "the ROI that the expected revenue would give"
    ),
    "salesGrowthRate": Term(
        _P, "매출 성장률", "Sales growth", "기준 매출 대비 기록된 매출", "recorded sales against the baseline"
    ),
    "investment.total": Term(
        _W, "투자금", "Investment", "계획한 투자금 + 채널 비용", "planned investment + channel costs"
    ),
    "investment.planned": Term(_W, "계획한 투자금", "Planned investment"),
    "investment.channels": Term(_W, "채널 비용", "Channel costs"),
    "revenue.total": Term(
        _W, "매출", "Revenue", "기록된 매출, 없으면 예상 매출", "recorded sales, else what is expected"
    ),
    "revenue.recorded": Term(_W, "기록된 매출", "Recorded revenue"),
    "recordedRevenue": Term(
        _W, "기록된 매출", "Recorded revenue", "기록된 판매가 없으면 빈칸", "empty while no sale is recorded"
    ),
    "investment": Term(_W, "투자금", "Investment", "계획한 투자금 + 채널 비용", "planned investment + channel costs"),
    "participantsToday": Term(_C, "오늘 참여자", "Participants today"),
    "participantsYesterday": Term(
        _C,
        "어제 같은 시각까지 참여자",
        "Participants yesterday, up to the same time of day",
    ),
    "revenue.expected": Term(_W, "예상 매출", "Expected revenue"),
    "revenue.assumedShare": Term(
        _P,
        "매출 중 예상 비중",
        "Share that is expected",
        "매출 가운데 예상인 몫",
        "how much of the revenue is expected",
    ),
    "breakEvenParticipants": Term(_C, "손익분기 참여자", "Break-even participants"),
    # the period before
    "previous.period.startDate": Term(_I, "이전 기간 시작", "Period before: start"),
    "previous.period.endDate": Term(_I, "이전 기간 끝", "Period before: end"),
    "previous.period.tz": Term(_T, "이전 기간 시간대", "Period before: time zone"),
    "previous.partial": Term(
        Unit.YES_NO,
        "이전 기간 일부만 비교",
        "Period before: only a part",
        "조회 기간이 끝나지 않아, 이전 기간도 같은 시점까지만 셈",
        "the period is not over, so of the one before only as much as has elapsed is counted",
    ),
    "previous.totalParticipants": Term(_C, "이전 기간 참여자", "Participants in the period before"),
    "previous.totalViews": Term(_C, "이전 기간 조회수", "Views in the period before"),
    "previous.totalConversions": Term(_C, "이전 기간 전환", "Conversions in the period before"),
    "delta.totalParticipants": Term(
        _P, "참여자 증감", "Change of participants", "이전 기간이 0이면 빈칸 (신규)", "empty where the base is 0 (new)"
    ),
    "delta.totalViews": Term(_P, "조회수 증감", "Change of views"),
    "delta.totalConversions": Term(_P, "전환 증감", "Change of conversions"),
    # over time
    "timestamp": Term(_I, "구간 시작", "Bucket start"),
    "complete": Term(
        Unit.YES_NO,
        "완결",
        "Complete",
        "구간 전체가 과거이고 조회 기간 안에 있음",
        "the bucket lies wholly in the past and in the range",
    ),
    "reason": Term(
        _T,
        "빈칸인 이유",
        "Why it is empty",
        "이 구간의 분 단위 기록은 보관 기간이 지나 남아 있지 않음 (0이 아님)",
        "the minutes of this bucket are not kept any more (which is not 0)",
    ),
    "period.notKept": Term(
        _T,
        "보관되지 않은 기간",
        "Period that is not kept",
        "이 기간의 분 단위 기록은 남아 있지 않습니다. 전체 합계에는 들어 있습니다.",
        "minutes of this period are not kept any more; totals count them",
    ),
    "trend.direction": Term(
        _T, "추세", "Trend", "증가, 감소, 비슷함, 판단하기 이름", "up, down, flat, or too early to say"
    ),
    "trend.slope": Term(
        Unit.NUMBER,
        "추세 기울기",
        "Slope",
        "구간마다 늘어나는 구간 참여자 수",
        "participants a bucket, for each bucket",
    ),
    "trend.slopeError": Term(Unit.NUMBER, "기울기 표준오차", "Slope's standard error"),
    "trend.peakHours": Term(Unit.COUNTS, "참여가 많은 시간 (0~23시)", "Peak hours (0 to 23)"),
    "trend.peakWeekdays": Term(Unit.COUNTS, "참여가 많은 요일 (1 월요일 ~ 7 일요일)", "Peak weekdays (1 Monday to 7)"),
    "totals.participants": Term(_C, "기간 참여자 합계", "Participants in the period"),
    "totals.views": Term(_C, "기간 조회수 합계", "Views in the period"),
    "totals.engagement": Term(_C, "기간 반응수 합계", "Engagement in the period"),
    "totals.conversions": Term(_C, "기간 전환 합계", "Conversions in the period"),
    "sparkline": Term(
        Unit.COUNTS,
        "최근 24시간 참여자 (시간별, 오래된 순)",
        "Participants of the last 24 hours, oldest first",
    ),
    # a projection
    "projection": Term(_T, "전망", "Projection"),
    "projection.method": Term(_T, "전망 방법", "Projection's method"),
    "projection.level": Term(_P, "전망 신뢰 수준", "Projection's level"),
    "projection.days": Term(_C, "전망에 쓴 날수", "Days that the projection is made of"),
    "projection.projectedTo": Term(_I, "전망 시점", "Projected to"),
    # the columns of a list of figures
    "figure": Term(_T, "항목", "Figure"),
    "name": Term(_T, "이름", "Name"),
    "value": Term(Unit.NUMBER, "값", "Value"),
    "text": Term(_T, "내용", "Text"),
    "unit": Term(_T, "단위", "Unit"),
    "kind": Term(
        _T,
        "값의 종류",
        "Kind",
        "측정값, 계획값, 추정값, 지난 값, 확인 안 됨(0이 아님)",
        "measured, planned, estimated, stale, or unknown (which is not 0)",
    ),
    "asOf": Term(_I, "기준 시각", "As of"),
}
for _name, _ko, _en, _unit in (
    ("participants", "참여자", "participants", _C),
    ("revenue", "매출", "revenue", _W),
    ("roi", "ROI", "ROI", _P),
):
    TERMS[f"projection.{_name}"] = Term(_unit, f"전망 {_ko}", f"Projected {_en}")
    TERMS[f"projection.reasons.{_name}"] = Term(_T, f"전망 {_ko}: 없는 이유", f"Projected {_en}: why there is none")
    for _part, _part_ko, _part_en in (("value", "", ""), ("low", " 하한", ", low"), ("high", " 상한", ", high")):
        TERMS[f"projection.{_name}.{_part}"] = Term(_unit, f"전망 {_ko}{_part_ko}", f"Projected {_en}{_part_en}")
for _of, _of_ko, _of_en in (
    ("period", "조회 기간", "Period"),
    ("moneyPeriod", "금액 기간", "Period of money"),
    ("today", "오늘", "Today"),
    ("yesterday", "어제 같은 시각까지", "Yesterday, up to the same time"),
):
    for _part, _part_ko, _part_en, _unit in (
        ("startDate", "시작", "start", _I),
        ("endDate", "끝", "end", _I),
        ("tz", "시간대", "time zone", _T),
    ):
        TERMS[f"{_of}.{_part}"] = Term(_unit, f"{_of_ko} {_part_ko}", f"{_of_en}: {_part_en}")


def term(path: str) -> Term:
    """The term of a figure by its path in an answer: of the whole path, or of its last parts. A figure without a term
    gets its path as name."""
    parts = path.split(".")
    for start in range(len(parts)):
        found = TERMS.get(".".join(parts[start:]))
        if found is not None:
            return found
    return Term(_T, path, path)


WORDS: dict[str, tuple[str, str]] = {
    # sheets
    "figures": ("지표", "Figures"),
    "channels": ("채널", "Channels"),
    "points": ("타임라인", "Timeline"),
    "events": ("이벤트", "Events"),
    "about": ("설명", "About"),
    # documents
    "report": ("보고서", "Report"),
    "summary": ("요약", "Summary"),
    # views
    "dashboard": ("대시보드", "Dashboard"),
    "timeline": ("타임라인", "Timeline"),
    "roi": ("ROI", "ROI"),
    "all": ("전체 이벤트", "All events"),
    # the sheet that explains
    "offset": ("UTC 차이", "UTC offset"),
    "view": ("보기", "View"),
    "asked": ("조회한 내용", "What was asked"),
    "everything": ("지금까지 전체", "everything so far"),
    "to": ("~", "to"),
    "now": ("현재", "now"),
    "period": ("기간", "Period"),
    "moneyPeriod": ("금액의 기간", "Period of money"),
    "notKept": ("보관되지 않은 기간", "Not kept"),
    "notKeptNote": (
        "이 기간의 분 단위 기록은 남아 있지 않아 빈칸입니다(0이 아님). 전체 합계에는 들어 있습니다.",
        "Minutes of this period are not kept any more: cells are empty, which is not 0. Totals count them.",
    ),
    "moneyNote": (
        "비용, 매출, ROI는 조회 기간과 관계없이 이 기간의 값입니다.",
        "Costs, revenue and ROI are of this period, whatever was asked for.",
    ),
    "tz": ("시간대", "Time zone"),
    "asOf": ("기준 시각 (이때까지의 변경 반영)", "As of (the newest change in it)"),
    "nothing": ("아직 없음", "nothing yet"),
    "empty": ("빈칸", "An empty cell"),
    "emptyNote": (
        "값이 없거나 계산할 수 없음. 0이 아닙니다.",
        "There is no value, or nothing to divide by. It is not 0.",
    ),
    "columns": ("열과 항목", "Columns and figures"),
    "unit": ("단위", "Unit"),
    "meaning": ("뜻", "Meaning"),
    "kinds": ("값의 종류", "What figures are"),
    "kind": ("종류", "Kind"),
    # parameters of a question
    "metrics": ("지표 선택", "Metrics"),
    "q": ("이벤트명에 든 글", "Text in the title"),
    "sortBy": ("정렬 기준", "Sorted by"),
    "sortOrder": ("정렬 순서", "Order"),
    "includeProjection": ("전망 포함", "With projection"),
    "yes": ("예", "yes"),
    "no": ("아니요", "no"),
    "rows": ("행 수", "Rows"),
}


def word(name: str, language: Language) -> str:
    return WORDS[name][0 if language == "ko" else 1]
