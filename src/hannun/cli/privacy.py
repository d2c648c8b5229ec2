"""`hannun privacy`: forget people, and find what is left of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hannun.cli.audit import parse_since
from hannun.cli.terminal import (
    HomeOption,
    Progress,
    check_number,
    confirm,
    operator,
    print_error,
    print_folded,
    print_progress,
    read_settings,
    with_home,
    with_noun,
)
from hannun.domain.audit_chain import REASON_LENGTH_MAX
from hannun.domain.ids import ID_LENGTH_MAX, canonical_id
from hannun.errors import OperatorError

if TYPE_CHECKING:
    from hannun.flows.personal_data import Exposure, Findings

app = typer.Typer(help="Forget people, and find what is left of them.", no_args_is_help=True)
PARTICIPANT_LENGTH_MAX = 64
MINUTES_MAX = 10_000


@app.command("forget")
def forget(
    reason: Annotated[str, typer.Option(help="why, for the audit log: a number of a request, and no names")],
    merchant: Annotated[str | None, typer.Option(help="a userId: it goes everywhere, and so do the titles")] = None,
    participant: Annotated[str | None, typer.Option(help="a participantId, as in the messages")] = None,
    event: Annotated[list[str] | None, typer.Option(help="of a participant: only in this event")] = None,
    even_if_unknown: Annotated[bool, typer.Option("--even-if-unknown", help="an id that nothing names, too")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do it, and do not ask")] = False,
    home: HomeOption = None,
) -> None:
    """Forget a merchant or a participant: the id goes everywhere, every count stays. Status 1: nothing names the id."""
    from hannun.flows.forgetting import NobodyFound, Person
    from hannun.processes.commands import privacy

    _check_options(merchant, participant, event, reason)
    event_ids = [canonical_id(id_) for id_ in event] if event else None
    person = Person(None if merchant is None else canonical_id(merchant), participant, event_ids)
    who = f"the merchant {merchant}" if merchant is not None else f"the participant {participant}"
    settings = read_settings()
    try:
        if not yes:
            found = privacy.preview(settings, person, even_if_unknown=even_if_unknown)
            _print_counts(f"{who} is named", found.events, found.rows)
            print_folded("what is forgotten does not come back, and then every process needs the key ring")
        confirm(f"Forget {who}?", otherwise="nobody was forgotten", yes=yes)
        done = privacy.forget(settings, person, operator(), reason, even_if_unknown=even_if_unknown)
    except NobodyFound as nobody:
        print_error(nobody)
        raise typer.Exit(1) from None
    _print_counts(f"{who} is forgotten", done.counts.events, done.counts.rows)
    if done.in_shadow:
        print_folded("the shadow of a replay was changed too")
    for name in done.kept_in:
        print_folded(f"the database {name}, which a swap has left, still holds the id: drop it")
    print_folded("backups and the logs of Kafka still hold the id until they are deleted")
    if done.cached:
        print_folded(with_home("Redis does not answer: give the same command again when it is back"))
        raise typer.Exit(75)


def _print_counts(what: str, events: Sequence[str], rows_of: Mapping[str, int]) -> None:
    print_folded(f"{what} in {with_noun(len(events), 'event')}")
    for table, rows in sorted(rows_of.items()):
        print_folded(f"{table}: {with_noun(rows, 'row')}", indent="  ")


def _check_options(merchant: str | None, participant: str | None, event: list[str] | None, reason: str) -> None:
    """
    Raises:
        OperatorError: the options do not say whom to forget, or are too long.
    """
    if (merchant is None) == (participant is None):
        found = "whom to forget is not said" if merchant is None else "--merchant and --participant are both given"
        raise OperatorError(found, hint="give one of the two: --merchant ID, or --participant ID")
    if merchant is not None and event:
        raise OperatorError("--event is for a participant", hint="a merchant is forgotten in all events: leave it out")
    lengths = [("--merchant", merchant, ID_LENGTH_MAX), ("--participant", participant, PARTICIPANT_LENGTH_MAX)]
    lengths += [("--event", id_, ID_LENGTH_MAX) for id_ in event or ()] + [("--reason", reason, REASON_LENGTH_MAX)]
    for option, text, length_max in lengths:
        if text is not None and not 0 < len(text) <= length_max:
            raise OperatorError(f"{option} has {len(text)} characters", hint=f"1 to {length_max}")


@app.command("audit")
def audit(
    id_: Annotated[str | None, typer.Option("--id", help="look for this id too, of a merchant or participant")] = None,
    logs: Annotated[list[Path] | None, typer.Option(help="search this log too; may be given again")] = None,
    backup: Annotated[str | None, typer.Option(help="search this logical backup too")] = None,
    identity: Annotated[Path | None, typer.Option(help="the file of the identity that opens encrypted ones")] = None,
    minutes: Annotated[float, typer.Option(help="how long the search may take")] = 10.0,
    possible: Annotated[str | None, typer.Option(help="instead: whose data a breach of this event touched")] = None,
    since: Annotated[str | None, typer.Option(help="with --possible: who saw it since this instant")] = None,
    list_: Annotated[
        Path | None, typer.Option("--list", help="with --possible: write their ids into this file")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Search tables, Redis, logs and a backup for personal data. Status 1 where any is found."""
    check_number("--minutes", minutes, MINUTES_MAX)
    if (possible is None) != (since is None):
        raise OperatorError(
            "--possible and --since belong together", hint="--possible EVENT --since 2026-11-23T09:00:00+09:00"
        )
    if list_ is not None and possible is None:
        raise OperatorError("--list is for --possible", hint="--possible EVENT --since INSTANT --list FILE")
    if possible is not None and since is not None:
        from hannun.processes.commands.privacy import exposure, list_people

        _print_exposure(possible, since, exposure(read_settings(), possible, parse_since(since), operator()))
        if list_ is not None:
            count = list_people(read_settings(), possible, list_, operator())
            print_folded(f"{list_} names {count:,} of them, and only you may read it: delete it when it was used")
        return
    from hannun.processes.commands.privacy import SearchOptions, search

    if id_ is not None and not 0 < len(id_) <= PARTICIPANT_LENGTH_MAX:
        raise OperatorError(f"--id has {len(id_)} characters", hint=f"1 to {PARTICIPANT_LENGTH_MAX}")
    options = SearchOptions(minutes * 60, id_, logs or (), backup, identity)
    with Progress[str](print_progress) as progress:
        findings = search(read_settings(), options, operator(), progress.update)
    _print_findings(findings)


