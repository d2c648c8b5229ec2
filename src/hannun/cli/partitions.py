"""`hannun partitions`: the months of the timeline."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from hannun import settings as settings_
from hannun.cli.terminal import DryRunOption, HomeOption, err, out, print_folded
from hannun.domain.partitions import month_after
from hannun.errors import OperatorError

app = typer.Typer(help="The months of the timeline.")
APPLICATION = "hannun-partitions"


@app.callback(invoke_without_command=True)
def partitions(context: typer.Context, dry_run: DryRunOption = False, home: HomeOption = None) -> None:
    """Create the timeline's months ahead, and detach those that are older than HANNUN_MONTHS_KEPT."""
    if context.invoked_subcommand is not None:
        return
    from hannun.flows.partitions import apply_partition_plan
    from hannun.processes.commands.database import open_owner_connection

    settings = settings_.read()
    with open_owner_connection(settings, APPLICATION) as conn:
        changes = apply_partition_plan(
            conn,
            datetime.now(UTC).date(),
            ahead=settings.months_ahead,
            keep=settings.months_kept,
            dry_run=dry_run,
        )
    _print_months(changes.created, "made", dry_run=dry_run)
    _print_months(changes.detached, "detached", dry_run=dry_run)
    if not (changes.created or changes.detached):
        out.print("every month is as it should be")


@app.command("list")
def list_months(home: HomeOption = None) -> None:
    """List the months: attached; detached, which `attach` takes back; dropped, which it makes from the ledgers."""
    from hannun.flows.partitions import month_states
    from hannun.processes.commands.database import open_owner_connection

    with open_owner_connection(settings_.read(), APPLICATION) as conn:
        for month, state in month_states(conn).items():
            out.print(f"{month:%Y-%m}  {state}", highlight=False)


@app.command()
def attach(
    months: Annotated[list[str], typer.Argument(help="as in 2026-01", metavar="MONTH...")],
    dry_run: DryRunOption = False,
    home: HomeOption = None,
) -> None:
    """Attach months that were detached: answers show their minutes again. A dropped month is made from the ledgers."""
    from hannun.flows.partitions import attach_months
    from hannun.processes.commands.database import open_owner_connection

    wanted, settings = [_month(text) for text in months], settings_.read()
    with open_owner_connection(settings, APPLICATION) as conn:
        conn.autocommit = True
        attached = attach_months(conn, wanted, dry_run=dry_run)
    _print_months(attached, "attached", dry_run=dry_run)
    for month in sorted(set(wanted) - set(attached)):
        out.print(f"timeline_data_{month:%Y_%m} was attached already", highlight=False)
    if settings.months_kept is not None:
        oldest = month_after(datetime.now(UTC).date().replace(day=1), -settings.months_kept)
        if any(month < oldest for month in attached):
            print_folded(
                f"The next `hannun partitions` detaches months before {oldest:%Y-%m} again: "
                f"HANNUN_MONTHS_KEPT is {settings.months_kept}.",
                console=err,
            )


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise OperatorError(f"{text!r} is no month", hint="give a year and a month, as in 2026-01") from error


def _print_months(months: Iterable[date], what: str, *, dry_run: bool) -> None:
    verb = "would be " if dry_run else ""
    for month in months:
        out.print(f"timeline_data_{month:%Y_%m} {verb}{what}", highlight=False)
