"""The manifest of a backup: what it holds, from when, of which versions, and how to know that it is whole.

It is written last. A folder without a manifest is an unfinished backup.
"""

import hashlib
import re
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from hannun.errors import OperatorError

FILE_NAME: Final = "manifest.json"
FORMAT: Final = 1
Kind = Literal["logical", "physical", "redis"]
_FILE: Final = re.compile(r"\w[\w.-]*")
KINDS: Final[tuple[Kind, ...]] = ("logical", "physical", "redis")


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup, as it lies in the folder: where it is encrypted, of the encrypted bytes."""

    name: str
    bytes: int
    sha256: str


class Position(msgspec.Struct, frozen=True):
    """Up to where a partition was counted."""

    topic: str
    partition: int
    topic_id: str
    next_offset: int
    leader_epoch: int | None = None


class Role(msgspec.Struct, frozen=True):
    """A role that owns, or has privileges on, something of the database. Never a password.

    Args:
        attributes: those of CREATE ROLE that are not the default, as LOGIN or CREATEROLE.
        settings: of ALTER ROLE ... SET, in all databases, as `TimeZone=UTC`.
        database_settings: of ALTER ROLE ... IN DATABASE ... SET, in this one.
        memberships: the roles whose member it is.
    """

    name: str
    attributes: list[str] = []
    settings: list[str] = []
    database_settings: list[str] = []
    memberships: list[str] = []


class DatabaseProperties(msgspec.Struct, frozen=True):
    """What CREATE DATABASE needs to make the same one again. `privileges` are grants, as `CONNECT TO analytics_rw`."""

    owner: str
    encoding: str
    collate: str
    ctype: str
    privileges: list[str] = []


class Wal(msgspec.Struct, frozen=True):
    """The write-ahead log that a physical backup needs: restored with less, it is not consistent."""

    timeline: int
    start_lsn: str
    stop_lsn: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The manifest of a backup. Times are UTC.

    Args:
        name: `<kind>/<YYYYMMDDTHHMMSSZ>`.
        snapshot_counts: rows of each table of `public` and `hannun` in the snapshot of the dump. Empty in other kinds.
        sums: totals of the same snapshot, for a first look: decimal numbers as text.
        positions: of the same snapshot.
        identity_hash: SHA-256 of hannun.identity, in hexadecimal: tells the data of one installation from another's.
        system_identifier: of the PostgreSQL server, for physical backups.
        encrypted: the public key for which the files are encrypted (age); None where they are not.
        parent: the backup on which an incremental one builds.
        checksum: SHA-256 of the manifest without this field.
    """

    format: int = FORMAT
    kind: Kind
    name: str
    started_at: datetime
    ended_at: datetime
    hannun_version: str
    schema_version: str = ""
    server_version: str = ""
    program_version: str = ""
    database: str = ""
    database_properties: DatabaseProperties | None = None
    time_zone: str = ""
    database_settings: list[str] = []
    roles: list[Role] = []
    snapshot_counts: dict[str, int] = {}
    sums: dict[str, str] = {}
    positions: list[Position] = []
    identity_hash: str = ""
    system_identifier: str = ""
    files: list[BackupFile]
    encrypted: str | None = None
    wal: Wal | None = None
    parent: str | None = None
    checksum: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def encode(manifest: Manifest) -> bytes:
    """The text of a manifest, with its checksum."""
    fields = _fields(manifest)
    fields["checksum"] = _checksum(fields)
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def decode(text: bytes, where: str) -> Manifest:
    """A manifest from its text.

    Args:
        where: names the backup, for the error.

    Raises:
        OperatorError: it is truncated, changed, or of a newer Hannun.
    """
    try:
        found: Any = msgspec.json.decode(text)
        if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > FORMAT:
            raise OperatorError(
                f"the manifest of {where} has the format {found['format']}; this Hannun knows {FORMAT}",
                hint="use the Hannun that made the backup, or a newer one",
            )
        manifest = msgspec.convert(found, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(where, f"it cannot be read: {error}") from error
    if found.get("checksum") != _checksum(found):
        raise damaged(where, "its text differs from its checksum")
    _check_files(manifest, where)
    return manifest


def _check_files(manifest: Manifest, where: str) -> None:
    """The checksum is no signature: a manifest that somebody made may not lead out of its folder."""
    for file in manifest.files:
        if _FILE.fullmatch(file.name) is None or file.name == FILE_NAME:
            raise damaged(where, f"{file.name!r} is no name of a file of a backup")
    if manifest.kind == "redis" and len(manifest.files) != 1:
        raise damaged(where, f"a snapshot of Redis is one file, and it names {len(manifest.files)}")


def damaged(where: str, found: str) -> OperatorError:
    return OperatorError(
        f"the manifest of {where} is damaged: {found}",
        hint="use another backup: `hannun backup list` shows them; restore nothing from this one",
    )


def _fields(manifest: Manifest) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    return fields


def _checksum(fields: dict[str, Any]) -> str:
    rest = {name: value for name, value in fields.items() if name != "checksum"}
    return hashlib.sha256(msgspec.json.encode(rest, order="deterministic")).hexdigest()
