"""The whole command line: one short function for each command. It parses, calls one flow and prints.

A command imports what it needs when it runs, so that none waits for the imports of another.
"""

import os
from pathlib import Path
from typing import Annotated

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
from hannun.cli.processes import COMMANDS, hannun, new_app
from hannun.cli.restore import restore
from hannun.cli.settings import settings as settings_command
from hannun.cli.terminal import (
    HomeOption,
    check_number,
    err,
    home_of_group,
    operator,
    print_folded,
    read_settings,
)
from hannun.cli.watch import watch
from hannun.errors import OperatorError
from hannun.processes.signals import stop_on_signal

TOKEN_HOURS_MAX = 10 * 366 * 24
PACE_MAX = 1_000


app = new_app()
app.callback()(hannun)
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
for _command in COMMANDS:
    app.command()(_command)


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
