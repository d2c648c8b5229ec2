"""Lists the events of all merchants, page by page, for administrators. Reads PostgreSQL; nothing is cached."""

from dataclasses import dataclass
from datetime import datetime

from hannun.domain.authorization import Principal
from hannun.domain.facts import EventStatus
from hannun.domain.questions import PAGE_DEFAULT, decode_cursor, encode_cursor
from hannun.errors import BadRequest, Forbidden
from hannun.store import event_list
from hannun.store.database import AsyncConnection, ReadPool
from hannun.store.event_list import EventRow


@dataclass(frozen=True, slots=True)
class EventListQuestion:
    """Which events to list: of one merchant, with this status, with this text in the title. None does not filter."""

    user_id: str | None = None
    status: EventStatus | None = None
    text: str | None = None
    cursor: str | None = None
    limit: int = PAGE_DEFAULT


class EventList:
    """The list of all merchants' events."""

    def __init__(self, reader: ReadPool) -> None:
        self._reader = reader

    async def page(self, principal: Principal, question: EventListQuestion) -> tuple[list[EventRow], str | None]:
        """A page of events, and the cursor of the next page; None where there is no next page.

        Raises:
            Forbidden: the principal is no ADMIN.
            BadRequest: the cursor is not one of ours, or no event belongs to the merchant that the question names.
            StoreUnavailable: PostgreSQL is unavailable.
        """
        if not principal.sees_all:
            raise Forbidden("the list of all events needs the role ADMIN")
        before = None if question.cursor is None else decode_cursor(question.cursor)
        events = await self._reader.read(lambda conn: _read_page(conn, question, before))
        shown = events[: question.limit]
        last = shown[-1] if len(events) > question.limit else None
        return shown, None if last is None else encode_cursor(last.created_at, last.row_id)


async def _read_page(
    conn: AsyncConnection, question: EventListQuestion, before: tuple[datetime, int] | None
) -> list[EventRow]:
    """The events of a page, and the first one of the next page."""
    events = await event_list.page(
        conn,
        user_id=question.user_id,
        status=question.status,
        text=question.text,
        before=before,
        limit=question.limit + 1,
    )
    if not events and question.user_id is not None and not await event_list.is_merchant(conn, question.user_id):
        raise BadRequest(
            "no event belongs to the merchant {name!r}: use the userId of a listed event",
            code="unknown-merchant",
            field="userId",
            name=question.user_id,
        )
    return events
