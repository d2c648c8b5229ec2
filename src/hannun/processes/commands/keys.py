"""The key ring of the settings, for commands that make and show keys."""

from pathlib import Path
from typing import NamedTuple

from hannun import key_ring
from hannun.settings import Settings


class KeyLine(NamedTuple):
    """A key as an operator may see it."""

    key_id: str
    active: bool
    fingerprint: str


def ring_path(settings: Settings, file: Path | None) -> Path:
    """The file of the ring: the one that is named, else that of the settings.

    Raises:
        OperatorError: neither is there.
    """
    return file or Path(settings.needed("key_ring_file"))


def add_key(path: Path, key_id: str) -> list[KeyLine]:
    """Add a new key, or create the file with it. Raises as `key_ring.add_key`."""
    key_ring.add_key(path, key_id)
    return list_keys(path)


def activate(path: Path, key_id: str) -> list[KeyLine]:
    """Let this key encrypt from now on. Raises as `key_ring.activate`."""
    key_ring.activate(path, key_id)
    return list_keys(path)


def list_keys(path: Path) -> list[KeyLine]:
    """The keys of the ring in this file, the active one first. Raises as `key_ring.open_key_ring`."""
    ring = key_ring.open_key_ring(path)
    fingerprints = ring.fingerprints()
    return [KeyLine(key_id, key_id == ring.active, fingerprints[key_id]) for key_id in ring.key_ids]


def new_entry(key_id: str) -> str:
    """A line with a new key, for a file that something else keeps, such as a store of secrets."""
    return key_ring.new_entry(key_ring.check_key_id(key_id, "--id"))
