"""The route of the checks of the running system, for administrators: `hannun doctor` over HTTP."""

from fastapi import APIRouter, Request, Response

from hannun.domain import response_schemas
from hannun.domain.findings import CheckResult, Finding, worst
from hannun.domain.response_schemas import format_instant
from hannun.errors import Forbidden
from hannun.flows.doctor.standing import Checkup
from hannun.web.api import Calling
from hannun.web.contract import AUTHENTICATION_PROBLEMS, answers_with
from hannun.web.korean_findings import KOREAN_FINDINGS
from hannun.web.language import Language, language_of
from hannun.web.request_limits import Served

router = APIRouter(prefix="/api/v1")


@router.get("/operations/checks")
@answers_with(
    response_schemas.Checkup, problems=AUTHENTICATION_PROBLEMS, headers=("Cache-Control", "Content-Language", "Vary")
)
async def operations_checks(request: Request, services: Served, caller: Calling) -> Response:
    """What the checks of the running system find (role ADMIN), at most 10 s old. Texts in Korean or English."""
    if "ADMIN" not in caller.principal.roles:
        raise Forbidden("the checks of the running system need the role ADMIN")
    language = language_of(request.headers.get("accept-language"))
    body = _encoded(await services.checkup(), language)
    return Response(
        response_schemas.encode(body),
        media_type="application/json",
        headers={"Cache-Control": "no-store", "Content-Language": language, "Vary": "Accept-Language"},
    )


def _encoded(checkup: Checkup, language: Language) -> response_schemas.Checkup:
    severity = worst(checkup.results)
    found = [(each, finding) for each in checkup.results for finding in each.findings]
    return response_schemas.Checkup(
        format_instant(checkup.at.replace(tzinfo=None)),
        "ok" if severity is None else str(severity),
        [_finding(*pair, language) for pair in sorted(found, key=lambda pair: -pair[1].severity)],
        [
            response_schemas.CheckOutcome(each.check, each.state, each.seconds, each.reason or None)
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


def _text(template: str, finding: Finding, language: Language) -> str:
    """A sentence of a finding with its figures; in English where it has no translation."""
    chosen = KOREAN_FINDINGS.get(template, template) if language == "ko" else template
    return chosen.format(**finding.evidence)
