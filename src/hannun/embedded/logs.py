"""Log files of the embedded servers: their last lines, and their size."""

import os
from pathlib import Path

LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_LINES = 12
LOG_TAIL_BYTES = 65_536
NO_OUTPUT = "(no output)"


def truncate_log(log: Path) -> int:
    """Return the log's length in bytes. A log above `LOG_BYTES_MAX` first loses all but its last tenth of that."""
    if not log.exists():
        return 0
    length = log.stat().st_size
    if length <= LOG_BYTES_MAX:
        return length
    with log.open("rb") as old:
        old.seek(-LOG_BYTES_MAX // 10, os.SEEK_END)
        kept = old.read()
    log.write_bytes(kept)
    return len(kept)


def read_log_tail(log: Path, start: int) -> str:
    """The last lines of a log, out of those written from byte `start` on."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - LOG_TAIL_BYTES))
            return last_lines(file.read().decode(errors="replace"))
    except FileNotFoundError:
        return last_lines("")


def last_lines(text: str) -> str:
    """The last `LOG_TAIL_LINES` lines of a program's output, without empty lines and frames of Java stack traces."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("\tat ", "\t... "))]
    return "\n".join(lines[-LOG_TAIL_LINES:]) or NO_OUTPUT
