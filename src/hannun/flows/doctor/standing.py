"""Runs the doctor again and again in `serve`: some checks for its health report, all of them for whoever asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hannun.domain.findings import CheckResult, Severity
from hannun.flows.doctor.examination import Examination
from hannun.flows.doctor.registry import CHECKS
from hannun.telemetry import metrics, replace_series

REPORT_S_MAX: Final = 3.5
"""How long an examination for a request may take: an answer is promised within 5 s."""
GOOD_S: Final = 10.0
"""How long the result of an examination is given to further requests: it costs PostgreSQL some ten milliseconds."""


class HealthChecks:
    """The checks of the health report. `check` runs them, `problems` is what they found last, by the check's name."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination
        self.problems: Mapping[str, str] = {}

    def check(self) -> None:
        """Run them now. Of a check that cannot be finished, what was found before stays."""
        results = self._examination.run([each for each in CHECKS.values() if each.in_health])
        known = {each.check: self.problems.get(each.check) for each in results if each.state == "unfinished"}
        found = known | {each.check: _problem(each) for each in results if each.state != "unfinished"}
        self.problems = {check: problem for check, problem in found.items() if problem}
        replace_series(metrics.health_problem, {(check,): 1 for check in self.problems})


def _problem(result: CheckResult) -> str | None:
    """What needs somebody, with the command that says more; None for mere notices."""
    severe = [each for each in result.findings if each.severity >= Severity.WARNING]
    if not severe:
        return None
    return f"{'; '.join(each.cause_text for each in severe)} (hannun doctor --only {result.check})"


@dataclass(frozen=True, slots=True)
class Checkup:
    """The results of all checks, and when they were made. `at` has its zone."""

    at: datetime
    results: list[CheckResult]


def check_all(examination: Examination) -> Checkup:
    """Run all checks, within `REPORT_S_MAX`."""
    at = examination.now()
    return Checkup(at, examination.run(list(CHECKS.values()), REPORT_S_MAX))
