"""Lists the merchants, page by page, for administrators. Reads PostgreSQL; nothing is cached."""

from dataclasses import dataclass
from datetime import UTC, datetime

from hannun.domain.questions import PAGE_DEFAULT, decode_id_cursor, encode_id_cursor
from hannun.store import merchant_list
from hannun.store.database import ReadPool
from hannun.store.merchant_list import MerchantRow


@dataclass(frozen=True, slots=True)
class MerchantListQuestion:
    """Which merchants to list: those with this text in the id or in the title of an event. None does not filter."""

    text: str | None = None
    cursor: str | None = None
    limit: int = PAGE_DEFAULT


class MerchantList:
    """The list of all merchants that have an event."""

    def __init__(self, reader: ReadPool) -> None:
        self._reader = reader

    async def page(self, question: MerchantListQuestion) -> tuple[list[MerchantRow], str | None]:
        """A page of merchants, and the cursor of the next page; None where there is no next page.

        Raises:
            BadRequest: the cursor is not one of ours.
            StoreUnavailable: PostgreSQL is unavailable.
        """
        after = None if question.cursor is None else decode_id_cursor(question.cursor)
        now = datetime.now(UTC).replace(tzinfo=None)
        merchants = await self._reader.read(
            lambda conn: merchant_list.page(conn, text=question.text, after=after, now=now, limit=question.limit + 1)
        )
        shown = merchants[: question.limit]
        return shown, encode_id_cursor(shown[-1].user_id) if len(merchants) > question.limit else None
