"""The answer of a view as tables, for files: the same figures as in the JSON, cell by cell.

    answer ─┬─► the table of its list: points, channels or events; a row for each entry, a column for each figure of one
            ├─► figures: every other figure of the answer, a row each, with unit, kind and "as of"
            └─► about: what was asked, as of when, what each column means (`domain.about`)

A cell holds what the answer holds. An instant is its text. A missing figure is None, never 0: also where the JSON has a
0 that says `unknown`, because nothing has been measured. A table of channels has a row for the participants of no known
channel, so that it adds up to the total.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from hannun.domain.channel_totals import ENGAGEMENT
from hannun.domain.codes import UNATTRIBUTED, Code, code, names_of
from hannun.domain.response_schemas import MEASURED_COUNTS, ApiStruct, Period, Provenance
from hannun.domain.terms import TERMS, Language, Term, Unit, term, word


class Instant(str):
    """An instant among texts: ISO 8601 with an offset."""

    __slots__ = ()


Cell = str | int | float | bool | list[int | None] | None
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


def tables_of(view: ViewTables, answer: ViewAnswer, language: Language, *, for_programs: bool) -> list[Table]:
    """The tables of an answer, in the order of a workbook. For programs a figure also has its path in the answer."""
    return [
        figures_table(answer, language, with_paths=for_programs)
        if name == "figures"
        else _list_table(name, view, answer)
        for name in view.names
    ]


def rows_of(view: ViewTables, answer: ViewAnswer) -> Iterator[Row]:
    """The rows of an answer's list. For the further pages of a table that `tables_of` has begun."""
    columns = columns_of(view, answer)
    read = attrgetter(*(path for _, path in columns))
    entries = getattr(answer, view.list_field)
    rows: Iterator[Row] = map(read, entries)
    field, _ = _list_of(view.schema, view.list_field)
    readers = {at: _reader(answer, field, column.key) for at, (column, _) in enumerate(columns)}
    changed = [(at, reader) for at, reader in readers.items() if reader is not None]
    return map(partial(_read_cells, changed), rows, entries) if changed else rows


Reader = Callable[[Any, Any], Cell]
"""(value in the answer, entry) to cell."""


def _read_cells(changed: Iterable[tuple[int, Reader]], row: Sequence[Any], entry: object) -> Row:
    cells = list(row)
    for at, reader in changed:
        cells[at] = reader(cells[at], entry)
    return cells


def _reader(answer: ViewAnswer, field: str, key: str) -> Reader | None:
    """What makes a cell of the value of a list's column; None where the cell is the value."""
    if key == "channelName":
        return _titled
    names = names_of(key)
    if names is not None:
        return lambda value, _: code(value, names) if isinstance(value, str) else None
    if key in _MEASURED_BY_CHANNELS and field != "events":
        counts = _MEASURED_BY_CHANNELS[key]
        return partial(_if_measured, counts) if field != "dataPoints" else _unless_unknown(answer, f"totals.{key}")
    if key == "totalViews" and field == "events":
        return lambda value, event: None if event.total_views_kind == "unknown" else value
    return _unless_unknown(answer, f"{field}.{key}") if field == "events" else None


def _titled(name: Any, channel: Any) -> Cell:
    """The name of a channel, with its title for people. A name without a title stays a text that somebody has sent."""
    title = channel.channel_title
    return name if (title.ko, title.en) == (name, name) else Code(name, (title.ko, title.en))


_MEASURED_BY_CHANNELS: dict[str, Collection[str]] = {
    **{name: (name,) for name in MEASURED_COUNTS},
    "engagement": ENGAGEMENT,
}
"""The columns with what channels measure, each with the counts that it is the sum of."""


def _if_measured(counts: Collection[str], value: Any, channel: Any) -> Cell:
    """A count that a channel measures. Where the channel has not reported it, it is 0 in the answer, which is not a
    count."""
    return value if any(name in channel.measured_counts for name in counts) else None


def _unless_unknown(answer: ViewAnswer, path: str) -> Reader | None:
    origin = answer.provenance.get(path)
    return None if origin is None else lambda value, _: _known(value, origin)


def _known(value: Any, origin: Provenance | None) -> Any:
    """The figure; None for a count of 0 of which nothing is known. A rate or a cost is null where it is not known."""
    is_unknown = origin is not None and origin.kind == "unknown" and origin.unit == "count"
    return None if is_unknown and isinstance(value, int | float) and value == 0 else value


def _unattributed_row(view: ViewTables, answer: Any) -> Row | None:
    """The row of the participants of no known channel, in a table of channels; None where there are none."""
    if "channels" not in view.names:
        return None
    participants = getattr(answer, "summary", answer).unattributed_participants
    shown: dict[str, Cell] = {"channelName": UNATTRIBUTED, "participants": participants}
    return [shown.get(column.key) for column, _ in columns_of(view, answer)] if participants else None


