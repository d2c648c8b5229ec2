"""`python -m bench gate`: fails where a path has become dearer than its reference in bench/gate.json.

    gate_counts   what PostgreSQL does for a batch, in exact numbers ─────────────────┬─► compared with gate.json
    gate_paths    CPU time of a path / CPU time of a fixed workload, in one process ──┘

No absolute time is compared. A ratio of CPU times still varies by some 4 % between processes: with the addresses of
their memory, and with other load. So a path is measured in two processes, and the smaller ratio counts. If that is too
large, more processes are asked: a path fails only if it is too dear in each of `PROCESSES_MAX`.
"""

import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import gate_counts
from bench.servers import BenchDatabase, LogProgress, Servers, start_servers
from hannun.errors import OperatorError

REFERENCES = Path(__file__).with_name("gate.json")
WRITE = "python -m bench gate --write"
DEARER_MAX = 1.08
"""How many times its reference a path may cost. One that is 15 % dearer is found also where it is measured 6 % low."""
CHEAPER_MIN = 0.85
"""Below this share of its reference a path is reported: the reference would let it become as dear as before."""
PROCESSES, PROCESSES_MAX, PROCESSES_TO_WRITE = 2, 6, 7

ONE_LAYOUT = {
    "PYTHONHASHSEED": "0",
    # Freed memory stays with the process: else large arrays are mapped anew in some processes, and in others not.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": "67108864",
}
"""What lets the processes of a run order sets alike and take memory alike."""

Values = dict[str, float]


def check(log_progress: LogProgress) -> list[str]:
    """Measure all paths, and return a line for each that is dearer than its reference, or has none."""
    references = json.loads(REFERENCES.read_text())
    with _measuring(log_progress) as (servers, database):
        counts = gate_counts.measure(servers, database)
        problems = compare(references["counts"], counts, log_progress)
        of_interpreter = references["ratios"].get(_interpreter())
        if of_interpreter is None:
            log_progress(f"SKIPPED: CPU times, of which gate.json has none for {_interpreter()}; add them by: {WRITE}")
            return problems
        ratios = _measure_ratios(servers, database, 0)
        for number in range(1, PROCESSES_MAX):
            dearer = [path for path, ratio in ratios.items() if ratio > DEARER_MAX * of_interpreter.get(path, ratio)]
            if number >= PROCESSES and not dearer:
                break
            if number >= PROCESSES:
                log_progress(f"measured once more, since it seems dearer: {', '.join(dearer)}")
            again = _measure_ratios(servers, database, number)
            ratios = {path: min(ratio, again[path]) for path, ratio in ratios.items()}
    return problems + compare(of_interpreter, ratios, log_progress)


def write(log_progress: LogProgress) -> None:
    """Measure all paths, and make that their references; those of other interpreters stay."""
    written = json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {"ratios": {}}
    with _measuring(log_progress) as (servers, database):
        counts = gate_counts.measure(servers, database)
        measured = []
        for number in range(PROCESSES_TO_WRITE):
            log_progress(f"process {number + 1} of {PROCESSES_TO_WRITE}")
            measured.append(_measure_ratios(servers, database, number))
    ratios = {path: round(statistics.median(each[path] for each in measured), 3) for path in measured[0]}
    written = {
        "made by": f"{WRITE}: counts of a batch; ratios are medians of {PROCESSES_TO_WRITE} processes",
        "counts": {name: round(value, 2) for name, value in counts.items()},
        "ratios": {**written["ratios"], _interpreter(): ratios},
    }
    REFERENCES.write_text(json.dumps(written, indent=2) + "\n")
    for path in ratios:
        values = [each[path] / ratios[path] for each in measured]
        log_progress(f"{path}: {ratios[path]:.3f}, of which the processes are {min(values):.2f} to {max(values):.2f}")


def compare(references: Mapping[str, float], measured: Mapping[str, float], log_progress: LogProgress) -> list[str]:
    """A line for each value that exceeds its reference, or has none, or is not measured any more."""
    problems = []
    for name in sorted(references.keys() | measured.keys()):
        if name not in references or name not in measured:
            problems.append(f"{name}: {'no reference' if name in measured else 'not measured'}; renew them by: {WRITE}")
            continue
        value, reference = measured[name], references[name]
        share = value / reference if reference else 1.0 + value
        if share > DEARER_MAX:
            problems.append(f"{name}: {value:,.3f}, {100 * (share - 1):.0f} % more than the reference {reference:,.3f}")
        elif share < CHEAPER_MIN:
            log_progress(f"{name}: {100 * (1 - share):.0f} % cheaper than its reference; renew it by: {WRITE}")
    return problems


@contextmanager
def _measuring(log_progress: LogProgress) -> Iterator[tuple[Servers, BenchDatabase]]:
    with start_servers(log_progress, gate_counts.SETTINGS) as servers:
        yield servers, gate_counts.create_events(servers)


def _measure_ratios(servers: Servers, database: BenchDatabase, number: int) -> Values:
    """The ratios of all paths, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.gate_paths", str(number)],
        env=servers.environment(database) | ONE_LAYOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise OperatorError(
            f"bench.gate_paths ended with status {done.returncode}:\n{done.stderr[-2_000:]}",
            hint="adapt bench/gate_paths.py if a function that it calls has changed",
        )
    values: Values = json.loads(done.stdout.splitlines()[-1])
    return values


def _interpreter() -> str:
    """What CPU ratios depend on: the minor version of Python, and the processor's instructions."""
    return f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor} {platform.machine()}"
