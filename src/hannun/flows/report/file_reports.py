"""Answers for files, which may take long to read: from a streaming replica, where there is one."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from hannun.domain.answer import EncodedAnswer
from hannun.domain.authorization import Principal
from hannun.domain.questions import Question
from hannun.errors import StoreUnavailable
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import Source
from hannun.store.replica import CONFLICT_HINT
from hannun.telemetry import log, metrics


class FileReports:
    """Answers questions for files.

    An answer that the cache may hold goes through the cache, which only reads of the primary may fill. All others are
    read on the replica, or on the primary where the replica cannot be read or ends the read.

    Args:
        primary: reads the primary, through the cache where there is one.
        replica: reads the replica, without a cache; None where there is no replica.
    """

    def __init__(self, primary: Reports, replica: Reports | None = None) -> None:
        self._primary = primary
        self._replica = replica

    async def answer(
        self, principal: Principal, question: Question, *, refresh: bool = False
    ) -> tuple[EncodedAnswer, Source]:
        """The answer to a question. Raises as `Reports.answer`."""
        if self._replica is None or self._primary.may_cache(question):
            return await self._primary.answer(principal, question, refresh=refresh)
        try:
            answer = await self._replica.answer(principal, question, refresh=refresh)
        except StoreUnavailable:
            metrics.replica_reads.labels("primary").inc()
            return await self._primary.answer(principal, question, refresh=refresh)
        metrics.replica_reads.labels("replica").inc()
        return answer

    def pages(self, principal: Principal, question: Question) -> AsyncGenerator[EncodedAnswer]:
        """The answers of all pages, see `Reports.pages`.

        A replica that ends the read after the first page ends the file, since two servers have no common snapshot.
        """
        if self._replica is None:
            return self._primary.pages(principal, question)
        return self._pages(self._replica.pages(principal, question), principal, question)

    async def _pages(
        self, pages: AsyncGenerator[EncodedAnswer], principal: Principal, question: Question
    ) -> AsyncGenerator[EncodedAnswer]:
        begun = False
        try:
            async with aclosing(pages):
                async for page in pages:
                    if not begun:
                        metrics.replica_reads.labels("replica").inc()
                    begun = True
                    yield page
            return
        except StoreUnavailable as error:
            if begun:
                log.warning("the replica ended the reading of a file", error=str(error), hint=CONFLICT_HINT)
                raise StoreUnavailable(
                    f"the replica ended the reading of the file: {error}", hint=CONFLICT_HINT
                ) from error
        metrics.replica_reads.labels("primary").inc()
        async with aclosing(self._primary.pages(principal, question)) as of_primary:
            async for page in of_primary:
                yield page