def count_of(view: ViewTables, answer: ViewAnswer) -> int:
    """How many rows the table of the list has, over all pages."""
    if view.count_field is not None:
        count: int = getattr(answer, view.count_field)
        return count
    return len(getattr(answer, view.list_field)) + (_unattributed_row(view, answer) is not None)


# -- the list: a row for each entry, a column for each figure of one


def _list_table(name: str, view: ViewTables, answer: ViewAnswer) -> Table:
    unattributed = _unattributed_row(view, answer)
    rows = chain(rows_of(view, answer), () if unattributed is None else (unattributed,))
    return Table(name, tuple(column for column, _ in columns_of(view, answer)), rows)


def columns_of(view: ViewTables, answer: ViewAnswer) -> list[tuple[Column, str]]:
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


def list_name_of(view: ViewTables) -> str:
    """The JSON name of the list."""
    return _list_of(view.schema, view.list_field)[0]


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
        # an empty cell says that a count is unknown, and the cell of the channel's name has its title
        if field.name in ("measured_counts", "channel_title"):
            continue
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += _leaves(field.type, f"{prefix}{field.name}.")
        else:
            found.append((field.encode_name, prefix + field.name))
    return tuple(found)


# -- the figures outside the list

_FIGURE_COLUMNS = tuple(Column(key, TERMS[key]) for key in ("name", "value", "text", "unit", "kind", "asOf"))
_PATH_COLUMN = Column("figure", TERMS["figure"])


def figures_table(answer: ViewAnswer, language: Language, *, with_paths: bool) -> Table:
    """Every figure of an answer outside its list, with unit, kind and "as of"; its `name` is in the given language."""
    rows = _figure_rows(answer, language)
    if with_paths:
        return Table("figures", (_PATH_COLUMN, *_FIGURE_COLUMNS), rows)
    return Table("figures", _FIGURE_COLUMNS, (row[1:] for row in rows))


def _figure_rows(answer: ViewAnswer, language: Language) -> Iterator[Row]:
    units, kinds = names_of("unit") or {}, names_of("kind") or {}
    for path, value in figures_of(answer):
        figure = term(path)
        origin = _provenance_of(answer, path)
        known = _known(value, origin)
        number = known if isinstance(known, int | float) and not isinstance(known, bool) else None
        text = _text(path, value, figure.unit, language)
        unit = code(figure.unit.value, units) if figure.unit.is_number else None
        kind, as_of = (None, None) if origin is None else (code(origin.kind, kinds), origin.as_of)
        yield path, figure.name(language), number, text, unit, kind, as_of


def _text(path: str, value: object, unit: Unit, language: Language) -> str | None:
    if isinstance(value, bool):
        return word("yes" if value else "no", language)
    if isinstance(value, str):
        names = names_of(path)
        return Instant(value) if unit is Unit.INSTANT else value if names is None else code(value, names)
    return " · ".join(map(str, value)) if isinstance(value, list) else None


_NOT_FIGURES = ("provenance", "next_cursor")
_OPTIONAL_PARTS = {"summary.previous", "summary.delta", "projection"}


def figures_of(answer: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """(path in JSON, value) of every figure outside the list."""
    assert isinstance(answer, msgspec.Struct)
    for field in msgspec.structs.fields(answer):
        value = getattr(answer, field.name)
        path = prefix + field.encode_name
        if field.name in _NOT_FIGURES or value is UNSET or (value is None and path in _OPTIONAL_PARTS):
            continue
        if isinstance(value, msgspec.Struct):
            yield from figures_of(value, f"{path}.")
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


# -- the name of a file


def zone_of(answer: ViewAnswer) -> str:
    """The zone of an answer's instants."""
    return answer.period.tz


TITLE_LENGTH_MAX = 80
NAME_BYTES_MAX = 200
"""The longest file name, in bytes of UTF-8. File systems allow 255 bytes: 85 Hangul syllables, or 63 emoji."""
_NOT_IN_FILE_NAMES = frozenset('\\/:*?"<>|')


def file_name(kind: str, title: str, answer: ViewAnswer, suffix: str) -> str:
    """A file name that people can read and every file system accepts: `봄맞이 타임라인 2026-11-23.csv`.

    `kind` says what is in the file: the title of its view. The day is that of the answer's newest change, in the
    answer's zone. Characters of the title that some file system refuses, or that can hide the end of a name (control,
    format and bidirectional characters), become spaces.
    """
    allowed = "".join(
        " " if sign in _NOT_IN_FILE_NAMES or unicodedata.category(sign)[0] in "CZ" else sign
        for sign in unicodedata.normalize("NFC", title)
    )
    ending = " ".join(filter(None, [kind, _day(answer)])) + f".{suffix}"
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
