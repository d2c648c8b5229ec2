"""The document with its first numbers: what a browser paints before the page's scripts have arrived, and all that there
is without JavaScript.

The markup has the classes of the page's components, so that nothing moves when they take its place. The answers from
which the numbers come are in the document as data, which the page uses in place of its first requests.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

import msgspec

from hannun.domain import wording
from hannun.domain.event_phase import Phase, phase_of
from hannun.domain.headline import headline_of_dashboard
from hannun.domain.instants import to_naive_utc
from hannun.domain.response_schemas import Dashboard
from hannun.web.first_answers import FirstAnswer, FirstAnswers
from hannun.web.language import Language
from hannun.web.logo import LOGO
from hannun.web.shares import encode_path_segment

_URGENCY = (Phase.RUNNING, Phase.UPCOMING, Phase.OVER)
_MOUNT = '<div id="app"></div>'
_NOSCRIPT = ("<noscript>", "</noscript>")
_TEXTS: dict[Language, dict[str, str]] = {
    "ko": {
        "name": "한눈",
        "skip": "본문으로 건너뛰기",
        "other language": "English",
        "back": "이벤트 목록",
        "by link": "공유 링크로 보고 있어요. {until}까지 열려 있어요.",
        "my events": "내 이벤트",
        "merchant": "판매자 {id}",
        "connecting": "연결 중",
        "participants": "참여자",
        "unit": "명",
        "unattributed": "채널 미확인 {count}명 포함",
        "roi": "현재 ROI",
        "loss": "{roi} 손실",
        "gain": "{roi} 이익",
        "expected": "예상 {roi}",
        "no roi": "투자와 매출이 모두 있어야 계산돼요",
        "export": "내보내기",
        "share": "링크로 공유",
        "shortcuts": "단축키",
        "theme": "화면 색",
        "sign out": "로그아웃",
        "from to": "{start} – {end}",
        "planned end": "{start} – {end} 종료 예정",
        "from": "{start} 시작",
        "started without end": "{start} 시작 · 종료일 미정",
        "starts without end": "{start} 시작 예정 · 종료일 미정",
        "all events": "이벤트 {events}개에 모두 {count}명이 참여했어요.",
        "no events": "아직 이벤트가 없어요.",
        "upcoming": "예정",
        "running": "진행 중",
        "overdue": "종료 예정일 지남",
        "ended": "종료",
        "archived": "보관됨",
        "without scripts": "자바스크립트가 꺼져 있어요. 첫 숫자는 볼 수 있지만 그래프, 채널별 성과, 실시간 업데이트, "
        "내보내기는 자바스크립트가 켜져 있어야 나와요.",
    },
    "en": {
        "name": "Hannun",
        "skip": "Skip to content",
        "other language": "한국어",
        "back": "All events",
        "by link": "You are looking through a share link, open until {until}.",
        "my events": "My events",
        "merchant": "Merchant {id}",
        "connecting": "Connecting",
        "participants": "Participants",
        "unit": "",
        "unattributed": "{count} of them by an unknown channel",
        "roi": "Current ROI",
        "loss": "{roi} loss",
        "gain": "{roi} gain",
        "expected": "Expected {roi}",
        "no roi": "It needs both an investment and revenue",
        "export": "Export",
        "share": "Share a link",
        "shortcuts": "Keyboard shortcuts",
        "theme": "Colours",
        "sign out": "Sign out",
        "from to": "{start} – {end}",
        "planned end": "{start} – {end} (planned end)",
        "from": "Started {start}",
        "started without end": "Started {start}, no end planned",
        "starts without end": "Starts {start}, no end planned",
        "all events": "{count} joined {events} events.",
        "no events": "No events yet.",
        "upcoming": "Planned",
        "running": "Running",
        "overdue": "Past its planned end",
        "ended": "Ended",
        "archived": "Archived",
        "without scripts": "JavaScript is off. You see the first numbers; the chart, the channels, live updates and "
        "exports need JavaScript.",
    },
}


def document_with_numbers(
    document: str, answers: FirstAnswers, language: Language, addresses: Callable[[str, Language | None], str]
) -> bytes:
    """The document with the first numbers of an event or of a merchant.

    Args:
        addresses: the address of a path of the page in a language; None keeps the one of the request.
    """
    content = answers.dashboard.content
    view = _EventNumbers if "eventId" in content else _MerchantNumbers
    numbers = view(content, answers, language, addresses)
    texts = _TEXTS[language]
    before, _, after = document.partition(_NOSCRIPT[0])
    document = before + after.partition(_NOSCRIPT[1])[2]
    header = _header(language, addresses, answers)
    shown = f'<div id="app">{header}<main id="main" tabindex="-1">{numbers.main()}</main></div>'
    missing = f'<noscript><p class="form-notice">{escape(texts["without scripts"])}</p></noscript>'
    title = f"<title>{escape(numbers.title)} · {texts['name']}</title>"
    return (
        document.replace('<html lang="ko"', f'<html lang="{language}"', 1)
        .replace("<title>한눈</title>", title, 1)
        .replace(_MOUNT, f"{missing}{shown}{_data(answers)}", 1)
        .encode()
    )


def _data(answers: FirstAnswers) -> str:
    """The answers as a block of data. No text in it can end the block."""
    parts = ",".join(map(_entry, answers.all)).replace("<", "\\u003c")
    return f'<script type="application/json" id="answers">[{parts}]</script>'


def _entry(answer: FirstAnswer) -> str:
    head = json.dumps({"url": answer.url, "etag": answer.etag}, ensure_ascii=False)
    return f'{head[:-1]}, "body": {answer.body.decode()}}}'


def _header(language: Language, addresses: Callable[[str, Language | None], str], answers: FirstAnswers) -> str:
    texts, other = _TEXTS[language], _OTHER[language]
    sign_out = "" if answers.expires_at is not None else _button("quiet", texts["sign out"])
    return (
        f'<a class="skip" href="#main" data-native>{escape(texts["skip"])}</a>'
        f'<header class="app-header"><a class="brand" href="{addresses("/", None)}">{LOGO}'
        f'<span>{texts["name"]}</span></a><div class="app-actions">'
        f"{_icon_button('shortcuts-button', texts['shortcuts'], _SHORTCUTS_ICON)}"
        f"{_icon_button('theme-switch', texts['theme'], '')}"
        f'<a class="button quiet" href="{addresses("", other)}" lang="{other}" '
        f'hreflang="{other}" data-replace>{texts["other language"]}</a>{sign_out}</div></header>'
    )


def _button(kind: str, content: str) -> str:
    """A button that works with the page's scripts only: it keeps the room until they have arrived."""
    return f'<button type="button" class="button {kind}" disabled>{content}</button>'


