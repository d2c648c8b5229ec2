"""`hannun positions`: how far each partition is counted, and where reading goes on."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from hannun import settings as settings_
from hannun.cli.terminal import operator, out
from hannun.errors import OperatorError

places = typer.Typer(help="How far each partition of Kafka is counted.", no_args_is_help=True)


@places.command("list")
def list_positions(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """List how far each partition is counted, and which wait for you. Status 1 where one does."""
    from hannun.store.database import connect
    from hannun.store.positions import list_positions
    from hannun.store.version import check_version

    with connect(settings_.read().needed("database_url"), application="hannun-positions") as conn:
        check_version(conn)
        found = list_positions(conn)
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
    from hannun.flows.position_decisions import decide, plan
    from hannun.kafka.broker import Broker
    from hannun.store.database import connect
    from hannun.store.version import check_version

    settings = settings_.read()
    broker = Broker(settings.needed("kafka_bootstrap_servers"))
    broker.check([])
    with connect(settings.needed("database_url"), application="hannun-positions") as conn:
        check_version(conn)
        decisions = plan(conn, broker, topic, partition, place_in_time(to))
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


@places.command("forget")
def forget_partitions(
    topic: Annotated[str, typer.Argument(help="the topic")],
    partition: Annotated[int | None, typer.Option(help="one partition; all of the topic without it")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what it would mean, and do nothing")] = False,
) -> None:
    """Wait no longer for partitions that Kafka has no more, on record. What nobody has counted of them is lost."""
    from hannun.flows.position_decisions import deleted, forget
    from hannun.kafka.broker import Broker
    from hannun.store.database import connect
    from hannun.store.version import check_version

    settings = settings_.read()
    broker = Broker(settings.needed("kafka_bootstrap_servers"))
    broker.check([])
    with connect(settings.needed("database_url"), application="hannun-positions") as conn:
        check_version(conn)
        found = deleted(conn, broker, topic, partition)
        if not dry_run:
            forget(conn, operator(), found)
    for at in found:
        was = "never read" if at.next_offset is None else f"was at {at.next_offset}"
        would = "would no longer wait" if dry_run else "no longer waits"
        out.print(f"{at.topic}[{at.partition}] {was}; {would}", highlight=False, markup=False)


def place_in_time(to: str, option: str = "--to") -> Any:
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