def _print_findings(findings: "Findings") -> None:
    """Where what was found, never the data itself."""
    for (place, kind), count in sorted(findings.counts.items()):
        line = findings.first_lines.get((place, kind))
        at = "" if line is None else f", first in line {line}"
        print_folded(f"{place}: {kind}, {with_noun(count, 'time')}{at}")
    for place in findings.unsearched:
        print_folded(f"{place}: not searched to its end: --minutes gives more time")
    if findings.counts:
        raise typer.Exit(1)
    if findings.unsearched:
        raise typer.Exit(75)
    print_folded("nothing was found that looks like personal data")


def _print_exposure(event_id: str, since: str, found: "Exposure") -> None:
    event = found.event
    print_folded(f"event {event_id}: the data of")
    print_folded(f"the merchant {event.owner or '(not created yet)'}", indent="  ")
    print_folded(
        f"{with_noun(event.participants, 'participant')}; --list FILE writes their ids into a file", indent="  "
    )
    print_folded(f"seen since {since} by")
    for reader in found.readers:
        who = f"{reader.kind or 'unknown'} {reader.id or '(forgotten)'}"
        print_folded(f"{reader.at:%Y-%m-%d %H:%M:%S}Z  {who}: {reader.action}, {reader.object}", indent="  ")
    if not found.readers:
        print_folded("nobody but its merchant, as far as the audit log says", indent="  ")
    for link in found.links:
        print_folded(f"share link {link.share_id} could be used until {link.until:%Y-%m-%d %H:%M}Z", indent="  ")
    print_folded("the merchant's own reading is not recorded, nor what a database client reads")
