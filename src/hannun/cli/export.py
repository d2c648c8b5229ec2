"""`hannun export`: writes the answer of a view to a file."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hannun.cli.terminal import (
    HomeOption,
    Progress,
    err,
    operator,
    print_folded,
    print_progress,
    read_settings,
    with_noun,
)
from hannun.errors import BadRequest, NotFound, OperatorError

if TYPE_CHECKING:
    from hannun.domain.audit_chain import NewEntry
    from hannun.domain.granularity import WeekStart
    from hannun.domain.questions import Filters, Question
    from hannun.files import Format
    from hannun.flows.export import ExportRequest
    from hannun.flows.report.answers import Reports
    from hannun.flows.report.registry import AnyView
    from hannun.settings import Settings


def export(
    view: Annotated[str, typer.Argument(help="dashboard, channels, timeline or roi; all-... for a merchant")] = "",
    id_: Annotated[str, typer.Argument(metavar="ID", help="the id of the event, or of the merchant for all-...")] = "",
    form: Annotated[
        str, typer.Option("--format", help="csv, xlsx or, where the extra parquet is installed, parquet")
    ] = "csv",
    out_: Annotated[str, typer.Option("--out", help="a file, or -; by default named after the event")] = "",
    table: Annotated[str | None, typer.Option(help="for CSV and Parquet: figures, channels, points or events")] = None,
    start: Annotated[str | None, typer.Option(help="an instant with an offset, or a date in --tz")] = None,
    end: Annotated[str | None, typer.Option(help="likewise; the range ends before it")] = None,
    tz: Annotated[str, typer.Option(help="an IANA zone")] = "Asia/Seoul",
    granularity: Annotated[str | None, typer.Option(help="the length of a bucket of a timeline")] = None,
    week_start: Annotated[
        str | None, typer.Option(help="monday or sunday, for weekly buckets; by default HANNUN_WEEK_START")
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="comma-separated: the channels to show; for all-... events on one of them")
    ] = None,
    status: Annotated[str | None, typer.Option(help="for all-...: ACTIVE, ENDED or ARCHIVED events")] = None,
    text: Annotated[str | None, typer.Option(help="for all-...: events with this text in the title")] = None,
    lang: Annotated[str, typer.Option(help="ko or en")] = "ko",
    lake: Annotated[
        Path | None, typer.Option(help="instead of a view: the folder of a dataset of all events for analysts")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Write the answer of a view to a file, with the figures of the API. A file is complete, or it does not exist.

    With --lake, write the history of all events without people as Parquet files, by month: see docs/lake.md.
    """
    import asyncio

    if lake is not None:
        _export_lake(lake, view)
        return
    if not view or not id_:
        raise OperatorError(
            "what is exported is not named", hint="VIEW and ID, as in: hannun export dashboard ID; or --lake FOLDER"
        )

    from hannun.domain.ids import canonical_id
    from hannun.domain.questions import parse_list
    from hannun.domain.ranges import parse_range
    from hannun.flows.export import ExportRequest
    from hannun.flows.report.registry import FILE_VIEWS_BY_NAME

    settings = read_settings()
    exported = FILE_VIEWS_BY_NAME[_one_of(FILE_VIEWS_BY_NAME, "VIEW", view)]
    given = {"granularity": granularity, "week_start": week_start, "channels": channels, "status": status, "text": text}
    filters = _filters(exported, given, settings.week_start)
    request = ExportRequest(
        exported.tables,
        _installed_format(form),
        "ko" if _one_of(("ko", "en"), "--lang", lang) == "ko" else "en",
        table,
        tuple((_API_NAMES.get(name, name), value) for name, value in given.items() if value is not None),
    )
    with _errors_for_an_operator(id_), Progress[str](print_progress) as progress:
        filters = replace(filters, channels=parse_list("channels", channels))
        question = exported.new_question(canonical_id(id_), parse_range(start, end, tz), filters)

        def show_progress(done: int, total: int) -> None:
            progress.update(f"{done:,} of {total:,} rows")

        name = asyncio.run(_export(settings, request, question, out_, show_progress))
    if name != "-":
        err.print(name, markup=False, highlight=False)


def _export_lake(folder: Path, view: str) -> None:
    """Write the dataset, and print what it holds."""
    from hannun.processes.commands.lake import export_lake

    if view:
        raise OperatorError(f"--lake exports all events, and {view} is a view", hint="give one of them")
    with Progress[str](print_progress) as progress:
        written = export_lake(read_settings(), folder, operator(), progress.update)
    rows = {file.table: 0 for file in written.files}
    for file in written.files:
        rows[file.table] += file.rows
    state = f"{with_noun(written.new, 'new file')}" if written.new else "nothing new"
    print_folded(f"{folder / 'current'}: version {written.version}, {with_noun(len(written.files), 'file')}, {state}")
    for table, count in rows.items():
        print_folded(f"{table}: {with_noun(count, 'row')}", indent="  ")


_API_NAMES = {"text": "q", "week_start": "weekStart", "start": "startDate", "end": "endDate"}
"""The parameters of the API that have another name than the option."""
_OPTIONS = {name: f"--{option.replace('_', '-')}" for option, name in _API_NAMES.items()}


@contextmanager
def _errors_for_an_operator(id_: str) -> Iterator[None]:
    """Raise the errors of the API as those of the command: with its options for the parameters, and the next step.

    Raises:
        OperatorError: the question cannot be answered, or there is no such event.
    """
    try:
        yield
    except BadRequest as error:
        raise _with_options(error) from error
    except NotFound as error:
        raise OperatorError(
            f"{error} as {id_}",
            hint="an event's page has its id in the address; `hannun export all-dashboard MERCHANT` lists all of one",
        ) from error


