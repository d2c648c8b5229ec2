"""The list of all merchants' events, for administrators."""

import asyncio

import pytest
from served import OTHER_MERCHANT, Site
from test_authorization import comparable
from world import OWNER, SPRING, World

from hannun.store.connections import AsyncConnection
from hannun.store.event_list import page

EVENTS = "/api/v1/events"


@pytest.fixture
def full(site: Site) -> Site:
    world = site.world
    world.count(
        world.created("older", owner=OTHER_MERCHANT, at="2026-11-02T09:00:00+09:00", eventTitle="가을 할인"),
        world.created(SPRING, at="2026-11-03T09:00:00+09:00", eventTitle="봄맞이 할인"),
        world.created("oldest", at="2026-11-01T09:00:00+09:00", eventTitle="개업", status="ENDED"),
        world.registered("p1"),
        world.registered("early", "not-created-yet"),
    )
    return site


def ids(site: Site, **parameters: str | int) -> list[str]:
    answer = site.admin.get(EVENTS, params=parameters)
    assert answer.status_code == 200, answer.text
    return [event["eventId"] for event in answer.json()["events"]]


def test_an_admin_gets_the_events_of_all_merchants_newest_first(full: Site) -> None:
    answer = full.admin.get(EVENTS)
    assert answer.headers["cache-control"] == "no-store"
    assert [event["eventId"] for event in answer.json()["events"]] == [SPRING, "older", "oldest"]
    newest = answer.json()["events"][0]
    assert newest["userId"] == OWNER
    assert newest["eventTitle"] == "봄맞이 할인"
    assert newest["createdAt"] == "2026-11-03T09:00:00+09:00"
    assert newest["totalParticipants"] == 1
    assert answer.json()["nextCursor"] is None


def test_filters_leave_the_events_that_they_name(full: Site) -> None:
    assert ids(full, userId=OWNER) == [SPRING, "oldest"]
    assert ids(full, q="할인") == [SPRING, "older"]
    assert ids(full, status="ENDED") == ["oldest"]
    assert ids(full, userId=OTHER_MERCHANT, status="ENDED") == []


def test_pages_follow_each_other_without_gap_or_repetition_also_among_equal_times(site: Site) -> None:
    at = "2026-11-01T09:00:00+09:00"
    site.world.count(*(site.world.created(f"event-{n}", at=at) for n in range(7)))
    seen, cursor = [], None
    while True:
        answer = site.admin.get(EVENTS, params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [event["eventId"] for event in answer["events"]]
        cursor = answer["nextCursor"]
        if cursor is None:
            break
        assert len(answer["events"]) == 3
    assert sorted(seen) == [f"event-{n}" for n in range(7)]


def test_a_merchant_without_events_is_refused_by_name(full: Site) -> None:
    answer = full.admin.get(EVENTS, params={"userId": "nobody"})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "unknown-merchant", "userId")
    assert "'nobody'" in answer.json()["detail"]


def test_a_merchant_learns_of_no_other_merchant_by_the_filter(full: Site) -> None:
    refused = [full.owner.get(EVENTS, params={"userId": named}) for named in (OTHER_MERCHANT, "nobody", OWNER)]
    assert {str(comparable(answer)) for answer in refused} == {str(comparable(refused[0]))}
    assert refused[0].status_code == 403


def test_only_an_admin_gets_the_list(full: Site) -> None:
    for client in (full.owner, full.service):
        assert (client.get(EVENTS).status_code, client.get(EVENTS).json()["code"]) == (403, "forbidden")
    assert full.anonymous.get(EVENTS).status_code == 401
    assert full.admin.get(EVENTS, params={"cursor": "x"}).json()["code"] == "bad-cursor"


def test_a_page_is_planned_for_its_filters(world: World) -> None:
    """A prepared statement would be planned once for all, and read the events of every merchant for one of them."""

    async def run() -> None:
        async with await AsyncConnection.connect(world.url) as conn:
            for user_id in [None] * 10 + [OWNER]:
                await page(conn, user_id=user_id, status=None, text=None, before=None, limit=50)
            prepared = await conn.execute("SELECT statement FROM pg_prepared_statements")
            assert await prepared.fetchall() == []

    asyncio.run(run())
