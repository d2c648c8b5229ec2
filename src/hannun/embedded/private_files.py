"""The folder of a server, and files in it that only their owner may read."""

import contextlib
import os
import secrets
from pathlib import Path

from hannun.embedded.process import OsUser
from hannun.errors import OperatorError, reason_of


def create_folder(folder: Path) -> None:
    """Create a folder with mode 0711: other users may pass through it, but not list it. An existing one keeps its mode.

    Raises:
        OperatorError: the folder cannot be created, or this process may not write there.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o711)  # independent of our umask
        if not folder.is_dir():
            raise NotADirectoryError("it is not a folder")
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"this process (uid {os.geteuid()}) may not write there")
    except OSError as error:
        raise OperatorError(
            f"cannot use the folder {folder}: {reason_of(error)}", hint="give another --home"
        ) from error


def write_private_file(path: Path, text: str, *, owner: OsUser | None = None) -> None:
    """Write a file with mode 0600. A reader sees the old text or the new one, never a part."""
    # The folder may belong to another user, who could have placed a symbolic link there: O_NOFOLLOW refuses it.
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        if owner is not None:
            os.fchown(file, owner.uid, owner.gid)
        out.write(text)
        out.flush()
        os.fsync(file)
    new.replace(path)


def read_or_create_password(path: Path, *, create: bool = True) -> str:
    """Read the password from this file. If there is none, and `create` is set, write a new random one.

    Raises:
        OperatorError: there is no file, and `create` is not set.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        if not create:
            raise OperatorError(f"looked for the password in {path}, and found no file", hint="put it back") from error
    password = secrets.token_urlsafe(24)
    write_private_file(path, password + "\n")
    return password
