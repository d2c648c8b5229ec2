"""What processes have used, out of /proc (Linux only): processor time in steps of 10 ms, memory at its peak."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def used_s(pid: int) -> float:
    """User and system time of one process, all its threads together."""
    user, system, *_ = _times(pid)
    return (user + system) / _TICKS_A_SECOND


def used_with_children_s(pid: int) -> float:
    """The same of a process with all its descendants, those that have ended included (they are its, once reaped)."""
    return sum(sum(_times(each)) for each in (pid, *_descendants(pid))) / _TICKS_A_SECOND


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _times(pid: int) -> tuple[int, ...]:
    """utime, stime, cutime, cstime; zeros where the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return (0, 0, 0, 0)
    # The second field is the program's name in parentheses, which may hold anything.
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
