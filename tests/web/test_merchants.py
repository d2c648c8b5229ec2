"""The list of merchants, for administrators."""

import pytest
from served import OTHER_MERCHANT, Site
from world import OWNER, SPRING, World

from hannun.store.merchant_list import SQL

MERCHANTS = "/api/v1/merchants"
FAR_AHEAD = "2999-01-01T00:00:00+09:00"


@pytest.fixture
def full(site: Site) -> Site:
    world = site.world
    world.count(
        world.created(SPRING, at="2026-11-03T09:00:00+09:00", eventTitle="봄맞이 할인"),
        world.created("oldest", at="2026-11-01T09:00:00+09:00", eventTitle="개업", status="ENDED"),
        world.created("kept", at="2026-11-02T09:00:00+09:00", eventTitle="보관한 이벤트", status="ARCHIVED"),
        world.created("other", owner=OTHER_MERCHANT, at="2026-11-02T09:00:00+09:00", eventTitle="가을 할인"),
        world.registered("p1"),
        world.registered("p2", "oldest"),
        world.registered("early", "not-created-yet"),
    )
    world.rows("UPDATE hannun.events SET starts_at = NULL, ends_at = NULL")
    return site


def ids(site: Site, **parameters: str | int) -> list[str]:
    answer = site.admin.get(MERCHANTS, params=parameters)
    assert answer.status_code == 200, answer.text
    return [merchant["userId"] for merchant in answer.json()["merchants"]]


def test_an_admin_gets_each_merchant_with_what_the_events_come_to(full: Site) -> None:
    answer = full.admin.get(MERCHANTS)
    assert answer.headers["cache-control"] == "no-store"
    assert ids(full) == sorted([OWNER, OTHER_MERCHANT])
    [owner] = [merchant for merchant in answer.json()["merchants"] if merchant["userId"] == OWNER]
    assert owner == {
        "userId": OWNER,
        "allEvents": 3,
        "events": 2,
        "runningEvents": 1,
        "totalParticipants": 2,
        "newestEventTitle": "봄맞이 할인",
        "newestEventCreatedAt": "2026-11-03T09:00:00+09:00",
    }
    assert answer.json()["nextCursor"] is None


@pytest.mark.parametrize("change", [f"starts_at = '{FAR_AHEAD}'", "ends_at = '2000-01-01'"])
def test_an_event_outside_of_its_planned_dates_does_not_run(full: Site, change: str) -> None:
    full.world.rows(f"UPDATE hannun.events SET {change}")
    assert {merchant["runningEvents"] for merchant in full.admin.get(MERCHANTS).json()["merchants"]} == {0}


def test_the_search_finds_a_part_of_an_id_or_of_a_title(full: Site) -> None:
    assert ids(full, q=OWNER[9:].upper()) == [OWNER]
    assert ids(full, q="가을") == [OTHER_MERCHANT]
    assert ids(full, q="할인") == sorted([OWNER, OTHER_MERCHANT])
    assert ids(full, q="nowhere") == []
    assert ids(full, q="%") == []
    assert full.admin.get(MERCHANTS, params={"q": "x" * 101}).json()["code"] == "bad-parameter"


def test_pages_follow_each_other_without_gap_or_repetition(site: Site) -> None:
    world = site.world
    world.count(*(world.created(f"event-{n}", owner=f"merchant-{n % 7}") for n in range(14)))
    seen: list[str] = []
    page: dict[str, str | int] = {"limit": 3}
    while True:
        answer = site.admin.get(MERCHANTS, params=page).json()
        seen += [merchant["userId"] for merchant in answer["merchants"]]
        if answer["nextCursor"] is None:
            break
        assert len(answer["merchants"]) == 3
        page["cursor"] = answer["nextCursor"]
    assert seen == [f"merchant-{n}" for n in range(7)]


@pytest.mark.parametrize("cursor", ["x", "AA", "A" * 199])
def test_a_cursor_of_another_origin_is_refused(site: Site, cursor: str) -> None:
    assert site.admin.get(MERCHANTS, params={"cursor": cursor}).json()["code"] == "bad-cursor"


def test_only_an_admin_gets_the_list(full: Site) -> None:
    for client in (full.owner, full.service):
        assert (client.get(MERCHANTS).status_code, client.get(MERCHANTS).json()["code"]) == (403, "forbidden")
    assert full.anonymous.get(MERCHANTS).status_code == 401


def test_a_page_reads_only_its_own_merchants(world: World) -> None:
    """The first page of 10,000 merchants: the index gives the page, and no table is read as a whole."""
    world.rows(
        "INSERT INTO hannun.events (event_id, user_id, plan_at, title) "
        "SELECT 'e' || n, 'm' || n % 10000, '2026-11-01', 'title' FROM generate_series(1, 20000) n"
    )
    world.rows(
        "INSERT INTO public.event_stats (event_id, user_id, event_title) "
        "SELECT event_id, user_id, title FROM hannun.events"
    )
    world.rows("ANALYZE hannun.events, public.event_stats")
    parameters = {"text": None, "after": "m5", "now": "2026-11-02", "limit": 51}
    with world.database.transaction() as conn:
        plan = "\n".join(row[0] for row in conn.execute(f"EXPLAIN {SQL['page']}".encode(), parameters).fetchall())
    assert "events_user_id" in plan
    assert "Seq Scan" not in plan, plan
