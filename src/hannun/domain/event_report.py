"""The content of an event's report: what stands on its page, as texts of one language and the numbers of its drawings.

    dashboard, timeline, insights ─► content ─► `files.pdf_file`

It is made of answers and nothing else: no clock, no setting, so the same answers give the same content. Figures have
the names and the forms of the page. A missing figure is a dash with its reason, never 0.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any
from unicodedata import east_asian_width

from hannun.domain import wording
from hannun.domain.codes import UNATTRIBUTED, code, names_of
from hannun.domain.response_schemas import ChannelPerformance, Dashboard, DataPoint, EventInsights, EventTimeline, Roi
from hannun.domain.terms import Language, term

Json = dict[str, Any]

NONE = "–"
TITLE_LENGTH_MAX = 110
"""Characters of a title: three lines of the page's smallest title."""
NAME_WIDTH_MAX = 32
"""The width of a channel's name: a Korean character counts as two."""
CHANNELS_MAX = 20
"""Channels with a row of their own. Of more, those with the fewest participants share one."""
BARS_MAX = 120
_LINES = 3
"""Lines across the chart, above the axis."""

_WORDS: dict[str, tuple[str, str]] = {
    "brand": ("한눈", "Hannun"),
    "kind": ("이벤트 성과 보고서", "Event report"),
    "untilNow": ("{start} – ", "{start} – "),
    "participantsOverTime": ("참여 흐름", "Participation"),
    "hourly": ("시간당 참여자", "Participants each hour"),
    "minute": ("1분당 참여자", "Participants each minute"),
    "daily": ("일별 참여자", "Participants each day"),
    "weekly": ("주별 참여자", "Participants each week"),
    "monthly": ("월별 참여자", "Participants each month"),
    "grouped": ("{bucket} ({count}개씩 더함)", "{bucket} (in groups of {count})"),
    "filling": ("옅은 막대는 아직 채워지는 중", "the pale bar is still filling"),
    "chartInWords": (
        "{bucket}, {first}부터 {last}까지. 가장 많은 때는 {when}, {most}.",
        "{bucket}, from {first} to {last}. The most at {when}: {most}.",
    ),
    "nobodyInRange": ("이 기간에는 참여가 없어요", "Nobody joined in this period"),
    "channels": ("채널별 성과", "Channels"),
    "channelsNote": (
        "채널별 참여자를 더하면 전체와 같아요",
        "the participants of all rows add up to the total",
    ),
    "otherChannels": ("그 밖의 채널 {count}개", "{count} other channels"),
    "total": ("전체", "Total"),
    "money": ("투자와 매출", "Spent and earned"),
    "recorded": ("기록된 매출", "recorded"),
    "expected": ("예상 매출", "expected"),
    "mixed": ("일부 예상", "partly expected"),
    "noTarget": ("정한 목표가 없어요", "No target set"),
    "targetOf": ("목표 {target}", "target {target}"),
    "expectedRoi": ("예상", "expected"),
    "breakEvenReached": ("본전을 넘었어요", "Already broke even"),
    "breakEvenLeft": (
        "{left}명 더 오면 본전이에요 ({participants} / {needed}명)",
        "{left} more to break even ({participants} of {needed})",
    ),
    "breakEvenUnknown": (
        "손익분기 참여자는 투자금, 매출, 참여자가 모두 있어야 계산해요",
        "Break-even needs an investment, a revenue and participants",
    ),
    "advice": ("이렇게 해 보세요", "What to do"),
    "noAdvice": ("아직 드릴 말씀이 없어요. 기록이 더 쌓이면 알려 드려요.", "Too little is known yet to say anything."),
    "viewsMissing": ("채널에서 아직 받지 못했어요", "No channel has reported yet"),
    "nobody": ("참여자가 없어요", "Nobody has joined"),
    "noClicks": ("클릭이 없어요", "There are no clicks"),
    "noInvestment": ("투자금이 정해지지 않았어요", "The investment is not set"),
    "noRevenue": ("매출 기록도 예상 매출도 없어요", "Neither recorded nor expected"),
    "noViews": ("조회수가 없어요", "There are no views"),
    "onPeriodBefore": ("이전 기간 대비 {change}", "{change} on the period before"),
    "onWeekBefore": ("전주 대비 {change}", "{change} on the week before"),
    "unattributed": ("채널 미확인 {count}명 포함", "{count} by an unknown channel"),
    "joinedInPeriod": ("이 기간에 {count}명이 참여했어요.", "{people} joined in this period."),
    "source": (
        "숫자의 출처: 플랫폼이 보낸 참여·판매 기록과 각 채널이 잰 값. 한 사람은 한 번만 세요. "
        "없는 값은 –로 적어요(0이 아니에요).",
        "Where the numbers come from: the platform's records of participants and sales, and what each channel "
        "measured. Each person counts once. A dash is a missing value, not 0.",
    ),
    "asOf": ("{when} 기준 ({tz})", "As of {when} ({tz})"),
    "nothingYet": ("아직 받은 기록이 없어요", "Nothing received yet"),
    "messageTitle": ("[한눈] {title}", "[Hannun] {title}"),
    "messageParticipants": ("참여 {people}", "{people} participants"),
    "mostBy": ("참여가 가장 많은 채널: {name} {people}", "Most participants: {name}, {people}"),
    "perPerson": ("1명당 {cost}", "{cost} each"),
    "messageAsOf": ("{when} 기준", "as of {when}"),
    "wholeTime": ("전체 기간", "All time"),
    "noEnd": ("종료일 미정", "no planned end"),
}
_DEFINED = ("participants", "participationRate", "conversionRate", "costPerParticipant", "currentRoi")
"""The terms whose meaning stands in small print."""


