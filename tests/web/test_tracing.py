"""Traces inside one process: what hangs under what, what is linked, and that no span holds an id."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from polling import wait_for
from served import Site, open_site
from test_live import ANALYTICS, watched
from world import OWNER, SPRING, World

from hannun import tracing
from hannun.cache import announcements
from hannun.domain.batch import ChangedEvent
from hannun.errors import OperatorError
from hannun.processes.tracing import tracing_to_collector
from hannun.settings import Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Spans:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self._exporter)

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def wait_for(self, name: str) -> ReadableSpan:
        return wait_for(f"the span {name}", lambda: self.named(name))[0]

    def is_above(self, above: ReadableSpan, span: ReadableSpan) -> bool:
        """Whether a span hangs under another one, at any depth."""
        by_id = {each.context.span_id: each for each in self.all()}
        while span.parent is not None and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
            if span.context.span_id == above.context.span_id:
                return True
        return False


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    tracing.configure(spans.processor, "test", share=0)
    yield spans
    tracing.shut_down()


@pytest.fixture
def traced_site(spans: Spans, world: World) -> Iterator[Site]:
    with open_site(world) as site:
        yield site


def test_a_posted_message_is_traced_to_its_queries_its_invalidation_and_the_notified_page(
    traced_site: Site, spans: Spans
) -> None:
    traced_site.send(traced_site.world.created())
    with watched(traced_site, traced_site.owner) as stream:
        body = [{"type": "participant-registered", **message(traced_site.world)}]
        answer = traced_site.service.post("/api/v1/messages", json=body, headers={"traceparent": PARENT})
        assert answer.json()["counted"] == 1, answer.text
        stream.next_change()
        notified = spans.wait_for("notify pages")
    request = spans.wait_for("POST /api/v1/messages")
    assert f"{request.context.trace_id:032x}" == TRACE
    invalidated = next(each for each in spans.named("invalidate") if spans.is_above(request, each))
    assert spans.is_above(invalidated, notified)
    assert any(spans.is_above(request, query) for query in spans.named("query"))


def message(world: World) -> dict[str, str]:
    return {
        "eventId": SPRING,
        "participantId": "a-person",
        "channelName": "Instagram",
        "registeredAt": "2026-11-23T10:00:00+09:00",
    }


def test_only_requests_that_say_so_are_traced_where_the_share_is_0(traced_site: Site, spans: Spans) -> None:
    traced_site.send(traced_site.world.created())
    fresh = {"refresh": "true"}
    assert traced_site.owner.get(ANALYTICS, params=fresh).status_code == 200
    unsampled = PARENT.removesuffix("01") + "00"
    assert traced_site.owner.get(ANALYTICS, params=fresh, headers={"traceparent": unsampled}).status_code == 200
    assert traced_site.owner.get(ANALYTICS, params=fresh, headers={"traceparent": "nonsense"}).status_code == 200
    assert [each for each in spans.all() if each.name.startswith("GET")] == []
    assert traced_site.owner.get(ANALYTICS, params=fresh, headers={"traceparent": PARENT}).status_code == 200
    request = spans.wait_for("GET /api/v1/events/{event_id}/analytics")
    assert request.attributes["http.response.status_code"] == 200
    assert [each for each in spans.named("query") if spans.is_above(request, each)]


def test_a_batch_is_one_span_with_links_to_at_most_32_messages(spans: Spans, world: World) -> None:
    headers = [f"00-{number:032x}-{number:016x}-01".encode() for number in range(1, 100)]
    with tracing.batch(5_000, [*headers, b"nonsense"]):
        world.count(world.created(), world.registered())
    (batch,) = spans.named("count batch")
    assert len(batch.links) == tracing.LINKS_MAX
    assert batch.attributes["messaging.batch.message_count"] == 5_000
    assert all(spans.is_above(batch, each) for each in spans.named("query"))
    assert len(spans.all()) < 60, "spans of a batch do not grow with its messages"


def test_no_span_holds_an_id_or_a_value(traced_site: Site, spans: Spans) -> None:
    world = traced_site.world
    with tracing.batch(3, []):
        world.count(world.created(), world.registered("a-person"), world.sold(123_456, "a-sale"))
    traced_site.owner.get(ANALYTICS, headers={"traceparent": PARENT}, params={"refresh": "true"})
    shown = [f"{span.name} {dict(span.attributes)} {span.status.description} {span.events}" for span in spans.all()]
    assert len(shown) > 10
    for private in (SPRING, OWNER, "a-person", "a-sale", "123456", "봄맞이"):
        assert not [each for each in shown if private in each], private


def test_an_announcement_names_its_trace_only_while_traces_are_on() -> None:
    event = ChangedEvent(SPRING, OWNER, 7, ("Instagram",))
    assert b"traceparent" not in announcements.encode(event)
    assert announcements.decode(announcements.encode(event)) == event
    assert announcements.decode(announcements.encode(event, PARENT)) == event._replace(traceparent=PARENT)


def test_while_traces_are_off_their_part_of_opentelemetry_is_not_even_imported() -> None:
    """redis-py imports parts of it by itself where it is installed."""
    program = (
        "import sys, hannun.processes.ingest, hannun.processes.http_server, hannun.processes.schedule\n"
        "print({'hannun.tracing_spans', 'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_an_endpoint_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = Settings(traces_endpoint="http://127.0.0.1:1/v1/traces")
    with pytest.raises(OperatorError) as refused, tracing_to_collector(settings, "test"):
        pass
    assert "hannun[tracing]" in refused.value.hint


def test_a_share_that_is_none_is_refused() -> None:
    settings = Settings(traces_endpoint="http://127.0.0.1:1/v1/traces", traces_share=7)
    with pytest.raises(OperatorError, match="HANNUN_TRACES_SHARE"), tracing_to_collector(settings, "test"):
        pass
