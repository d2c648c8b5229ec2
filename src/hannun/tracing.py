"""Traces, by OpenTelemetry: spans of batches, invalidations, notifications of pages, requests and queries.

    batch (links to some of its messages) ─► query, invalidation ─► announcement over Redis ─► notification of pages
    request ─► query

Kafka's instrumentation for OpenTelemetry makes a span for each message, which costs more than counting it. Here a batch
is one span, with links to at most `LINKS_MAX` of its messages that say that they are traced.

Until `configure` is called nothing is imported, and each function returns at once. No span holds an id or a value: of a
query it has the text with placeholders.
"""

import random
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

    from hannun import tracing_spans

LINKS_MAX: Final = 32
QUERY_CHARACTERS_MAX: Final = 300

_OFF: Final[AbstractContextManager[None]] = nullcontext()
_spans: "tracing_spans.Spans | None" = None
_share = 0.0


def configure(processor: "SpanProcessor", service: str, share: float) -> None:
    """Trace from now on.

    Args:
        processor: takes the spans that have ended.
        service: the name of the process, as `hannun-serve`.
        share: of the requests that are traced; batches always are.
    """
    global _spans, _share
    from hannun.tracing_spans import Spans

    _spans, _share = Spans(processor, service), share


def shut_down() -> None:
    """Hand over what has ended, and trace no more."""
    global _spans
    spans, _spans = _spans, None
    if spans is not None:
        spans.shut_down()


def is_on() -> bool:
    """Whether anything is traced."""
    return _spans is not None


def batch(messages: int, traceparents: Sequence[bytes]) -> AbstractContextManager["Span | None"]:
    """The span of a batch, linked to the messages with these `traceparent` headers."""
    if _spans is None:
        return _OFF
    links = [each.decode("latin-1") for each in traceparents[:LINKS_MAX]]
    return _spans.start("count batch", links=links, attributes={"messaging.batch.message_count": messages})


def request(method: str, traceparent: str | None) -> AbstractContextManager["Span | None"]:
    """The span of a request; none for most of those whose caller does not say that it is traced."""
    if _spans is None or not (_is_sampled(traceparent) or random.random() < _share):
        return _OFF
    return _spans.start(method, parent=traceparent, kind="server", attributes={"http.request.method": method})


def following(
    traceparents: Iterable[str | None], name: str, **attributes: int | str
) -> AbstractContextManager["Span | None"]:
    """A span for work that was left by others: under the first of these spans, linked to the rest; none without any."""
    if _spans is None:
        return _OFF
    left_by = list(dict.fromkeys(filter(None, traceparents)))[: LINKS_MAX + 1]
    if not left_by:
        return _OFF
    return _spans.start(name, parent=left_by[0], links=left_by[1:], attributes=attributes)


def query(text: Any) -> AbstractContextManager["Span | None"]:
    """A span for a statement, where the work around it is traced."""
    if _spans is None or not _spans.is_recording():
        return _OFF
    shown = " ".join(text.split())[:QUERY_CHARACTERS_MAX] if isinstance(text, str) else "composed"
    attributes = {"db.system.name": "postgresql", "db.query.text": shown}
    return _spans.start("query", kind="client", attributes=attributes)


def traceparent() -> str | None:
    """The header that names the span around this; None where nothing is traced."""
    return None if _spans is None else _spans.traceparent()


def _is_sampled(header: str | None) -> bool:
    return header is not None and len(header) == 55 and header[:3] == "00-" and header[-1:] in "13579bdf"
