"""`python -m bench`: run the benches, print a table and, on request, write JSON."""

import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import (
    amounts,
    answers,
    backups,
    channel_calls,
    channel_day,
    channel_rounds,
    counting,
    doctor,
    flat,
    freshness,
    gate,
    growth,
    http_ingestion,
    kafka_ingestion,
    ledger_bytes,
    live_pages,
    load,
    page,
    paint,
    peers,
    rebuild,
    start,
    views,
    watching,
)
from bench.figures import Figure, as_json, print_table
from bench.servers import LogProgress, Servers, describe_environment, start_servers
from hannun import telemetry

Run = Callable[..., list[Figure]]
BENCHES: dict[str, tuple[str, Run]] = {
    "http": ("messages sent to POST /api/v1/messages", http_ingestion.run),
    "kafka": ("a backlog in Apache Kafka, counted by one ingest", kafka_ingestion.run),
    "peers": ("the same topic, counted by Hannun and by other stream processors", peers.run),
    "count": ("the batch counter alone, compared with COPY, upserts and the per-message consumer", counting.run),
    "flat": ("counting after millions of messages and over a full ledger, compared with an empty one", flat.run),
    "amounts": ("counting with encrypted amounts, compared with plain ones", amounts.run),
    "bytes": ("the size of a participant on disk", ledger_bytes.run),
    "backups": ("a backup and a restore drill, compared with plain pg_dump and pg_restore", backups.run),
    "answers": ("a cached dashboard, compared with minimal servers", answers.run),
    "views": ("uncached answers, over a database of a year", views.run),
    "channels": ("calls to a channel's API, compared with a bare HTTP client", channel_calls.run),
    "rebuild": ("the cached answers of 10,000 events, rebuilt together and one by one", rebuild.run),
    "day": ("the budgets of the channels over 24 simulated hours", channel_day.run),
    "rounds": ("rounds of the refresh against the channel sandbox", channel_rounds.run),
    "doctor": ("all checks of the running system", doctor.run),
    "page": ("the memory of a page that stays open", page.run),
    "paint": ("the first load of a page on a phone", paint.run_first_load),
    "update": ("a live update of an open page", paint.run_live_update),
    "scroll": ("scrolling a list of 1,000 events", paint.run_scrolling),
    "live": ("10,000 pages that wait for changes, connected to one serve", live_pages.run),
    "load": ("users of the page, until two cores with all parts on them are full", load.run),
    "metrics": ("/metrics with 10,000 events", watching.run_metrics),
    "tracing": ("counting and answering with traces, and without", watching.run_tracing),
    "growth": ("rate and latency by events, ledger, workers and live pages, with plots", growth.run),
    "start": ("from the call of a command to its first answer, beside a bare Python and bare imports", start.run),
    "freshness": ("from sending a message to the first answer that includes it", freshness.run),
}


app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(BENCHES)}; may be repeated")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="smaller loads: under a minute on idle cores, with rough figures")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures to this file too")] = None,
) -> None:
    """Measure Hannun on servers that are started for it, and stop all of them at the end."""
    # On SIGTERM an exception unwinds every `finally`, which stops the processes that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if context.invoked_subcommand is not None:
        return
    # Piped into a file, the table does not wrap its lines.
    out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)
    err = Console(stderr=True, soft_wrap=True, highlight=False)
    names = only or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        raise typer.BadParameter(f"no bench is named {', '.join(unknown)}; the benches are {', '.join(BENCHES)}")
    telemetry.configure("warning")
    started = time.monotonic()

    def log_progress(line: str) -> None:
        err.print(f"{time.monotonic() - started:6.1f} s  {line}", style="dim", markup=False)

    with start_servers(log_progress) as servers:
        environment = describe_environment(servers)
        figures, failed = _run_benches(servers, names, quick, log_progress)
    out.print(", ".join(f"{name} {value}" for name, value in environment.items()) + (", quick" if quick else ""))
    out.print()
    print_table(out, figures)
    took_s = time.monotonic() - started
    out.print(
        f"\n{len(figures)} figures in {took_s:.0f} s. Trust ratios within one run, not absolute times: bench/README.md"
    )
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(environment, figures, quick), indent=2) + "\n")
    if failed:
        err.print(f"not measured: {', '.join(failed)}", style="bold red")
        raise typer.Exit(1)


@app.command("gate")
def run_gate(
    write: Annotated[bool, typer.Option("--write", help="make what is measured now the references")] = False,
) -> None:
    """Fail where a path has become dearer than its reference in bench/gate.json."""
    telemetry.configure("warning")
    err = Console(stderr=True, soft_wrap=True, highlight=False)

    def log_progress(line: str) -> None:
        err.print(f"gate: {line}", style="dim", markup=False)

    if write:
        gate.write(log_progress)
    elif problems := gate.check(log_progress):
        for problem in problems:
            err.print(f"gate: {problem}", style="bold red", markup=False)
        raise typer.Exit(1)


def _run_benches(
    servers: Servers, names: Sequence[str], quick: bool, log_progress: LogProgress
) -> tuple[list[Figure], list[str]]:
    """Run the benches. Returns the figures and the names of the benches that failed; one that fails stops no other."""
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names:
        description, run = BENCHES[name]
        log_progress(f"{name}: {description}")
        try:
            figures += run(servers, quick=quick)
        except Exception:
            failed.append(name)
            traceback.print_exc()
    return figures, failed


if __name__ == "__main__":
    app()
