"""The version of the layout of files: it changes with the software, so that no client keeps a file of an older one."""

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_PARTS = ("domain", "files")
"""The packages whose code decides columns, names, texts and cells. They are hashed as a whole, because a list of
modules would miss a new one. So the version may change where no file does: a client gets the same file once more."""


@cache
def layout_version(package: Path = PACKAGE) -> str:
    """A hash of the code that lays files out, the same in every process of one release."""
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(path for part in _PARTS for path in (package / part).rglob("*") if path.suffix != ".pyc"):
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package).as_posix()}:{len(content)}:".encode() + content)
    return digest.hexdigest()
