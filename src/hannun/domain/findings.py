"""What a check of the running system finds: how bad it is, measured figures, the cause, and what corrects it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Literal

CheckState = Literal["ok", "found", "unfinished", "skipped"]
"""Of an unfinished check nobody knows what it would have found. A skipped one examines what is not set up here."""


class Severity(IntEnum):
    """How bad a finding is. Higher is worse."""

    NOTICE = 1
    """Nothing is lost or slow, and nobody needs to be woken."""
    WARNING = 2
    """The service works, and will not for long, or works worse than it should."""
    CRITICAL = 3
    """Data or answers are wrong, missing or at risk now."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble.

    Args:
        subject: what has the trouble: a table, a topic, a channel, a server.
        cause: an English sentence; names in braces stand for figures of `evidence`. It is also the key of its
            translation in `web/korean.py`.
        remedy: what to do, a sentence of the same kind.
        evidence: what was measured, by name.
        statements: SQL or commands that can be pasted, in this order.
    """

    severity: Severity
    subject: str
    cause: str
    remedy: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    statements: Sequence[str] = ()

    @property
    def cause_text(self) -> str:
        """The cause with its figures."""
        return self.cause.format(**self.evidence)

    @property
    def remedy_text(self) -> str:
        """The remedy with its figures."""
        return self.remedy.format(**self.evidence)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    Args:
        reason: why the check is unfinished or was skipped.
    """

    check: str
    state: CheckState
    findings: Sequence[Finding] = ()
    reason: str = ""
    seconds: float = 0.0

    @property
    def severity(self) -> Severity | None:
        """The worst of the findings; WARNING for an unfinished check; None where nothing is wrong."""
        if self.state == "unfinished":
            return Severity.WARNING
        return max((each.severity for each in self.findings), default=None)


EXIT_STATUS: Final[Mapping[Severity | None, int]] = {
    None: 0,
    Severity.NOTICE: 0,
    Severity.WARNING: 1,
    Severity.CRITICAL: 2,
}
"""The exit status of `hannun doctor` by the worst severity."""


def worst(results: Sequence[CheckResult]) -> Severity | None:
    """The worst severity of all results; None where nothing is wrong."""
    return max((each.severity for each in results if each.severity is not None), default=None)
