"""Encryption of backups for a public key, in the format of age: the program `age` opens them without Hannun.

Only the public key is needed to make a backup. The identity, which opens it, is read where one is restored.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyrage

from hannun.errors import OperatorError, reason_of
from hannun.secret_file import warn_where_others_may_read

SUFFIX: Final = ".age"


def parse_recipient(text: str) -> Any:
    """The public key of HANNUN_BACKUP_RECIPIENT.

    Raises:
        OperatorError: it is none.
    """
    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as error:
        raise OperatorError(
            "HANNUN_BACKUP_RECIPIENT is no public key of age",
            hint="it begins with age1; `hannun backup keys FILE` makes an identity, and prints its public key",
        ) from error


def new_identity(path: Path) -> str:
    """Write a new identity to a file that only its owner can read. Returns the public key.

    Raises:
        OperatorError: the file exists, or cannot be written.
    """
    identity = pyrage.x25519.Identity.generate()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        found = "the file exists already" if isinstance(error, FileExistsError) else error.strerror
        raise OperatorError(f"cannot write the identity to {path}: {found}", hint="name a new file") from error
    with os.fdopen(file, "w", encoding="utf-8") as out:
        out.write(f"# public key: {identity.to_public()}\n{identity}\n")
        out.flush()
        os.fsync(out.fileno())
    return str(identity.to_public())


def read_identities(path: Path) -> list[Any]:
    """The identities in a file of age: one a line, and comments.

    Raises:
        OperatorError: it cannot be read, or holds none.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
        identities = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (OSError, UnicodeDecodeError, pyrage.IdentityError) as error:
        # Without the error's text, which may hold the line.
        why = error.strerror if isinstance(error, OSError) else "it holds a line that is no identity of age"
        raise OperatorError(f"cannot read the identity in {path}: {why}", hint="--identity names its file") from error
    if not identities:
        raise OperatorError(f"{path} holds no identity of age", hint="--identity names its file")
    warn_where_others_may_read(path, "--identity", path.stat().st_mode)
    return identities


def check_opens(name: str, encrypted: str | None, identities: list[Any] | None) -> None:
    """Check that a backup can be opened, before anything is done with it.

    Args:
        encrypted: the public key of its manifest; None where it is not encrypted.

    Raises:
        OperatorError: no identity is given, or none that belongs to the public key.
    """
    if encrypted is None or any(str(identity.to_public()) == encrypted for identity in identities or ()):
        return
    given = ", and the given identity belongs to another public key" if identities else ""
    raise OperatorError(
        f"{name} is encrypted for {encrypted}{given}",
        hint="give the file of its identity: --identity FILE; for drills at set times HANNUN_DRILL_IDENTITY_FILE",
    )


def encrypt(source: Any, target: Path, recipient: Any) -> None:
    """Encrypt a stream to a new file, which is on disk when this returns.

    Args:
        source: has `read`.

    Raises:
        OperatorError: the source cannot be read, or the file not be written.
    """
    try:
        with target.open("xb") as out:
            pyrage.encrypt_io(source, out, [recipient])
            out.flush()
            os.fsync(out.fileno())
    except (pyrage.EncryptError, OSError) as error:
        raise OperatorError(
            f"cannot write {target.name}: {reason_of(error)}",
            hint="make room in the folder of backups, or correct what it says",
        ) from error


def decrypt(source: Path, target: Path, identities: list[Any]) -> None:
    """Decrypt a file to a new one, readable by its owner only.

    Raises:
        OperatorError: the identity does not fit, the file is damaged, or the new one cannot be written.
    """
    try:
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with source.open("rb") as encrypted, os.fdopen(file, "wb") as out:
            pyrage.decrypt_io(encrypted, out, identities)
    except (pyrage.DecryptError, OSError) as error:
        target.unlink(missing_ok=True)
        raise OperatorError(
            f"cannot decrypt {source.name}: {reason_of(error)}",
            hint="give the identity whose public key the manifest names; is there room for the file in plain?",
        ) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@contextmanager
def opened(path: Path, identities: list[Any] | None, scratch: Path) -> Iterator[Path]:
    """A file of a backup in plain: itself, or decrypted into the scratch folder for the block.

    Raises:
        OperatorError: it is encrypted, and no identity is given; or as `decrypt`.
    """
    if path.suffix != SUFFIX:
        yield path
        return
    if not identities:
        raise OperatorError(f"{path.name} is encrypted", hint="give the file of the identity: --identity FILE")
    plain = scratch / path.stem
    decrypt(path, plain, identities)
    try:
        yield plain
    finally:
        plain.unlink(missing_ok=True)
