"""`hannun doctor`: named checks of the running system."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hannun.cli.terminal import HomeOption, print_folded, read_settings, with_home, with_noun
from hannun.domain.findings import EXIT_STATUS, worst

if TYPE_CHECKING:
    from hannun.domain.findings import CheckResult, Finding


def doctor(
    only: Annotated[list[str] | None, typer.Option("--only", help="run this check alone; may be repeated")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    home: HomeOption = None,
) -> None:
    """Check the running system, and say what is wrong and how to correct it, within 5 s. Status 0: nothing, or
    notices; 1: a warning; 2: something critical."""
    from hannun.flows.doctor.registry import named
    from hannun.processes.commands.doctor import open_examination

    checks = named(only or [])
    with open_examination(read_settings()) as examination:
        results = examination.run(checks)
    if as_json:
        print(json.dumps(_as_json(results), ensure_ascii=False, indent=2))
    else:
        _print(results)
    raise typer.Exit(EXIT_STATUS[worst(results)])


def _print(results: "list[CheckResult]") -> None:
    """Print what is wrong, the worst first, and then how many checks found nothing, or did not end."""
    found = [(finding, each) for each in results for finding in each.findings]
    for finding, each in sorted(found, key=lambda pair: -pair[0].severity):
        _print_finding(each.check, finding)
    _print_reasons(results, "unfinished")
    _print_reasons(results, "skipped")
    states = Counter(each.state for each in results)
    others = [f"{states[state]} {state}" for state in ("unfinished", "skipped") if states[state]]
    clean = f"{states['ok']} found nothing"
    print_folded(
        f"{with_noun(len(results), 'check')}: {', '.join([clean, *others])}; {with_noun(len(found), 'finding')}"
    )


def _print_reasons(results: "list[CheckResult]", state: str) -> None:
    """Print why checks are in this state, those of one reason together."""
    names: dict[str, list[str]] = {}
    for each in results:
        if each.state == state:
            names.setdefault(each.reason_text, []).append(each.check)
    for reason, checks in names.items():
        print_folded(f"{state} {', '.join(checks)}: {reason}")


def _print_finding(check: str, finding: "Finding") -> None:
    subject = "" if finding.subject.replace(" ", "-").lower() == check else f": {finding.subject}"
    print_folded(f"{str(finding.severity).upper()} {check}{subject}")
    print_folded(finding.cause_text, indent="  ")
    print_folded(f"Do: {with_home(finding.remedy_text)}", indent="  ")
    for statement in finding.statements:
        print_folded(with_home(statement), indent="    ")


def _as_json(results: "list[CheckResult]") -> dict[str, Any]:
    severity = worst(results)
    return {
        "severity": "ok" if severity is None else str(severity),
        "checks": [
            {"check": each.check, "state": each.state, "seconds": each.seconds}
            | ({"reason": each.reason_text} if each.reason else {})
            for each in results
        ],
        "findings": [
            {
                "check": each.check,
                "severity": str(finding.severity),
                "subject": finding.subject,
                "cause": finding.cause_text,
                "remedy": finding.remedy_text,
                "evidence": dict(finding.evidence),
                "statements": list(finding.statements),
            }
            for each in results
            for finding in each.findings
        ],
    }
