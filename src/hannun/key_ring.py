"""The key ring: the keys with which data is encrypted and ids are hashed, in the operator's TOML file.

    active = "2026-11"

    [keys]
    2026-11 = "<base64 of 32 random bytes>"

The active key encrypts; every key of the ring decrypts. A changed file is read again while the process runs. Keys
appear in no log line, repr, error or metric.

A sealed value is `format (1 byte) · length of the key id (1 byte) · key id · nonce (12 bytes) · ciphertext with tag`.
"""

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hannun.errors import HannunError, KeysMissing, OperatorError, reason_of
from hannun.secret_file import SecretFile

KEY_BYTES = 32
CHECK_EVERY_S = 5.0
"""How soon a changed file is read. A value sealed with an unknown key is a reason to read it at once."""
CHANGE_S_MAX = 10.0
"""How long a change of the file waits for another one."""
FORMAT = 1
NONCE_BYTES = 12
TAG_BYTES = 16

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_FORM = "`hannun keys new FILE` makes one"
_NOT_OTHERS = stat.S_IWGRP | stat.S_IRWXO


class CannotOpen(HannunError):
    """A sealed value was changed, belongs to another row, or is no sealed value."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The content of a key ring at one moment. Two purposes never share a key: each has its own, derived by HKDF."""

    active: str
    by_id: Mapping[str, bytes] = field(repr=False)
    _ciphers: dict[tuple[str, str], AESGCM] = field(default_factory=dict, repr=False)
    _derived: dict[tuple[str, str], bytes] = field(default_factory=dict, repr=False)

    def cipher(self, key_id: str, purpose: str) -> AESGCM:
        cipher = self._ciphers.get((key_id, purpose))
        if cipher is None:
            cipher = self._ciphers[key_id, purpose] = AESGCM(self.derive(key_id, f"seal {purpose}"))
        return cipher

    def derive(self, key_id: str, info: str) -> bytes:
        derived = self._derived.get((key_id, info))
        if derived is None:
            derived = self._derived[key_id, info] = self._derive(key_id, info)
        return derived

    def _derive(self, key_id: str, info: str) -> bytes:
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"hannun {info}".encode()).derive(self.by_id[key_id])


