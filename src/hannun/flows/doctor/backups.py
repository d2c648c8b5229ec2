"""Checks of backups: whether they are young enough, and whether one was proven by a restore drill."""

from collections.abc import Iterator
from typing import Final

from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor.examined import Examined, Expected
from hannun.store import operation_runs

HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S
AGE_S_MAX: Final = {
    "backup-logical": DAY_S + 6 * HOUR_S,
    "backup-physical": 8 * DAY_S,
    "backup-redis": DAY_S + 6 * HOUR_S,
}
"""How old the newest backup of each kind may be: its schedule, and some time to make it."""
_CREATE: Final = {
    "backup-logical": "hannun backup create --kind logical",
    "backup-physical": "hannun backup create --kind physical",
    "backup-redis": "hannun backup create --kind redis",
}
DRILL_AGE_S_MAX: Final = 8 * DAY_S


def backups(examined: Examined) -> Iterator[Finding]:
    """Whether there is a young backup of each kind that is made here, or should be."""
    newest = operation_runs.newest_successes(examined.conn)
    if not any(kind in newest for kind in AGE_S_MAX):
        yield _none_yet(examined.expected)
        return
    # Where `schedule` makes none, something else does: no other kind stands for the logical one.
    due = examined.expected.backups or ("backup-logical",)
    for kind, age_s_max in AGE_S_MAX.items():
        if kind not in newest and kind in due:
            yield _never_made(kind)
        elif kind in newest and newest[kind].age_s > age_s_max:
            yield Finding(
                _severity(kind),
                kind,
                "the newest backup of kind {kind}, {name}, is {hours} hours old, and may be {hours_max}",
                "make one now, and see in the log of schedule why none was made: its disk is full, or it does not run",
                {
                    "kind": kind.removeprefix("backup-"),
                    "name": newest[kind].name or "(unnamed)",
                    "hours": round(newest[kind].age_s / HOUR_S),
                    "hours_max": age_s_max // HOUR_S,
                },
                (_CREATE[kind], "hannun backup list"),
            )


def _severity(kind: str) -> Severity:
    return Severity.CRITICAL if kind == "backup-logical" else Severity.WARNING


def _never_made(kind: str) -> Finding:
    return Finding(
        _severity(kind),
        kind,
        "no backup of kind {kind} has succeeded yet; backups of other kinds have",
        "make one now, which says what is in its way; where none shall be made, set {setting} to nothing",
        {
            "kind": kind.removeprefix("backup-"),
            "setting": f"HANNUN_BACKUP_{kind.removeprefix('backup-').upper()}_AT",
        },
        (_CREATE[kind], "hannun backup list"),
    )


def _none_yet(expected: Expected) -> Finding:
    if expected.backups:
        return Finding(
            Severity.CRITICAL,
            "backups",
            "HANNUN_BACKUP_FOLDER is set, and no backup has succeeded yet",
            "make one now; it says what is in its way",
            {},
            ("hannun backup create --kind logical",),
        )
    return Finding(
        Severity.NOTICE,
        "backups",
        "Hannun makes no backups here: HANNUN_BACKUP_FOLDER is not set",
        "set it for schedule, or make sure that something else backs up PostgreSQL and proves it by restoring",
        {},
    )


def drills(examined: Examined) -> Iterator[Finding]:
    """Whether a backup was restored for a drill lately, where backups are made."""
    newest = operation_runs.newest_successes(examined.conn)
    made = [newest[kind] for kind in AGE_S_MAX if kind in newest]
    drill = newest.get("drill")
    if not made or (drill is not None and drill.age_s <= DRILL_AGE_S_MAX):
        return
    yield Finding(
        Severity.WARNING,
        "restore drill",
        "the last restore drill is {days} days old: nobody knows whether the newest backups can be restored"
        if drill
        else "no backup was ever restored in a drill: nobody knows whether one can be",
        "run a drill; it restores the newest backup into a scratch server and changes nothing",
        {"days": round(drill.age_s / DAY_S)} if drill else {},
        ("hannun restore --drill",),
    )
