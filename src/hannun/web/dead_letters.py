"""The routes of dead letters, for administrators: list, retry, drop. Each decision is in the audit log."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import Meta

from hannun.domain.audit_chain import user
from hannun.domain.facts import Reason
from hannun.domain.response_schemas import (
    DeadLetterEntry,
    DeadLetterOutcome,
    DeadLetters,
    DeadLettersHandled,
    format_instant,
)
from hannun.errors import BadRequest
from hannun.flows.dead_letter_retry import RetryResult
from hannun.store.dead_letters import DeadLetter
from hannun.web.api import Calling
from hannun.web.bodies import read_struct
from hannun.web.callers import Caller, guard_cookies, need_admin
from hannun.web.contract import AUTHENTICATION_PROBLEMS, BODY_PROBLEMS, RequestBody, answers_with
from hannun.web.request_limits import Served
from hannun.web.uncached import uncached_json

router = APIRouter(prefix="/api/v1/operations/dead-letters", dependencies=[Depends(guard_cookies)])

NUMBERS_MAX = 100
LIMIT_MAX = 200
LIMIT_DEFAULT = 50
Number = Annotated[int, Meta(ge=1, le=2**63 - 1)]
_PROBLEMS = (*AUTHENTICATION_PROBLEMS, "store-unavailable", "keys-missing")


class ChosenDeadLetters(msgspec.Struct, forbid_unknown_fields=True):
    """The numbers of the dead letters to retry or to drop."""

    numbers: Annotated[list[Number], Meta(min_length=1, max_length=NUMBERS_MAX)]


async def admin_of(caller: Calling) -> Caller:
    """A caller who may see and change the running system."""
    need_admin(caller)
    return caller


Admin = Annotated[Caller, Depends(admin_of)]


async def chosen_in(request: Request, _: Admin) -> list[int]:
    """The numbers in the body, which is read only for an administrator."""
    invalid = BadRequest("the body must be JSON like {form}", code="bad-body", form='{"numbers": [1, 2]}')
    return (await read_struct(request, ChosenDeadLetters, invalid=invalid)).numbers


Chosen = Annotated[list[int], Depends(chosen_in)]
_handles_chosen = answers_with(
    DeadLettersHandled,
    problems=(*_PROBLEMS, "bad-body", *BODY_PROBLEMS, "unsupported-media-type"),
    request_body=RequestBody({"application/json": ChosenDeadLetters}),
)
"""The contract of both routes that change dead letters."""


@router.get("")
@answers_with(DeadLetters, problems=(*_PROBLEMS, "bad-parameter"))
async def dead_letters(
    services: Served,
    _: Admin,
    reason: Annotated[Reason | None, Query(description="by default all")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="how many, newest first")] = LIMIT_DEFAULT,
) -> Response:
    """The open dead letters, newest first (role ADMIN)."""
    found = await services.dead_letters.newest(reason, limit)
    total = sum(found.by_reason.values())
    return _response(DeadLetters(total, dict(found.by_reason), [_entry(each) for each in found.newest]))


@router.post("/retry")
@_handles_chosen
async def retry_dead_letters(services: Served, admin: Admin, chosen: Chosen) -> Response:
    """Count messages that can be used by now (role ADMIN). One that still cannot stays open, with why."""
    done = await services.dead_letters.retry(chosen, user(admin.principal.user_id))
    return _response(DeadLettersHandled([_outcome(each) for each in done]))


@router.post("/drop")
@_handles_chosen
async def drop_dead_letters(services: Served, admin: Admin, chosen: Chosen) -> Response:
    """Close dead letters without counting them (role ADMIN). They stay in their table, with who dropped them."""
    dropped = await services.dead_letters.drop(chosen, user(admin.principal.user_id))
    return _response(DeadLettersHandled([DeadLetterOutcome(no, "dropped", None) for no in dropped]))


def _entry(dead_letter: DeadLetter) -> DeadLetterEntry:
    return DeadLetterEntry(
        dead_letter.no,
        format_instant(dead_letter.created_at),
        format_instant(dead_letter.received_at),
        dead_letter.kind,
        dead_letter.reason,
        dead_letter.detail,
        dead_letter.event_id,
        dead_letter.topic,
        dead_letter.partition,
        dead_letter.offset,
    )


def _outcome(done: RetryResult) -> DeadLetterOutcome:
    return DeadLetterOutcome(done.dead_letter.no, done.result, done.why or None)


def _response(body: DeadLetters | DeadLettersHandled) -> Response:
    return uncached_json(body)