def _icon_button(kind: str, name: str, icon: str) -> str:
    return (
        f'<button type="button" class="button quiet icon {kind}" aria-label="{escape(name)}" disabled>{icon}</button>'
    )


_OTHER: dict[Language, Language] = {"ko": "en", "en": "ko"}

_SHORTCUTS_ICON = '<kbd aria-hidden="true">?</kbd>'
_EXPORT_ICON = (
    '<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="M8 2v8m0 0 3.25-3.25M8 10 4.75 '
    '6.75M2.5 11.5v2h11v-2" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)
_SHARE_ICON = (
    '<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="M6.6 9.4a2.6 2.6 0 0 0 3.7 0l2.4-2.4'
    'A2.6 2.6 0 0 0 9 3.3l-.8.8M9.4 6.6a2.6 2.6 0 0 0-3.7 0L3.3 9A2.6 2.6 0 0 0 7 12.7l.8-.8" fill="none" '
    'stroke="currentColor" stroke-width="1.5" stroke-linecap="round"/></svg>'
)


class _Numbers:
    """The first numbers of a dashboard."""

    def __init__(
        self,
        content: Mapping[str, Any],
        answers: FirstAnswers,
        language: Language,
        addresses: Callable[[str, Language | None], str],
    ) -> None:
        self._content = content
        self._answers = answers
        self._language = language
        self._addresses = addresses
        self._now = to_naive_utc(datetime.now(UTC))

    def _text(self, name: str, **values: object) -> str:
        return _TEXTS[self._language][name].format(**values)

    def _people(self, value: int) -> str:
        """A number of people in a sentence."""
        return wording.count(value) if self._language == "ko" else wording.people(value, "en")

    def _live_line(self) -> str:
        """The state of the connection, which the page is about to open."""
        connecting = escape(self._text("connecting"))
        return (
            '<div class="live live-connecting"><p class="live-line"><span class="live-state">'
            f'<span class="live-dot" aria-hidden="true"></span>{connecting}</span></p></div>'
        )

    def _export(self, more: str = "") -> str:
        """What takes figures away."""
        return f'<div class="export">{_button("small", _EXPORT_ICON + self._text("export"))}{more}</div>'

    def _participants(self) -> str:
        """The number of participants as the value of a tile."""
        total = self._content["summary"].get("totalParticipants")
        if total is None:
            return '<p class="value missing">–</p>'
        return f'<p class="value"><span>{wording.count(total)}</span><span class="unit">{self._text("unit")}</span></p>'

    def _roi(self) -> str:
        """The ROI as the value of a tile, or why there is none."""
        roi = self._content.get("roi") or {}
        current = roi.get("currentRoi")
        if current is None:
            return f'<p class="value missing">–</p><p class="note">{escape(self._text("no roi"))}</p>'
        if roi["revenue"].get("recorded") is None:
            tone, text = "", self._text("expected", roi=wording.signed_percent(current))
        elif current == 0:
            tone, text = "", wording.percent(0)
        else:
            tone = "gain" if current > 0 else "loss"
            text = self._text(tone, roi=wording.percent(abs(current)))
        return f'<p class="value"><span class="{tone}">{escape(text)}</span></p>'


class _EventNumbers(_Numbers):
    """The title, a sentence, the participants and the ROI of an event."""

    @property
    def title(self) -> str:
        return str(self._content["eventTitle"])

    def main(self) -> str:
        expires_at = self._answers.expires_at
        if expires_at is None:
            back = f'<a class="back" href="{self._addresses("/", None)}">'
            back += f'<span aria-hidden="true">‹</span> {self._text("back")}</a>'
            share = _button("small", _SHARE_ICON + self._text("share"))
        else:  # a visitor by a share link has no list of events, and no link to give away
            until = to_naive_utc(datetime.fromtimestamp(expires_at, UTC))
            until_text = wording.day_with_year(until, self._answers.tz, self._language)
            back, share = f'<p class="note">{self._text("by link", until=until_text)}</p>', ""
        phase = self._phase()
        return (
            f'<div class="page-head event-intro"><div class="event-actions">{back}{self._export(share)}</div>'
            f'<h1 tabindex="-1">{escape(self.title)}</h1>'
            f'<p class="period"><span class="status status-{phase}">{self._text(phase)}</span> {self._dates(phase)}</p>'
            f'<p class="headline">{escape(self._headline())}</p>'
            f'{self._live_line()}</div><div class="card event-summary"><div class="metrics">'
            f"{_metric('', self._text('participants'), self._participants())}"
            f"{_metric('roi-tile', self._text('roi'), self._roi())}</div></div>"
        )

    def _phase(self) -> str:
        """Where the event is between its start and its end, as `event-phase.js` says."""
        status, now = self._content["status"], self._now
        start, end = (_moment(self._content.get(name)) for name in ("startDate", "endDate"))
        if status != "ACTIVE":
            return "archived" if status == "ARCHIVED" else "ended"
        if start is not None and start > now:
            return "upcoming"
        return "overdue" if end is not None and end <= now else "running"

    def _dates(self, phase: str) -> str:
        """The dates of the plan in words, as `event-phase.js` says them."""
        over = phase in ("ended", "archived")
        start, end = (_moment(self._content.get(name)) for name in ("startDate", "endDate"))
        begins = "" if start is None else wording.day_with_year(start, self._answers.tz, self._language)
        # An event that was ended before its planned end did not run until then.
        if end is not None and not (over and end > self._now):
            return self._text("from to" if over else "planned end", start=begins, end=self._end(start, end)).strip()
        if start is None:
            return ""
        unknown_end = "starts without end" if phase == "upcoming" else "started without end"
        return self._text("from" if over else unknown_end, start=begins)

    def _end(self, start: datetime | None, end: datetime) -> str:
        """The planned end with its time of day; without the year where it is that of the start."""
        tz = self._answers.tz
        same_year = start is not None and wording.local(start, tz).year == wording.local(end, tz).year
        day = (wording.day if same_year else wording.day_with_year)(end, tz, self._language)
        return f"{day} {wording.time_of_day(end, tz)}"

    def _headline(self) -> str:
        """The sentence of the insights; without them, the same sentence of what the dashboard knows."""
        if self._answers.insights is not None:
            return str(self._answers.insights.content["headline"]["text"][self._language])
        dashboard = msgspec.json.decode(self._answers.dashboard.body, type=Dashboard)
        return headline_of_dashboard(dashboard, self._now, self._answers.tz).text.text(self._language)


class _MerchantNumbers(_Numbers):
    """A sentence and the totals of a merchant's events, and a link to each of the first ones."""

    @property
    def title(self) -> str:
        user_id = self._content["userId"]
        session = self._answers.session
        own = session.content["userId"] == user_id
        return self._text("my events") if own else self._text("merchant", id=user_id)

    def main(self) -> str:
        total = self._content["summary"].get("totalParticipants") or 0
        events = self._content["totalEvents"]
        sentence = (
            self._text("all events", events=wording.count(events), count=self._people(total))
            if events
            else self._text("no events")
        )
        participants = _tile("hero", self._text("participants"), self._participants() + self._unattributed())
        roi = _tile("roi-tile", self._text("roi"), self._roi())
        tiles = f'<div class="summary-tiles">{participants}{roi}</div>' if events else ""
        return (
            f'<div class="page-head list-head"><h1 tabindex="-1">{escape(self.title)}</h1>'
            f'<p class="headline">{escape(sentence)}</p>'
            f"{self._live_line()}{self._export() if events else ''}</div>{tiles}"
            f'<ul class="events">{"".join(map(self._card, self._events()))}</ul>'
        )

    def _events(self) -> list[Mapping[str, Any]]:
        """The events in the order that the page begins with: running, planned, ended, each the newest first."""
        return sorted(self._content["events"], key=lambda event: _URGENCY.index(_phase_of(event, self._now)))

    def _unattributed(self) -> str:
        unattributed = self._content["summary"].get("unattributedParticipants")
        if not unattributed:
            return ""
        return f'<p class="note">{escape(self._text("unattributed", count=wording.count(unattributed)))}</p>'

    def _card(self, event: Mapping[str, Any]) -> str:
        address = self._addresses(f"/events/{encode_path_segment(event['eventId'])}", None)
        total = event["totalParticipants"]
        people = "–" if total is None else f"{wording.count(total)}{self._text('unit')}"
        return (
            f'<li><a class="card event-card" href="{address}"><span class="event-title">'
            f"{escape(event['eventTitle'])}</span>"
            f'<span class="sr-only">{self._text("participants")}</span> <span class="value">{people}</span></a></li>'
        )


def _tile(kind: str, name: str, content: str) -> str:
    return (
        f'<section class="card tile {kind}" aria-label="{escape(name)}"><div class="tile-head">'
        f'<h2 class="tile-name">{escape(name)}</h2></div>{content}</section>'
    )


def _metric(kind: str, name: str, content: str) -> str:
    return (
        f'<section class="metric hero {kind}" aria-label="{escape(name)}"><div class="metric-head">'
        f'<h2 class="tile-name">{escape(name)}</h2></div><div class="metric-figure">{content}</div></section>'
    )


def _phase_of(event: Mapping[str, Any], now: datetime) -> Phase:
    return phase_of(event["status"], _moment(event.get("startDate")), now)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else to_naive_utc(datetime.fromisoformat(text))
