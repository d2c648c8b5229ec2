"""What migrations of the schema will do: which tables they lock and how, for how long roughly, with how much disk.

Each migration declares its locks in comments at its end, of which a test proves that they are those that it takes:

    -- locks: hannun.events ACCESS EXCLUSIVE, rewritten
    -- locks: hannun.sales SHARE, scanned

`rewritten` copies the table with its indexes, `scanned` reads all of it, `written` may change each row. A migration
that touches no table of before declares `-- locks: nothing`. Times and sizes follow from the sizes of the tables.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

_DECLARED: Final = re.compile(r"^-- locks: (?:nothing|(\S+) ([A-Z ]+[A-Z])(?:, (rewritten|scanned|written))?)$", re.M)
_COMMENT: Final = re.compile(r"(?:^-- (?!squawk|locks:).*\n)+", re.M)
"""Lines of a comment that follow each other."""
BYTES_A_S: Final = {"rewritten": 30e6, "written": 20e6, "scanned": 200e6}
"""How fast a table is worked on: chosen by feel, as of a small machine with a common disk."""
STOPS: Final = {
    "ACCESS EXCLUSIVE": "readers and writers wait",
    "EXCLUSIVE": "writers wait",
    "SHARE ROW EXCLUSIVE": "writers wait",
    "SHARE": "writers wait",
}
"""Who waits for a table under a lock; nobody under any other one."""

Work = Literal["rewritten", "scanned", "written", ""]


@dataclass(frozen=True, slots=True)
class TableLock:
    """A lock that a migration takes on a table that exists before it, and what it does with the table."""

    table: str
    mode: str
    work: Work


@dataclass(frozen=True, slots=True)
class PlannedLock:
    """A lock on a table of this database.

    Args:
        size_bytes: of the table with its indexes and partitions; 0 where it does not exist yet.
        seconds: how long the work on it takes, roughly.
        disk_bytes: how much disk that takes, with the WAL, roughly.
        held_by: sessions that hold a lock on it now: the migration may wait for them.
    """

    lock: TableLock
    size_bytes: int
    seconds: float
    disk_bytes: int
    held_by: list[str]

    @property
    def stops(self) -> str:
        """Who waits while the migration runs."""
        if self.lock.mode in STOPS:
            return STOPS[self.lock.mode]
        return "writers of the same rows wait" if self.lock.work == "written" else "nobody waits"


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """A migration that a database lacks."""

    name: str
    purpose: str
    locks: list[PlannedLock]


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """The migrations from one version to another; `found` is None for a database without a schema of Hannun."""

    found: str | None
    migrations: list[PlannedMigration]

    @property
    def seconds(self) -> float:
        return sum(lock.seconds for migration in self.migrations for lock in migration.locks)

    @property
    def disk_bytes(self) -> int:
        """Each migration frees what it has replaced, so the largest counts."""
        return max((sum(lock.disk_bytes for lock in each.locks) for each in self.migrations), default=0)


def declared_locks(text: str) -> list[TableLock]:
    """The locks that the text of a migration declares.

    Raises:
        ValueError: it declares none, and does not say `nothing`.
    """
    found = _DECLARED.findall(text)
    if not found:
        raise ValueError("a migration has no line `-- locks: ...` at its end")
    return [TableLock(table, mode, work) for table, mode, work in found if table]


def purpose_of(text: str) -> str:
    """The first sentence of a migration's comment."""
    found = _COMMENT.search(text)
    if found is None:
        return ""
    comment = " ".join(line.removeprefix("-- ") for line in found[0].splitlines())
    return re.split(r"(?<=\.)\s", comment, maxsplit=1)[0]


def planned_lock(lock: TableLock, size_bytes: int, heap_bytes: int, held_by: list[str]) -> PlannedLock:
    """What a lock means for a table of this size, with and without its indexes."""
    worked_on = size_bytes if lock.work == "rewritten" else heap_bytes
    seconds = worked_on / BYTES_A_S[lock.work] if lock.work else 0.0
    # A rewritten table exists twice until the commit, and is in the WAL; so is each changed row.
    disk_bytes = 2 * worked_on if lock.work in ("rewritten", "written") else 0
    return PlannedLock(lock, size_bytes, seconds, disk_bytes, held_by)
