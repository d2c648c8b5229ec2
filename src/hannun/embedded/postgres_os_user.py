"""The operating system user that runs PostgreSQL, which refuses to run as root."""

import contextlib
import os
import pwd
from pathlib import Path

from hannun.embedded.process import OsUser, run_as
from hannun.errors import OperatorError, reason_of


def choose_os_user(data: Path) -> OsUser | None:
    """The user to run PostgreSQL as: None for the user of this process, unless that is root.

    For root it is the owner of the data folder if that exists and does not belong to root, else `postgres`, else
    `nobody`.

    Raises:
        OperatorError: the data belong to another user, or there is no user that root can switch to.
    """
    owner_uid = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner_uid not in (None, os.geteuid()):
            raise OperatorError(
                f"cannot start PostgreSQL on {data}: it belongs to another user (uid {owner_uid})",
                hint="start as that user or as root, or give another --home",
            )
        return None
    user = _look_up_user(owner_uid) if owner_uid else _default_user_for_root()
    try:
        run_as(user, ["/bin/true"])
    except OSError as error:
        raise OperatorError(
            f"PostgreSQL refuses to run as root, and this process cannot switch to the user {user.name}: "
            f"{reason_of(error)}",
            hint="start Hannun as an ordinary user",
        ) from error
    return user


def can_enter(user: OsUser | None, folder: Path) -> bool:
    """Whether the user may enter the folder."""
    # Tried by a program of that user. Modes alone would not tell, because of ACLs and mount options.
    return user is None or run_as(user, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]).returncode == 0


def change_owner(folder: Path, user: OsUser) -> None:
    """Make the user the owner of the folder and of everything in it."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(os.path.join(parent, name), user.uid, user.gid)
    os.lchown(folder, user.uid, user.gid)


def _default_user_for_root() -> OsUser:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return OsUser(name, entry.pw_uid, entry.pw_gid)
    raise OperatorError(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor a user nobody",
        hint="create one (useradd --system postgres), or start Hannun as an ordinary user",
    )


def _look_up_user(uid: int) -> OsUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise OperatorError(
            f"the data belong to a user that this machine does not know (uid {uid})",
            hint="make a user of this machine their owner (chown -R), or root: Hannun then makes PostgreSQL's user the "
            "owner",
        ) from error
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
