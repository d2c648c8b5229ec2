"""The answers that a document carries, so that the page shows numbers before its first request.

    GET /events/{eventId} ─► session cookie or share cookie? ─► authorized as for the API ─► cached answers
                                     └─ no, refused, busy, or later than FIRST_ANSWERS_S: the document without numbers

The page then makes its requests as ever, and says itself what is wrong. So an event of another merchant looks like
none here, too.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import Request

from hannun import deadlines
from hannun.domain.ids import canonical_id
from hannun.domain.questions import (
    EventDashboardQuestion,
    EventSubject,
    InsightsQuestion,
    MerchantDashboardQuestion,
    MerchantSubject,
    Question,
)
from hannun.domain.ranges import DEFAULT_TZ, parse_range, zone_names
from hannun.errors import HannunError
from hannun.web.callers import Caller, authorized_caller, event_id_in, record_read
from hannun.web.services import Services
from hannun.web.sessions import session_answer
from hannun.web.shares import encode_path_segment, link_session_answer

FIRST_ANSWERS_S = 1.0
"""How long a document waits for its numbers. A cached answer takes a few milliseconds."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """An answer of the API, as the page would receive it from this address."""

    url: str
    body: bytes
    etag: str | None = None

    @property
    def content(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """The answers for the path of a document.

    Args:
        session: that of the user, or of the visitor by a share link.
        expires_at: when a visitor's share link expires, in seconds since 1970; None for a user.
        dashboard: that of the event or the merchant.
        insights: those of the event; None where they take too long, and for a merchant.
        tz: the time zone of the page.
    """

    session: FirstAnswer
    expires_at: float | None
    dashboard: FirstAnswer
    insights: FirstAnswer | None
    tz: str

    @property
    def all(self) -> Sequence[FirstAnswer]:
        answers = (self.session, self.dashboard, self.insights)
        return [each for each in answers if each is not None]


async def first_answers(request: Request, services: Services) -> FirstAnswers | None:
    """The answers for the path of a document; None for a caller who may not read them, and where they take too long."""
    if not {services.session_cookie, services.share_cookie} & request.cookies.keys():
        return None
    try:
        with deadlines.within(FIRST_ANSWERS_S):
            return await _answers(request, services)
    except HannunError:
        return None


async def _answers(request: Request, services: Services) -> FirstAnswers | None:
    caller = await authorized_caller(request, services)
    if caller.principal.only_event is not None and services.session_cookie in request.cookies:
        return None  # the page has to find out first whether this is a user, too
    event_id = event_id_in(request)
    whole_time = parse_range(None, None, DEFAULT_TZ)
    insights, tz = None, _zone(request)
    if event_id is not None:
        path = f"/api/v1/events/{encode_path_segment(request.path_params['event_id'])}/analytics"
        subject = EventSubject(event_id)
        dashboard = await _answer(services, caller, path, EventDashboardQuestion(subject, whole_time))
        with suppress(HannunError):
            url = f"{path}/insights?{urlencode({'tz': tz})}"
            insights = await _answer(services, caller, url, InsightsQuestion(subject, tz))
    elif (user_id := _merchant(request, caller)) is not None:
        path = f"/api/v1/users/{encode_path_segment(user_id)}/analytics"
        question = MerchantDashboardQuestion(MerchantSubject(canonical_id(user_id)), whole_time)
        dashboard = await _answer(services, caller, path, question)
    else:
        return None
    record_read(request, services, caller)
    if caller.principal.only_event is None:
        return FirstAnswers(FirstAnswer("/api/v1/session", session_answer(caller)), None, dashboard, insights, tz)
    session = FirstAnswer(f"{path.removesuffix('/analytics')}/session", link_session_answer(caller))
    return FirstAnswers(session, caller.expires_at, dashboard, insights, tz)


async def _answer(services: Services, caller: Caller, url: str, question: Question) -> FirstAnswer:
    answer, _ = await services.reports.answer(caller.principal, question)
    return FirstAnswer(url, answer.body, answer.etag)


def _zone(request: Request) -> str:
    """The time zone of the page: that of its address, else the default."""
    requested = request.query_params.get("tz", "")
    return requested if requested in zone_names() else DEFAULT_TZ


def _merchant(request: Request, caller: Caller) -> str | None:
    """The merchant whose events the path shows; None where an administrator has to choose one."""
    if "user_id" in request.path_params:
        return str(request.path_params["user_id"])
    return None if caller.principal.sees_all else caller.principal.user_id
