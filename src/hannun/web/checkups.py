"""The route of the checks of the running system, for administrators: `hannun doctor` over HTTP."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from hannun.domain import response_schemas
from hannun.domain.findings import CheckResult, Finding, worst
from hannun.domain.response_schemas import format_instant
from hannun.flows.doctor.standing import Checkup
from hannun.web.api import Calling
from hannun.web.callers import need_admin
from hannun.web.contract import AUTHENTICATION_PROBLEMS, answers_with
from hannun.web.korean_findings import KOREAN_FINDINGS, KOREAN_REASONS, KOREAN_WORDS
from hannun.web.korean_hints import in_korean
from hannun.web.language import Language, language_of
from hannun.web.request_limits import Served
from hannun.web.uncached import uncached_json

router = APIRouter(prefix="/api/v1")


@router.get("/operations/checks")
@answers_with(
    response_schemas.Checkup, problems=AUTHENTICATION_PROBLEMS, headers=("Cache-Control", "Content-Language", "Vary")
)
async def operations_checks(request: Request, services: Served, caller: Calling) -> Response:
    """What the checks of the running system find (role ADMIN), at most 10 s old. Texts in Korean or English."""
    need_admin(caller)
    language = language_of(request.headers.get("accept-language"))
    body = _encoded(await services.checkup(), language)
    return uncached_json(body, headers={"Content-Language": language, "Vary": "Accept-Language"})


def _encoded(checkup: Checkup, language: Language) -> response_schemas.Checkup:
    severity = worst(checkup.results)
    found = [(each, finding) for each in checkup.results for finding in each.findings]
    return response_schemas.Checkup(
        format_instant(checkup.at.replace(tzinfo=None)),
        "ok" if severity is None else str(severity),
        [_finding(*pair, language) for pair in sorted(found, key=lambda pair: -pair[1].severity)],
        [
            response_schemas.CheckOutcome(each.check, each.state, each.seconds, _reason(each, language) or None)
            for each in checkup.results
        ],
    )


def _finding(result: CheckResult, finding: Finding, language: Language) -> response_schemas.CheckFinding:
    return response_schemas.CheckFinding(
        result.check,
        str(finding.severity),
        finding.subject,
        _text(finding.cause, finding, language),
        _text(finding.remedy, finding, language),
        {name: str(value) for name, value in finding.evidence.items()},
        list(finding.statements),
    )


def _reason(result: CheckResult, language: Language) -> str:
    """Why a check is unfinished or was skipped; what a server said stays as it is."""
    return result.fill_reason(KOREAN_REASONS.get(result.reason, result.reason) if language == "ko" else result.reason)


def _text(template: str, finding: Finding, language: Language) -> str:
    """A sentence of a finding with its figures; in English where it has no translation."""
    if language == "en":
        return finding.fill(template)
    evidence = {
        name: KOREAN_WORDS.get(value) or in_korean(value) if isinstance(value, str) else value
        for name, value in finding.evidence.items()
    }
    return replace(finding, evidence=evidence).fill(KOREAN_FINDINGS.get(template, template))
