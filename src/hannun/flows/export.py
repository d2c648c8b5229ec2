"""Writes an answer to a file while a consumer reads the file.

    answers ─► tables ─► writer ─► a file in a folder of its own ─► chunks ─► consumer
    (pages of one snapshot)   in a thread, a batch of rows at a time

Writing never waits for the consumer, so a slow consumer holds no snapshot. Bytes that are not read yet are in the file,
not in memory. A CSV file is read while it grows, the other formats when they are complete. The writing task closes the
snapshot and removes the file when writing and reading have both ended, in whatever way.
"""

import asyncio
import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from hannun import deadlines
from hannun.domain import tables
from hannun.domain.about import about
from hannun.domain.answer import EncodedAnswer
from hannun.domain.tables import Row, Table, ViewAnswer, ViewTables
from hannun.domain.terms import Language
from hannun.errors import BadRequest, Busy, NoRoomForFile
from hannun.files import FileWriter, Format, writer_of
from hannun.files.layout_version import layout_version
from hannun.telemetry import log

ROWS_OF_A_BATCH = 2_000
CHUNK_BYTES = 65_536
NO_ROOM_RETRY_S = 60
_NO_ROOM = re.compile("No space left on device|Disk quota exceeded")
CONCURRENT_MAX_PER_CALLER = 2
"""The most exports of one caller at the same time."""

Progress = Callable[[int, int], None]
"""Called with the number of rows written, and the number of all rows."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Which file of which view.

    table: one of the view's tables; None for the first, and for all tables in a workbook.
    filters: further parameters of the question as (name, value), for the sheet About.
    """

    view: ViewTables
    format: Format
    language: Language
    table: str | None = None
    filters: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """
        Raises:
            BadRequest: the view has no such table, a workbook holds all tables, or the format is not installed.
        """
        if self.table is not None and self.table not in self.view.names:
            raise BadRequest(
                "the view has no table {table}: use one of {tables}",
                code="unknown-table",
                field="table",
                table=self.table,
                tables=", ".join(self.view.names),
            )
        if self.table is not None and not self.format.holds_one_table:
            raise BadRequest(
                "a workbook holds all tables: leave out table, or ask for csv", code="bad-parameter", field="table"
            )
        if self.format.missing is not None:
            raise BadRequest(
                "{format} is not installed here; install it on the server with: {hint}",
                code="format-not-installed",
                field="format",
                format=self.format.value,
                hint=self.format.missing,
            )


class Exports:
    """Runs exports, at most `concurrent_max` at a time in this process. An export ends when its file is read."""

    def __init__(self, concurrent_max: int, folder: Path | None = None) -> None:
        self._concurrent_max = concurrent_max
        self._folder = folder
        self._open: Counter[object] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """The number of exports that are written or read."""
        return self._open.total()

    def check(self, caller: object, request: ExportRequest) -> None:
        """Whether an export could start now: before its answer is computed.

        Raises:
            BadRequest: such a file does not exist, see `ExportRequest.check`.
            Busy: too many exports run.
        """
        request.check()
        if self.open >= self._concurrent_max or self._open[caller] >= CONCURRENT_MAX_PER_CALLER:
            raise Busy("too many exports at the same time", retry_after_s=2)

    async def start(
        self,
        caller: object,
        request: ExportRequest,
        pages: AsyncGenerator[EncodedAnswer],
        on_progress: Progress = lambda done, total: None,
    ) -> "Export":
        """Start an export, and wait for its first answer. The consumer then reads `chunks`, or calls `close`.

        Args:
            caller: identifies the caller, for the limit of one caller.
            pages: the answer; of a view in pages all of them, from one snapshot.

        Raises:
            BadRequest, Busy: as `check` raises them.
            NotFound, StoreUnavailable: as `pages` raises them.
        """
        self.check(caller, request)
        export = Export(request, pages, self._folder, on_progress)
        self._open[caller] += 1
        task = asyncio.create_task(export.write())
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._open[caller] -= 1
            self._open += Counter()  # drops the entries of 0

        task.add_done_callback(ended)
        try:
            await export.started()
        except BaseException:
            export.close()
            raise
        return export