class Words:
    """The words of the report in one language, and the forms of numbers in it."""

    def __init__(self, language: Language, tz: str) -> None:
        self.language = language
        self.tz = tz

    def __call__(self, word: str, **values: str) -> str:
        return _WORDS[word][0 if self.language == "ko" else 1].format(**values)

    def won(self, value: float | None) -> str:
        return NONE if value is None else wording.won(value, self.language)

    def count(self, value: float | None) -> str:
        return NONE if value is None else wording.count(value)

    def people(self, value: int) -> str:
        return f"{self.count(value)}명" if self.language == "ko" else self.count(value)

    def percent(self, value: float | None) -> str:
        return NONE if value is None else wording.percent(value)

    def day(self, instant: str) -> str:
        return wording.day_with_year(utc(instant), self.tz, self.language)

    def moment(self, instant: str) -> str:
        return wording.day_with_time(utc(instant), self.tz, self.language)


def report_content(dashboard: Dashboard, timeline: EventTimeline, insights: EventInsights, language: Language) -> Json:
    """The content of the report: texts, and numbers that decide lengths."""
    w = Words(language, dashboard.period.tz)
    return {
        "lang": language,
        "brand": w("brand"),
        "kind": w("kind"),
        "title": one_line(dashboard.event_title, TITLE_LENGTH_MAX) or dashboard.event_id,
        "status": code(dashboard.status, names_of("status") or {}).name(language),
        "period": _period(dashboard, w),
        "headline": _headline(dashboard, insights, w),
        "figures": _figures(dashboard, insights, w),
        "chart": _chart(timeline, as_of(dashboard), w),
        "channels": _channels(dashboard, w),
        "money": _money(dashboard, w),
        "advice": _advice(insights, w),
        "definitions": _definitions(language),
        "source": w("source"),
        "asOf": as_of_text(dashboard, language),
    }


def as_of(dashboard: Dashboard) -> datetime:
    """The date of a document: the newest change in its figures; of an event without any, a fixed day."""
    newest = dashboard.last_updated_at
    return datetime(2000, 1, 1, tzinfo=UTC) if newest is None else datetime.fromisoformat(newest)


def as_of_text(dashboard: Dashboard, language: Language) -> str:
    w = Words(language, dashboard.period.tz)
    if dashboard.last_updated_at is None:
        return w("nothingYet")
    return w("asOf", when=w.moment(dashboard.last_updated_at), tz=dashboard.period.tz)


# -- the title and the answer in a sentence


def _period(dashboard: Dashboard, w: Words) -> str:
    start = dashboard.period.start_date or dashboard.start_date
    end = dashboard.period.end_date or dashboard.end_date
    if start is None:
        return w("wholeTime")
    return f"{w.day(start)} – {w.day(end) if end is not None else w('noEnd')}"


def _headline(dashboard: Dashboard, insights: EventInsights, w: Words) -> str:
    """How many came, and whether that is good; of a range only how many came."""
    if _is_whole(dashboard):
        return insights.headline.text.text(w.language)
    people = dashboard.summary.total_participants
    return w("joinedInPeriod", count=w.count(people), people=wording.people(people, w.language))


def _is_whole(dashboard: Dashboard) -> bool:
    """Whether the figures are of the whole event, not of a range."""
    return dashboard.period.start_date is None and dashboard.period.end_date is None


# -- the six figures


