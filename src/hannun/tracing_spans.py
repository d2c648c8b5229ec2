"""Makes the spans of `hannun.tracing` with OpenTelemetry's SDK, which is an extra (`tracing`)."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_W3C = TraceContextTextMapPropagator()


class Spans:
    """Starts spans, each under the one around it in this thread or task."""

    def __init__(self, processor: SpanProcessor, service: str) -> None:
        # What is traced is decided before a span begins, so the sampler takes all.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service}),
            span_limits=SpanLimits(max_links=64),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("hannun")

    def shut_down(self) -> None:
        self._provider.shutdown()

    def start(
        self,
        name: str,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        kind: Literal["internal", "server", "client"] = "internal",
        attributes: Mapping[str, int | str] | None = None,
    ) -> AbstractContextManager[Span]:
        """A span for the block, which becomes the current one.

        Args:
            parent, links: `traceparent` headers; one that cannot be read is ignored.
        """
        linked = [Link(of) for of in map(_span_context, links) if of is not None]
        return self._tracer.start_as_current_span(
            name,
            None if parent is None else _context_of(parent),
            kind=_KINDS[kind],
            attributes=attributes,
            links=linked,
            record_exception=False,  # the text of an error may hold what a caller sent
            set_status_on_exception=False,
        )

    def is_recording(self) -> bool:
        """Whether a span is around this that is recorded."""
        return trace.get_current_span().is_recording()

    def traceparent(self) -> str | None:
        """The header that names the span around this; None without one."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")


def _context_of(traceparent: str) -> context.Context:
    return _W3C.extract({"traceparent": traceparent}, context.Context())


def _span_context(traceparent: str) -> SpanContext | None:
    found = trace.get_current_span(_context_of(traceparent)).get_span_context()
    return found if found.is_valid else None