class KeyRing:
    """Encrypts, decrypts and hashes with the keys of a file, which is read again when it has changed.

    A file that can no longer be used changes nothing: the last good keys stay, `trouble` says why, and so does the log.
    Threads may share a ring.

    Args:
        path: of the file.
        now: counts seconds that only increase.

    Raises:
        OperatorError: the file cannot be read or used, or more users may read it than its owner and group.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._file = _file_of(path, now)

    @property
    def readings(self) -> int:
        """How often the file was read."""
        return self._file.readings

    @property
    def trouble(self) -> OperatorError | None:
        """Why the file could not be used when it was last looked at; None where it could."""
        return self._file.trouble

    @property
    def active(self) -> str:
        """The id of the key that encrypts."""
        return self._current().active

    @property
    def key_ids(self) -> list[str]:
        """The ids of all keys, the active one first."""
        keys = self._current()
        return [keys.active, *sorted(keys.by_id.keys() - {keys.active})]

    @property
    def sealed_prefix(self) -> bytes:
        """What every value starts with that the active key has sealed, and no other."""
        return _header(self.active)

    def seal(self, purpose: str, context: bytes, plain: bytes) -> bytes:
        """Encrypt a value with the active key.

        Args:
            purpose: what the value is for, such as "amounts". Values of another purpose have another key.
            context: where the value stands, such as table and row. It is not stored, and `open` needs the same.
        """
        (sealed,) = self.seal_all(purpose, [(context, plain)])
        return sealed

    def seal_all(self, purpose: str, values: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Encrypt many values, each given as (context, plain). Half the time for each that `seal` takes."""
        keys = self._current()
        header, encrypt = _header(keys.active), keys.cipher(keys.active, purpose).encrypt
        random = os.urandom(NONCE_BYTES * len(values))
        nonces = [random[at : at + NONCE_BYTES] for at in range(0, len(random), NONCE_BYTES)]
        return [
            header + nonce + encrypt(nonce, plain, header + context)
            for nonce, (context, plain) in zip(nonces, values, strict=True)
        ]

    def open(self, purpose: str, context: bytes, sealed: bytes) -> bytes:
        """Decrypt what `seal` has returned for the same purpose and context.

        Raises:
            KeysMissing: the ring does not hold the key.
            CannotOpen: the value was changed, or was sealed for another purpose or context.
        """
        key_id = key_id_of(sealed)
        keys = self._with_key(key_id)
        header_end = 2 + len(key_id)
        nonce_end = header_end + NONCE_BYTES
        try:
            return keys.cipher(key_id, purpose).decrypt(
                sealed[header_end:nonce_end], sealed[nonce_end:], sealed[:header_end] + context
            )
        except InvalidTag as error:
            raise CannotOpen(
                f"an encrypted value ({purpose}, key {key_id}) does not fit its row: it was changed or moved"
            ) from error

    def missing(self, key_ids: Iterable[str]) -> list[str]:
        """Those of these keys that the ring lacks, also after its file was read again: another process may have them
        already."""
        wanted = set(key_ids)
        keys = self._current()
        if not wanted <= keys.by_id.keys():
            keys = self._file.read_if_changed()
        return sorted(wanted - keys.by_id.keys())

    def digest(
        self, purpose: str, context: bytes, value: bytes, needed: Collection[str] = ()
    ) -> list[tuple[str, bytes]]:
        """Keyed hashes (HMAC-SHA256) of a value: (key id, 32 bytes) of each key of the ring, the active one first.

        What was hashed with an older key is thus found as long as the ring holds that key.

        Args:
            needed: keys without whose hashes the caller would draw a wrong conclusion.

        Raises:
            KeysMissing: the ring lacks a needed key.
        """
        keys = self._current()
        if not keys.by_id.keys() >= set(needed):
            keys = self._with_all(needed)
        message = len(context).to_bytes(8, "big") + context + value
        return [
            (key_id, hmac.digest(keys.derive(key_id, f"digest {purpose}"), message, hashlib.sha256))
            for key_id in (keys.active, *sorted(keys.by_id.keys() - {keys.active}))
        ]

    def fingerprints(self) -> dict[str, str]:
        """Eight hexadecimal digits for each key, by which two machines compare their rings."""
        keys = self._current()
        return {key_id: keys.derive(key_id, "fingerprint")[:4].hex() for key_id in keys.by_id}

    def current_trouble(self) -> OperatorError | None:
        """Why the file cannot be used now; None where it can."""
        self._current()
        return self.trouble

    def _current(self) -> Keys:
        return self._file.current()

    def _with_all(self, needed: Collection[str]) -> Keys:
        """The keys, read again where a needed one is not among them. Raises as `digest`."""
        keys = self._file.read_if_changed()
        if missing := sorted(set(needed) - keys.by_id.keys()):
            raise KeysMissing(
                f"values were hashed with the key {missing[0]}, and the key ring {self._path} holds "
                f"{', '.join(sorted(keys.by_id))}",
                hint=f"put the key {missing[0]} back into the ring: without it these values are not recognized",
            )
        return keys

    def _with_key(self, key_id: str) -> Keys:
        """The keys, read again where this one is not among them: another process may have it already.

        Raises:
            KeysMissing: the ring does not hold the key.
        """
        keys = self._current()
        if key_id not in keys.by_id:
            keys = self._file.read_if_changed()
        if key_id not in keys.by_id:
            raise KeysMissing(
                f"a value is encrypted with the key {key_id}, and the key ring {self._path} holds "
                f"{', '.join(sorted(keys.by_id))}",
                hint=f"put the key {key_id} back into the ring: without it the value is lost",
            )
        return keys


def open_key_ring(path: str | Path, now: Callable[[], float] = time.monotonic) -> KeyRing:
    """The key ring in this file.

    Raises:
        OperatorError: the file cannot be read or used, or more users may read it than its owner and group.
    """
    return KeyRing(Path(path), now)


def _header(key_id: str) -> bytes:
    return bytes((FORMAT, len(key_id))) + key_id.encode()


def key_id_of(sealed: bytes) -> str:
    """The id of the key with which a value was sealed.

    Raises:
        CannotOpen: it is no sealed value.
    """
    if len(sealed) < 2 or sealed[0] != FORMAT or len(sealed) < 2 + sealed[1] + NONCE_BYTES + TAG_BYTES:
        raise CannotOpen(f"{len(sealed)} bytes are no encrypted value of this version of Hannun")
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace")


def read_keys(path: Path) -> Keys:
    """The keys in this file.

    Raises:
        OperatorError: the file cannot be read or used, or more users may read it than its owner and group.
    """
    return _file_of(path).current()


def _file_of(path: Path, now: Callable[[], float] = time.monotonic) -> SecretFile[Keys]:
    return SecretFile(
        path,
        "the key ring",
        partial(_parse, path),
        now,
        hint=_FORM,
        check_every_s=CHECK_EVERY_S,
        check_mode=partial(_refuse_others, path),
    )


