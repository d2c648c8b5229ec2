"""Maps the JSON of a channel to raw counts of each event, as its declaration says.

Pure, and safe for any JSON: what does not fit is absent, or the whole is of a wrong shape. Whether the counts are
plausible is decided by `domain.channel_totals.checked`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from hannun.channels.declaration import ById, Columns, Fields, Items, Named, Response
from hannun.channels.json_paths import Steps, steps, value_at
from hannun.domain.channel_totals import MEAN

RawCounts: TypeAlias = dict[str, object]
"""Values of JSON, by the name of our column. None is unknown."""
ToRawCounts: TypeAlias = Callable[[object, Sequence[str]], dict[str, RawCounts] | None]
"""From a decoded body and the ids that were asked for to raw counts by id; None where the shape is another."""

ID_LENGTH_MAX = 100
"""Of an id in a response; a longer one is none of ours."""

_WHOLE = re.compile(r"-?[0-9]{1,30}(?:\.0{0,10})?", re.ASCII)
_Field: TypeAlias = tuple[str, tuple[Steps, ...], object]
"""A column, where its parts are, and what stands for a part that is absent."""


def mapping_of(response: Response) -> ToRawCounts:
    """The function that maps the bodies of a channel."""
    match response:
        case Items():
            return _items(response)
        case ById():
            return _by_id(response)
        case Columns():
            return _columns(response)
        case Named():
            return _named(response)


def _items(shape: Items) -> ToRawCounts:
    where, id_at, fields = steps(shape.items), steps(shape.id), _fields(shape.counts, shape.absent)

    def counts(document: object, ids: Sequence[str]) -> dict[str, RawCounts] | None:
        items = value_at(document, where)
        if not isinstance(items, list):
            return None
        return _of_events(((_id(value_at(item, id_at)), item) for item in items), ids, fields)

    return counts


def _by_id(shape: ById) -> ToRawCounts:
    where, fields = steps(shape.items), _fields(shape.counts, shape.absent)

    def counts(document: object, ids: Sequence[str]) -> dict[str, RawCounts] | None:
        items = value_at(document, where)
        if not isinstance(items, dict):
            return None
        objects = ((id_ if isinstance(item, dict) else None, item) for id_, item in items.items())
        return _of_events(objects, ids, fields)

    return counts


def _columns(shape: Columns) -> ToRawCounts:
    columns_at, rows_at = steps(shape.columns), steps(shape.rows)
    name_at = () if shape.name is None else steps(shape.name)
    # A name of a column is one step, whatever dots it has.
    fields = [
        (column, tuple((name,) for name in _paths(path)), _zero(column, shape.absent))
        for column, path in shape.counts.items()
    ]

    def counts(document: object, ids: Sequence[str]) -> dict[str, RawCounts] | None:
        columns, rows = value_at(document, columns_at), value_at(document, rows_at)
        if not isinstance(columns, list) or not isinstance(rows, list):
            return None
        names = [_text(value_at(column, name_at)) for column in columns]
        if shape.id not in names:
            return None
        objects = (dict(zip(names, row, strict=False)) for row in rows if isinstance(row, list))
        return _of_events(((_id(row.get(shape.id)), row) for row in objects), ids, fields, whole=bool(rows))

    return counts


def _named(shape: Named) -> ToRawCounts:
    where, name_at, value = steps(shape.items), steps(shape.name), steps(shape.value)
    fields = [
        (column, tuple((name,) for name in _paths(path)), _zero(column, shape.absent))
        for column, path in shape.counts.items()
    ]

    def counts(document: object, ids: Sequence[str]) -> dict[str, RawCounts] | None:
        items = value_at(document, where)
        if not isinstance(items, list):
            return None
        values = {_text(value_at(item, name_at)): value_at(item, value) for item in items}
        if items and values.keys() == {None}:
            return None
        return {ids[0]: _counts(values, fields) if values else {}}

    return counts


def _of_events(
    items: Iterable[tuple[str | None, object]], ids: Sequence[str], fields: Sequence[_Field], *, whole: bool = False
) -> dict[str, RawCounts] | None:
    """Raw counts of the items that were asked for; None where there are items, and none has an id."""
    asked = set(ids)
    found: dict[str, RawCounts] = {}
    read = False
    some = whole
    for id_, item in items:
        some = True
        if id_ is None:
            continue
        read = True
        known = id_ if id_ in asked else id_.lower()
        if known in asked:
            found[known] = _counts(item, fields)
    return None if some and not read else found


def _fields(counts: Fields, absent: str) -> list[_Field]:
    return [(column, tuple(map(steps, _paths(path))), _zero(column, absent)) for column, path in counts.items()]


def _paths(path: str | tuple[str, ...]) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else path


def _zero(column: str, absent: str) -> int | None:
    """What an absent value stands for. A mean of nothing is never 0."""
    return 0 if absent == "zero" and column != MEAN else None


def _counts(item: object, fields: Sequence[_Field]) -> RawCounts:
    counts: RawCounts = {}
    for column, paths, absent in fields:
        if len(paths) == 1:
            value = value_at(item, paths[0])
            counts[column] = absent if value is None else value
        else:
            counts[column] = _sum(item, paths, absent)
    return counts


def _sum(item: object, paths: Iterable[Steps], absent: object) -> object:
    """The sum of several values; a value that is no count stands for the sum, so that it is refused."""
    total = 0
    for path in paths:
        value = value_at(item, path)
        part = _count(absent if value is None else value)
        if not isinstance(part, int) or part < 0:
            return value
        total += part
    return total


def _count(value: object) -> object:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value.partition(".")[0]) if _WHOLE.fullmatch(value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value


def _id(value: object) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX:
        return value
    return str(value) if type(value) is int and abs(value) < 2**64 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
