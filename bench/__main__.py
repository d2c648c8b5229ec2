"""`python -m bench`: measure, print a table, and if asked write JSON."""

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

from bench import answers, counting, flat, freshness, http_door, kafka_door, ledger, views
from bench.figures import Figure, as_json, show
from bench.servers import Ground, environment_of, ground
from hannun import telemetry

Run = Callable[..., list[Figure]]
BENCHES: dict[str, tuple[str, Run]] = {
    "http": ("messages through POST /api/v1/messages", http_door.run),
    "kafka": ("a backlog in Apache Kafka through one ingest", kafka_door.run),
    "count": ("the counter alone, beside COPY, upserts and the literal port", counting.run),
    "flat": ("counting over millions of messages and a full ledger, beside its start", flat.run),
    "bytes": ("what a participant costs on the disk", ledger.run),
    "answers": ("a dashboard that is kept, beside the least that could be done for it", answers.run),
    "views": ("answers that are in no cache, over a database of a year", views.run),
    "freshness": ("from sending to an answer that has it", freshness.run),
}


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(BENCHES)}; may be repeated")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="everything smaller: under a minute, with rough figures")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures here too")] = None,
) -> None:
    """Measure Hannun on real servers of its own, and leave nothing running."""
    # Piped into a file, the table keeps its lines whole.
    out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)
    err = Console(stderr=True, soft_wrap=True, highlight=False)
    names = only or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        raise typer.BadParameter(f"no bench is named {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    telemetry.configure("warning")
    started = time.monotonic()
    # Told to end, we leave through every `finally`: nothing of ours goes on running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def say(line: str) -> None:
        err.print(f"{time.monotonic() - started:6.1f} s  {line}", style="dim", markup=False)

    with ground(say) as servers:
        environment = environment_of(servers)
        found, failed = _measured(servers, names, quick, say)
    out.print(", ".join(f"{name} {value}" for name, value in environment.items()) + (", quick" if quick else ""))
    out.print()
    show(out, found)
    out.print(f"\n{len(found)} figures in {time.monotonic() - started:.0f} s. Trust ratios of one run: bench/README.md")
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(environment, found, quick), indent=2) + "\n")
    if failed:
        err.print(f"not measured: {', '.join(failed)}", style="bold red")
        raise typer.Exit(1)


def _measured(
    servers: Ground, names: Sequence[str], quick: bool, say: Callable[[str], None]
) -> tuple[list[Figure], list[str]]:
    """The figures, and the benches that failed: one that does must not cost the others their minutes."""
    found: list[Figure] = []
    failed: list[str] = []
    for name in names:
        what, run = BENCHES[name]
        say(f"{name}: {what}")
        try:
            found += run(servers, quick=quick)
        except Exception:
            failed.append(name)
            traceback.print_exc()
    return found, failed


if __name__ == "__main__":
    typer.run(main)
