"""Typed totals over HTTP: checked and counted like a poll, for whom the event belongs to."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from served import OTHER_MERCHANT, Site, open_site
from world import SPRING, World

ADDRESS = f"/api/v1/events/{SPRING}/channels/NAVER/totals"


@pytest.fixture
def spring(world: World) -> Iterator[Site]:
    with open_site(world) as site:
        site.send(world.created())
        yield site


def code_of(answer: httpx2.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["code"], answer.json().get("field")


def test_typed_totals_are_in_the_next_answer(spring: Site) -> None:
    body = {"views": 1200, "likes": 31, "totalCalls": None}
    taken = spring.owner.post(ADDRESS, json=body).json()
    assert taken.pop("measuredAt").endswith("Z")
    assert taken == {
        "channelName": "NaverBlog",
        "result": "changed",
        "baseline": True,
        "increments": {"views": 1200, "likes": 31},
        "corrections": {},
        "awaitingConfirmation": {},
    }
    assert spring.owner.get(f"/api/v1/events/{SPRING}/analytics").json()["summary"]["totalViews"] == 1200
    assert spring.world.measured().imported, "people gave them: they are good for a day"
    assert spring.world.drift() == []


def test_a_lower_total_is_taken_over_when_it_is_sent_once_more(spring: Site) -> None:
    sent = [spring.admin.post(ADDRESS, json={"totalCalls": calls}).json() for calls in (10, 8, 8)]
    assert [(one["result"], one["corrections"], one["awaitingConfirmation"]) for one in sent] == [
        ("changed", {}, {}),
        ("falling", {}, {"totalCalls": 8}),
        ("changed", {"totalCalls": -2}, {}),
    ]
    assert spring.world.drift() == []


def test_totals_that_are_older_than_what_is_stored_change_nothing(spring: Site) -> None:
    spring.owner.post(ADDRESS, json={"views": 5})
    yesterday = f"{spring.world.measurement_counter.now().isoformat()}+14:00"
    assert spring.owner.post(ADDRESS, json={"views": 9, "measuredAt": yesterday}).json()["result"] == "older"
    assert spring.world.measured().views == 5


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"views": -1}, "bad-totals", "views"),
        ({"views": 2**31}, "bad-totals", "views"),
        ({"likes": "many"}, "bad-totals", "likes"),
        ({"likes": "12"}, "bad-totals", "likes"),
        ({"totalCalls": 1, "completedCalls": 2}, "bad-totals", "completedCalls"),
        ({}, "bad-totals", None),
        ({"veiws": 1}, "bad-body", None),
        ([], "bad-body", None),
        ({"views": 1, "measuredAt": "2026-11-20T10:00:00"}, "no-offset", "measuredAt"),
        ({"views": 1, "measuredAt": "yesterday"}, "bad-date", "measuredAt"),
        ({"views": 1, "measuredAt": 7}, "bad-date", "measuredAt"),
        ({"views": 1, "measuredAt": "2999-01-01T00:00:00Z"}, "outside-of-time", "measuredAt"),
        ({"views": 1, "measuredAt": "1999-01-01T00:00:00Z"}, "outside-of-time", "measuredAt"),
        ({"views": 1, "measuredAt": "0001-01-01T00:00:00+14:00"}, "bad-date", "measuredAt"),
    ],
)
def test_what_cannot_be_taken_is_named(spring: Site, body: Any, code: str, field: str | None) -> None:
    assert code_of(spring.owner.post(ADDRESS, json=body)) == (409 if code == "outside-of-time" else 400, code, field)
    assert spring.world.rows("SELECT event_no FROM hannun.channel_measurements") == []


def test_a_channel_that_nobody_has_named_is_unknown(spring: Site) -> None:
    for name in ("Nowhere", ",", "x" * 50):
        address = ADDRESS.replace("NAVER", name)
        assert code_of(spring.owner.post(address, json={"views": 1})) == (400, "unknown-channel", "channelName")


def test_a_channel_without_a_type_for_the_event_takes_nothing_yet(spring: Site) -> None:
    spring.send(spring.world.registered("p1", channel="Radio"))
    assert spring.owner.post(ADDRESS.replace("NAVER", "Radio"), json={"views": 1}).json()["result"] == "no-type"
    assert spring.world.drift() == []


def test_another_merchants_event_is_none(spring: Site) -> None:
    for event, client in ((SPRING, spring.signed_in(OTHER_MERCHANT)), ("nothing", spring.owner)):
        address = ADDRESS.replace(SPRING, event)
        assert code_of(client.post(address, json={"views": 1})) == (404, "not-found", None)
    assert spring.service.post(ADDRESS, json={"views": 1}).status_code == 403
    assert spring.anonymous.post(ADDRESS, json={"views": 1}).status_code == 401
    assert spring.world.rows("SELECT event_no FROM hannun.channel_measurements") == []


def test_an_event_that_does_not_exist_is_none_for_an_admin_too(spring: Site) -> None:
    assert code_of(spring.admin.post(ADDRESS.replace(SPRING, "nothing"), json={"views": 1}))[:2] == (404, "not-found")


def test_a_channel_whose_api_is_polled_takes_no_typed_totals(world: World, tmp_path: Path) -> None:
    access = tmp_path / "access.toml"
    access.write_text(f"[Instagram]\naddress = {json.dumps('https://instagram.test')}\ntoken = 'a'\n")
    access.chmod(0o600)
    with open_site(world, channel_access_file=str(access)) as site:
        site.send(world.created())
        refused = site.owner.post(ADDRESS.replace("NAVER", "Instagram"), json={"views": 1})
        assert code_of(refused) == (409, "channel-is-polled", "channelName")
        assert site.owner.post(ADDRESS, json={"views": 1}).status_code == 200
