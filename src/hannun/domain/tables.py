"""Answers as tables, for files: the same figures as in the JSON, cell by cell, made of the same structs.

    answer ─┬─► the table of its list: points, channels or events, a column for each figure of an entry
            ├─► figures: everything else that it says, a row each, with unit, kind and "as of"
            └─► about: what was asked, as of when, what each column means

A cell is what stands in the answer: an instant is its text, nothing is None and never 0.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from hannun.domain import response_schemas
from hannun.domain.terms import TERMS, Language, Term, Unit, term, word


class Instant(str):
    """An instant among texts: ISO 8601 with an offset."""

    __slots__ = ()


Cell = str | int | float | bool | list[int] | None
Row = Sequence[Cell]


class View(StrEnum):
    """The eight views: four of an event, and the same over all of a merchant's events."""

    DASHBOARD = "dashboard"
    CHANNELS = "channels"
    TIMELINE = "timeline"
    ROI = "roi"
    ALL_DASHBOARD = "all-dashboard"
    ALL_CHANNELS = "all-channels"
    ALL_TIMELINE = "all-timeline"
    ALL_ROI = "all-roi"

    @property
    def of_merchant(self) -> bool:
        return self.startswith("all-")

    def called(self, language: Language) -> str:
        name = word(self.removeprefix("all-"), language)
        return f"{word('all', language)} {name}" if self.of_merchant else name

    @property
    def is_paged(self) -> bool:
        """Whether its list comes in pages."""
        return self is View.ALL_DASHBOARD

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of its tables; the first is what a file of one table holds."""
        return _SHAPES[self].tables


@dataclass(frozen=True, slots=True)
class _Shape:
    answer: type[response_schemas.Answered]
    tables: tuple[str, ...]
    field: str
    entry: type[response_schemas.Answered]


_SHAPES = {
    View.DASHBOARD: _Shape(
        response_schemas.Dashboard, ("figures", "channels"), "channel_performance", response_schemas.ChannelPerformance
    ),
    View.CHANNELS: _Shape(
        response_schemas.EventChannels, ("channels", "figures"), "channels", response_schemas.Channel
    ),
    View.TIMELINE: _Shape(
        response_schemas.EventTimeline, ("points", "figures"), "data_points", response_schemas.DataPoint
    ),
    View.ROI: _Shape(response_schemas.EventRoi, ("figures", "channels"), "channels", response_schemas.ChannelCost),
    View.ALL_DASHBOARD: _Shape(response_schemas.User, ("events", "figures"), "events", response_schemas.UserEvent),
    View.ALL_CHANNELS: _Shape(
        response_schemas.UserChannels, ("channels", "figures"), "channels", response_schemas.Channel
    ),
    View.ALL_TIMELINE: _Shape(
        response_schemas.UserTimeline, ("points", "figures"), "data_points", response_schemas.DataPoint
    ),
    View.ALL_ROI: _Shape(response_schemas.UserRoi, ("figures", "channels"), "channels", response_schemas.ChannelCost),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `key` is its name in the answer, which does not depend on a language."""

    key: str
    term: Term

    @property
    def unit(self) -> Unit:
        return self.term.unit


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `rows` can be gone through once."""

    name: str
    columns: tuple[Column, ...]
    rows: Iterable[Row]


@cache
def _decoder(shape: type[response_schemas.Answered]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


def answer_of(view: View, body: bytes) -> Any:
    """The struct that an answer's bytes were made of."""
    return _decoder(_SHAPES[view].answer).decode(body)


def tables_of(view: View, answer: Any, language: Language) -> list[Table]:
    """The tables of an answer, in the order of a workbook."""
    shape = _SHAPES[view]
    return [figures(answer, language) if name == "figures" else _entries(name, shape, answer) for name in shape.tables]


def rows_of(view: View, answer: Any) -> Iterator[Row]:
    """The rows of an answer's list, of a further page for example."""
    shape = _SHAPES[view]
    read = attrgetter(*(path for _, path in _columns(shape, answer)))
    return map(read, getattr(answer, shape.field))


def count_of(view: View, answer: Any) -> int:
    """How many rows the list has, over all pages."""
    return answer.total_events if view is View.ALL_DASHBOARD else len(getattr(answer, _SHAPES[view].field))


# -- a list: a row for each entry, a column for each figure of one


def _entries(name: str, shape: _Shape, answer: Any) -> Table:
    columns = _columns(shape, answer)
    read = attrgetter(*(path for _, path in columns))
    return Table(name, tuple(column for column, _ in columns), map(read, getattr(answer, shape.field)))


def _columns(shape: _Shape, answer: Any) -> list[tuple[Column, str]]:
    """The columns of a list, each with the road to its figure. Of a timeline those that were asked for."""
    columns = [(Column(key, term(key)), path) for key, path in _leaves(shape.entry)]
    if shape.entry is response_schemas.DataPoint:
        told = answer.provenance
        columns = [
            (c, path) for c, path in columns if c.key in ("timestamp", "complete") or f"dataPoints.{c.key}" in told
        ]
    return columns


@cache
def _leaves(shape: type[msgspec.Struct], road: str = "") -> tuple[tuple[str, str], ...]:
    """The figures of a struct: (name in JSON, road of attributes), those of structs in it too."""
    found: list[tuple[str, str]] = []
    for field in msgspec.structs.fields(shape):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += _leaves(field.type, f"{road}{field.name}.")
        else:
            found.append((field.encode_name, road + field.name))
    return tuple(found)


# -- everything else that an answer says

