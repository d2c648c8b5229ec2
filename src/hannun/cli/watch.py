"""`hannun watch`: counting, servers and the refresh, live on a terminal. It reads once a second and changes nothing."""

from typing import Annotated, Literal, get_args

import typer

from hannun.cli.terminal import HomeOption, read_settings

Section = Literal["overview", "refresh", "counting", "sizes", "queries", "redis"]
SECTIONS: tuple[Section, ...] = get_args(Section)


def watch(
    once: Annotated[bool, typer.Option("--once", help="print it once, and end: status 75 without PostgreSQL")] = False,
    section: Annotated[
        Section | None, typer.Option(help="show this section; by default overview; --once: the others")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print everything once as one JSON object, and end")] = False,
    home: HomeOption = None,
) -> None:
    """Watch counting, the servers and the refresh. 1 to 6 show a section, q or Ctrl-C ends it."""
    from hannun.cli.watch_screen import show
    from hannun.processes.commands.watching import open_readers

    with open_readers(read_settings()) as readers:
        show(readers, section, once=once, as_json=as_json)
