"""Imports totals of a channel from a CSV file: for a channel without an API, and for one that is not set up.

    bytes ─► lines: checked like a poll ─► are the events known? ─► all good? ─► counted, 1,000 at a time

A file with a bad line changes nothing: if its good lines were counted, the corrected line might be older than they are,
and would be ignored. The same file again changes nothing, so an import that was interrupted is started again.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.channel_totals import ChannelTotals, RefusedTotals, checked
from hannun.domain.ids import ID_LENGTH_MAX, addressable_id
from hannun.domain.instants import NoOffset, parse_instant_with_offset, to_naive_utc
from hannun.domain.measurements import AGE_MAX, Measurement, Outcome, PieceResult, WrittenMeasurements
from hannun.errors import OperatorError

FILE_BYTES_MAX = 16 * 2**20
LINES_MAX = 100_000
LINES_AT_ONCE = 1_000
REQUIRED = ("event_id", "measured_at")
COLUMNS = (*REQUIRED, *ChannelTotals._fields)


class Counts(Protocol):
    """Counts measurements (`counting.measurement_counter.MeasurementCounter`)."""

    def now(self) -> datetime: ...

    def measurable(self, channel: str, event_ids: Sequence[str]) -> Mapping[str, bool]: ...

    def record(self, pieces: Sequence[PieceResult], entry: NewEntry | None = None) -> WrittenMeasurements: ...


class BadLine(NamedTuple):
    """A line that cannot be imported; the first line of a file is 1."""

    number: int
    reason: str


class Line(NamedTuple):
    """A line that can be imported, as far as the file alone tells."""

    number: int
    measurement: Measurement


class ImportProgress(NamedTuple):
    """How many lines are done."""

    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.done:,} of {self.total:,} lines"


class BadFile(OperatorError):
    """A file with bad lines, of which nothing was imported."""

    def __init__(self, lines: Sequence[BadLine], total: int) -> None:
        super().__init__(
            f"nothing was imported: {len(lines):,} of {total:,} lines cannot be used",
            hint="correct them, and import the whole file again: lines that were imported before change nothing",
        )
        self.lines = lines


def import_totals(
    path: Path, channel: str, counter: Counts, by: str, on_progress: Callable[[ImportProgress], object]
) -> Counter[Outcome]:
    """Count the totals in a CSV file. Returns how often each outcome occurred.

    Args:
        channel: the channel's key.
        by: the operator, for the audit log.

    Raises:
        OperatorError: the file cannot be read, or is no such file; or `BadFile`. Nothing was imported.
        StoreUnavailable: PostgreSQL is away. What is counted stays; the same import continues.
    """
    lines, bad = _read_lines(_text_of(path), channel, counter.now())
    total = len(lines) + len(bad)
    known = counter.measurable(channel, sorted({line.measurement.event_id for line in lines}))
    bad += [BadLine(line.number, reason) for line in lines if (reason := _why_not(line, known)) is not None]
    if bad:
        raise BadFile(sorted(bad), total)
    ordered = sorted((line.measurement for line in lines), key=lambda one: (one.event_id, one.measured_at))
    outcomes = Counter[Outcome]()
    for start in range(0, len(ordered), LINES_AT_ONCE):
        chunk = ordered[start : start + LINES_AT_ONCE]
        count = f"{len(chunk):,} lines"
        entry = NewEntry(operator(by), Action.TOTALS_IMPORTED, f"channel {channel}", reason=count)
        (results,) = counter.record([PieceResult(None, chunk)], entry).results
        outcomes.update(result.outcome for result in results or ())
        on_progress(ImportProgress(start + len(chunk), len(ordered)))
    return outcomes


def _why_not(line: Line, known: Mapping[str, bool]) -> str | None:
    """Why the database cannot take a line; None where it can."""
    event_id = line.measurement.event_id
    if event_id not in known:
        return f"no event has the id {event_id}"
    return None if known[event_id] else f"the channel has no type for the event {event_id}: its distribution says it"


def _text_of(path: Path) -> str:
    """The text of the file, of at most `FILE_BYTES_MAX`."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise OperatorError(
                f"cannot import {path}: it has more than {FILE_BYTES_MAX // 2**20} MB", hint="import it in parts"
            )
        return data.decode("utf-8-sig")
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}", hint="give the path of a CSV file") from error
    except UnicodeDecodeError as error:
        raise OperatorError(
            f"cannot import {path}: it is not UTF-8 at byte {error.start}",
            hint='save it as "CSV UTF-8", as Excel calls it',
        ) from error


