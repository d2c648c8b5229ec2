"""The settings of the embedded PostgreSQL, sized for the machine."""

import os
from collections.abc import Mapping
from pathlib import Path

from hannun.embedded.ports import HOST

# For a small machine, and durable: committed data survive a power failure.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path may have 107 bytes, and a home's path may be longer
    "max_connections": "200",
    "random_page_cost": "1.1",  # we assume an SSD
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",  # the wheels have no LLVM
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",  # would log five lines an hour, of no use to a newcomer
    "log_lock_waits": "on",
    "log_temp_files": "64MB",
}

_SHARED_BUFFERS_MB_MIN, _SHARED_BUFFERS_MB_MAX = 128, 2_048
_MAX_WAL_SIZE_MB_MIN, _MAX_WAL_SIZE_MB_MAX = 1_024, 4_096
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def render_settings(
    *, port: int, free_disk_bytes: int, preload_libraries: str | None, overrides: Mapping[str, str]
) -> str:
    """The text of a PostgreSQL configuration file.

    Args:
        preload_libraries: the value of shared_preload_libraries; None to leave it out.
        overrides: settings of the caller, which replace ours.
    """
    settings = _SETTINGS | {
        "port": str(port),
        "shared_buffers": f"{shared_buffers_mb(_available_memory_bytes())}MB",
        "max_wal_size": f"{max_wal_size_mb(free_disk_bytes)}MB",
    }
    if preload_libraries is not None:
        settings["shared_preload_libraries"] = preload_libraries
    quoted = {name: value.replace("'", "''") for name, value in {**settings, **overrides}.items()}
    return "".join(f"{name} = '{value}'\n" for name, value in quoted.items())


def shared_buffers_mb(memory_bytes: int) -> int:
    """An eighth of the machine's memory, within bounds. PostgreSQL takes physical memory only for pages it uses.

    Inserts into a ledger hit random pages of its index. Where the index does not fit into the buffers, a participant
    costs twice the processor time (20 million participants, 1 GB of index: 23 us with 128 MB of buffers, 12 us with
    1 GB; `bench flat`).
    """
    return min(max(memory_bytes // 8 // 2**20, _SHARED_BUFFERS_MB_MIN), _SHARED_BUFFERS_MB_MAX)


def max_wal_size_mb(free_disk_bytes: int) -> int:
    """A tenth of the free disk, within bounds. WAL grows that far between two checkpoints only under heavy writes.

    After a checkpoint, the first change of each page writes the whole page into the WAL. Over 20 million participants,
    whose index has 130,000 pages that change at random, a checkpoint at each GB made nearly every participant write a
    page.
    """
    return min(max(free_disk_bytes // 10 // 2**20, _MAX_WAL_SIZE_MB_MIN), _MAX_WAL_SIZE_MB_MAX)


def _available_memory_bytes() -> int:
    """The physical memory of this machine, or the memory limit of this container if that is lower."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # there is no such file, or it contains "max"
        return physical