def _with_options(error: BadRequest) -> OperatorError:
    """The same error, in which a parameter of the API is called as the option of the command."""
    template = re.sub(r"\b(startDate|endDate|weekStart)\b", lambda name: _OPTIONS[name[0]], error.template)
    field = _OPTIONS.get(error.field or "", f"--{error.field}")
    found, _, hint = template.rpartition(": ")
    texts = [part.format(**{**error.values, "field": field}) for part in (found or hint, hint)]
    return OperatorError(texts[0], hint=texts[1] if found else f"give another {field}")


def _installed_format(name: str) -> "Format":
    """
    Raises:
        OperatorError: there is no such format, or what it needs is not installed.
    """
    from hannun.files import Format

    if name in list(Format) and Format(name).missing is not None:
        raise OperatorError(f"--format {name} needs what is not installed here", hint=Format(name).missing or "")
    return Format(_one_of([form for form in Format if form.missing is None], "--format", name))


def _filters(view: "AnyView", given: Mapping[str, str | None], week_start: "WeekStart") -> "Filters":
    """The filters of the options by their names, without the channels. `week_start` is the default.

    Raises:
        OperatorError: the view has no such filter, or the filter has no such value.
    """
    from hannun.domain.facts import EventStatus
    from hannun.domain.granularity import Granularity, WeekStart
    from hannun.domain.questions import TEXT_LENGTH_MAX, Filters
    from hannun.flows.report.registry import FILE_VIEWS_BY_NAME

    for name, value in given.items():
        if value is not None and name not in view.filters:
            views = ", ".join(each.name for each in FILE_VIEWS_BY_NAME.values() if name in each.filters)
            option = name.replace("_", "-")
            raise OperatorError(f"{view.name} has no --{option}", hint=f"these have it: {views}")
    granularity, status, text = given["granularity"], given["status"], given["text"]
    if text is not None and not 1 <= len(text) <= TEXT_LENGTH_MAX:
        raise OperatorError(f"--text has {len(text)} characters", hint=f"1 to {TEXT_LENGTH_MAX}")
    week_start = WeekStart(_one_of(WeekStart, "--week-start", given["week_start"] or week_start))
    return Filters(
        granularity=None if granularity is None else Granularity(_one_of(Granularity, "--granularity", granularity)),
        week_start=week_start,
        status=None if status is None else EventStatus(_one_of(EventStatus, "--status", status)),
        text=text,
    )


def _one_of(values: Iterable[str], option: str, text: str) -> str:
    known = list(values)
    if text not in known:
        raise OperatorError(f"{option} {text} is not known", hint=f"one of {', '.join(known)}")
    return text


def _entry(question: "Question") -> "NewEntry":
    """The entry of the audit log about this export."""
    from hannun.domain.audit_chain import MERCHANTS_EVENTS, Action, NewEntry, event_object, user
    from hannun.domain.audit_chain import operator as operator_named
    from hannun.domain.questions import MerchantSubject

    subject = question.subject
    who = operator_named(operator())
    if isinstance(subject, MerchantSubject):
        return NewEntry(who, Action.EXPORTED, MERCHANTS_EVENTS, user(subject.user_id))
    return NewEntry(who, Action.EXPORTED, event_object(subject.event_id))


async def _check_merchant(reports: "Reports", question: "Question") -> None:
    """
    Raises:
        OperatorError: the question is about a merchant whom no event belongs to.
    """
    from hannun.domain.questions import MerchantSubject

    subject = question.subject
    if isinstance(subject, MerchantSubject) and not await reports.is_merchant(subject.user_id):
        raise OperatorError(
            f"no event belongs to the merchant {subject.user_id}",
            hint="give the userId of the event's messages; the list of all events shows it: GET /api/v1/events",
        )


async def _export(
    settings: "Settings",
    request: "ExportRequest",
    question: "Question",
    name: str,
    on_progress: Callable[[int, int], None],
) -> str:
    """Write the file; returns its name."""
    from hannun.domain.authorization import Principal
    from hannun.domain.tables import file_name
    from hannun.flows.export import single_page
    from hannun.flows.report.registry import view_of
    from hannun.processes.commands.export import open_exporting

    everything = Principal("", frozenset({"ADMIN"}))
    async with open_exporting(settings, _entry(question)) as (reports, file_reports, exports):
        await _check_merchant(reports, question)
        if view_of(question).load_pages is not None:
            title, pages = "", file_reports.pages(everything, question)
        else:
            answer, _ = await file_reports.answer(everything, question)
            title, pages = await reports.event_title(everything, question, answer), single_page(answer)
        started = await exports.start("the operator", request, pages, on_progress)
        if name == "-":
            async for chunk in started.chunks():
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return name
        path = Path(
            name or file_name(request.view.title(request.language), title, started.answer, request.format.value)
        )
        partial = path.parent / f".hannun-{os.getpid()}.part"
        try:
            with partial.open("wb") as file:
                async for chunk in started.chunks():
                    file.write(chunk)
            partial.replace(path)
        except OSError as error:
            raise OperatorError(f"cannot write {path}: {error.strerror}", hint="--out names another file") from error
        finally:
            started.close()
            with suppress(OSError):
                partial.unlink()
        return str(path)
