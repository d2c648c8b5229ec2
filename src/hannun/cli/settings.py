"""`hannun settings`: what is in force, and from where."""

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer

from hannun import settings as settings_
from hannun.cli.terminal import HomeOption, print_folded

_GROUPS = {"file": "from files", "environment": "from the environment", "default": "by default"}


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    home: HomeOption = None,
) -> None:
    """Print each setting that is in force and where it comes from; secrets are masked. Status 1: a variable with the
    prefix HANNUN_ is no setting, as a misspelled one is."""
    from hannun.processes.commands.settings_in_force import settings_in_force, unknown_variables

    found = settings_in_force(settings_.read())
    unknown = unknown_variables(os.environ)
    if as_json:
        print(json.dumps({"settings": [*map(asdict, found)], "unknown": [*map(asdict, unknown)]}, indent=2))
    else:
        for source, title in _GROUPS.items():
            group = [each for each in found if each.source == source]
            if group:
                print_folded(f"{title}:")
            for each in group:
                origin = f" ({each.file})" if each.file else ""
                print_folded(f"{each.variable}={each.value}{origin}", indent="  ")
        for each_unknown in unknown:
            meant = f"; do you mean {each_unknown.meant}?" if each_unknown.meant else ""
            print_folded(f"{each_unknown.variable} is no setting, and nothing reads it{meant}")
    raise typer.Exit(1 if unknown else 0)
