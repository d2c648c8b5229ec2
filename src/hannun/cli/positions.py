"""`hannun positions`: how far each partition is counted, and where reading resumes."""

import json
from datetime import datetime
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from hannun import settings as settings_
from hannun.cli.terminal import operator, out
from hannun.errors import OperatorError

app = typer.Typer(help="How far each partition of Kafka is counted.", no_args_is_help=True)
APPLICATION = "hannun-positions"


@app.command("list")
def list_positions(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List how far each partition is counted, and which partitions wait for you. Status 1 where one does."""
    from hannun.flows import position_decisions
    from hannun.processes.commands.database import open_connection

    with open_connection(settings_.read(), APPLICATION) as conn:
        found = position_decisions.list_positions(conn)
    if as_json:
        for at in found:
            fields = {"topic": at.topic, "partition": at.partition, "topicId": at.topic_id}
            fields |= {"nextOffset": at.next_offset, "epoch": at.epoch, "owner": at.owner}
            print(
                json.dumps(fields | {"movedAt": at.moved_at and f"{at.moved_at.isoformat()}Z", "stopped": at.stopped})
            )
    else:
        table = Table("topic", "partition", "next offset", "epoch", "owner", "moved", "waits because", box=None)
        for at in found:
            moved = at.moved_at and f"{at.moved_at:%m-%d %H:%M:%S}Z"
            cells = (at.topic, at.partition, at.next_offset, at.epoch, at.owner, moved, at.stopped)
            table.add_row(*("-" if cell is None else escape(str(cell)) for cell in cells))
        out.print(table)
    if any(at.stopped for at in found):
        raise typer.Exit(1)


@app.command("set")
def set_position(
    topic: Annotated[str, typer.Argument(help="the topic")],
    to: Annotated[str, typer.Option(help="earliest, latest, an offset, or an instant with an offset")],
    partition: Annotated[int | None, typer.Option(help="one partition; without it all of the topic")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would change, and change nothing")] = False,
) -> None:
    """Decide where reading resumes, on record. Reading again is harmless; what is skipped is never counted."""
    from hannun.flows.position_decisions import decide, plan
    from hannun.processes.commands.database import open_connection
    from hannun.processes.commands.kafka import open_broker

    settings = settings_.read()
    broker = open_broker(settings)
    with open_connection(settings, APPLICATION) as conn:
        decisions = plan(conn, broker, topic, partition, parse_log_point(to, "--to"))
        if not dry_run:
            decide(conn, operator(), decisions, f"--to {to}")
    for made in decisions:
        was = "never read" if made.was_at is None else f"was at {made.was_at}"
        skipped = f", skipping {made.skipped}" if made.skipped else ""
        would = "would go on" if dry_run else "goes on"
        out.print(
            f"{made.topic}[{made.partition}] {was}; {would} at {made.resume_at}{skipped}",
            highlight=False,
            markup=False,
        )


@app.command("forget")
def forget_partitions(
    topic: Annotated[str, typer.Argument(help="the topic")],
    partition: Annotated[int | None, typer.Option(help="one partition; without it all of the topic")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would change, and change nothing")] = False,
) -> None:
    """Stop waiting for partitions that Kafka no longer has, on record. What is not counted of them is lost."""
    from hannun.flows.position_decisions import deleted, forget
    from hannun.processes.commands.database import open_connection
    from hannun.processes.commands.kafka import open_broker

    settings = settings_.read()
    broker = open_broker(settings)
    with open_connection(settings, APPLICATION) as conn:
        found = deleted(conn, broker, topic, partition)
        if not dry_run:
            forget(conn, operator(), found)
    for at in found:
        was = "never read" if at.next_offset is None else f"was at {at.next_offset}"
        would = "would no longer wait" if dry_run else "no longer waits"
        out.print(f"{at.topic}[{at.partition}] {was}; {would}", highlight=False, markup=False)


def parse_log_point(text: str, option: str) -> Literal["earliest", "latest"] | int | datetime:
    """A point in a log: its start, its end, an offset, or the first record of an instant.

    Raises:
        OperatorError: the text is none of these.
    """
    from hannun.domain.field_values import parse_moment, without_zone_name

    if text in ("earliest", "latest"):
        return "earliest" if text == "earliest" else "latest"
    if text.isdecimal():
        return int(text)
    try:
        moment = parse_moment(without_zone_name(text))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OperatorError(
            f"{option} {text} is not a point in a log",
            hint="earliest, latest, an offset, or 2026-11-23T09:00:00+09:00",
        )
    return moment