class Export:
    """One export: a file that is written and read."""

    def __init__(
        self, request: ExportRequest, pages: AsyncGenerator[EncodedAnswer], folder: Path | None, on_progress: Progress
    ) -> None:
        self.request = request
        self._pages = pages
        self._folder = folder
        self._on_progress = on_progress
        self._first: asyncio.Future[EncodedAnswer] = asyncio.get_running_loop().create_future()
        self._may_write = asyncio.Event()
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        self._file: BinaryIO | None = None
        self._size = 0
        self._complete = False
        self._error: BaseException | None = None

    # -- for the consumer

    async def started(self) -> None:
        """Wait for the first answer, or raise what prevented it."""
        self.first = await asyncio.shield(self._first)
        self.answer = tables.decode_answer(self.request.view, self.first.body)

    @property
    def etag(self) -> str:
        """The ETag of the answer, with the form of the file and the version of its layout."""
        parts = [self.request.format.value, self.request.table, self.request.language, layout_version()]
        return f'{self.first.etag.removesuffix(chr(34))}-{"-".join(filter(None, parts))}"'

    @property
    def rows(self) -> int:
        """The number of entries of the view's list."""
        return tables.count_of(self.request.view, self.answer)

    async def begun(self) -> None:
        """Wait until the file has its first bytes, or raise the error that prevented them."""
        await self._wait_until(lambda: self._complete or self._size > 0)
        if self._error is not None and not self._size:
            raise self._error

    async def completed(self) -> int:
        """Wait until the file is complete. Returns its size in bytes, or raises the error of writing."""
        await self._wait_until(lambda: self._complete)
        if self._error is not None:
            raise self._error
        return self._size

    async def _wait_until(self, reached: Callable[[], bool]) -> None:
        self._may_write.set()
        while not reached():
            self._changed.clear()  # waiting for an event that is set does not yield to other tasks
            await self._changed.wait()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The bytes of the file, until it is complete. An error of writing is raised after the bytes written."""
        try:
            self._may_write.set()
            at = 0
            while True:
                self._changed.clear()
                complete = self._complete  # before the size: bytes added between the two are read in the next round
                while at < self._size:
                    assert self._file is not None
                    length = min(CHUNK_BYTES, self._size - at)
                    chunk = await to_thread.run_sync(os.pread, self._file.fileno(), length, at)
                    at += len(chunk)
                    yield chunk
                if complete:
                    break
                await self._changed.wait()
            if self._error is not None:
                raise self._error
        finally:
            self.close()

    def close(self) -> None:
        """End reading. Closing twice is fine."""
        self._closed.set()
        self._may_write.set()

    # -- the writing task

    async def write(self) -> None:
        """Write the file, and remove it when reading has ended. Never cancelled: that would break the connection."""
        try:
            async with aclosing(self._pages):
                try:
                    first = await anext(self._pages)
                    deadlines.restart(math.inf)  # the deadline was that of the request, which now has its first answer
                    self._first.set_result(first)
                except Exception as error:
                    self._first.set_exception(error)
                    self._first.exception()  # retrieved: the consumer may not wait for it any more
                    return
                await self._may_write.wait()
                if self._closed.is_set():
                    return
                try:
                    with self._open_file() as folder:
                        await self._write_file(folder)
                        self._end()
                        await self._closed.wait()
                except OSError as error:  # the folder, or the file in it, could not be created
                    self._error = self._error or _translated(error)
        finally:
            self._end()

    @contextmanager
    def _open_file(self) -> Iterator[Path]:
        """A folder of its own with the file in it, both removed after the block."""
        with (
            tempfile.TemporaryDirectory(prefix="hannun-export-", dir=self._folder) as folder,
            Path(folder, "file").open("w+b") as self._file,
        ):
            yield Path(folder)

    def _end(self) -> None:
        self._complete = True
        self._changed.set()

    async def _write_file(self, folder: Path) -> None:
        try:
            await self._write_tables(folder)
        except Exception as error:
            self._error = _translated(error)
        finally:
            await self._pages.aclose()  # the snapshot ends here, however long reading takes

    async def _write_tables(self, folder: Path) -> None:
        request, answer = self.request, tables.decode_answer(self.request.view, (await self._first).body)
        assert self._file is not None
        tz = tables.zone_of(answer)
        writer = writer_of(request.format, self._file, folder, tz, request.language, answer.last_updated_at)
        chosen = request.table or request.view.names[0]
        try:
            for table in tables.tables_of(
                request.view, answer, request.language, for_programs=request.format.is_for_programs
            ):
                if request.format.holds_one_table and table.name != chosen:
                    continue
                writer.begin(table.name, table.columns)
                if table.name == "figures":
                    await self._add(writer, table.rows)
                else:
                    await self._add_list(writer, table, answer)
            if not self._closed.is_set():
                explained = about(request.view, answer, request.filters, request.language)
                await to_thread.run_sync(writer.close, explained)
                self._grow()
        except BaseException:
            writer.abandon()
            raise
        if self._closed.is_set():
            writer.abandon()

    async def _add_list(self, writer: FileWriter, table: Table, answer: ViewAnswer) -> None:
        """Add the rows of the answer's list and of its further pages."""
        total = tables.count_of(self.request.view, answer)
        done = await self._add(writer, table.rows, 0, total)
        async for page in self._pages:
            if self._closed.is_set():
                return
            page_answer = tables.decode_answer(self.request.view, page.body)
            done = await self._add(writer, tables.rows_of(self.request.view, page_answer), done, total)

    async def _add(self, writer: FileWriter, rows: Iterable[Row], done: int = 0, total: int = 0) -> int:
        rows = iter(rows)
        while not self._closed.is_set():
            added = await to_thread.run_sync(self._add_batch, writer, rows)
            done += added
            if total:
                self._on_progress(done, total)
            if self.request.format.grows:
                self._grow()
            if added < ROWS_OF_A_BATCH:
                break
        return done

    @staticmethod
    def _add_batch(writer: FileWriter, rows: Iterator[Row]) -> int:
        batch = list(islice(rows, ROWS_OF_A_BATCH))
        writer.rows(batch)
        return len(batch)

    def _grow(self) -> None:
        assert self._file is not None
        self._file.flush()
        self._size = self._file.seek(0, os.SEEK_END)
        self._changed.set()


def _translated(error: Exception) -> Exception:
    """Our error where the disk for temporary files is full; any other error as it is. Libraries wrap the system's."""
    if _NO_ROOM.search(str(error)) is None:
        return error
    log.error("no file can be made: the disk for temporary files is full", error=str(error), hint=NoRoomForFile.hint)
    return NoRoomForFile("the server's disk for files is full", retry_after_s=NO_ROOM_RETRY_S)


async def single_page(answer: EncodedAnswer) -> AsyncGenerator[EncodedAnswer]:
    """The pages of an answer that has only one."""
    yield answer
