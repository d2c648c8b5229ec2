"""Traces of real processes, received by a collector of ours over OTLP; and a collector that is away."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from outside import Event, Service, Topics, wait_for

TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
PARENT = f"00-{TRACE.hex()}-b7ad6b7169203331-01"


class Collector:
    """What a collector has received: spans, with the name of the process that sent each."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}/v1/traces"
        self.spans: list[tuple[str, Span]] = []

    def receive(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for of_process in request.resource_spans:
            service = next(
                each.value.string_value for each in of_process.resource.attributes if each.key == "service.name"
            )
            self.spans += [(service, span) for scope in of_process.scope_spans for span in scope.spans]

    def named(self, service: str, name: str) -> list[Span]:
        return [span for by, span in self.spans if (by, span.name) == (service, name)]


@contextmanager
def open_collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            collector.receive(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def test_a_process_sends_its_last_spans_when_it_ends(service: Service) -> None:
    event = Event()
    with open_collector() as collector:
        process = service.start_serve(HANNUN_TRACES_ENDPOINT=collector.endpoint, HANNUN_TRACES_SHARE="1")
        assert service.post([event.created(), event.registered()]).status_code == 200
        assert process.terminate() == 0
        wait_for("the request", lambda: collector.named("hannun-serve", "POST /api/v1/messages"))
        (request,) = collector.named("hannun-serve", "POST /api/v1/messages")
        queries = collector.named("hannun-serve", "query")
        assert any(query.trace_id == request.trace_id for query in queries)


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_a_batch_of_ingest_is_linked_to_a_message_that_is_traced(service: Service, topics: Topics) -> None:
    event = Event()
    with open_collector() as collector:
        process = service.start_ingest(**topics.environment(), HANNUN_TRACES_ENDPOINT=collector.endpoint)
        topics.send([event.created()])
        topics.send_traced(event.registered(), PARENT)
        counted = "SELECT count(*) FROM hannun.participants"
        wait_for("the participant to be counted", lambda: service.rows(counted)[0][0])
        assert process.terminate() == 0
        links = [link.trace_id for span in collector.named("hannun-ingest", "count batch") for link in span.links]
        assert TRACE in links
        batch = next(span for span in collector.named("hannun-ingest", "count batch") if span.links)
        invalidated = collector.named("hannun-ingest", "invalidate")
        assert any(span.trace_id == batch.trace_id for span in invalidated)


def test_a_collector_that_is_away_delays_nothing_and_is_one_line_of_our_log(service: Service) -> None:
    event = Event()
    process = service.start_serve(HANNUN_TRACES_ENDPOINT="http://127.0.0.1:1/v1/traces", HANNUN_TRACES_SHARE="1")
    assert service.post([event.created()]).status_code == 200
    assert process.terminate() == 0
    lines = [line for line in process.log.splitlines() if line]
    assert all(line.startswith("{") for line in lines), process.log
    assert "Traceback" not in process.log
