"""One simulated channel: what it answers to a call, as its shape says and as it was told to be wrong.

call ─► authentication ─► budget ─► ids ─► page ─► numbers ─► response
           │ 401            │ over quota   │ 400/404
behaviours: connection, time, response ......... numbers ... sending
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from hannun.errors import OperatorError
from hannun.sandbox.channels.authentication import Authenticator
from hannun.sandbox.channels.behaviours import TOLD_MAX, Call, Instruction, Told, tell
from hannun.sandbox.channels.budgets import Ledger
from hannun.sandbox.channels.clock import Clock
from hannun.sandbox.channels.exchange import Received, Response, Sending
from hannun.sandbox.channels.lies import LIES, Numbers
from hannun.sandbox.channels.numbers import Sources, measure
from hannun.sandbox.channels.pages import Page, asked_page
from hannun.sandbox.channels.shape import Fixed, Shape, Template

CALLED_IDS_MAX = 500_000
"""First ids of calls that are remembered with their number of calls."""
_HTML = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"


class SimulatedChannel:
    """The API of one channel.

    Args:
        sources: where the numbers of an event come from.
    """

    def __init__(self, shape: Shape, sources: Sources, clock: Clock) -> None:
        self.shape = shape
        self._sources = sources
        self._clock = clock
        self._authenticator = Authenticator(shape.authentication, shape.credentials)
        self._path_before, _, self._path_behind = shape.request.path.partition("{id}")
        self._whole = Template(shape.answer.whole, "whole")
        self._last_page = Template(shape.answer.whole, "whole", frozenset({"next"}))
        self._each = lru_cache(maxsize=64)(self._template_without)
        self.told: list[Told] = []
        self._ledger = Ledger(shape.budget)
        self._calls_of_id: dict[str, int] = {}
        self._counters = _Counters()

    # -- control

    def tell(self, *instructions: Instruction) -> None:
        """Put behaviours in force; one of the same name is replaced.

        Raises:
            OperatorError: one of them is none, or they are too many. Nothing is changed then.
        """
        now = self._clock.now()
        new = [tell(instruction, now) for instruction in instructions]
        names = {told.behaviour.name for told in new}
        kept = [told for told in self.told if told.behaviour.name not in names and not told.is_over(now)]
        if len(kept) + len(new) > TOLD_MAX:
            raise OperatorError(f"more than {TOLD_MAX} behaviours at once", hint="reset some of them")
        self.told = kept + new

    def forget(self, behaviour: str | None = None) -> None:
        """Stop this behaviour, or all."""
        self.told = [told for told in self.told if behaviour is not None and told.behaviour.name != behaviour]

    def reset(self) -> None:
        """Stop all behaviours, and begin all counts and budgets anew."""
        self.forget()
        self._ledger = Ledger(self.shape.budget)
        self._calls_of_id.clear()
        self._counters = _Counters()

    def as_json(self) -> dict[str, object]:
        """The state: counts, budgets and behaviours in force."""
        now = self._clock.now()
        counters = self._counters
        return {
            "calls": counters.calls,
            "good": counters.good,
            "events": counters.events,
            "unauthorized": counters.unauthorized,
            "refused": counters.refused,
            "tokens": counters.tokens,
            "budgetViolations": self._ledger.violations,
            "budgets": self._ledger.as_json(now),
            "behaviours": [told.as_json(now) for told in self.told if not told.is_over(now)],
        }

    def refuses_handshake(self) -> bool:
        """Whether this TLS handshake is to fail."""
        return self._first("cut-tls", call=Call((), 0), now=self._clock.now()) is not None

    # -- a call

    def respond(self, request: Received) -> Response:
        """The response to a request, and how it is sent."""
        authentication = self.shape.authentication
        if authentication.kind == "oauth2" and request.path == authentication.token_path:
            return self._token(request)
        self._counters.calls += 1
        ids = self._ids(request)
        call = self._count(ids or ())
        now = self._clock.now()
        if self._first("refuse", call=call, now=now):
            return Response(0, b"", sending=Sending.RESET)
        response = self._response(request, ids, call, now)
        if slow := self._first("slow", call=call, now=now):
            response.delay_s = slow.number("delay_s")
        return self._with_sending(response, call, now)

    def _response(self, request: Received, ids: Sequence[str] | None, call: Call, now: datetime) -> Response:
        if not self._authenticator.accepts(request):
            self._counters.unauthorized += 1
            return _fixed(self.shape.unauthorized)
        percent = self._percent(call, now)
        if not self._ledger.take(now) or (percent is not None and percent >= 100):
            return self._with_usage(_fixed(self.shape.over_quota), now, 100.0)
        told = self._told_response(call, now)
        if told is None:
            told = self._refusal(request, ids) or self._answer(request, ids or (), call, now)
        return self._with_usage(told, now, percent)

    def _token(self, request: Received) -> Response:
        body = self._authenticator.issue_token(request) if request.method == "POST" else None
        if body is None:
            self._counters.unauthorized += 1
            return Response(401, b'{"error": "invalid_client"}')
        self._counters.tokens += 1
        return Response(200, body)

    def _ids(self, request: Received) -> list[str] | None:
        """The ids that are asked for; None where path or method are others."""
        shape = self.shape.request
        if request.method != shape.method or not request.path.startswith(self._path_before):
            return None
        if shape.ids == "path":
            id_ = request.path[len(self._path_before) : len(request.path) - len(self._path_behind)]
            return [id_] if request.path.endswith(self._path_behind) and id_ and "/" not in id_ else None
        if request.path != shape.path:
            return None
        values = request.query if shape.ids == "query" else request.fields
        given = values.get(shape.ids_key, "")
        if isinstance(given, list):
            return [id_ for id_ in given if isinstance(id_, str) and id_]
        return [id_ for id_ in str(given).split(shape.separator) if id_]

    def _count(self, ids: Sequence[str]) -> Call:
        """The call with its number: how many calls before began with the same id."""
        first = ids[0] if ids else ""
        if len(self._calls_of_id) >= CALLED_IDS_MAX:
            self._calls_of_id.clear()
        number = self._calls_of_id.get(first, 0)
        self._calls_of_id[first] = number + 1
        return Call(ids, number)

    def _refusal(self, request: Received, ids: Sequence[str] | None) -> Response | None:
        """The response to a call that the API does not understand."""
        refused: tuple[int, str] | None = None
        if ids is None:
            refused = 404, f"no {request.method} {request.path[:200]} here"
        elif not ids or len(ids) > self.shape.request.batch:
            refused = 400, f"found {len(ids)} ids, expected 1 to {self.shape.request.batch}"
        elif wrong := [name for name, value in self.shape.request.needs.items() if request.query.get(name) != value]:
            refused = 400, f"expected {wrong[0]}={self.shape.request.needs[wrong[0]]}"
        if refused is None:
            return None
        self._counters.refused += 1
        return Response(refused[0], json.dumps({"error": {"message": refused[1]}}).encode())

    # -- the good answer

    def _answer(self, request: Received, ids: Sequence[str], call: Call, now: datetime) -> Response:
        shape, answer = self.shape, self.shape.answer
        events = [] if self._first("empty", call=call, now=now) else list(self._measured(ids, call, now))
        if not events and shape.unknown_id is not None and not self._is_known(ids[0], now):
            return _fixed(shape.unknown_id)
        page = self._page(request, len(events), call, now)
        items = [self._item(*event) for event in page.part(events)]
        joined = ", ".join(filter(None, items))
        values = {"items": f"{{{joined}}}" if answer.items == "object" else f"[{joined}]", **page.values}
        whole = self._whole if page.has_next else self._last_page
        self._counters.good += 1
        self._counters.events += len(items)
        return Response(200, whole.render(values).encode())

    def _is_known(self, event_id: str, now: datetime) -> bool:
        source = self._sources.get(self.shape.name, event_id)
        return source is not None and now >= source.starts_at

    def _measured(self, ids: Sequence[str], call: Call, now: datetime) -> Iterator[tuple[str, Numbers, frozenset[str]]]:
        """Of each event that the channel knows: its id, its numbers as JSON, and the counts that are removed."""
        lies = [(told, lie) for name, lie in LIES.items() if (told := self._first(name, call=call, now=now))]
        removed = [told for told in self.told if told.behaviour.name == "removed" and told.applies(call, now)]
        for event_id in ids:
            source = self._sources.get(self.shape.name, event_id)
            totals = None if source is None else measure(source, self.shape.type, now)
            if totals is None:
                continue
            numbers: Numbers = {
                name: "null" if value is None else str(value) for name, value in totals._asdict().items()
            }
            for told, lie in lies:
                if told.concerns(event_id):
                    numbers = lie(told, numbers)
            gone = frozenset(told.text("metric") for told in removed if told.concerns(event_id))
            yield event_id, numbers, gone

    def _item(self, event_id: str, numbers: Numbers, removed: frozenset[str]) -> str:
        text = self._each(removed).render({"id": json.dumps(event_id), **numbers})
        if self.shape.answer.items == "object":
            return f"{json.dumps(event_id)}: {text}"
        return text[1:-1] if self.shape.answer.items == "spread" else text

    def _template_without(self, removed: frozenset[str]) -> Template:
        return Template(self.shape.answer.each, "each", removed)

    def _page(self, request: Received, count: int, call: Call, now: datetime) -> Page:
        paging = self.shape.paging
        if paging is None:
            return Page(0, 0, max(1, count), count)
        number = asked_page(paging, request.fields if self.shape.request.method == "POST" else request.query)
        shift = self._first("shift", call=call, now=now) if number > 0 else None
        return Page(number, paging.first, paging.size, count, number * int(shift.number("by")) if shift else 0)

    # -- behaviours

    def _first(self, *names: str, call: Call, now: datetime) -> Told | None:
        """The first of these behaviours that applies to the call."""
        return next((told for told in self.told if told.behaviour.name in names and told.applies(call, now)), None)

    def _told_response(self, call: Call, now: datetime) -> Response | None:
        """Another response, where a behaviour says so."""
        told = self._first(*_RESPONSES, "quota", "error-body", call=call, now=now)
        if told is None:
            return None
        match told.behaviour.name:
            case "quota":
                return _fixed(self.shape.over_quota)
            case "error-body":
                return _fixed(self.shape.error_body)
            case name:
                return _RESPONSES[name](told)

    def _percent(self, call: Call, now: datetime) -> float | None:
        """The usage that a behaviour says; None where none does."""
        told = self._first("usage", call=call, now=now)
        if told is None:
            return None
        return min(100.0, told.number("from_percent") + (told.applied - 1) * told.number("step_percent"))

    def _with_usage(self, response: Response, now: datetime, percent: float | None) -> Response:
        usage = self.shape.usage
        if usage is not None:
            used = self._ledger.percent(now) if percent is None else percent
            value = usage.value.replace("$percent", str(round(used)))
            response.headers = (*response.headers, (usage.header, value))
        return response

    def _with_sending(self, response: Response, call: Call, now: datetime) -> Response:
        """Hang, cut or trickle. A body without end already comes in its own way."""
        if self._first("hang", call=call, now=now):
            return replace(response, sending=Sending.NEVER)
        if response.sending is Sending.WHOLE and (told := self._first("cut", "trickle", call=call, now=now)):
            if told.behaviour.name == "cut":
                return replace(response, sending=Sending.CUT)
            return replace(response, sending=Sending.TRICKLE, rate=told.number("bytes_per_s"))
        return response


@dataclass(slots=True)
class _Counters:
    """What the channel has done since the last reset.

    Attributes:
        good: calls whose response holds totals, of `events` events in all, however it is sent.
        unauthorized: calls without the right credentials or token.
        refused: calls that the API does not understand.
        tokens: bearer tokens that were issued.
    """

    calls: int = 0
    good: int = 0
    events: int = 0
    unauthorized: int = 0
    refused: int = 0
    tokens: int = 0


def _fixed(fixed: Fixed) -> Response:
    return Response(fixed.status, fixed.body.encode(), tuple(fixed.headers.items()))


def _status(told: Told) -> Response:
    status, retry_after_s = int(told.number("status")), int(told.number("retry_after_s"))
    headers = (("Retry-After", str(retry_after_s)),) if retry_after_s else ()
    has_body = status not in (204, 304)
    body = json.dumps({"error": {"code": status, "message": "told to"}}) if has_body else ""
    return Response(status, body.encode(), headers)


_RESPONSES: Mapping[str, Callable[[Told], Response]] = {
    "status": _status,
    "html": lambda told: Response(200, _HTML, content_type="text/html"),
    "redirect": lambda told: Response(302, b"", (("Location", told.text("to")),)),
    "oversized": lambda told: Response(200, b"", sending=Sending.OVERSIZED, size=int(told.number("bytes"))),
}
