"""What explains a file: what was asked, as of when, what its columns mean and what its figures are. Rows of text."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from hannun.domain.codes import code, names_of
from hannun.domain.response_schemas import Period
from hannun.domain.tables import ViewAnswer, ViewTables, columns_of, figures_of, list_name_of, zone_of
from hannun.domain.terms import TERMS, Language, term, word

TextRow = Sequence[str | None]
_NAMED_BY_WORDS = ("channels", "q", "sortOrder", "includeProjection")
_SUBJECT_FIELDS = ("event_id", "event_title", "user_id", "status", "granularity", "week_start")


def about(
    view: ViewTables, answer: ViewAnswer, filters: Sequence[tuple[str, str]], language: Language
) -> list[TextRow]:
    """The rows that explain an answer. `filters` are the further parameters of the question, as (name, value)."""

    def w(name: str) -> str:
        return word(name, language)

    rows: list[TextRow] = [(w("asked"),), (w("view"), view.title(language)), *_subject(view, answer, language)]
    rows += [(w("period"), _period_text(answer.period, language)), (w("tz"), zone_of(answer))]
    if answer.period.not_kept is not UNSET:
        rows.append((w("notKept"), " · ".join(answer.period.not_kept), w("notKeptNote")))
    said = {row[0] for row in rows}
    rows += [row for row in (_filter(name, value, language) for name, value in filters) if row[0] not in said]
    if hasattr(answer, "money_period"):
        rows.append((w("moneyPeriod"), _period_text(answer.money_period, language), w("moneyNote")))
    rows.append((w("asOf"), _in_zone(answer.last_updated_at, answer) or w("nothing")))
    rows.append((w("empty"), None, w("emptyNote")))
    return [*rows, *_meanings(view, answer, language), *_kinds(view, answer, language)]


def _subject(view: ViewTables, answer: ViewAnswer, language: Language) -> list[TextRow]:
    fields = {field.name: field.encode_name for field in msgspec.structs.fields(view.schema)}
    rows: list[TextRow] = []
    for name in _SUBJECT_FIELDS:
        value = getattr(answer, name, None)
        if value is not None:
            rows.append((term(fields[name]).name(language), _shown(fields[name], str(value), language)))
    return rows


def _filter(name: str, value: str, language: Language) -> TextRow:
    """A parameter of the question, in words."""
    if name in ("metrics", "sortBy"):
        return word(name, language), ", ".join(term(each.strip()).name(language) for each in value.split(","))
    named = word(name, language) if name in _NAMED_BY_WORDS else term(name).name(language)
    return named, _shown(name, value, language)


def _shown(path: str, value: str, language: Language) -> str:
    names = names_of(path)
    return value if names is None else code(value, names).name(language)


def _meanings(view: ViewTables, answer: ViewAnswer, language: Language) -> list[TextRow]:
    rows: list[TextRow] = [(), tuple(word(name, language) for name in ("columns", "unit", "meaning"))]
    columns = [column.term for column, _ in columns_of(view, answer)]
    for figure in dict.fromkeys([*columns, *(term(path) for path, _ in figures_of(answer)), TERMS["kind"]]):
        unit = _shown("unit", figure.unit.value, language)
        rows.append((figure.name(language), unit, figure.meaning(language) or None))
    return rows


def _kinds(view: ViewTables, answer: ViewAnswer, language: Language) -> list[TextRow]:
    heads = (word("kinds", language), word("kind", language), term("asOf").name(language), word("unit", language))
    rows: list[TextRow] = [(), heads]
    in_list = f"{list_name_of(view)}."
    for path, origin in answer.provenance.items():
        name = term(path.removeprefix(in_list)).name(language)
        if path.startswith(in_list):
            table = next(each for each in view.names if each != "figures")
            name = f"{word(table, language)}: {name}"
        kind, unit = _shown("kind", origin.kind, language), _shown("unit", origin.unit, language)
        because = [] if origin.reason is UNSET else [_shown("reason", origin.reason, language)]
        rows.append((name, kind, _in_zone(origin.as_of, answer), unit, *because))
    return rows


def _in_zone(instant: str | None, answer: ViewAnswer) -> str | None:
    """An instant in the zone of the answer."""
    return (
        None if instant is None else datetime.fromisoformat(instant).astimezone(ZoneInfo(zone_of(answer))).isoformat()
    )


def _period_text(period: Period, language: Language) -> str:
    if period.start_date is None and period.end_date is None:
        return word("everything", language)
    return f"{period.start_date or ''} {word('to', language)} {period.end_date or word('now', language)}".strip()
