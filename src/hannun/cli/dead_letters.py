"""`hannun dead-letters`: messages that could not be used."""

import json
from typing import Annotated

import typer

from hannun.cli.terminal import BIGINT_MAX, LISTED_MAX, HomeOption, operator, print_folded, read_settings, with_home
from hannun.domain import audit_chain
from hannun.domain.facts import Reason

app = typer.Typer(help="Messages that could not be used.", no_args_is_help=True)
APPLICATION = "hannun-dead-letters"
REASONS = ", ".join(Reason)


@app.command("list")
def list_dead_letters(
    reason: Annotated[
        Reason | None, typer.Option(metavar="REASON", help=f"only those of this reason: {REASONS}")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="how many, newest first")] = 50,
    all_: Annotated[bool, typer.Option("--all", help="also those that are resolved")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    home: HomeOption = None,
) -> None:
    """List the open dead letters, newest first."""
    from hannun.flows import dead_letter_listing
    from hannun.processes.commands.database import open_connection

    with open_connection(read_settings(), APPLICATION) as conn:
        found, total = dead_letter_listing.list_dead_letters(conn, reason, limit, resolved_too=all_)
    if as_json:
        for dead_letter in found:
            print(json.dumps(dead_letter.as_json(), ensure_ascii=False))
        return
    for dead_letter in found:
        print_folded(
            f"{dead_letter.no}  {dead_letter.created_at:%m-%d %H:%M:%S}Z  {dead_letter.kind}: {dead_letter.reason}"
        )
        event = "" if dead_letter.event_id is None else f", event {dead_letter.event_id}"
        print_folded(
            f"{dead_letter.where}{event}{f', {dead_letter.resolution}' if dead_letter.resolution else ''}",
            indent="    ",
        )
    if not found:
        print_folded(_none(reason, "" if all_ else "open "))
        return
    show = with_home(f"hannun dead-letters show {found[0].no}")
    print_folded(f"{len(found):,} of {total:,}; to see all fields of one: {show}")


def _none(reason: Reason | None, which: str = "open ") -> str:
    return f"there are no {which}dead letters{'' if reason is None else f' of the reason {reason}'}"


@app.command("show")
def show_dead_letter(
    no: Annotated[int, typer.Argument(min=1, max=BIGINT_MAX, help="its number in the list")], home: HomeOption = None
) -> None:
    """Show everything that is stored of one dead letter: its reason, its record, its known fields."""
    from hannun.flows.dead_letter_listing import find_dead_letter
    from hannun.processes.commands.database import open_connection

    with open_connection(read_settings(), APPLICATION) as conn:
        dead_letter = find_dead_letter(conn, no)
    print(json.dumps(dead_letter.as_json(), ensure_ascii=False, indent=2))


@app.command("retry")
def retry_dead_letters(
    nos: Annotated[list[int] | None, typer.Argument(min=1, max=BIGINT_MAX, help="their numbers in the list")] = None,
    reason: Annotated[
        Reason | None, typer.Option(metavar="REASON", help=f"all open ones of this reason: {REASONS}")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Count messages that can be used by now: read from Kafka again, or made of their known fields."""
    from hannun.flows.dead_letter_retry import choose, retry
    from hannun.processes.commands.retry import open_retry

    with open_retry(read_settings()) as services:
        chosen = choose(services.database, nos, reason)
        resolved = 0
        for done in retry(
            chosen,
            services.database,
            services.decoder,
            services.counter,
            services.read_record,
            audit_chain.operator(operator()),
        ):
            resolved += done.result != "dead-letter"
            print_folded(f"{done.dead_letter.no} {done.dead_letter.kind}: {done.result} {done.why}".rstrip())
    print_folded(f"{resolved:,} of {len(chosen):,} resolved" if chosen else _none(reason))
    if resolved < len(chosen):
        raise typer.Exit(1)


@app.command("drop")
def drop_dead_letters(
    nos: Annotated[list[int] | None, typer.Argument(min=1, max=BIGINT_MAX, help="their numbers in the list")] = None,
    reason: Annotated[
        Reason | None, typer.Option(metavar="REASON", help=f"all open ones of this reason: {REASONS}")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Close dead letters without counting them. They stay in their table, with your name."""
    from hannun.flows.dead_letter_retry import drop
    from hannun.processes.commands.database import open_database

    with open_database(read_settings(), APPLICATION) as database:
        dropped = drop(database, nos, reason, audit_chain.operator(operator()))
    print_folded(f"{dropped:,} dropped" if dropped else _none(reason))
