"""A backup of Redis: its snapshot (RDB), read over its protocol."""

import os
from pathlib import Path
from typing import Final

from hannun.backups import encryption
from hannun.backups.manifest import Manifest
from hannun.cache import RedisAddress
from hannun.cache.rdb_stream import RdbReader, open_rdb
from hannun.errors import OperatorError
from hannun.flows.backup.context import BackupContext

END: Final = 0xFF
CHECKSUM_BYTES: Final = 8
SHOW_EVERY_BYTES: Final = 1 << 22


def copy(context: BackupContext, address: RedisAddress, name: str, recipient: str | None) -> Manifest:
    """Copy a snapshot of Redis into the folder of this backup. Returns the manifest, which is not written yet.

    Raises:
        Transient: Redis is away.
        OperatorError: it gives no snapshot, or there is no room.
    """
    started_at = context.now()
    file = f"redis_{started_at:%Y%m%d}.rdb" + (encryption.SUFFIX if recipient else "")
    path = context.folder.path_of(name) / file
    with open_rdb(address) as reader:
        source = _Checked(context, reader)
        if recipient is None:
            _write(source, path)
        else:
            encryption.encrypt(source, path, encryption.parse_recipient(recipient))
    if not is_whole(source.head, source.tail):
        raise OperatorError("what Redis sent is no whole snapshot", hint="try again; its log says more")
    return Manifest(
        kind="redis",
        name=name,
        started_at=started_at,
        ended_at=context.now(),
        hannun_version=context.hannun_version,
        server_version=source.head.decode(errors="replace"),
        files=context.folder.describe(name, [file]),
        encrypted=recipient,
    )


class _Checked:
    """The snapshot on its way: shown, stopped where the operator wants it, with its first and last bytes kept."""

    def __init__(self, context: BackupContext, reader: RdbReader) -> None:
        self._context = context
        self._reader = reader
        self._show_at = SHOW_EVERY_BYTES
        self.head = self.tail = b""

    def read(self, size: int = -1) -> bytes:
        self._context.check()
        found = self._reader.read(size)
        self.head = self.head if len(self.head) >= 10 else (self.head + found)[:10]
        self.tail = (self.tail + found)[-CHECKSUM_BYTES - 1 :]
        if self._reader.size_bytes >= self._show_at:
            self._context.show(f"{self._reader.size_bytes / 1e6:,.1f} MB of the snapshot")
            self._show_at += SHOW_EVERY_BYTES
        return found


def _write(source: _Checked, path: Path) -> None:
    try:
        with path.open("xb") as out:
            while chunk := source.read():
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise OperatorError(
            f"cannot write {path.name}: {error.strerror}", hint="make room in the folder of backups; then try again"
        ) from error


def is_whole(head: bytes, tail: bytes) -> bool:
    """Whether a snapshot begins and ends as one: its name and version, and the mark of its end before the checksum."""
    return head.startswith((b"REDIS", b"VALKEY")) and len(tail) > CHECKSUM_BYTES and tail[-CHECKSUM_BYTES - 1] == END
