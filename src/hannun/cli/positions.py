"""`hannun positions`: how far each partition is counted, and where reading resumes."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hannun.cli.terminal import (
    BIGINT_MAX,
    PARTITION_MAX,
    DryRunOption,
    HomeOption,
    operator,
    print_folded,
    read_settings,
    shorten_to_line,
    with_home,
)
from hannun.errors import OperatorError

if TYPE_CHECKING:
    from hannun.flows.position_decisions import Decision, Position, StoppedTopic

app = typer.Typer(help="How far each partition of Kafka is counted.", no_args_is_help=True)
APPLICATION = "hannun-positions"
_INDENT = "  "

TopicArgument = Annotated[str, typer.Argument(help="the topic")]
PartitionOption = Annotated[
    int | None, typer.Option(min=0, max=PARTITION_MAX, help="one partition; without it all of the topic")
]


@app.command("list")
def list_positions(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    home: HomeOption = None,
) -> None:
    """List how far each partition is counted, and what waits for you. Status 1 where something does."""
    from hannun.flows import position_decisions
    from hannun.processes.commands.database import open_connection

    with open_connection(read_settings(), APPLICATION) as conn:
        found = position_decisions.list_positions(conn)
    for topic in found.topics:
        print(json.dumps(_topic_as_json(topic))) if as_json else _print_topic(topic)
    for at in found.partitions:
        print(json.dumps(_partition_as_json(at))) if as_json else _print_partition(at)
    if not as_json and any(_shown_reason(reason) != reason for reason in found.reasons):
        print_folded(with_home("a reason that ends in ... is shown in full by: hannun positions list --json"))
    if not (found.topics or found.partitions or as_json):
        print_folded("no partition of Kafka was ever read")
    if found.wait:
        raise typer.Exit(1)


def _print_topic(topic: "StoppedTopic") -> None:
    """Why a topic is not read at all, and what to do; or who has given it up."""
    if topic.forgotten_at is not None:
        when = _utc(topic.forgotten_at)
        print_folded(f"{topic.topic}: given up by {topic.forgotten_by}, {when}: {topic.reason}")
        return
    print_folded(f"{topic.topic}: no partition is read, since {_utc(topic.stopped_at)}")
    print_folded(_shown_reason(topic.reason), indent=_INDENT)
    print_folded(with_home(topic.hint), indent=_INDENT)


def _print_partition(at: "Position") -> None:
    """How far a partition is counted, and by whom; or why it waits, and what to do."""
    counted = "never read" if at.next_offset is None else f"at offset {at.next_offset}"
    moved = "" if at.moved_at is None else f", moved {_utc(at.moved_at)}"
    place = f"{at.topic}[{at.partition}] {counted}{moved}"
    if at.stopped is None:
        print_folded(f"{place} by {at.owner}" if at.owner else f"{place}, read by nobody now")
        return
    print_folded(f"{place}: stopped")
    print_folded(_shown_reason(at.stopped), indent=_INDENT)
    print_folded(with_home(at.hint or ""), indent=_INDENT)


def _shown_reason(reason: str) -> str:
    """What a terminal shows of a reason: one line. What Kafka answers may be longer."""
    return shorten_to_line(reason, indent=_INDENT)


def _utc(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M:%S}Z"


def _partition_as_json(at: "Position") -> dict[str, Any]:
    fields = {"topic": at.topic, "partition": at.partition, "topicId": at.topic_id, "nextOffset": at.next_offset}
    fields |= {"epoch": at.epoch, "owner": at.owner, "movedAt": at.moved_at and f"{at.moved_at.isoformat()}Z"}
    return fields | {"stopped": at.stopped, "hint": at.hint}


def _topic_as_json(topic: "StoppedTopic") -> dict[str, Any]:
    fields = {"topic": topic.topic, "partition": None, "stoppedAt": f"{topic.stopped_at.isoformat()}Z"}
    if topic.forgotten_at is None:
        return fields | {"stopped": topic.reason, "hint": topic.hint}
    forgotten = {"forgottenAt": f"{topic.forgotten_at.isoformat()}Z", "forgottenBy": topic.forgotten_by}
    return fields | {"stopped": None, "hint": None} | forgotten


@app.command("set")
def set_position(
    topic: TopicArgument,
    to: Annotated[str, typer.Option(help="earliest, latest, an offset, or an instant with an offset")],
    partition: PartitionOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
) -> None:
    """Decide where reading resumes, on record. Reading again is harmless; what is skipped is never counted."""
    from hannun.flows.position_decisions import decide, plan
    from hannun.processes.commands.database import open_connection
    from hannun.processes.commands.kafka import open_broker

    settings = read_settings()
    broker = open_broker(settings)
    with open_connection(settings, APPLICATION) as conn:
        planned = plan(conn, broker, topic, partition, parse_log_point(to, "--to"))
        if not dry_run:
            decide(conn, operator(), planned.decisions, f"--to {to}")
    for decision in planned.decisions:
        _print_decision(decision, "would go on" if dry_run else "goes on")
    for why in planned.refused:
        print_folded(f"{why}: nothing is decided for it")
    if dry_run:
        print_folded("nothing has changed: without --dry-run (-n), the same command decides")
    if planned.refused:
        raise typer.Exit(1)


def _print_decision(decision: "Decision", goes_on: str) -> None:
    """From where to where a partition moves, and what is skipped."""
    was = "never read" if decision.was_at is None else f"was at {decision.was_at}"
    skipped = ""
    if decision.skipped:
        most = "at most " if decision.truncated else ""
        skipped = f", skipping {most}{decision.skipped:,} offsets"
    if decision.removed:
        which = "all" if decision.removed == decision.skipped else f"{decision.removed:,}"
        skipped += f", {which} of which the broker has removed"
    print_folded(f"{decision.topic}[{decision.partition}] {was}; {goes_on} at {decision.resume_at}{skipped}")


@app.command("forget")
def forget_partitions(
    topic: TopicArgument,
    partition: PartitionOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
) -> None:
    """Give up a topic, or partitions, that Kafka no longer has, on record. What is not counted of them is lost."""
    from hannun.flows.position_decisions import forget, plan_forget
    from hannun.processes.commands.database import open_connection
    from hannun.processes.commands.kafka import open_broker

    settings = read_settings()
    broker = open_broker(settings)
    with open_connection(settings, APPLICATION) as conn:
        forgotten = plan_forget(conn, broker, topic, partition, settings.topics)
        if not dry_run:
            forget(conn, operator(), forgotten)
    would = "would no longer be waited for" if dry_run else "no longer waited for"
    if forgotten.stop is not None:
        print_folded(f"{topic} {would}: {forgotten.stop.reason}")
    for at in forgotten.partitions:
        was = "never read" if at.next_offset is None else f"was at {at.next_offset}"
        print_folded(f"{at.topic}[{at.partition}] {was}; {would}")


OFFSET_DIGITS_MAX = len(str(BIGINT_MAX))


def parse_log_point(text: str, option: str) -> Literal["earliest", "latest"] | int | datetime:
    """A point in a log: its start, its end, an offset, or the first record of an instant.

    Raises:
        OperatorError: the text is none of these.
    """
    from hannun.domain.instants import parse_instant_with_offset

    if text in ("earliest", "latest"):
        return "earliest" if text == "earliest" else "latest"
    if text.isdecimal() and len(text) <= OFFSET_DIGITS_MAX and int(text) <= BIGINT_MAX:
        return int(text)
    try:
        return parse_instant_with_offset(text)
    except ValueError as error:
        raise OperatorError(
            f"{option} {text} is not a point in a log",
            hint="earliest, latest, an offset, or 2026-11-23T09:00:00+09:00",
        ) from error