def participants_change(dashboard: Dashboard, insights: EventInsights, w: Words) -> tuple[float, str] | None:
    """The change of participants in percent, and in words: of a range beside the one before, of the whole event that of
    its last week. None where there is nothing to compare with."""
    delta, week = dashboard.summary.delta, insights.comparisons.week
    if delta is not None and delta.total_participants is not None:
        return delta.total_participants, _changed("onPeriodBefore", delta.total_participants, w)
    if _is_whole(dashboard) and week is not None and week.delta is not None:
        return week.delta, _changed("onWeekBefore", week.delta, w)
    return None


def _changed(word: str, change: float, w: Words) -> str:
    return w(word, change=wording.signed_change(change, w.language))


def _figures(dashboard: Dashboard, insights: EventInsights, w: Words) -> list[Json]:
    summary, roi = dashboard.summary, dashboard.roi
    delta = summary.delta
    unattributed = summary.unattributed_participants
    views = known_views(dashboard)
    return [
        _figure(
            "totalParticipants",
            w.people(summary.total_participants),
            w,
            change=participants_change(dashboard, insights, w),
            note=w("unattributed", count=w.count(unattributed)) if unattributed else None,
        ),
        _figure(
            "totalViews",
            w.count(views),
            w,
            change=_period_change(None if delta is None else delta.total_views, w),
            note=w("viewsMissing") if views is None else None,
        ),
        _figure(
            "participationRate",
            w.percent(summary.participation_rate),
            w,
            note=w("noViews") if summary.participation_rate is None else None,
        ),
        _figure(
            "totalConversions",
            w.count(_known(dashboard, "summary.totalConversions", summary.total_conversions)),
            w,
            change=_period_change(None if delta is None else delta.total_conversions, w),
            note=_conversion_note(dashboard, w),
        ),
        _figure(
            "costPerParticipant",
            w.won(roi.cost_per_participant),
            w,
            note=None if roi.cost_per_participant is not None else _why_no_cost(dashboard, w),
        ),
        _figure("currentRoi", roi_text(roi, w), w, note=roi_note(roi, w), tone=_tone(roi)),
    ]


def _period_change(change: float | None, w: Words) -> tuple[float, str] | None:
    return None if change is None else (change, _changed("onPeriodBefore", change, w))


def _figure(
    path: str,
    value: str,
    w: Words,
    *,
    change: tuple[float, str] | None = None,
    note: str | None = None,
    tone: str | None = None,
) -> Json:
    percent, words = change or (0, None)
    return {
        "name": term(path).name(w.language),
        "value": value,
        "tone": tone,
        "change": words,
        "changeTone": "quiet" if not percent else "gain" if percent > 0 else "loss",
        "note": note,
    }


def known_views(dashboard: Dashboard) -> int | None:
    """The views; None where no channel has reported any."""
    return _known(dashboard, "summary.totalViews", dashboard.summary.total_views)


def _known(dashboard: Dashboard, path: str, value: int) -> int | None:
    origin = dashboard.provenance.get(path)
    return None if origin is not None and origin.kind == "unknown" and not value else value


def _conversion_note(dashboard: Dashboard, w: Words) -> str:
    rate = dashboard.summary.conversion_rate
    return w("noClicks") if rate is None else f"{term('conversionRate').name(w.language)} {w.percent(rate)}"


def _why_no_cost(dashboard: Dashboard, w: Words) -> str:
    return w("noInvestment" if dashboard.roi.investment.total is None else "nobody")


def _is_expected(roi: Roi) -> bool:
    return roi.revenue.recorded is None


def _tone(roi: Roi) -> str | None:
    """An ROI of expected revenue is neither a gain nor a loss."""
    if roi.current_roi is None or _is_expected(roi) or roi.current_roi == 0:
        return None
    return "gain" if roi.current_roi > 0 else "loss"


def roi_text(roi: Roi, w: Words) -> str:
    """The ROI, called expected where it is made of expected revenue."""
    if roi.current_roi is None:
        return NONE
    shown = wording.signed_percent(roi.current_roi)
    return f"{w('expectedRoi')} {shown}" if _is_expected(roi) else shown


def roi_note(roi: Roi, w: Words) -> str:
    """The target of the ROI, or why there is no ROI."""
    if roi.investment.total is None:
        return w("noInvestment")
    if roi.revenue.total is None:
        return w("noRevenue")
    return w("noTarget") if roi.target_roi is None else w("targetOf", target=w.percent(roi.target_roi))


# -- the chart


