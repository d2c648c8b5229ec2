"""`hannun export`: a view as a file, as the operator asks for it."""

import os
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hannun import settings as settings_
from hannun.cli.terminal import Progress, err
from hannun.errors import OperatorError


def export(
    view: Annotated[str, typer.Argument(help="dashboard, channels, timeline or roi; all-... of a merchant")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="the event's, of all-... the merchant's")],
    form: Annotated[str, typer.Option("--format", help="csv, xlsx or parquet")] = "csv",
    out_: Annotated[str, typer.Option("--out", help="a file, - for standard output; without it named by title")] = "",
    table: Annotated[str | None, typer.Option(help="of CSV and Parquet: figures, channels, points or events")] = None,
    start: Annotated[str | None, typer.Option(help="an instant with an offset, or a date in --tz")] = None,
    end: Annotated[str | None, typer.Option(help="the same; not in the range")] = None,
    tz: Annotated[str, typer.Option(help="an IANA zone")] = "Asia/Seoul",
    granularity: Annotated[str | None, typer.Option(help="of a timeline")] = None,
    channels: Annotated[
        str | None, typer.Option(help="those to show, with commas between; of all-... events that run on one of them")
    ] = None,
    status: Annotated[str | None, typer.Option(help="of all-... events: ACTIVE, ENDED or ARCHIVED")] = None,
    text: Annotated[str | None, typer.Option(help="of all-... events: what stands in the title")] = None,
    lang: Annotated[str, typer.Option(help="ko or en")] = "ko",
) -> None:
    """Write a view as a file, with the figures of the API. There is never half a file."""
    import asyncio

    from hannun.domain.tables import View
    from hannun.files import Format
    from hannun.flows.export import ExportRequest

    settings = settings_.read()
    shown = _one_of(View, "VIEW", view)
    filters = _filters(shown, granularity, channels, status, text)
    wanted = ExportRequest(
        shown,
        _one_of(Format, "--format", form),
        _one_of(_Lang, "--lang", lang).value,
        table,
        tuple((name, value) for name, value in filters.items() if value is not None),
    )
    with Progress(lambda rows: err.print(f"  {rows}", markup=False)) as progress:

        def tell(done: int, total: int) -> None:
            progress.tell(f"{done:,} of {total:,} rows")

        name = asyncio.run(_export(settings, wanted, id_, (start, end, tz), filters, out_, tell))
    if name != "-":
        err.print(name, markup=False, highlight=False)


class _Lang(StrEnum):
    KO = "ko"
    EN = "en"


def _filters(
    view: Any, granularity: str | None, channels: str | None, status: str | None, text: str | None
) -> dict[str, str | None]:
    """What is asked beside the range, by the names of the API.

    Raises:
        OperatorError: the view has no such filter, or there is no such value.
    """
    from hannun.domain.facts import EventStatus
    from hannun.domain.granularity import Granularity
    from hannun.domain.questions import TEXT_LENGTH_MAX

    kind = view.removeprefix("all-")
    for option, value, known, of in (
        ("--granularity", granularity, kind == "timeline", "of timeline and all-timeline"),
        ("--channels", channels, view.of_merchant or kind == "channels", "of channels and all-..."),
        ("--status", status, view.of_merchant, "of all-..."),
        ("--text", text, view.of_merchant, "of all-..."),
    ):
        if value is not None and not known:
            raise OperatorError(f"{view} has no {option}", hint=f"it is {of}")
    if text is not None and not 1 <= len(text) <= TEXT_LENGTH_MAX:
        raise OperatorError(f"--text has {len(text)} characters", hint=f"1 to {TEXT_LENGTH_MAX}")
    if granularity is not None:
        _one_of(Granularity, "--granularity", granularity)
    if status is not None:
        _one_of(EventStatus, "--status", status)
    return {"granularity": granularity, "channels": channels, "status": status, "q": text}


def _one_of(kind: Any, option: str, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise OperatorError(f"{option} {text} is not known", hint=f"one of {', '.join(kind)}") from None


async def _export(
    settings: settings_.Settings,
    wanted: Any,
    id_: str,
    asked: tuple[str | None, str | None, str],
    filters: dict[str, str | None],
    name: str,
    tell: Any,
) -> str:
    """Write the file; returns its name."""
    from hannun.domain.tables import file_name
    from hannun.processes.commands import open_exporting

    async with open_exporting(settings) as (reports, exports):
        pages, title = await _pages(reports, wanted.view, id_, asked, filters)
        made = await exports.begin("the operator", wanted, pages, tell)
        if name == "-":
            async for chunk in made.chunks():
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return name
        path = Path(name or file_name(wanted.view, title, made.answer, wanted.format.value, wanted.language))
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                async for chunk in made.chunks():
                    file.write(chunk)
            beside.replace(path)
        except OSError as error:
            raise OperatorError(f"cannot write {path}: {error.strerror}", hint="--out names another file") from error
        finally:
            made.leave()
            beside.unlink(missing_ok=True)
        return str(path)


async def _pages(
    reports: Any, view: Any, id_: str, asked_range: tuple[str | None, str | None, str], filters: dict[str, str | None]
) -> tuple[Any, str]:
    """The answer of a view, all of it, and the title of its event."""
    from hannun.domain.authorization import Principal
    from hannun.domain.facts import EventStatus
    from hannun.domain.granularity import Granularity
    from hannun.domain.questions import ChannelsQuestion, OfEvent, OfMerchant, RoiQuestion, TimelineQuestion, listed
    from hannun.domain.response_schemas import Dashboard
    from hannun.domain.tables import View, answer_of
    from hannun.flows.export import only
    from hannun.web.api import range_of

    operator, asked = Principal("", frozenset({"ADMIN"})), await range_of(*asked_range)
    granularity, status = filters["granularity"], filters["status"]
    channels, kind = listed("channels", filters["channels"]), view.removeprefix("all-")
    of: OfEvent | OfMerchant = OfEvent(id_)
    title = ""
    if view.of_merchant:
        of = OfMerchant(id_, None if status is None else EventStatus(status), filters["q"])
        if kind != "channels":  # which shows these channels, and the other views the events that run on them
            of = replace(of, channels=channels)
    else:
        whole, _ = await reports.dashboard(operator, id_, asked)
        dashboard: Dashboard = answer_of(View.DASHBOARD, whole.body)
        title = dashboard.event_title
    if view is View.ALL_DASHBOARD:
        return reports.pages(operator, of, asked), title
    if kind == "channels":
        answer, _ = await reports.channels(operator, ChannelsQuestion(of, asked, channels))
    elif kind == "timeline":
        grain = None if granularity is None else Granularity(granularity)
        answer, _ = await reports.timeline(operator, TimelineQuestion(of, asked, grain))
    elif kind == "roi":
        answer, _ = await reports.roi(operator, RoiQuestion(of, asked))
    else:
        answer = whole
    return only(answer), title
