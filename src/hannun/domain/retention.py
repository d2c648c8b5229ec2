"""Which backups are kept: all of a day, the newest of each of so many days and weeks, and all on which one builds."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

ALL_KEPT: Final = timedelta(days=1)
"""Nothing goes that is so much older than the newest at most: what was made by hand before an upgrade stays for it."""


class KeptBackup(NamedTuple):
    """What retention needs to know of a complete backup. `parent` is the backup on which an incremental one builds."""

    name: str
    kind: str
    started_at: datetime
    parent: str | None = None


def to_remove(backups: Sequence[KeptBackup], *, daily: int, weekly: int) -> list[str]:
    """The names of the backups that are not kept, those first on which none of the others builds.

    Of each kind are kept all backups of the day before the newest, the newest backup of each of the newest `daily` days
    with one, and of the newest `weekly` weeks (from Monday, UTC). Days without a backup do not count: where no new one
    is made, no old one goes. The newest of each kind always stays.
    """
    kept: set[str] = set()
    for kind in {backup.kind for backup in backups}:
        newest_first = sorted((backup for backup in backups if backup.kind == kind), key=_age, reverse=True)
        young = newest_first[0].started_at - ALL_KEPT
        kept |= {backup.name for backup in newest_first if backup.started_at > young}
        kept |= set(_newest_by(((backup.started_at.date(), backup.name) for backup in newest_first), max(daily, 1)))
        kept |= set(_newest_by(((backup.started_at.isocalendar()[:2], backup.name) for backup in newest_first), weekly))
    by_name = {backup.name: backup for backup in backups}
    for name in list(kept):
        parent = by_name[name].parent
        while parent is not None and parent in by_name and parent not in kept:
            kept.add(parent)
            parent = by_name[parent].parent
    return [backup.name for backup in sorted(backups, key=_age, reverse=True) if backup.name not in kept]


def _age(backup: KeptBackup) -> tuple[datetime, str]:
    return backup.started_at, backup.name


def _newest_by(named: Iterable[tuple[object, str]], count: int) -> list[str]:
    """The first name of each of the first `count` periods."""
    first: dict[object, str] = {}
    for period, name in named:
        first.setdefault(period, name)
    return list(first.values())[:count]