def _chart(timeline: EventTimeline, until: datetime, w: Words) -> Json:
    """The bars until the newest change. Later buckets are empty, and how many there are depends on the clock."""
    points, last_is_filling = _points_until(timeline, until)
    size = max(1, math.ceil(len(points) / BARS_MAX))
    bars = [_bar(points[at : at + size]) for at in range(0, len(points), size)]
    if not any(bar["value"] for bar in bars):
        bars = []
    bucket = w(timeline.granularity)
    note = bucket if size == 1 else w("grouped", bucket=bucket, count=str(size))
    if bars and last_is_filling:
        bars[-1]["complete"] = False
        note = f"{note} · {w('filling')}"
    top = _round_top(max((bar["value"] or 0 for bar in bars), default=0))
    return {
        "title": w("participantsOverTime"),
        "note": note,
        "bars": bars,
        "top": top,
        "lines": [{"value": top * at // _LINES, "text": w.count(top * at // _LINES)} for at in range(_LINES + 1)],
        "ticks": _ticks(bars, timeline, w),
        "empty": w("nobodyInRange"),
        "alt": _chart_in_words(bars, bucket, w),
    }


def _chart_in_words(bars: Sequence[Json], bucket: str, w: Words) -> str:
    """What a screen reader says of the chart: its highest bar, and from when to when it goes."""
    if not bars:
        return w("nobodyInRange")
    highest = max(bars, key=lambda bar: bar["value"] or 0)
    return w(
        "chartInWords",
        bucket=bucket,
        first=w.moment(bars[0]["start"]),
        last=w.moment(bars[-1]["start"]),
        most=w.people(highest["value"]),
        when=w.moment(highest["start"]),
    )


def _points_until(timeline: EventTimeline, until: datetime) -> tuple[Sequence[DataPoint], bool]:
    """The buckets that had begun at a moment, and whether the last one was still filling."""
    points = timeline.data_points
    begun = bisect_right(points, until, key=lambda point: datetime.fromisoformat(point.timestamp))
    last_ends = points[begun].timestamp if begun < len(points) else timeline.period.end_date
    return points[:begun], last_ends is None or datetime.fromisoformat(last_ends) > until


def _bar(points: Sequence[DataPoint]) -> Json:
    """Some buckets as one bar. A bucket whose minutes are not kept any more has no value."""
    values = [point.participants for point in points if isinstance(point.participants, int)]
    return {"start": points[0].timestamp, "value": sum(values) if values else None, "complete": True}


_STEPS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
"""Round tenths of a power of ten, between the lines of the chart."""


def _round_top(highest: int) -> int:
    """The end of the axis: a round multiple of the number of lines, so that each line is a whole number."""
    step = max(1, math.ceil(highest / _LINES))
    unit: int = 10 ** (len(str(step)) - 1)
    return _LINES * next(top for top in (math.ceil(unit * each / 10) for each in _STEPS) if top >= step)


_TICKS_MAX = 6


def _ticks(bars: Sequence[Json], timeline: EventTimeline, w: Words) -> list[Json]:
    """The labels below the bars: the day of the bar, with the hour where buckets are shorter than a day."""
    if not bars:
        return []
    last, count = len(bars) - 1, min(_TICKS_MAX, len(bars))
    chosen = sorted({round(last * at / max(1, count - 1)) for at in range(count)})
    short = timeline.granularity in ("minute", "hourly")
    return [{"at": at, "text": _tick(bars[at]["start"], short, w)} for at in chosen]


def _tick(instant: str, with_time: bool, w: Words) -> str:
    moment = utc(instant)
    shown = wording.month_day(moment, w.tz) if with_time else wording.day(moment, w.tz, w.language)
    return f"{shown} {wording.time_of_day(moment, w.tz)}" if with_time else shown


# -- the channels

_CHANNEL_COLUMNS = (
    "channelName",
    "participants",
    "views",
    "participationRate",
    "distributionCost",
    "costPerParticipant",
    "state",
)


def _channels(dashboard: Dashboard, w: Words) -> Json:
    summary, roi = dashboard.summary, dashboard.roi
    ordered = sorted(dashboard.channel_performance, key=lambda each: -each.participants)
    shown, rest = ordered[:CHANNELS_MAX], ordered[CHANNELS_MAX:]
    if len(rest) == 1:
        shown, rest = ordered, []
    people = summary.total_participants
    most = max((channel.participants for channel in shown), default=0)
    rows = [_row(_channel_cells(channel, w), channel.participants, most) for channel in shown]
    if rest:
        others = sum(channel.participants for channel in rest)
        name = w("otherChannels", count=w.count(len(rest)))
        rows.append(_row([name, w.count(others), *[NONE] * 4, ""], others, most))
    if summary.unattributed_participants:
        unattributed = summary.unattributed_participants
        name = UNATTRIBUTED.name(w.language)
        rows.append(_row([name, w.count(unattributed), *[NONE] * 4, ""], unattributed, most))
    total = [
        w("total"),
        w.count(people),
        w.count(known_views(dashboard)),
        w.percent(summary.participation_rate),
        w.won(roi.investment.channels),
        "",
        "",
    ]
    rows.append({**_row(total, 0, most), "total": True})
    return {
        "title": w("channels"),
        "note": w("channelsNote"),
        "heads": [term(name).name(w.language) for name in _CHANNEL_COLUMNS],
        "rows": rows,
    }


def _row(cells: list[str], participants: int, most: int) -> Json:
    """A row, with the length of its bar beside that of the channel with the most participants."""
    return {"cells": cells, "share": min(1, participants / most) if most else 0, "total": False}


def _channel_cells(channel: ChannelPerformance, w: Words) -> list[str]:
    states = names_of("state") or {}
    views = channel.views if "views" in channel.measured_counts else None
    return [
        narrowed(channel.channel_title.text(w.language)),
        w.count(channel.participants),
        w.count(views),
        w.percent(channel.participation_rate),
        w.won(channel.distribution_cost),
        w.won(channel.cost_per_participant),
        code(channel.state, states).name(w.language),
    ]


# -- the money


def _money(dashboard: Dashboard, w: Words) -> Json:
    roi, people = dashboard.roi, dashboard.summary.total_participants
    needed = roi.break_even_participants

    def name(path: str) -> str:
        return term(path).name(w.language)

    rows = [
        _line(name("investment.total"), w.won(roi.investment.total)),
        _line(name("revenue.total"), w.won(roi.revenue.total), _revenue_basis(dashboard, w)),
        _line(name("currentRoi"), roi_text(roi, w)),
        _line(name("targetRoi"), w.percent(roi.target_roi) if roi.target_roi is not None else w("noTarget")),
        _line(name("breakEvenParticipants"), NONE if needed is None else w.people(needed)),
    ]
    return {
        "title": w("money"),
        "rows": rows,
        "share": people / needed if needed else None,
        "text": _break_even_text(people, needed, w),
    }


def _line(name: str, value: str, note: str | None = None) -> Json:
    return {"name": name, "value": value, "note": note}


def _revenue_basis(dashboard: Dashboard, w: Words) -> str | None:
    if dashboard.roi.revenue.total is None:
        return None
    if _is_expected(dashboard.roi):
        return w("expected")
    origin = dashboard.provenance.get("roi.revenue.total")
    return w("mixed" if origin is not None and origin.kind == "estimated" else "recorded")


def _break_even_text(people: int, needed: int | None, w: Words) -> str:
    if needed is None:
        return w("breakEvenUnknown")
    if people >= needed:
        return w("breakEvenReached")
    return w("breakEvenLeft", left=w.count(needed - people), participants=w.count(people), needed=w.count(needed))


# -- what to do


def _advice(insights: EventInsights, w: Words) -> Json:
    items = [{"text": each.text.text(w.language), "why": each.why.text(w.language)} for each in insights.advice]
    return {"title": w("advice"), "items": items, "empty": w("noAdvice")}


# -- small print


def _definitions(language: Language) -> list[Json]:
    terms = [term("totalParticipants" if name == "participants" else name) for name in _DEFINED]
    return [{"name": each.name(language), "meaning": each.meaning(language)} for each in terms]


# -- texts


def one_line(text: str, length_max: int) -> str:
    """A text on one line, of at most so many characters."""
    text = " ".join(printable(text).split())
    return text if len(text) <= length_max else f"{text[: max(0, length_max - 1)].rstrip()}…"


def narrowed(text: str) -> str:
    """A name on one line, at most NAME_WIDTH_MAX wide."""
    text = " ".join(printable(text).split())
    widths = accumulate(2 if east_asian_width(sign) in "WF" else 1 for sign in text)
    fits = sum(width <= NAME_WIDTH_MAX for width in widths)
    return text if fits == len(text) else f"{text[: fits - 1].rstrip()}…"


def printable(text: str) -> str:
    """The text without control, format and bidirectional characters, which could change how its neighbours are read."""
    return "".join(" " if _is_invisible(sign) else sign for sign in text)


def _is_invisible(sign: str) -> bool:
    return not sign.isprintable() and sign not in _JOINERS


_JOINERS = "\u200d\ufe0f"
"""They hold the parts of one emoji together."""


def utc(instant: str) -> datetime:
    """The moment of an answer's instant in UTC, without a zone."""
    return datetime.fromisoformat(instant).astimezone(UTC).replace(tzinfo=None)
