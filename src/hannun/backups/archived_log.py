"""The archived write-ahead log: which segments are in its folder, and how far they lead from a backup without a gap."""

import re
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from hannun.backups.manifest import Wal

SEGMENT: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(?:\.partial)?")
SEGMENT_SIZES: Final = {2**bits for bits in range(20, 31)}
"""The sizes that initdb gives to a segment: 1 MB to 1 GB; 16 MB by default."""

_PAGE_HEADER: Final = struct.Struct("=24xQ")
"""The beginning of a segment, up to the system identifier: PostgreSQL's XLogLongPageHeaderData."""


class Continuation(NamedTuple):
    """The part of the archive that follows a backup without a gap.

    `missing` is the name of the segment behind it, where later ones exist or where not even the first is there.
    """

    segments: list[Path]
    missing: str | None


class ArchivedLog:
    """The segments in a folder. Those of another size than the largest are damaged, and count as missing."""

    def __init__(self, wal: Path) -> None:
        found = {path: match for path in sorted(wal.glob("*")) if (match := SEGMENT.fullmatch(path.name)) is not None}
        sizes = {path: path.stat().st_size for path in found}
        size = max(sizes.values(), default=0)
        self.size = size if size in SEGMENT_SIZES else None
        self.segments = list(found)
        self._numbers = {
            path: int(match[2], 16) * (2**32 // size) + int(match[3], 16)
            for path, match in found.items()
            if self.size is not None and sizes[path] == size
        }

    def system_identifier(self) -> str | None:
        """That of the server whose log this is; None where no segment says so."""
        for path in reversed(self.segments):
            with path.open("rb") as file:
                found = file.read(_PAGE_HEADER.size)
            if len(found) == _PAGE_HEADER.size and (system := _PAGE_HEADER.unpack(found)[0]):
                return str(system)
        return None

    def older_than(self, lsns: Collection[str]) -> list[Path]:
        """The segments before the first that holds one of these positions. Without a position there is none."""
        if self.size is None or not lsns:
            return []
        oldest = min(map(_position, lsns)) // self.size
        return [path for path, number in self._numbers.items() if number < oldest]

    def continuation(self, backup: Wal | None) -> Continuation:
        """What follows a backup. Where its positions or the size of a segment are unknown, that is the whole archive.

        The segment in which the backup ends must be in the archive, too: the backup may hold it in part.
        """
        if self.size is None or backup is None:
            return Continuation(self.segments, None)
        by_number: dict[int, list[Path]] = {}
        for path, number in self._numbers.items():
            by_number.setdefault(number, []).append(path)
        first = next_ = (_position(backup.stop_lsn) - 1) // self.size
        while next_ in by_number:
            next_ += 1
        is_gap = bool(self.segments) and (next_ == first or next_ < max(by_number, default=first))
        found = [path for number in range(first, next_) for path in by_number[number]]
        return Continuation(found, self._name(backup.timeline, next_) if is_gap else None)

    def _name(self, timeline: int, number: int) -> str:
        assert self.size is not None
        per_file = 2**32 // self.size
        return f"{timeline:08X}{number // per_file:08X}{number % per_file:08X}"


def _position(lsn: str) -> int:
    upper, _, lower = lsn.partition("/")
    return (int(upper, 16) << 32) | int(lower, 16)
