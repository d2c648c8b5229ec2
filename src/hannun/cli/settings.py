"""`hannun settings`: what is in force, and from where."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from hannun.cli.terminal import HomeOption, home_variables, print_folded, read_settings

_GROUPS = {
    "file": "from files",
    "home": "from --home",
    "environment": "from the environment",
    "default": "by default",
}


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    home: HomeOption = None,
) -> None:
    """Print each setting that is in force and where it comes from; secrets are masked. Status 1: a variable with the
    prefix HANNUN_ is no setting, as a misspelled one is."""
    from hannun.processes.commands.settings_in_force import exposed_files, settings_in_force, unknown_variables

    read = read_settings()
    found, exposed = settings_in_force(read, home_variables()), [*exposed_files(read, os.environ)]
    unknown = unknown_variables(os.environ)
    if as_json:
        listed: dict[str, Sequence[Any]] = {"settings": found, "unknown": unknown, "exposed": exposed}
        print(json.dumps({name: [*map(asdict, each)] for name, each in listed.items()}, indent=2))
    else:
        for source, title in _GROUPS.items():
            group = [each for each in found if each.source == source and (each.value or source != "default")]
            if group:
                print_folded(f"{title}:")
            for each in group:
                origin = f" ({each.file})" if each.file else ""
                print_folded(f"{each.variable}={each.value}{origin}", indent="  ")
        unset = [each.variable for each in found if each.source == "default" and not each.value]
        print_folded(f"not set: {', '.join(unset)}")
        for each_unknown in unknown:
            meant = f"; do you mean {each_unknown.meant}?" if each_unknown.meant else ""
            print_folded(f"{each_unknown.variable} is no setting, and nothing reads it{meant}")
        for file in exposed:
            print_folded(f"any user of this machine may read or change {file.path} (mode {file.mode}), which")
            print_folded(f"{file.variable} names: {file.command}", indent="  ")
    raise typer.Exit(1 if unknown else 0)
