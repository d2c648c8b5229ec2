"""The route that lists the merchants, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hannun.domain import response_schemas
from hannun.domain.questions import PAGE_DEFAULT, TEXT_LENGTH_MAX
from hannun.domain.response_schemas import format_instant
from hannun.flows.merchant_list import MerchantListQuestion
from hannun.store.merchant_list import MerchantRow
from hannun.web.api import Calling, Cursor, PageLimit
from hannun.web.callers import need_admin
from hannun.web.contract import AUTHENTICATION_PROBLEMS, answers_with
from hannun.web.request_limits import Served
from hannun.web.uncached import uncached_json

router = APIRouter(prefix="/api/v1")

_LINKS = {
    "nextPage": ("all_merchants", {"cursor": "$response.body#/nextCursor"}),
    "firstMerchant": ("user_dashboard", {"userId": "$response.body#/merchants/0/userId"}),
}


@router.get("/merchants")
@answers_with(
    response_schemas.MerchantList,
    problems=(*AUTHENTICATION_PROBLEMS, "bad-parameter", "bad-cursor", "store-unavailable"),
    links=_LINKS,
)
async def all_merchants(
    services: Served,
    caller: Calling,
    text: Annotated[
        str | None,
        Query(
            alias="q",
            min_length=1,
            max_length=TEXT_LENGTH_MAX,
            pattern="^[^\\x00]*$",
            description="a text that occurs in the merchant's id or in the title of an event",
        ),
    ] = None,
    cursor: Cursor = None,
    limit: PageLimit = PAGE_DEFAULT,
) -> Response:
    """The merchants that have an event, by id (role ADMIN)."""
    need_admin(caller)
    merchants, next_cursor = await services.merchant_list.page(MerchantListQuestion(text, cursor, limit))
    body = response_schemas.MerchantList([_listed(merchant) for merchant in merchants], next_cursor)
    return uncached_json(body)


def _listed(merchant: MerchantRow) -> response_schemas.MerchantOfList:
    return response_schemas.MerchantOfList(
        merchant.user_id,
        merchant.all_events,
        merchant.events,
        merchant.running,
        merchant.participants,
        merchant.newest_title,
        format_instant(merchant.newest_at),
    )
