"""Operations that are recorded: backups, restores, and proofs of both."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "backup-logical", "backup-physical", "backup-redis", "wal-archive", "verify", "drill", "restore", "reconcile"
]


class Success(NamedTuple):
    """The newest success of a kind of operation. `ended_at` is UTC, without a zone.

    `size_bytes` is None where it made nothing; `age_s` is how long ago it ended, by PostgreSQL's clock.
    """

    ended_at: datetime
    name: str
    size_bytes: int | None
    seconds: float
    age_s: float


class OperationRun(NamedTuple):
    """A run of an operation. `ended_at`, `outcome` and `seconds` are None while it runs, and where it was killed."""

    run_no: int
    kind: str
    name: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    seconds: float | None
    size_bytes: int | None
    detail: dict[str, Any]