def _refuse_others(path: Path, mode: int) -> None:
    """
    Raises:
        OperatorError: more users may read or write the file than its owner and group.
    """
    if stat.S_IMODE(mode) & _NOT_OTHERS:
        raise OperatorError(
            f"the key ring {path} has mode {stat.S_IMODE(mode):04o}: others than its owner may read or write it",
            hint=f"chmod 600 {path}; or 640, where a group needs it (Kubernetes: defaultMode: 0440)",
        )


def _parse(path: Path, content: bytes) -> Keys:
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):  # its text may quote a key
        raise OperatorError(f"the key ring {path} is not TOML", hint=_FORM) from None
    return _keys_in(str(path), document)


def _keys_in(path: str, document: Mapping[str, object]) -> Keys:
    entries, active = document.get("keys"), document.get("active")
    if not isinstance(entries, dict) or not entries:
        raise OperatorError(f"the key ring {path} has no keys: expected a table [keys]", hint=_FORM)
    if document.keys() - {"active", "keys"}:
        raise OperatorError(f"the key ring {path}: expected only `active` and the table [keys]", hint=_FORM)
    keys = {check_key_id(key_id, path): _key(path, key_id, value) for key_id, value in entries.items()}
    if not isinstance(active, str) or active not in keys:
        raise OperatorError(
            f"the key ring {path}: `active` names none of its keys", hint=f"it holds {', '.join(sorted(keys))}"
        )
    return Keys(active, keys)


def check_key_id(key_id: str, where: str) -> str:
    """The same id.

    Raises:
        OperatorError: it is no id of a key.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise OperatorError(
            f"{where}: found a key id of another form",
            hint="1 to 32 letters, digits, `.`, `_` and `-`, such as 2026-11",
        )
    return key_id


def _key(path: str, key_id: str, value: object) -> bytes:
    try:
        key = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES or len(set(key)) < KEY_BYTES // 4:
        raise OperatorError(
            f"the key ring {path}: the key {key_id} is not the base64 of {KEY_BYTES} random bytes", hint=_FORM
        )
    return key


def new_entry(key_id: str) -> str:
    """A line of the table [keys] with a new random key."""
    return f'"{key_id}" = "{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"\n'


def add_key(path: Path, key_id: str) -> None:
    """Add a new random key to the ring in this file; where there is no file, create it with this key active.

    The active key of an existing ring stays: every process must know a key before the first one encrypts with it.

    Raises:
        OperatorError: the ring has a key of this id, or cannot be read, used or written.
    """
    check_key_id(key_id, "--id")
    with _changing(path):
        if not path.exists():
            _write(path, f'active = "{key_id}"\n\n[keys]\n{new_entry(key_id)}')
            return
        keys = read_keys(path)
        if key_id in keys.by_id:
            raise OperatorError(f"the key ring {path} has a key {key_id} already", hint="give another --id")
        _write(path, _text(keys.active, keys) + new_entry(key_id))


def activate(path: Path, key_id: str) -> None:
    """Let a key of the ring encrypt from now on.

    Raises:
        OperatorError: the ring has no such key, or cannot be read, used or written.
    """
    with _changing(path):
        keys = read_keys(path)
        if key_id not in keys.by_id:
            raise OperatorError(
                f"the key ring {path} has no key {key_id[:32]!r}", hint=f"it holds {', '.join(sorted(keys.by_id))}"
            )
        _write(path, _text(key_id, keys))


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Reads and replaces the file while no other process does: of two changes at the same time one would be lost.

    The lock is on the folder, since the file is replaced. It ends with the process.

    Raises:
        OperatorError: there is no such folder, or another process holds the lock for `CHANGE_S_MAX`.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        _lock(path, folder)
        yield
    finally:
        os.close(folder)


def _lock(path: Path, folder: int) -> None:
    ends_at = time.monotonic() + CHANGE_S_MAX
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends_at:
                raise OperatorError(
                    f"another process locks the folder of the key ring {path}", hint="try again when it has ended"
                ) from None
            time.sleep(0.05)
        except OSError as error:
            raise _unwritable(path, error) from error


def _text(active: str, keys: Keys) -> str:
    entries = "".join(f'"{key_id}" = "{base64.b64encode(key).decode()}"\n' for key_id, key in keys.by_id.items())
    return f'active = "{active}"\n\n[keys]\n{entries}'


def _write(path: Path, text: str) -> None:
    """Write the file with mode 0600, or the mode that it has. A reader sees the old text or the new one."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> OperatorError:
    reason = reason_of(error)
    return OperatorError(f"the key ring {path} cannot be written: {reason}", hint="give a file in a folder of your own")
