"""Documents of an event for people: a report of one page as PDF, and a text to send as a message.

    dashboard, timeline, insights ─► content ─► Typst in a thread ─► PDF    one at a time in a process, 100 ms each
    dashboard, insights ─► text

A document is made in memory: its content has a limited number of channels, bars and characters, whatever the event has.
"""

from collections import Counter
from enum import StrEnum

from anyio import CapacityLimiter

from hannun import deadlines
from hannun.domain import event_report
from hannun.domain.response_schemas import Dashboard, EventInsights, EventTimeline
from hannun.domain.summary_text import summary_text
from hannun.domain.terms import Language
from hannun.errors import Busy
from hannun.files import pdf_file

WAITING_MAX = 20
"""The most PDFs that are made or wait in a process: 2 s of work."""
WAITING_MAX_PER_CALLER = 2


class Document(StrEnum):
    """What kind of document. The value is the suffix of its file."""

    PDF = "pdf"
    TXT = "txt"

    @property
    def media_type(self) -> str:
        return pdf_file.MEDIA_TYPE if self is Document.PDF else "text/plain; charset=utf-8"


class EventDocuments:
    """Makes documents of events."""

    def __init__(self) -> None:
        self._thread = CapacityLimiter(1)
        self._waiting: Counter[object] = Counter()

    @property
    def waiting(self) -> int:
        """The number of PDFs that are made or wait."""
        return self._waiting.total()

    def check(self, caller: object) -> None:
        """Whether a PDF could be made now: before its answers are computed.

        Raises:
            Busy: too many are made or wait.
        """
        if self.waiting >= WAITING_MAX or self._waiting[caller] >= WAITING_MAX_PER_CALLER:
            raise Busy("too many exports at the same time", retry_after_s=2)

    async def pdf(
        self,
        caller: object,
        dashboard: Dashboard,
        timeline: EventTimeline,
        insights: EventInsights,
        language: Language,
    ) -> bytes:
        """The report of an event.

        Raises:
            Busy: as `check` raises it.
            StoreUnavailable: the deadline of the request came before its turn.
        """
        self.check(caller)
        self._waiting[caller] += 1
        try:
            return await deadlines.run_in_thread(
                lambda: render_report(dashboard, timeline, insights, language), self._thread
            )
        finally:
            self._waiting[caller] -= 1
            self._waiting += Counter()  # drops the entries of 0

    def text(self, dashboard: Dashboard, insights: EventInsights, language: Language) -> bytes:
        """The text of an event."""
        return summary_text(dashboard, insights, language).encode()


def render_report(dashboard: Dashboard, timeline: EventTimeline, insights: EventInsights, language: Language) -> bytes:
    """The PDF of these answers."""
    content = event_report.report_content(dashboard, timeline, insights, language)
    return pdf_file.render(content, event_report.as_of(dashboard))
