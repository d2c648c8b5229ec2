"""`hannun privacy`: forget people, and find what is left of them."""

from typing import Annotated

import typer

from hannun import settings as settings_
from hannun.cli.terminal import HomeOption, operator, print_folded, with_home
from hannun.domain.audit_chain import REASON_LENGTH_MAX
from hannun.domain.ids import ID_LENGTH_MAX, canonical_id
from hannun.errors import OperatorError

app = typer.Typer(help="Forget people, and find what is left of them.", no_args_is_help=True)
PARTICIPANT_LENGTH_MAX = 64


@app.command("forget")
def forget(
    reason: Annotated[str, typer.Option(help="why, for the audit log: a number of a request, and no names")],
    merchant: Annotated[str | None, typer.Option(help="a userId: it goes everywhere, and so do the titles")] = None,
    participant: Annotated[str | None, typer.Option(help="a participantId, as in the messages")] = None,
    event: Annotated[list[str] | None, typer.Option(help="of a participant: only in this event")] = None,
    home: HomeOption = None,
) -> None:
    """Forget a merchant or a participant: the id goes everywhere, every count stays. Again, it finishes the work."""
    from hannun.flows.forgetting import Person
    from hannun.processes.commands.privacy import forget as run

    _check_options(merchant, participant, event, reason)
    event_ids = [canonical_id(id_) for id_ in event] if event else None
    person = Person(None if merchant is None else canonical_id(merchant), participant, event_ids)
    done = run(settings_.read(), person, operator(), reason)
    who = "merchant" if merchant is not None else "participant"
    print_folded(f"the {who} is forgotten in {len(done.counts.events)} events")
    for table, rows in sorted(done.counts.rows.items()):
        print_folded(f"{table}: {rows} rows changed", indent="  ")
    if done.in_shadow:
        print_folded("the shadow of a replay was changed too")
    for name in done.kept_in:
        print_folded(f"the database {name}, which a swap has left, still holds the id: drop it")
    print_folded("backups and the logs of Kafka still hold the id until they are deleted")
    if done.cached:
        print_folded(with_home("Redis does not answer: give the same command again when it is back"))
        raise typer.Exit(75)


def _check_options(merchant: str | None, participant: str | None, event: list[str] | None, reason: str) -> None:
    """
    Raises:
        OperatorError: the options do not say whom to forget, or are too long.
    """
    if (merchant is None) == (participant is None):
        raise OperatorError("whom to forget is not said", hint="give --merchant ID, or --participant ID")
    if merchant is not None and event:
        raise OperatorError("--event is for a participant", hint="a merchant is forgotten in all events: leave it out")
    lengths = [("--merchant", merchant, ID_LENGTH_MAX), ("--participant", participant, PARTICIPANT_LENGTH_MAX)]
    lengths += [("--event", id_, ID_LENGTH_MAX) for id_ in event or ()] + [("--reason", reason, REASON_LENGTH_MAX)]
    for option, text, length_max in lengths:
        if text is not None and not 0 < len(text) <= length_max:
            raise OperatorError(f"{option} has {len(text)} characters", hint=f"1 to {length_max}")
