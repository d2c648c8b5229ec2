"""Ids and names that are accepted come out again: by their address, and by the filter that names them."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from served import Site, in_days
from world import OWNER, SPRING

from hannun.domain.ids import canonical_id

UUID = "5b0c2f64-ab00-4000-8000-00000000000f"
ODD_IDS = [
    *(
        "a b",
        " ",
        "a%2Fb",
        "%",
        "%25",
        "a?b",
        "a#b",
        "a+b",
        "a;b",
        "a&b=c",
        "a\\b",
        "e:1",
        "🌸",
        "한눈",
        "e\u0301",
        "...",
        ".a",
    ),
    *(
        "a\u200bb",
        "\ufeffa",
        "\u202ea",
        "\u2028",
        "~",
        "{}",
        '"',
        "analytics",
        "a/b",
        "/",
        ".",
        "..",
        "a\nb",
        "\x7f",
        "a\0b",
    ),
    *(UUID, UUID.upper()),
]
ODD_CHANNELS = [
    "Ra dio",
    "ra\u200bdio",
    "%2C",
    "a,b",
    "a;b",
    "a&b",
    "+",
    "#",
    "🌸",
    "\x01",
    "all",
    "한눈",
    "NAVER",
    " x ",
    "-",
]
WITHOUT_ADDRESS = {"a/b", "/", ".", "..", "a\nb", "\x7f", "a\0b"}


def send(site: Site, *messages: Any) -> list[str]:
    """Send messages over HTTP. Returns the result of each."""
    return [each["result"] for each in site.send(*messages)["results"]]


def is_found(site: Site, event_id: str, user_id: str, channel: str) -> bool:
    """Send an event with a participant by this channel. Check that what was accepted is found.

    Returns whether the event was accepted.
    """
    world = site.world
    created, registered = send(
        site,
        world.created(event_id, owner=user_id),
        world.registered(f"p{world.next_number()}", event_id, channel=channel),
    )
    if created == "dead-letter":
        return False
    event, user = (quote(id_, safe="") for id_ in (event_id, user_id))
    found = site.admin.get(f"/api/v1/events/{event}/analytics")
    assert (found.status_code, found.json().get("eventId")) == (200, canonical_id(event_id)), (event_id, found.text)
    found = site.admin.get(f"/api/v1/users/{user}/analytics")
    assert found.status_code == 200, (user_id, found.text)
    assert canonical_id(event_id) in {each["eventId"] for each in found.json()["events"]}, (event_id, user_id)
    if registered == "counted":
        for path in (f"events/{event}/analytics/channels", f"users/{user}/analytics"):
            found = site.admin.get(f"/api/v1/{path}", params={"channels": channel})
            assert found.status_code == 200, (path, channel, found.text)
    return True


def test_odd_ids_are_found_or_refused(site: Site) -> None:
    refused = {id_ for id_ in ODD_IDS if not is_found(site, id_, f"the owner of {len(id_)}", "NAVER")}
    assert refused == WITHOUT_ADDRESS
    refused = {id_ for n, id_ in enumerate(ODD_IDS) if not is_found(site, f"event {n}", id_, "NAVER")}
    assert refused == WITHOUT_ADDRESS


def test_odd_channels_are_found(site: Site) -> None:
    for number, channel in enumerate(ODD_CHANNELS):
        assert is_found(site, f"event {number}", OWNER, channel), channel


@pytest.mark.parametrize("examples", [30, pytest.param(1_000, marks=pytest.mark.faults)])
def test_whatever_is_accepted_is_found_by_its_address_and_by_its_filter(site: Site, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.text(min_size=1, max_size=36), st.text(min_size=1, max_size=36), st.text(min_size=1, max_size=50))
    def sends_and_asks(event_id: str, user_id: str, channel: str) -> None:
        is_found(site, event_id, user_id, channel)

    sends_and_asks()


def test_an_event_and_its_merchant_are_the_same_in_capitals(site: Site) -> None:
    world, event = site.world, UUID
    results = send(
        site,
        world.created(event.upper(), owner=OWNER.upper()),
        world.created(event, eventTitle="again", at="2026-11-02T09:00:00+09:00"),
        world.registered(OWNER, event, channel="NAVER"),
        world.registered(OWNER.upper(), event.upper(), channel="NAVER"),
        world.sold(5, UUID, event),
        world.sold(5, UUID.upper(), event.upper()),
    )
    assert results == ["counted", "counted", "counted", "repeated", "counted", "repeated"]
    for principal in (OWNER, OWNER.upper()):
        merchant = site.signed_in(principal, "MERCHANT")
        assert merchant.get("/api/v1/session").json()["userId"] == OWNER
        for path in (f"events/{event}/analytics", f"events/{event.upper()}/analytics"):
            for _ in range(2):  # the second time from the cache
                found = merchant.get(f"/api/v1/{path}")
                assert (found.status_code, found.json()["eventId"]) == (200, event), (principal, path)
                assert found.json()["summary"]["totalParticipants"] == 1
        for user in (OWNER, OWNER.upper()):
            found = merchant.get(f"/api/v1/users/{user}/analytics")
            assert (found.status_code, found.json()["userId"], found.json()["totalEvents"]) == (200, OWNER, 1)
    listed = site.admin.get("/api/v1/events", params={"userId": OWNER.upper()}).json()["events"]
    assert [(each["eventId"], each["userId"]) for each in listed] == [(event, OWNER)]


def test_a_share_link_opens_its_event_in_capitals(site: Site) -> None:
    """Browsers send a cookie back to paths that begin with the cookie's, byte by byte."""
    site.world.count(site.world.created())
    path = f"/api/v1/events/{SPRING.upper()}"
    shared = site.owner.post(f"{path}/shares", json={"until": in_days(7)})
    assert shared.status_code == 201, shared.text
    address, _, secret = shared.json()["address"].partition("#share=")
    assert address == f"/events/{SPRING}"
    guest = site.client({})
    opened = guest.post(f"{path}/session", json={"share": secret})
    assert opened.status_code == 204
    assert f"Path={path};" in opened.headers["set-cookie"] + ";"
    assert guest.get(f"{path}/analytics").json()["eventId"] == SPRING