_FIGURE_COLUMNS = tuple(Column(key, TERMS[key]) for key in ("figure", "name", "value", "text", "unit", "kind", "asOf"))


def figures(answer: Any, language: Language) -> Table:
    """Every figure of an answer outside its list, with unit, kind and "as of". `name` is in the reader's language."""
    return Table("figures", _FIGURE_COLUMNS, _figures(answer, language))


def _figures(answer: Any, language: Language) -> Iterator[Row]:
    provenance: dict[str, response_schemas.Provenance] = answer.provenance
    for path, value in _told(answer):
        what = term(path)
        origin = _origin(provenance, path)
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        text = _text(value, what.unit)
        unit = what.unit.value if what.unit.is_number else None
        kind, as_of = (None, None) if origin is None else (origin.kind, origin.as_of)
        yield path, what.name(language), number, text, unit, kind, as_of


def _text(value: Any, unit: Unit) -> str | None:
    if isinstance(value, str):
        return Instant(value) if unit is Unit.INSTANT else value
    return " · ".join(map(str, value)) if isinstance(value, list) else None


_NO_FIGURES = ("provenance", "next_cursor")
_PARTS_THAT_MAY_BE_MISSING = {"summary.previous", "summary.delta", "projection"}


def _told(told: Any, road: str = "") -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(told):
        value = getattr(told, field.name)
        path = road + field.encode_name
        if field.name in _NO_FIGURES or value is UNSET or (value is None and path in _PARTS_THAT_MAY_BE_MISSING):
            continue
        if isinstance(value, msgspec.Struct):
            yield from _told(value, f"{path}.")
        elif isinstance(value, dict):
            yield from ((f"{path}.{name}", each) for name, each in value.items())
        elif not (isinstance(value, list) and _is_of_entries(field.type)):
            yield path, value


def _is_of_entries(type_: Any) -> bool:
    """Whether a list is one of structs: that is a table of its own."""
    of = getattr(type_, "__args__", (None,))[0]
    return isinstance(of, type) and issubclass(of, msgspec.Struct)


def _origin(provenance: dict[str, response_schemas.Provenance], path: str) -> response_schemas.Provenance | None:
    """What a figure is, told of it or of what it is a part of."""
    while path:
        if path in provenance:
            return provenance[path]
        path = path.rpartition(".")[0]
    return None


# -- what explains a file


def about(view: View, answer: Any, asked: Sequence[tuple[str, str]], language: Language) -> list[Sequence[str | None]]:
    """What was asked, as of when, what the columns mean and what the figures are: rows of text.

    `asked` are the further conditions of the question, as they were asked.
    """

    def w(name: str) -> str:
        return word(name, language)

    tz = zone_of(answer)
    rows: list[Sequence[str | None]] = [(w("asked"),), (w("view"), view.called(language))]
    for name in ("event_id", "event_title", "user_id", "status", "granularity"):
        if hasattr(answer, name):
            fields = msgspec.structs.fields(type(answer))
            encoded = next(field.encode_name for field in fields if field.name == name)
            rows.append((term(encoded).name(language), str(getattr(answer, name))))
    rows += [(w("period"), _shown(answer.period, language)), (w("tz"), tz)]
    rows += asked
    if hasattr(answer, "money_period"):
        rows.append((w("moneyPeriod"), _shown(answer.money_period, language), w("moneyNote")))
    rows.append((w("asOf"), answer.last_updated_at or w("nothing")))
    rows.append((w("empty"), None, w("emptyNote")))
    rows += [(), (w("columns"), w("unit"), w("meaning"))]
    columns = [column.term for column, _ in _columns(_SHAPES[view], answer)]
    for what in dict.fromkeys([*columns, *(term(path) for path, _ in _told(answer)), TERMS["kind"]]):
        rows.append((what.name(language), what.unit.value, what.meaning(language) or None))
    rows += [(), (w("kinds"), w("kind"), term("asOf").name(language), w("unit"))]
    rows += [(path, origin.kind, origin.as_of, origin.unit) for path, origin in answer.provenance.items()]
    return rows


def zone_of(answer: Any) -> str:
    """The zone in which an answer's instants are told."""
    tz: str = answer.period.tz
    return tz


NAME_LENGTH_MAX = 80
_NO_FILE_NAME = frozenset('\\/:*?"<>|')


def file_name(view: View, title: str, answer: Any, suffix: str, language: Language) -> str:
    """A name that people read and that every file system takes: `봄맞이 타임라인 2026-11-23.csv`.

    The day is that of the answer's newest change, in the answer's zone.

    Signs that no file system takes, or that hide what a name ends with (control, format, turning of direction), are
    left out of the title.
    """
    kept = "".join(
        " " if sign in _NO_FILE_NAME or unicodedata.category(sign)[0] in "CZ" else sign
        for sign in unicodedata.normalize("NFC", title)
    )
    words = [" ".join(kept.split()).strip(". ")[:NAME_LENGTH_MAX].strip(), view.called(language), _day(answer)]
    return " ".join(filter(None, words)) + f".{suffix}"


def _day(answer: Any) -> str:
    if answer.last_updated_at is None:
        return ""
    return datetime.fromisoformat(answer.last_updated_at).astimezone(ZoneInfo(zone_of(answer))).date().isoformat()


def _shown(period: response_schemas.Period, language: Language) -> str:
    if period.start_date is None and period.end_date is None:
        return word("everything", language)
    return f"{period.start_date or ''} {word('to', language)} {period.end_date or word('now', language)}".strip()
