"""Where the data of an embedded PostgreSQL lie: in its home, or below the system folder.

PostgreSQL's user must reach the binaries and the data, and often may not: the checkout lies in /root, a temporary
folder has mode 0700. We never change the mode of a folder that existed before. Instead, and only where that user is
kept out, binaries and data go below the system folder, /var/lib/hannun:

    programs/<version>-<digest>/    a copy of the binaries, made once and shared by all homes; may be removed while no
                                    server runs
    data/<name>-<random>/data       the data of one home; home.txt next to it names the home

Only the link in the home leads to that data. A home that was removed and created again begins empty: its name does not
lead to the old data. `PostgresServer.destroy` removes both. Data whose home was removed stay until the operator
removes them, since the home may be on a disk that is only unmounted. Data of homes in the temporary folder are an
exception: they are removed when the next storage folder is created. The system folder is not below /var/tmp, since
many machines delete old files there.
"""

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path

from hannun.embedded.home_lock import HomeLock
from hannun.embedded.postgres_os_user import can_enter
from hannun.embedded.private_files import create_folder, write_private_file
from hannun.embedded.process import OsUser
from hannun.errors import OperatorError

SYSTEM_FOLDER = Path("/var/lib/hannun")
LOCK_NAME = "postgres.lock"


def find_storage_folder(home: Path, user: OsUser | None, system_folder: Path) -> Path:
    """The folder that contains the data folder: the home, or the target of the link in the home.

    On the first start it is created below the system folder if the user may not enter the home.

    Raises:
        OperatorError: the link leads nowhere, or the user may not enter the storage folder either.
    """
    link = home / "data"
    if link.is_symlink():
        storage = link.readlink().parent
        if not (storage / "data").is_dir():
            raise OperatorError(
                f"cannot start PostgreSQL: {link} leads to {storage}, where there are no data",
                hint=f"put the data back from a backup; or remove {link} to begin with an empty database",
            )
    elif link.exists() or can_enter(user, home):
        storage = home
    else:
        storage = _create_storage_folder(home, system_folder)
    if not can_enter(user, storage):
        assert user is not None
        raise OperatorError(
            f"PostgreSQL runs as the user {user.name}, who may not enter {storage}",
            hint="let other users pass through the folders above it (chmod o+x), or move it: give another --home; "
            f"see: namei -l {storage}",
        )
    return storage


def _create_storage_folder(home: Path, system_folder: Path) -> Path:
    root = system_folder / "data"
    create_folder(system_folder)
    create_folder(root)
    _remove_storage_of_deleted_homes(root)
    storage = root / f"{home.name}-{secrets.token_hex(6)}"
    create_folder(storage)
    write_private_file(storage / "home.txt", f"{home}\n")
    return storage


def _remove_storage_of_deleted_homes(root: Path) -> None:
    """Remove the storage folders of homes in the temporary folder that exist no more."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for note in root.glob("*/home.txt"):
        # Another process may run this at the same time, or may have just created this storage folder.
        with contextlib.suppress(OSError, OperatorError), HomeLock(note.parent, name=LOCK_NAME):
            home = Path(note.read_text(encoding="utf-8").strip())
            if home.is_relative_to(temporary) and not home.exists():
                shutil.rmtree(note.parent)
