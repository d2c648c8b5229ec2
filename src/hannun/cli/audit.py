"""`hannun audit`: who saw or changed what, when and why; and the proof that the record is whole."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hannun.cli.terminal import LISTED_MAX, HomeOption, print_folded, read_settings, with_home, with_noun
from hannun.domain.audit_chain import Action, Newest
from hannun.errors import OperatorError

if TYPE_CHECKING:
    from datetime import datetime

    from hannun.flows.audit_log import ListedEntry

app = typer.Typer(help="Who saw or changed what, when and why.", no_args_is_help=True)
APPLICATION = "hannun-audit"
ACTIONS = ", ".join(Action)


@app.command("list")
def list_entries(
    action: Annotated[Action | None, typer.Option(metavar="ACTION", help=f"only this one: {ACTIONS}")] = None,
    object_: Annotated[str | None, typer.Option("--object", help="only of this object, as the list shows it")] = None,
    person: Annotated[str | None, typer.Option(help="only by this person, or on their data")] = None,
    since: Annotated[str | None, typer.Option(help="only from this instant on: 2026-11-23T09:00:00+09:00")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="how many, newest first")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    home: HomeOption = None,
) -> None:
    """List the newest entries."""
    from hannun.flows import audit_log
    from hannun.processes.commands.database import open_connection

    filters = audit_log.Filters(action, object_, person, None if since is None else parse_since(since))
    with open_connection(read_settings(), APPLICATION) as conn:
        found = audit_log.list_entries(conn, filters, limit)
    for entry in found:
        print(json.dumps(_as_json(entry), ensure_ascii=False)) if as_json else _print(entry)
    if not found and not as_json:
        print_folded("the audit log has no such entry")


def parse_since(text: str) -> "datetime":
    """
    Raises:
        OperatorError: the text is no instant with an offset.
    """
    from hannun.domain.instants import parse_instant_with_offset, to_naive_utc

    try:
        return to_naive_utc(parse_instant_with_offset(text))
    except (ValueError, OverflowError) as error:
        raise OperatorError(f"--since {text} is not an instant", hint="as in 2026-11-23T09:00:00+09:00") from error


def _print(entry: "ListedEntry") -> None:
    who = _name(entry.actor_kind, entry.actor_id)
    print_folded(f"{entry.no}  {entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.action}  {entry.object}")
    whose = "" if entry.subject_kind is None else f", data of {_name(entry.subject_kind, entry.subject_id)}"
    print_folded(f"by {who}{whose}{f': {entry.reason}' if entry.reason else ''}", indent="    ")


def _name(kind: str | None, id_: str | None) -> str:
    return f"{kind or 'unknown'} {id_ or '(forgotten)'}"


def _as_json(entry: "ListedEntry") -> dict[str, Any]:
    actor = {"kind": entry.actor_kind, "id": entry.actor_id}
    subject = None if entry.subject_kind is None else {"kind": entry.subject_kind, "id": entry.subject_id}
    fields = {"no": entry.no, "at": f"{entry.at.isoformat()}Z", "actor": actor, "action": entry.action}
    return fields | {"object": entry.object, "subject": subject, "reason": entry.reason or None, "hash": entry.hash}


@app.command("verify")
def verify(
    newest: Annotated[
        list[str] | None, typer.Option(help="a newest entry that was noted before, NUMBER:HASH; may be given again")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Prove that no entry was changed, removed or inserted. Status 1 where one was."""
    from hannun.flows.audit_log import AuditCheck
    from hannun.processes.commands.database import open_connection

    noted = [_parse_newest(text) for text in newest or ()]
    found = 0
    with open_connection(read_settings(), APPLICATION) as conn:
        check = AuditCheck(conn, noted)
        for break_ in check.breaks():
            found += 1
            print_folded(str(break_))
    if found:
        print_folded(f"the audit log is not as it was written: {with_noun(found, 'finding')}")
        raise typer.Exit(1)
    if not check.newest.no:
        print_folded("the audit log is empty")
        return
    print_folded(f"the audit log is whole: {with_noun(check.newest.no, 'entry', 'entries')}")
    print_folded("note the newest elsewhere, so that nobody can cut off the end unseen:")
    print_folded(with_home(f"hannun audit verify --newest {check.newest}"), indent="  ")


def _parse_newest(text: str) -> Newest:
    try:
        return Newest.parse(text)
    except ValueError as error:
        raise OperatorError(
            f"--newest {text} is not the end of an audit log", hint="NUMBER:HASH, as `hannun audit verify` prints it"
        ) from error