def _read_lines(text: str, channel: str, now: datetime) -> tuple[list[Line], list[BadLine]]:
    """The good and the bad lines behind the header."""
    good: list[Line] = []
    bad: list[BadLine] = []
    seen: dict[tuple[str, datetime], int] = {}
    for number, row in _rows(text):
        if len(good) + len(bad) >= LINES_MAX:
            raise OperatorError(f"the file has more than {LINES_MAX:,} lines", hint="import it in parts")
        read = row if isinstance(row, str) else _measurement(row, channel, now)
        if isinstance(read, str):
            bad.append(BadLine(number, read))
            continue
        before = seen.setdefault((read.event_id, read.measured_at), number)
        if before != number:
            bad.append(BadLine(number, f"event_id and measured_at are those of line {before}"))
        else:
            good.append(Line(number, read))
    return good, bad


def _rows(text: str) -> Iterator[tuple[int, dict[str, str] | str]]:
    """The number of each line behind the header, and its cells by column, or why it has none. Empty lines are passed
    over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = _header(reader)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, f"the line is no CSV: {error}"
            return  # where the next line begins is not known
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            yield reader.line_num, f"it has {len(cells)} cells, and the header has {len(names)}"
        else:
            yield reader.line_num, dict(zip(names, (cell.strip() for cell in cells), strict=True))


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise OperatorError(f"the first line is no CSV: {error}", hint=_header_hint()) from error
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in REQUIRED if name not in names]
    if unknown or missing or len(set(names)) < len(names) or len(names) == len(REQUIRED):
        found = (
            f"unknown columns: {', '.join(repr(name[:40]) for name in unknown[:5])}"
            if unknown
            else f"missing columns: {', '.join(missing)}"
            if missing
            else "a column is there twice, or none holds a count"
        )
        raise OperatorError(f"the first line does not name the columns ({found})", hint=_header_hint())
    return names


def _header_hint() -> str:
    return f"{','.join(REQUIRED)} and any of {','.join(ChannelTotals._fields)}"


def _measurement(row: Mapping[str, str], channel: str, now: datetime) -> Measurement | str:
    """What a line says, or why it is bad."""
    event_id = addressable_id(row["event_id"])
    if not row["event_id"] or event_id is None or len(event_id) > ID_LENGTH_MAX:
        return f"event_id is no id of 1 to {ID_LENGTH_MAX} characters"
    measured_at = _instant(row["measured_at"], now)
    if isinstance(measured_at, str):
        return measured_at
    totals = checked({name: row[name] or None for name in ChannelTotals._fields if name in row})
    if isinstance(totals, RefusedTotals):
        return str(totals)
    return Measurement(event_id, channel, totals, measured_at, imported=True)


def _instant(text: str, now: datetime) -> datetime | str:
    try:
        moment = to_naive_utc(parse_instant_with_offset(text))
    except NoOffset:
        return "measured_at has no offset from UTC: add one, as in +09:00"
    except (ValueError, OverflowError):
        return "measured_at is no ISO 8601 instant, as in 2026-11-27T10:00:00+09:00"
    if moment > now:
        return "measured_at is in the future"
    if moment < now - AGE_MAX:
        return f"measured_at is more than {AGE_MAX.days} days ago"
    return moment
