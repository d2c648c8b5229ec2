"""Small file systems in memory, which a test fills and empties: disks that are really full."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

FILL_BLOCK = bytes(65_536)


class SmallDisk:
    """A mounted file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Take the room that is left, but for so many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            for block in (FILL_BLOCK, FILL_BLOCK[:4_096]):
                while self.free_bytes > leave_bytes and _written(file.fileno(), block):
                    pass

    def make_room(self) -> None:
        """Give back what `fill` has taken."""
        self._filler.unlink(missing_ok=True)


def _written(descriptor: int, block: bytes) -> bool:
    try:
        return os.write(descriptor, block) > 0
    except OSError:
        return False


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk]:
    """Mount a file system of this size on a folder, which is created; unmounted after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount(folder, size_mb)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(folder: Path, size_mb: int) -> None:
    options = f"size={size_mb}m,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)


@cache
def no_mount_reason() -> str | None:
    """Why no file system can be mounted; None where one can."""
    with tempfile.TemporaryDirectory(prefix="hannun-mount-") as folder:
        try:
            _mount(Path(folder), 1)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            return f"cannot mount a file system in memory, which takes root and CAP_SYS_ADMIN: {error}"
        subprocess.run(["umount", "--lazy", folder], check=True)
    return None
