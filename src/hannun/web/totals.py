"""Typed totals: what somebody knows of a channel without an API."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response
from msgspec import Meta

from hannun.domain import response_schemas
from hannun.domain.channel_totals import ChannelTotals, Refusal, RefusedTotals, checked
from hannun.domain.channels import NAME_LENGTH_MAX
from hannun.domain.field_values import COUNT_MAX
from hannun.domain.instants import NoOffset, no_offset, parse_instant_with_offset, to_naive_utc
from hannun.errors import BadRequest
from hannun.web.api import EventId
from hannun.web.bodies import read_struct
from hannun.web.callers import guard_cookies
from hannun.web.contract import BODY_PROBLEMS, EVENT_PROBLEMS, RequestBody, answers_with
from hannun.web.request_limits import Served
from hannun.web.shares import INSTANT_PATTERN, Sharer
from hannun.web.uncached import uncached_json

router = APIRouter(prefix="/api/v1/events/{event_id}", dependencies=[Depends(guard_cookies)])

ChannelName = Annotated[
    str, Path(min_length=1, max_length=NAME_LENGTH_MAX, description="the channel, in any known spelling")
]
Total = Annotated[int, Meta(ge=0, le=COUNT_MAX)] | None


class TypedBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Running totals since the event began; what is absent or null is unknown. `measuredAt` is by default now."""

    impressions: Total = None
    views: Total = None
    clicks: Total = None
    conversions: Total = None
    likes: Total = None
    comments: Total = None
    shares: Total = None
    total_calls: Total = None
    completed_calls: Total = None
    average_duration: Annotated[float, Meta(ge=0, le=COUNT_MAX)] | None = None
    measured_at: Annotated[str, Meta(extra_json_schema={"pattern": INSTANT_PATTERN})] | None = None


_FIELDS = {field.encode_name: field.name for field in msgspec.structs.fields(TypedBody)}
_IN_CAMEL_CASE = {name: encoded for encoded, name in _FIELDS.items()}


@router.post("/channels/{channel_name}/totals")
@answers_with(
    response_schemas.TotalsTaken,
    problems=(
        *EVENT_PROBLEMS,
        "bad-body",
        "bad-totals",
        "bad-date",
        "no-offset",
        "outside-of-time",
        "unknown-channel",
        "channel-is-polled",
        *BODY_PROBLEMS,
        "unsupported-media-type",
    ),
    request_body=RequestBody({"application/json": TypedBody}),
)
async def type_totals(
    request: Request, services: Served, sharer: Sharer, event_id: EventId, channel_name: ChannelName
) -> Response:
    """Record running totals of this event on a channel that has no API, or none that is set up.

    They are checked and counted like a poll: a total that is lower than before waits until it is sent once more.
    """
    invalid = BadRequest(
        "the body must be JSON like {form}", code="bad-body", form='{"views": 1200, "measuredAt"?: instant}'
    )
    body = await read_struct(request, dict[str, Any], invalid=invalid)
    if not body.keys() <= _FIELDS.keys():
        raise invalid
    totals = _totals({_FIELDS[name]: value for name, value in body.items()})
    measured_at = None if body.get("measuredAt") is None else _instant(body["measuredAt"])
    channel, at, result = await services.typed_totals.record(
        sharer.principal, event_id, channel_name, totals, measured_at
    )
    taken = response_schemas.TotalsTaken(
        channel_name=channel.name,
        measured_at=at.isoformat() + "Z",
        result=result.outcome,
        baseline=result.baseline,
        increments=_in_camel_case(result.increments),
        corrections=_in_camel_case(result.corrections),
        awaiting_confirmation=_in_camel_case(result.falls),
    )
    return uncached_json(taken)


def _totals(counts: Mapping[str, object]) -> ChannelTotals:
    """The totals in a body. A number in a text, as some channels send it, is none here: people send JSON numbers."""
    text = next((name for name, value in counts.items() if name != "measured_at" and isinstance(value, str)), None)
    totals = checked(counts) if text is None else RefusedTotals(Refusal.WRONG_TYPE, text)
    if isinstance(totals, RefusedTotals):
        raise BadRequest(
            "these totals cannot be taken ({reason}): give whole numbers from 0, not more completed calls than calls",
            code="bad-totals",
            field=_IN_CAMEL_CASE.get(totals.detail),
            reason=totals.reason,
        )
    return totals


def _in_camel_case(counts: Mapping[str, int]) -> dict[str, int]:
    return {_IN_CAMEL_CASE[name]: count for name, count in counts.items()}


def _instant(value: object) -> datetime:
    try:
        return to_naive_utc(parse_instant_with_offset(str(value)))
    except NoOffset as error:
        raise no_offset("measuredAt") from error
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            "{field} is not an ISO 8601 instant with an offset", code="bad-date", field="measuredAt"
        ) from error
