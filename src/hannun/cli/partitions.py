"""`hannun partitions`: the months of the timeline."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from hannun.cli.terminal import DryRunOption, HomeOption, err, operator, out, print_folded, read_settings
from hannun.domain.partitions import month_after
from hannun.errors import OperatorError

app = typer.Typer(help="The months of the timeline.")
MonthsArgument = Annotated[list[str], typer.Argument(help="as in 2026-01", metavar="MONTH...")]


@app.callback(invoke_without_command=True)
def partitions(context: typer.Context, dry_run: DryRunOption = False, home: HomeOption = None) -> None:
    """The months of the timeline. Without a command: `apply`."""
    if context.invoked_subcommand is None:
        _apply(dry_run=dry_run)


@app.command()
def plan(home: HomeOption = None) -> None:
    """Show what `apply` would do."""
    _apply(dry_run=True)


@app.command()
def apply(dry_run: DryRunOption = False, home: HomeOption = None) -> None:
    """Create the months ahead; detach, archive and drop what is not kept.

    HANNUN_MONTHS_AHEAD and HANNUN_MONTHS_KEPT say how many months. Detached tables stay where HANNUN_ARCHIVE_FOLDER is
    not set.
    """
    _apply(dry_run=dry_run)


@app.command("list")
def list_months(home: HomeOption = None) -> None:
    """List the months: attached, detached or dropped, and which are archived."""
    from hannun.flows.partitions.months import month_states
    from hannun.processes.commands.database import open_owner_connection
    from hannun.processes.commands.partitions import APPLICATION, archives_of

    settings = read_settings()
    with open_owner_connection(settings, APPLICATION) as conn:
        states, archives = month_states(conn), archives_of(settings, conn)
    archived = set() if archives is None else archives.months()
    for month in sorted(states.keys() | archived):
        state = states.get(month, "unknown here")
        out.print(f"{month:%Y-%m}  {state}{', archived' if month in archived else ''}", highlight=False)


@app.command()
def detach(months: MonthsArgument, dry_run: DryRunOption = False, home: HomeOption = None) -> None:
    """Detach months. Their tables stay; answers say that their minutes are not kept."""
    from hannun.flows.partitions.months import detach_months
    from hannun.processes.commands.partitions import open_maintenance

    wanted = _months(months)
    with open_maintenance(read_settings()) as conn:
        detached = detach_months(conn, wanted, by=operator(), dry_run=dry_run)
    _print_months(detached, "detached", dry_run=dry_run)
    _print_others(wanted, detached, "is not attached")


@app.command()
def archive(months: MonthsArgument, home: HomeOption = None) -> None:
    """Archive detached months to Parquet files in HANNUN_ARCHIVE_FOLDER. Their tables stay."""
    from hannun.flows.partitions.archives import archive_month
    from hannun.processes.commands.partitions import needed_archives, open_maintenance

    settings = read_settings()
    with open_maintenance(settings) as conn:
        archives = needed_archives(settings, conn)
        for month in _months(months):
            contents = archive_month(conn, archives, month)
            out.print(f"timeline_data_{month:%Y_%m} archived: {contents.rows:,} rows", highlight=False)


@app.command()
def verify(
    months: Annotated[list[str] | None, typer.Argument(help="as in 2026-01; none: all", metavar="[MONTH]...")] = None,
    home: HomeOption = None,
) -> None:
    """Read the archives of months, and compare each with its checksum."""
    from hannun.flows.partitions.archives import check_archives
    from hannun.processes.commands.database import open_owner_connection
    from hannun.processes.commands.partitions import APPLICATION, needed_archives

    settings = read_settings()
    with open_owner_connection(settings, APPLICATION) as conn:
        archives = needed_archives(settings, conn)
    for month, contents in check_archives(archives, _months(months or [])):
        out.print(f"timeline_data_{month:%Y_%m} intact: {contents.rows:,} rows", highlight=False)


@app.command()
def drop(months: MonthsArgument, home: HomeOption = None) -> None:
    """Drop the tables of detached months whose archive holds every row."""
    from hannun.flows.partitions.archives import drop_archived_month
    from hannun.processes.commands.partitions import needed_archives, open_maintenance

    settings = read_settings()
    with open_maintenance(settings) as conn:
        archives = needed_archives(settings, conn)
        for month in _months(months):
            contents = drop_archived_month(conn, archives, month, by=operator())
            out.print(f"timeline_data_{month:%Y_%m} dropped; its archive holds {contents.rows:,} rows", highlight=False)


@app.command()
def attach(months: MonthsArgument, dry_run: DryRunOption = False, home: HomeOption = None) -> None:
    """Attach months: answers show their minutes again.

    A month whose table was dropped comes from its archive. Without an archive it is made from the ledgers.
    """
    from hannun.flows.partitions.months import attach_months
    from hannun.processes.commands.partitions import archives_of, open_maintenance

    wanted, settings = _months(months), read_settings()
    with open_maintenance(settings) as conn:
        attached = attach_months(conn, wanted, by=operator(), archives=archives_of(settings, conn), dry_run=dry_run)
    for month, source in attached.items():
        out.print(f"timeline_data_{month:%Y_%m} {_would_be(dry_run)}attached, {source.value}", highlight=False)
    _print_others(wanted, attached, "was attached already")
    if settings.months_kept is not None:
        oldest = month_after(_today().replace(day=1), -settings.months_kept)
        if any(month < oldest for month in attached):
            print_folded(
                f"The next `hannun partitions` detaches months before {oldest:%Y-%m} again: "
                f"HANNUN_MONTHS_KEPT is {settings.months_kept}.",
                console=err,
            )


def _apply(*, dry_run: bool) -> None:
    from hannun.processes.commands.partitions import apply_plan

    settings = read_settings()
    changes = apply_plan(settings, _today(), by=operator(), dry_run=dry_run)
    _print_months(changes.created, "made", dry_run=dry_run)
    _print_months(changes.detached, "detached", dry_run=dry_run)
    _print_months(changes.archived, "archived and dropped", dry_run=dry_run)
    if changes.cron_job:
        out.print(f"pg_cron {'would create' if dry_run else 'creates'} the months ahead, every hour")
    if not (changes.created or changes.detached or changes.archived or changes.cron_job):
        out.print("every month is as it should be")


def _today() -> date:
    return datetime.now(UTC).date()


def _months(texts: Iterable[str]) -> list[date]:
    return [_month(text) for text in texts]


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise OperatorError(f"{text!r} is no month", hint="give a year and a month, as in 2026-01") from error


def _print_months(months: Iterable[date], what: str, *, dry_run: bool) -> None:
    for month in months:
        out.print(f"timeline_data_{month:%Y_%m} {_would_be(dry_run)}{what}", highlight=False)


def _print_others(wanted: Iterable[date], changed: Collection[date], state: str) -> None:
    for month in sorted(set(wanted) - set(changed)):
        out.print(f"timeline_data_{month:%Y_%m} {state}", highlight=False)


def _would_be(dry_run: bool) -> str:
    return "would be " if dry_run else ""
