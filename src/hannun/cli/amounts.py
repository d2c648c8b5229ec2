"""`hannun amounts`: whether amounts of money are stored encrypted, and their conversion."""

from typing import TYPE_CHECKING

import typer

from hannun.cli.terminal import HomeOption, Progress, err, operator, out, print_folded, read_settings

if TYPE_CHECKING:
    from hannun.flows.amounts import AmountStatus

app = typer.Typer(help="Amounts of money: whether they are stored encrypted.", no_args_is_help=True)


@app.command()
def status(home: HomeOption = None) -> None:
    """Show in which form amounts are, and with which keys: status 1 where they are mixed, or a key is missing."""
    from hannun.processes.commands import amounts

    found = amounts.status(read_settings())
    print_folded(f"amounts: {found.state}")
    for row in found.counts:
        form = "plain" if row.key_id is None else f"key {row.key_id}"
        print_folded(f"{row.what:<13} {row.rows:>12,}  {form}{_note(found, row.key_id)}", indent="  ")
    for key_id, ids in found.forgotten.items():
        note = ", missing" if key_id in found.missing else ", stays in the ring"
        print_folded(f"{'forgotten ids':<13} {ids:>12,}  key {key_id}{note}", indent="  ")
    if found.last is not None and not found.last.finished:
        state = "was given up" if found.last.ended_at else f"has not ended: last step {found.last.silent_s:.0f} s ago"
        print_folded(f"the last conversion ({found.last.operation}, by {found.last.run_by}) {state}")
    for key_id in found.missing:
        print_folded(f"the key {key_id} is missing: put it into the file that HANNUN_KEY_RING_FILE names")
    if found.state == "mixed":
        print_folded("`hannun amounts encrypt` or `hannun amounts decrypt` converts the rest", console=err)
    if found.missing or found.state == "mixed":
        raise typer.Exit(1)


def _note(found: "AmountStatus", key_id: str | None) -> str:
    if key_id is None:
        return ""
    return ", missing" if key_id in found.missing else ", active" if key_id == found.active else ", rotate"


@app.command()
def encrypt(home: HomeOption = None) -> None:
    """Encrypt every stored amount, and every new one, with the active key of the key ring."""
    _convert("encrypt", "amounts are encrypted; the columns for other teams hold 0.00")


@app.command()
def decrypt(home: HomeOption = None) -> None:
    """Store every amount as a number again."""
    _convert("decrypt", "amounts are plain")


@app.command()
def rotate(home: HomeOption = None) -> None:
    """Encrypt every amount with the active key that another key has encrypted. `status` says which keys must stay."""
    _convert("rotate", "amounts are encrypted with the active key alone")


def _convert(operation: str, done: str) -> None:
    """Convert, with progress. An interrupted command goes on when it is run again."""
    from hannun.processes.commands import amounts

    with Progress[str](lambda line: print_folded(line, indent="  ", console=err)) as progress:
        amounts.convert(read_settings(), operation, operator(), progress.update)
    out.print(done, highlight=False)
