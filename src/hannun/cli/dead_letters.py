"""`hannun dead-letters`: messages that could not be used."""

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hannun import settings as settings_
from hannun.cli.terminal import operator, out
from hannun.errors import OperatorError

letters = typer.Typer(help="Messages that could not be used.", no_args_is_help=True)


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
            print(json.dumps(letter.as_json(), ensure_ascii=False))
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
        letter = dead_letters.find(conn, no)
    if letter is None:
        raise OperatorError(f"there is no dead letter {no}", hint="`hannun dead-letters list` lists them")
    print(json.dumps(letter.as_json(), ensure_ascii=False, indent=2))


@letters.command("retry")
def retry_dead_letters(
    nos: Annotated[list[int] | None, typer.Argument(help="their numbers in the list")] = None,
    reason: Annotated[str | None, typer.Option(help="all open ones of this reason")] = None,
) -> None:
    """Count messages that can be used by now: read from Kafka again, or put together from their known fields."""
    from hannun.flows.dead_letter_retry import choose, retry
    from hannun.processes.commands import open_retrying

    settings = settings_.read()
    with open_retrying(settings) as retrying:
        chosen = choose(retrying.database, nos, reason)
        resolved = 0
        for done in retry(
            chosen, retrying.database, retrying.decoder, retrying.counter, retrying.read_again, operator()
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
    from hannun.flows.dead_letter_retry import drop
    from hannun.store.database import Database
    from hannun.store.version import check_version

    settings = settings_.read()
    database = Database(settings.needed("database_url"), settings.pool, application="hannun-dead-letters")
    with database.transaction() as conn:
        check_version(conn)
    dropped = drop(database, nos, reason, operator())
    database.close()
    out.print(f"{dropped} dropped", highlight=False)
