"""Make a file of an answer while somebody reads it.

    answers ─► tables ─► writer ─► a file in a folder of its own ─► chunks ─► who reads
    (pages of one snapshot)   in a thread, a batch of rows at a time

Writing never waits for the reader, so that a slow one holds no snapshot; what is not read yet lies in the file, not in
memory. Of CSV what is written is read at once; the other formats when they are complete. Writer and reader go their own
ways: it is the writer's task that closes and removes everything, when both have ended, however they did.
"""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from hannun.domain import tables
from hannun.domain.answer import EncodedAnswer
from hannun.domain.tables import Row, Table, ViewAnswer, ViewTables
from hannun.domain.terms import Language
from hannun.errors import BadRequest, Busy
from hannun.files import FileWriter, Format, writer_of

ROWS_OF_A_BATCH = 2_000
CHUNK_BYTES = 65_536
AT_ONCE_OF_ONE = 2
"""How many files one asker may have made at the same time."""

Progress = Callable[[int, int], None]
"""Told how many rows are written, of how many."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What file of which view. `table` is one of the view's; None the first, in a workbook all.

    `asked` are further conditions of the question, as they were asked, for the sheet that explains.
    """

    view: ViewTables
    format: Format
    language: Language
    table: str | None = None
    asked: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """
        Raises:
            BadQuestion: the view has no such table, a workbook holds them all, or the format cannot be made here.
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
    """Makes files; at most `at_once` at a time in this process, those that are still being read too."""

    def __init__(self, at_once: int, folder: Path | None = None) -> None:
        self._at_once = at_once
        self._folder = folder
        self._open: Counter[object] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many files are being made or read."""
        return self._open.total()

    async def begin(
        self,
        whose: object,
        wanted: ExportRequest,
        pages: AsyncGenerator[EncodedAnswer],
        tells: Progress = lambda done, total: None,
    ) -> "Export":
        """Begin a file: its first answer is there. Whoever has begun it reads `chunks` or calls `leave`.

        Args:
            whose: who asks, for the limit of one asker.
            pages: the answer; of a merchant's events all pages of it, from one snapshot.

        Raises:
            BadQuestion: `wanted` cannot be made.
            Busy: too many files are being made.
            NotFound, StoreUnavailable: as the pages do.
        """
        wanted.check()
        if self.open >= self._at_once or self._open[whose] >= AT_ONCE_OF_ONE:
            raise Busy("too many exports at the same time", retry_after_s=2)
        export = Export(wanted, pages, self._folder, tells)
        self._open[whose] += 1
        task = asyncio.create_task(export.make())
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._open[whose] -= 1
            self._open += Counter()  # whoever has none needs no entry

        task.add_done_callback(ended)
        try:
            await export.begun()
        except BaseException:
            export.leave()
            raise
        return export


