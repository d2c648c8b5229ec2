"""CPU time (in steps of 10 ms) and peak memory of processes, read from /proc. Linux only."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of one process, of all its threads."""
    user, system, *_ = _times(pid)
    return (user + system) / _TICKS_PER_SECOND


def tree_cpu_s(pid: int) -> float:
    """User and system time of a process and all its descendants, including those that have ended and were reaped."""
    return sum(sum(_times(each)) for each in (pid, *_descendants(pid))) / _TICKS_PER_SECOND


def memory_bytes(pid: int) -> int:
    """The resident memory of a process."""
    return _status_bytes(pid, "VmRSS:")


def peak_memory_bytes(pid: int) -> int:
    """The peak of the resident memory of a process."""
    return _status_bytes(pid, "VmHWM:")


def _status_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def _times(pid: int) -> tuple[int, ...]:
    """utime, stime, cutime, cstime; zeros where the process has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return (0, 0, 0, 0)
    # The second field is the program's name in parentheses, and may contain any character.
    return tuple(int(ticks) for ticks in stat.rpartition(")")[2].split()[11:15])


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return
    for child in children:
        yield child
        yield from _descendants(child)
