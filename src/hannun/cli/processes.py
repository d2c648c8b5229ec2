"""The commands that run processes. They print hardly anything, and their start imports nothing that prints."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hannun.cli.environment import read_settings
from hannun.errors import OperatorError, install_hint
from hannun.processes.signals import stop_on_signal

if TYPE_CHECKING:
    from hannun.settings import Settings


def new_app() -> typer.Typer:
    """An application of the command line, without commands."""
    return typer.Typer(
        help="Hannun (한눈): how a promotional event is doing, on every channel, in numbers that can be proven.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


class IngestSource(StrEnum):
    """Where the messages are that `ingest` counts."""

    KAFKA = "kafka"
    SERVICEBUS = "servicebus"


def _print_version(wanted: bool) -> None:
    from importlib.metadata import PackageNotFoundError, version

    if not wanted:
        return
    try:
        print(f"hannun {version('hannun')}")
    except PackageNotFoundError:
        print("hannun, from sources that are not installed")
    raise typer.Exit


def hannun(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version, and end")
    ] = False,
) -> None:
    """The options before every command."""


def up(
    home: Annotated[Path, typer.Option(help="the folder of all data")] = Path(".hannun"),
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="of the page and the API; 0 for any free one")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="with a simulated platform")] = False,
    kafka: Annotated[bool, typer.Option("--kafka", help="with an Apache Kafka")] = False,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, (Kafka), the service, (a simulated platform)."""
    try:
        from hannun.processes import all_in_one
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"`hannun up` needs the servers as wheels: {error}", hint=install_hint("embedded")
        ) from error
    from hannun.processes.channels import channel_table

    settings = read_settings(with_log=True)
    options = all_in_one.UpOptions(home.resolve(), port, kafka, demo, channel_table(settings), tuple(settings.topics))
    with stop_on_signal() as stop:
        all_in_one.up(options, stop, _print_line_of_up)


def _print_line_of_up(line: str) -> None:
    from hannun.cli.terminal import print_folded

    text = line.lstrip(" ")
    print_folded(text, indent=" " * (len(line) - len(text)))


def _settings_of_process() -> "Settings":
    """The settings of a process that writes a log."""
    from hannun.processes.commands.settings_in_force import warn_of_unknown_variables

    settings = read_settings(with_log=True)
    warn_of_unknown_variables(os.environ)
    return settings


def serve(
    fd: Annotated[int | None, typer.Option(min=0, help="an open socket to listen on", hidden=True)] = None,
    environment_fd: Annotated[
        int | None, typer.Option(min=0, help="a pipe that holds the environment", hidden=True)
    ] = None,
) -> None:
    """Serve the API and the page, and count messages that are posted."""
    from hannun.processes.http_server import run

    if environment_fd is not None:
        from hannun.processes import environment_pipe

        environment_pipe.receive(environment_fd)
    settings = _settings_of_process()
    run(settings, fd)


def ingest(
    source: Annotated[
        IngestSource | None, typer.Option(help="where the messages are; by default HANNUN_INGEST_SOURCE, or Kafka")
    ] = None,
) -> None:
    """Count what Kafka's topics hold, as a member of the consumer group, or what queues of Service Bus hold."""
    from hannun.processes.ingest import run

    settings = _settings_of_process()
    run(settings if source is None else settings.model_copy(update={"ingest_source": source.value}))


def schedule() -> None:
    """Run the timed jobs: pending invalidations, the timeline's roll-up, partitions ahead."""
    from hannun.processes.schedule import run

    settings = _settings_of_process()
    run(settings)


def process_app() -> typer.Typer:
    """The command line with these commands alone: of the others not even the options are read."""
    app = new_app()
    app.callback()(hannun)
    for command in COMMANDS:
        app.command()(command)
    return app


COMMANDS = (up, serve, ingest, schedule)
"""Their names are those of `PROCESSES`."""
