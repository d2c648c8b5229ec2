"""The answer of a view as tables, for files: the same figures as in the JSON, cell by cell.

    answer ─┬─► the table of its list: points, channels or events; a row for each entry, a column for each figure of one
            ├─► figures: every other figure of the answer, a row each, with unit, kind and "as of"
            └─► about: what was asked, as of when, what each column means

A cell holds what the answer holds. An instant is its text; a missing figure is None, never 0.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from hannun.domain.response_schemas import ApiStruct, Period, Provenance
from hannun.domain.terms import TERMS, Language, Term, Unit, term, word


class Instant(str):
    """An instant among texts: ISO 8601 with an offset."""

    __slots__ = ()


Cell = str | int | float | bool | list[int] | None
Row = Sequence[Cell]


@dataclass(frozen=True, slots=True)
class ViewTables:
    """How the answer of a view becomes tables.

    view: the view's name, in file names and at the command line. `all-` in front means: of a merchant's events.
    schema: the struct of the answer.
    list_field: the attribute of the answer that holds its list: points, channels or events.
    names: the tables in the order of a workbook. A file of one table holds the first, unless the caller names another.
    count_field: for a list that comes in pages, the attribute that counts the entries of all pages.
    """

    view: str
    schema: type[ApiStruct]
    list_field: str
    names: tuple[str, ...]
    count_field: str | None = None

    def title(self, language: Language) -> str:
        """The view's name for people."""
        name = word(self.view.removeprefix("all-"), language)
        return f"{word('all', language)} {name}" if self.view.startswith("all-") else name


