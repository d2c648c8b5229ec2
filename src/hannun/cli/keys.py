"""`hannun keys`: the key ring, with which amounts are encrypted and ids are hashed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hannun.cli.terminal import HomeOption, err, out, print_folded, read_settings, with_home

if TYPE_CHECKING:
    from hannun.processes.commands.keys import KeyLine

app = typer.Typer(help="The key ring, with which amounts are encrypted and ids are hashed.", no_args_is_help=True)

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="the key ring; by default HANNUN_KEY_RING_FILE")
]


@app.command()
def new(
    file: FileArgument = None,
    key_id: Annotated[str | None, typer.Option("--id", help="of the key; by default this month, as in 2026-11")] = None,
    print_: Annotated[
        bool, typer.Option("--print", help="print a line for the table `keys`, and write no file")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Make a key: a new ring with it, readable only for its owner; or one more in an existing ring, not yet active."""
    from hannun.processes.commands import keys

    key_id = key_id or f"{datetime.now(UTC):%Y-%m}"
    if print_:
        print(keys.new_entry(key_id), end="")
        return
    path = keys.ring_path(read_settings(), file)
    lines = keys.add_key(path, key_id)
    _print_keys(lines)
    print_folded(
        "Keep a copy of the ring apart from the backups: without it nothing encrypted can be read.", console=err
    )
    if not any(line.active and line.key_id == key_id for line in lines):
        print_folded(with_home(f"When every process has this ring: hannun keys activate {key_id}"), console=err)


@app.command()
def activate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="of the key")],
    file: FileArgument = None,
    home: HomeOption = None,
) -> None:
    """Let a key of the ring encrypt from now on. The others still decrypt. Processes notice it within seconds."""
    from hannun.processes.commands import keys

    _print_keys(keys.activate(keys.ring_path(read_settings(), file), key_id))


@app.command("list")
def list_keys(file: FileArgument = None, home: HomeOption = None) -> None:
    """List the keys of the ring with a fingerprint, by which two machines compare their rings."""
    from hannun.processes.commands import keys

    _print_keys(keys.list_keys(keys.ring_path(read_settings(), file)))


def _print_keys(lines: "Iterable[KeyLine]") -> None:
    for line in lines:
        out.print(f"{line.key_id:<32}  {line.fingerprint}  {'active' if line.active else ''}".rstrip(), highlight=False)
