"""The archived log: how far it leads from a backup, and where a segment is missing."""

from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.backups.archived_log import ArchivedLog
from hannun.backups.manifest import Wal

SIZE = 1 << 20
PER_UPPER = 2**32 // SIZE


def name(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // PER_UPPER:08X}{number % PER_UPPER:08X}"


def archive(folder: Path, numbers: Collection[int], size: int = SIZE) -> ArchivedLog:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for number in numbers:
        with (folder / name(number)).open("wb") as file:
            file.truncate(size)
    return ArchivedLog(folder)


def ends_in(number: int) -> Wal:
    """A backup whose log ends within a segment."""
    position = number * SIZE + 0x100
    return Wal(1, "0/28", f"{position >> 32:X}/{position & 0xFFFFFFFF:X}")


@given(st.sets(st.integers(PER_UPPER - 5, PER_UPPER + 5)), st.integers(PER_UPPER - 5, PER_UPPER + 5))
def test_the_archive_leads_to_the_first_segment_that_is_missing(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], end: int
) -> None:
    found = archive(tmp_path_factory.getbasetemp() / "wal", numbers).continuation(ends_in(end))
    behind = next(number for number in range(end, PER_UPPER + 7) if number not in numbers)
    assert [path.name for path in found.segments] == [name(number) for number in range(end, behind)]
    is_gap = bool(numbers) and (behind == end or behind < max(numbers))
    assert found.missing == (name(behind) if is_gap else None)


def test_a_backup_that_ends_with_a_segment_needs_none_behind_it(tmp_path: Path) -> None:
    log = archive(tmp_path / "wal", [4])
    assert log.continuation(Wal(1, "0/28", f"0/{5 * SIZE:X}")).missing is None


def test_the_unfinished_segment_and_that_of_another_timeline_count(tmp_path: Path) -> None:
    archive(tmp_path / "wal", [4, 5, 6])
    (tmp_path / "wal" / name(5)).rename(tmp_path / "wal" / name(5, timeline=2))
    (tmp_path / "wal" / name(6)).rename(tmp_path / "wal" / f"{name(6)}.partial")
    found = ArchivedLog(tmp_path / "wal").continuation(ends_in(4))
    assert (len(found.segments), found.missing) == (3, None)


def test_a_truncated_segment_counts_as_missing(tmp_path: Path) -> None:
    archive(tmp_path / "wal", [4, 5, 6])
    (tmp_path / "wal" / name(5)).write_bytes(b"half")
    assert ArchivedLog(tmp_path / "wal").continuation(ends_in(4)).missing == name(5)
