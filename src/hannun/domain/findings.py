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


NUMBERS_THAT_NAME: Final = {"event_no", "pid"}
"""Evidence that is a number and counts nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble.

    Args:
        subject: what has the trouble: a table, a topic, a channel, a server.
        cause: an English sentence; names in braces stand for figures of `evidence`. It is also the key of its
            translation in `web/korean_findings.py`.
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
        return self.fill(self.cause)

    @property
    def remedy_text(self) -> str:
        """The remedy with its figures."""
        return self.fill(self.remedy)

    def fill(self, template: str) -> str:
        """A sentence with the figures of the evidence in it; those that are counted have separators of thousands."""
        figures = {
            name: f"{value:,}" if type(value) is int and name not in NUMBERS_THAT_NAME else value
            for name, value in self.evidence.items()
        }
        return template.format(**figures)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    Args:
        reason: why the check is unfinished or was skipped: what a server said, or an English sentence with names in
            braces for `reason_values`, the key of its translation in `web/korean_findings.py`.
        server: the check of the server that did not answer, as "redis"; empty where every server answered.
    """

    check: str
    state: CheckState
    findings: Sequence[Finding] = ()
    reason: str = ""
    reason_values: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    seconds: float = 0.0

    @property
    def reason_text(self) -> str:
        """The reason with its values."""
        return self.fill_reason(self.reason)

    def fill_reason(self, template: str) -> str:
        """The reason, or its translation, with its values. Without values nothing is a name in braces."""
        return template.format(**self.reason_values) if self.reason_values else template

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