class Export:
    """A file that is being made."""

    def __init__(
        self, wanted: ExportRequest, pages: AsyncGenerator[EncodedAnswer], folder: Path | None, tells: Progress
    ) -> None:
        self.wanted = wanted
        self._pages = pages
        self._folder = folder
        self._tells = tells
        self._first: asyncio.Future[EncodedAnswer] = asyncio.get_running_loop().create_future()
        self._go = asyncio.Event()
        self._changed = asyncio.Event()
        self._left = asyncio.Event()
        self._file: BinaryIO | None = None
        self._size = 0
        self._complete = False
        self._error: BaseException | None = None

    # -- the reader's side

    async def begun(self) -> None:
        """Wait for the first answer; raises what prevented it."""
        self.first = await asyncio.shield(self._first)
        self.answer = tables.decode_answer(self.wanted.view, self.first.body)

    @property
    def etag(self) -> str:
        """That of the answer, and what file it is."""
        parts = [self.wanted.format.value, self.wanted.table, self.wanted.language]
        return f'{self.first.etag.removesuffix(chr(34))}-{"-".join(filter(None, parts))}"'

    @property
    def rows(self) -> int:
        """How many entries the view's list has."""
        return tables.count_of(self.wanted.view, self.answer)

    async def completed(self) -> int:
        """Wait until the file is complete. Returns its size in bytes; raises what went wrong."""
        self._go.set()
        while not self._complete:
            self._changed.clear()  # one that is set would not let anybody else run
            await self._changed.wait()
        if self._error is not None:
            raise self._error
        return self._size

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The file, as far as it may be read, until it is complete. Raises what went wrong, after what was written."""
        try:
            self._go.set()
            at = 0
            while True:
                self._changed.clear()
                complete = self._complete  # before the size: what comes between the two is read in the next round
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
            self.leave()

    def leave(self) -> None:
        """Nobody reads any more. Leaving twice is fine."""
        self._left.set()
        self._go.set()

    # -- the writer's side

    async def make(self) -> None:
        """Write the file, and remove it when nobody reads it any more. Never cancelled: a connection would break."""
        try:
            async with aclosing(self._pages):
                try:
                    first = await anext(self._pages)
                    self._first.set_result(first)
                except Exception as error:
                    self._first.set_exception(error)
                    self._first.exception()  # whoever waited may have left
                    return
                await self._go.wait()
                if self._left.is_set():
                    return
                with self._open_file() as folder:
                    await self._write(folder)
                    self._end()
                    await self._left.wait()
        finally:
            self._end()

    @contextmanager
    def _open_file(self) -> Iterator[Path]:
        """A folder of its own with the file in it; gone after the block."""
        with (
            tempfile.TemporaryDirectory(prefix="hannun-export-", dir=self._folder) as folder,
            Path(folder, "file").open("w+b") as self._file,
        ):
            yield Path(folder)

    def _end(self) -> None:
        self._complete = True
        self._changed.set()

    async def _write(self, folder: Path) -> None:
        try:
            await self._fill(folder)
        except Exception as error:
            self._error = error
        finally:
            await self._pages.aclose()  # the snapshot ends here, however long somebody reads

    async def _fill(self, folder: Path) -> None:
        wanted, answer = self.wanted, tables.decode_answer(self.wanted.view, (await self._first).body)
        assert self._file is not None
        tz = tables.zone_of(answer)
        writer = writer_of(wanted.format, self._file, folder, tz, wanted.language, answer.last_updated_at)
        chosen = wanted.table or wanted.view.names[0]
        try:
            for table in tables.tables_of(wanted.view, answer, wanted.language):
                if wanted.format.holds_one_table and table.name != chosen:
                    continue
                writer.begin(table.name, table.columns)
                if table.name == "figures":
                    await self._add(writer, table.rows)
                else:
                    await self._add_list(writer, table, answer)
            if not self._left.is_set():
                about = tables.about(wanted.view, answer, wanted.asked, wanted.language)
                await to_thread.run_sync(writer.close, about)
                self._grow()
        except BaseException:
            writer.abandon()
            raise
        if self._left.is_set():
            writer.abandon()

    async def _add_list(self, writer: FileWriter, table: Table, answer: ViewAnswer) -> None:
        """The rows of the answer's list, and those of its further pages."""
        total = tables.count_of(self.wanted.view, answer)
        done = await self._add(writer, table.rows, 0, total)
        async for page in self._pages:
            if self._left.is_set():
                return
            further = tables.decode_answer(self.wanted.view, page.body)
            done = await self._add(writer, tables.rows_of(self.wanted.view, further), done, total)

    async def _add(self, writer: FileWriter, rows: Iterable[Row], done: int = 0, total: int = 0) -> int:
        rows = iter(rows)
        while not self._left.is_set():
            added = await to_thread.run_sync(self._add_batch, writer, rows)
            done += added
            if total:
                self._tells(done, total)
            if self.wanted.format.grows:
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


async def only(answer: EncodedAnswer) -> AsyncGenerator[EncodedAnswer]:
    """An answer that has no further pages."""
    yield answer
