"""Runs checks: all groups at the same time, the checks of a group one after the other, each with a deadline."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Final

from hannun import deadlines
from hannun.domain.findings import CheckResult
from hannun.errors import HannunError, KafkaUnavailable, RedisUnavailable, ServiceBusUnavailable, StoreUnavailable
from hannun.flows.doctor.examined import CHECK_S_MAX, Check, Examined, Expected, Servers, Skipped
from hannun.store.database import Database
from hannun.store.missing_right import missing_right

TOTAL_S_MAX: Final = 4.5
"""How long an examination may take. A check that has not ended by then is unfinished."""

_SERVER_CHECKS: Final[Mapping[type[HannunError], str]] = {
    StoreUnavailable: "postgresql",
    RedisUnavailable: "redis",
    KafkaUnavailable: "kafka",
    ServiceBusUnavailable: "service-bus",
}
"""The check of the server that an error names. Other checks word the same trouble by the statement that failed."""


@dataclass(frozen=True, slots=True)
class Examination:
    """Examines the system.

    Args:
        now: this machine's clock.
        watched_since: since when a process watches, with its zone; None for a command.
    """

    servers: Servers
    expected: Expected
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    watched_since: datetime | None = None

    def run(
        self, checks: Sequence[Check], total_s_max: float = TOTAL_S_MAX, check_s_max: float = CHECK_S_MAX
    ) -> list[CheckResult]:
        """The result of each check, in their order. It takes at most `total_s_max`, and a check `check_s_max`, whatever
        hangs."""
        results = {
            each.name: CheckResult(each.name, "unfinished", reason="it was not begun in time") for each in checks
        }
        ends_at = time.monotonic() + total_s_max
        run_group = partial(self._run_group, results=results, ends_at=ends_at, check_s_max=check_s_max)
        threads = [
            threading.Thread(target=run_group, args=[list(group)], name=name, daemon=True)
            for name, group in groupby(sorted(checks, key=lambda each: each.group), key=lambda each: each.group)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        return _without_repetition([results[each.name] for each in checks])

    def _run_group(
        self, checks: Iterable[Check], results: dict[str, CheckResult], ends_at: float, check_s_max: float
    ) -> None:
        database = self.servers.database()
        try:
            for check in checks:
                left_s = min(check_s_max, ends_at - time.monotonic())
                if left_s <= 0:
                    return
                results[check.name] = CheckResult(check.name, "unfinished", reason="it did not end in time")
                began = time.monotonic()
                with deadlines.within(left_s):
                    result = self._run(check, database)
                results[check.name] = replace(result, seconds=round(time.monotonic() - began, 3))
        finally:
            database.close()

    def _run(self, check: Check, database: Database) -> CheckResult:
        try:
            with ExitStack() as stack:
                findings = list(
                    check.run(Examined(self.servers, self.expected, database, stack, self.now, self.watched_since))
                )
        except Skipped as skipped:
            return CheckResult(check.name, "skipped", reason=skipped.reason, reason_values=skipped.values)
        except HannunError as error:
            return CheckResult(check.name, "unfinished", reason=str(error.args[0]), server=_server_of(error))
        except Exception as error:
            missing = missing_right(error)
            if missing is None:
                raise
            return CheckResult(check.name, "unfinished", reason=str(missing))
        return CheckResult(check.name, "found" if findings else "ok", findings)


def _without_repetition(results: Sequence[CheckResult]) -> list[CheckResult]:
    """The results, whose unfinished checks name the check that found their reason: a server that is away."""
    return [_refer(each, _found_by(each, results)) for each in results]


def _refer(result: CheckResult, first: str | None) -> CheckResult:
    return result if first is None else replace(result, reason="see {check}", reason_values={"check": first})


def _found_by(unfinished: CheckResult, results: Sequence[CheckResult]) -> str | None:
    """The name of the check that found the server away whose error ended another, or that says the same of it; None
    where none did."""
    return next((each.check for each in results if each.findings and _explains(each, unfinished)), None)


def _explains(found: CheckResult, unfinished: CheckResult) -> bool:
    reason = unfinished.reason
    return found.check == unfinished.server or any(reason and reason in each.cause_text for each in found.findings)


def _server_of(error: HannunError) -> str:
    """The check of the server that did not answer; empty for any other error."""
    return next((name for kind, name in _SERVER_CHECKS.items() if isinstance(error, kind)), "")
