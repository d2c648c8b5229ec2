"""Sends the traces of a process to a collector over OTLP, where a setting names one."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hannun import tracing
from hannun.errors import OperatorError, install_hint
from hannun.settings import Settings
from hannun.telemetry import log

SHUT_DOWN_S_MAX = 3.0
"""How long a process that ends waits until its last spans are sent."""
EXPORT_S_MAX = 2.0


@contextmanager
def tracing_to_collector(settings: Settings, service: str) -> Iterator[None]:
    """Trace until the block ends; nothing where no setting names a collector.

    Raises:
        OperatorError: the extra is not installed, or a setting is out of bounds.
    """
    if not settings.traces_endpoint:
        yield
        return
    if not 0 <= settings.traces_share <= 1:
        raise OperatorError(
            f"HANNUN_TRACES_SHARE is {settings.traces_share:g}, and is a share", hint="it is at least 0 and at most 1"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"HANNUN_TRACES_ENDPOINT is set, and traces need OpenTelemetry: {error}", hint=install_hint("tracing")
        ) from error
    _log_as_we_do()
    exporter = OTLPSpanExporter(endpoint=settings.traces_endpoint, timeout=EXPORT_S_MAX)
    tracing.configure(BatchSpanProcessor(exporter), service, settings.traces_share)
    try:
        yield
    finally:
        ending = threading.Thread(target=tracing.shut_down, name="send the last traces", daemon=True)
        ending.start()
        ending.join(SHUT_DOWN_S_MAX)


def _log_as_we_do() -> None:
    """Let what OpenTelemetry logs, such as a collector that is away, be lines of our log."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_Handler()]
    logger.propagate = False


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.warning("traces cannot be sent", why=record.getMessage()[:300])