class ViewAnswer(Protocol):
    """What the answer structs of all views have in common."""

    @property
    def period(self) -> Period: ...
    @property
    def provenance(self) -> dict[str, Provenance]: ...
    @property
    def last_updated_at(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `key` is its name in the answer, the same in every language."""

    key: str
    term: Term

    @property
    def unit(self) -> Unit:
        return self.term.unit


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `rows` can be iterated once."""

    name: str
    columns: tuple[Column, ...]
    rows: Iterable[Row]


@cache
def _decoder(schema: type[ApiStruct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(schema)


def decode_answer(view: ViewTables, body: bytes) -> ViewAnswer:
    answer: ViewAnswer = _decoder(view.schema).decode(body)
    return answer


def tables_of(view: ViewTables, answer: ViewAnswer, language: Language) -> list[Table]:
    """The tables of an answer, in the order of a workbook."""
    return [
        figures_table(answer, language) if name == "figures" else _list_table(name, view, answer) for name in view.names
    ]


def rows_of(view: ViewTables, answer: ViewAnswer) -> Iterator[Row]:
    """The rows of an answer's list. For the further pages of a table that `tables_of` has begun."""
    columns = _columns(view, answer)
    read = attrgetter(*(path for _, path in columns))
    rows: Iterator[Row] = map(read, getattr(answer, view.list_field))
    return map(_with_empty_reason, rows) if any(column.key == "reason" for column, _ in columns) else rows


def _with_empty_reason(row: Sequence[Any]) -> Row:
    """The row with an empty cell where its entry has no reason: only that field may be left out by some entries."""
    return [None if cell is UNSET else cell for cell in row]


def count_of(view: ViewTables, answer: ViewAnswer) -> int:
    """How many rows the list has, over all pages."""
    if view.count_field is not None:
        count: int = getattr(answer, view.count_field)
        return count
    return len(getattr(answer, view.list_field))


# -- the list: a row for each entry, a column for each figure of one


def _list_table(name: str, view: ViewTables, answer: ViewAnswer) -> Table:
    return Table(name, tuple(column for column, _ in _columns(view, answer)), rows_of(view, answer))


def _columns(view: ViewTables, answer: ViewAnswer) -> list[tuple[Column, str]]:
    """The columns of the list, each with the attribute path of its figure.

    Fields that an entry may leave out (the metrics of a timeline, the reason of a missing figure) have a column only if
    the answer has them.
    """
    field, entry = _list_of(view.schema, view.list_field)
    optional = {each.encode_name for each in msgspec.structs.fields(entry) if each.default is UNSET}
    return [
        (Column(key, term(key)), path)
        for key, path in _leaves(entry)
        if key not in optional
        or f"{field}.{key}" in answer.provenance
        or (key == "reason" and answer.period.not_kept is not UNSET)
    ]


@cache
def _list_of(schema: type[ApiStruct], list_field: str) -> tuple[str, type[msgspec.Struct]]:
    """The JSON name of the list, and the struct of its entries."""
    field = next(field for field in msgspec.structs.fields(schema) if field.name == list_field)
    entry = _struct_in_list(field.type)
    assert entry is not None
    return field.encode_name, entry


@cache
def _leaves(struct: type[msgspec.Struct], prefix: str = "") -> tuple[tuple[str, str], ...]:
    """The figures of a struct and of the structs in it: (name in JSON, attribute path)."""
    found: list[tuple[str, str]] = []
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += _leaves(field.type, f"{prefix}{field.name}.")
        else:
            found.append((field.encode_name, prefix + field.name))
    return tuple(found)


# -- the figures outside the list

_FIGURE_COLUMNS = tuple(Column(key, TERMS[key]) for key in ("figure", "name", "value", "text", "unit", "kind", "asOf"))


def figures_table(answer: ViewAnswer, language: Language) -> Table:
    """Every figure of an answer outside its list, with unit, kind and "as of"; its `name` is in the given language."""
    return Table("figures", _FIGURE_COLUMNS, _figure_rows(answer, language))


def _figure_rows(answer: ViewAnswer, language: Language) -> Iterator[Row]:
    for path, value in _figures(answer):
        figure = term(path)
        origin = _provenance_of(answer, path)
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        text = _text(value, figure.unit, language)
        unit = figure.unit.value if figure.unit.is_number else None
        kind, as_of = (None, None) if origin is None else (origin.kind, origin.as_of)
        yield path, figure.name(language), number, text, unit, kind, as_of


def _text(value: object, unit: Unit, language: Language) -> str | None:
    if isinstance(value, bool):
        return word("yes" if value else "no", language)
    if isinstance(value, str):
        return Instant(value) if unit is Unit.INSTANT else value
    return " · ".join(map(str, value)) if isinstance(value, list) else None


_NOT_FIGURES = ("provenance", "next_cursor")
_OPTIONAL_PARTS = {"summary.previous", "summary.delta", "projection"}


def _figures(answer: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """(path in JSON, value) of every figure outside the list."""
    assert isinstance(answer, msgspec.Struct)
    for field in msgspec.structs.fields(answer):
        value = getattr(answer, field.name)
        path = prefix + field.encode_name
        if field.name in _NOT_FIGURES or value is UNSET or (value is None and path in _OPTIONAL_PARTS):
            continue
        if isinstance(value, msgspec.Struct):
            yield from _figures(value, f"{path}.")
        elif isinstance(value, dict):
            yield from ((f"{path}.{name}", each) for name, each in value.items())
        elif not (isinstance(value, list) and _struct_in_list(field.type)):
            yield path, value


def _struct_in_list(type_: object) -> type[msgspec.Struct] | None:
    """The struct in `list[struct]`, which is a table of its own; None for another type."""
    element: object = getattr(type_, "__args__", (None,))[0]
    return element if isinstance(element, type) and issubclass(element, msgspec.Struct) else None


def _provenance_of(answer: ViewAnswer, path: str) -> Provenance | None:
    """The provenance of a figure: its own, or that of the nearest part above it."""
    while path:
        if path in answer.provenance:
            return answer.provenance[path]
        path = path.rpartition(".")[0]
    return None


# -- what explains a file


def about(
    view: ViewTables, answer: ViewAnswer, filters: Sequence[tuple[str, str]], language: Language
) -> list[Sequence[str | None]]:
    """What was asked, as of when, what the columns mean and what the figures are: rows of text.

    `filters` are the further parameters of the question, as (name, value).
    """

    def w(name: str) -> str:
        return word(name, language)

    rows: list[Sequence[str | None]] = [(w("asked"),), (w("view"), view.title(language))]
    for field in _SUBJECT_FIELDS:
        if hasattr(answer, field):
            encoded = next(each.encode_name for each in msgspec.structs.fields(view.schema) if each.name == field)
            rows.append((term(encoded).name(language), str(getattr(answer, field))))
    rows += [(w("period"), _period_text(answer.period, language)), (w("tz"), zone_of(answer))]
    if answer.period.not_kept is not UNSET:
        rows.append((w("notKept"), " · ".join(answer.period.not_kept), w("notKeptNote")))
    rows += filters
    if hasattr(answer, "money_period"):
        rows.append((w("moneyPeriod"), _period_text(answer.money_period, language), w("moneyNote")))
    rows.append((w("asOf"), answer.last_updated_at or w("nothing")))
    rows.append((w("empty"), None, w("emptyNote")))
    rows += [(), (w("columns"), w("unit"), w("meaning"))]
    columns = [column.term for column, _ in _columns(view, answer)]
    for figure in dict.fromkeys([*columns, *(term(path) for path, _ in _figures(answer)), TERMS["kind"]]):
        rows.append((figure.name(language), figure.unit.value, figure.meaning(language) or None))
    rows += [(), (w("kinds"), w("kind"), term("asOf").name(language), w("unit"))]
    for path, origin in answer.provenance.items():
        because = [] if origin.reason is UNSET else [w(origin.reason)]
        rows.append((path, origin.kind, origin.as_of, origin.unit, *because))
    return rows


_SUBJECT_FIELDS = ("event_id", "event_title", "user_id", "status", "granularity")


def zone_of(answer: ViewAnswer) -> str:
    """The zone of an answer's instants."""
    return answer.period.tz


TITLE_LENGTH_MAX = 80
NAME_BYTES_MAX = 200
"""The longest file name, in bytes of UTF-8. File systems allow 255 bytes: 85 Hangul syllables, or 63 emoji."""
_NOT_IN_FILE_NAMES = frozenset('\\/:*?"<>|')


def file_name(view: ViewTables, title: str, answer: ViewAnswer, suffix: str, language: Language) -> str:
    """A file name that people can read and every file system accepts: `봄맞이 타임라인 2026-11-23.csv`.

    The day is that of the answer's newest change, in the answer's zone. Characters of the title that some file system
    refuses, or that can hide the end of a name (control, format and bidirectional characters), become spaces.
    """
    allowed = "".join(
        " " if sign in _NOT_IN_FILE_NAMES or unicodedata.category(sign)[0] in "CZ" else sign
        for sign in unicodedata.normalize("NFC", title)
    )
    ending = " ".join(filter(None, [view.title(language), _day(answer)])) + f".{suffix}"
    bytes_left = NAME_BYTES_MAX - len(f" {ending}".encode())
    title = _first_signs(" ".join(allowed.split()).strip(". "), bytes_left).strip(". ")
    return f"{title} {ending}" if title else ending


def _first_signs(text: str, bytes_max: int) -> str:
    """The beginning of a text in at most TITLE_LENGTH_MAX characters and `bytes_max` bytes of UTF-8. A character is not
    separated from the marks that belong to it."""
    end = min(len(text), TITLE_LENGTH_MAX, len(text.encode()[:bytes_max].decode(errors="ignore")))
    while 0 < end < len(text) and _belongs_to_the_character_before(text[end]):
        end -= 1
    return text[:end]


def _belongs_to_the_character_before(sign: str) -> bool:
    is_jamo = "\u1160" <= sign <= "\u11ff"  # a medial or final consonant or vowel of a Hangul syllable
    is_skin_tone = "\U0001f3fb" <= sign <= "\U0001f3ff"
    return is_jamo or is_skin_tone or unicodedata.category(sign)[0] == "M"


def _day(answer: ViewAnswer) -> str:
    if answer.last_updated_at is None:
        return ""
    return datetime.fromisoformat(answer.last_updated_at).astimezone(ZoneInfo(zone_of(answer))).date().isoformat()


def _period_text(period: Period, language: Language) -> str:
    if period.start_date is None and period.end_date is None:
        return word("everything", language)
    return f"{period.start_date or ''} {word('to', language)} {period.end_date or word('now', language)}".strip()
