"""Share links: what they grant access to, for how long, and that they grant nothing else."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from served import OTHER_MERCHANT, Site, open_site
from test_authorization import NONE, comparable, recorded_commands
from test_live import watched
from world import OWNER, SPRING, World

OTHER = "5b0c2f64-0000-4000-8000-000000000007"
API = f"/api/v1/events/{SPRING}"
VIEWS = ("analytics", "analytics/timeline", "analytics/timeline?granularity=daily&tz=UTC")
INSIGHTS = "analytics/insights"


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def site(site_with: Callable[..., Site]) -> Site:
    """A merchant's two events and another merchant's one. Grants stay cached until the test advances the clock."""
    site = site_with()
    site.world.count(
        site.world.created(eventTitle="봄맞이"),
        site.world.created(OTHER, eventTitle="비밀"),
        site.world.created("another-merchants", owner=OTHER_MERCHANT),
        site.world.registered("p1"),
    )
    site.services.share_links._monotonic = Clock()
    return site


def advance_clock(site: Site, seconds: float) -> None:
    clock = site.services.share_links._monotonic
    assert isinstance(clock, Clock)
    clock.s += seconds


def until(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


def create_link(client: httpx2.Client, event: str = SPRING, **fields: Any) -> dict[str, Any]:
    """Creates a link. Returns the response."""
    answer = client.post(f"/api/v1/events/{event}/shares", json={"until": until(days=7), **fields})
    assert answer.status_code == 201, answer.text
    link: dict[str, Any] = answer.json()
    return link


def secret_of(share: dict[str, Any]) -> str:
    return str(share["address"]).partition("#share=")[2]


@contextmanager
def visitor(site: Site) -> Iterator[httpx2.Client]:
    """A browser without cookies."""
    with httpx2.Client(base_url=site.address, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def guest(site: Site) -> Iterator[httpx2.Client]:
    """A browser that opened one of the merchant's links."""
    with visitor(site) as client:
        open_link(client, create_link(site.owner))
        yield client


def secret_in(client: httpx2.Client) -> str:
    """The secret in a browser's cookie, which it has twice: for the paths of the event in the API, and of its page."""
    (secret,) = {str(cookie.value) for cookie in client.cookies.jar if cookie.name == "hannun_share"}
    return secret


def open_link(client: httpx2.Client, share: dict[str, Any], event: str = SPRING) -> None:
    answer = client.post(f"/api/v1/events/{event}/session", json={"share": secret_of(share)})
    assert answer.status_code == 204, answer.text


def test_a_link_grants_access_to_the_views_of_its_event(site: Site, guest: httpx2.Client) -> None:
    for view in VIEWS:
        assert guest.get(f"{API}/{view}").json() == site.owner.get(f"{API}/{view}").json()
    etag = guest.get(f"{API}/analytics").headers["etag"]
    assert guest.get(f"{API}/analytics", headers={"If-None-Match": etag}).status_code == 304
    with watched(site, guest, f"{API}/live") as stream:
        site.world.count(site.world.registered())
        assert stream.next_change()["eventId"] == SPRING


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet", "pdf&lang=ko", "txt&lang=en"])
def test_a_link_grants_the_files_of_its_event_until_it_is_revoked(site: Site, guest: httpx2.Client, form: str) -> None:
    file, owners = (client.get(f"{API}/analytics?format={form}") for client in (guest, site.owner))
    assert file.status_code == 200, file.text
    for header in ("content-type", "content-disposition", "etag", "cache-control", "vary"):
        assert file.headers[header] == owners.headers[header]
    assert file.content == owners.content
    assert "private" in file.headers["cache-control"]
    cookie = {"Cookie": f"hannun_share={secret_in(guest)}"}  # sent to every path
    for path in (f"/api/v1/events/{OTHER}/analytics", "/api/v1/events/another-merchants/analytics"):
        assert guest.get(f"{path}?format={form}", headers=cookie).status_code == 404
    assert guest.get(f"/api/v1/users/{OWNER}/analytics?format={form}", headers=cookie).status_code in (400, 401)
    (link,) = site.owner.get(f"{API}/shares").json()["shares"]
    site.owner.delete(f"{API}/shares/{link['shareId']}")
    assert guest.get(f"{API}/analytics?format={form}").status_code == 404


def test_a_link_grants_access_to_nothing_else(site: Site, guest: httpx2.Client) -> None:
    cookie = {"Cookie": f"hannun_share={secret_in(guest)}"}  # sent to every path
    for event in (OTHER, "another-merchants", NONE):
        for view in (*VIEWS, INSIGHTS, "live", "shares"):
            assert guest.get(f"/api/v1/events/{event}/{view}").status_code == 401
            assert guest.get(f"/api/v1/events/{event}/{view}", headers=cookie).status_code == 404
    for path in (f"/api/v1/users/{OWNER}/analytics", f"/api/v1/users/{OWNER}/live", "/api/v1/session"):
        assert guest.get(path, headers=cookie).status_code == 401
    assert guest.post("/api/v1/messages", json=[], headers=cookie).status_code == 401
    assert guest.get(f"{API}/shares").status_code == 404
    assert guest.post(f"{API}/shares", json={"until": until(days=1)}).status_code == 401
    (share,) = site.owner.get(f"{API}/shares").json()["shares"]
    assert guest.delete(f"{API}/shares/{share['shareId']}").status_code == 401
    assert guest.get(f"{API}/analytics?refresh=true").status_code == 403
    for as_a_token in (secret_in(guest), share["shareId"]):
        assert site.with_token(as_a_token).get(f"{API}/analytics").status_code == 401
    assert guest.get(f"{API}/analytics").status_code == 200


def test_the_cookie_is_limited_to_its_event_and_hidden_from_scripts(site: Site) -> None:
    for event, path in ((SPRING, SPRING), ("another-merchants", "another-merchants")):
        share = create_link(site.admin, event)
        answer = site.anonymous.post(f"/api/v1/events/{path}/session", json={"share": secret_of(share)})
        cookie = answer.headers["set-cookie"]
        assert f"Path=/api/v1/events/{path};" in cookie
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Max-Age=604" in cookie


def test_the_secret_is_returned_once_and_stored_as_a_hash(site: Site) -> None:
    share = create_link(site.owner, label="대행사")
    secret = secret_of(share)
    assert len(secret) >= 43
    assert share["address"] == f"/events/{SPRING}#share={secret}"
    listed = site.owner.get(f"{API}/shares")
    assert secret not in listed.text
    assert listed.json() == {"shares": [{name: value for name, value in share.items() if name != "address"}]}
    assert (share["label"], share["createdBy"], share["revokedAt"]) == ("대행사", OWNER, None)
    (row,) = site.world.rows("SELECT * FROM hannun.shares")
    assert secret not in str(row.columns) and secret.encode() not in row.secret_hash
    for table in ("analytics_readonly",):
        assert not site.world.rows(f"SELECT 1 WHERE has_table_privilege('{table}', 'hannun.shares', 'SELECT')")


def test_a_revoked_link_stops_working_at_once(site: Site, guest: httpx2.Client) -> None:
    (share,) = site.owner.get(f"{API}/shares").json()["shares"]
    assert guest.get(f"{API}/analytics").status_code == 200
    for _ in range(2):
        assert site.owner.delete(f"{API}/shares/{share['shareId']}").status_code == 204
    refused = guest.get(f"{API}/analytics")
    assert (
        comparable(refused)
        == comparable(guest.get(f"{API}/analytics/timeline"))
        == comparable(site.other_merchant.get(f"{API}/analytics"))
    )
    assert refused.status_code == 404
    assert site.owner.get(f"{API}/shares").json()["shares"][0]["revokedAt"] is not None
    assert guest.get(f"{API}/session").json() == {"expiresAt": None}


def test_a_link_revoked_by_another_process_stops_working_after_a_second(site: Site, guest: httpx2.Client) -> None:
    assert guest.get(f"{API}/analytics").status_code == 200
    site.world.rows("UPDATE hannun.shares SET revoked_at = now()")
    assert guest.get(f"{API}/analytics").status_code == 200  # cached
    advance_clock(site, 1.0)
    assert guest.get(f"{API}/analytics").status_code == 404


def test_a_stream_ends_when_its_link_is_revoked(site: Site, guest: httpx2.Client) -> None:
    with watched(site, guest, f"{API}/live"):
        site.world.rows("UPDATE hannun.shares SET revoked_at = now()")
        advance_clock(site, 1.0)
        site.world.wait_for("the stream to end", lambda: site.watcher_count == 0)
    assert guest.get(f"{API}/live").status_code == 404


def test_an_expired_link_does_not_work(site: Site, guest: httpx2.Client) -> None:
    assert guest.get(f"{API}/analytics").status_code == 200
    site.services.share_links._now = lambda: datetime.now(UTC) + timedelta(days=7, seconds=1)
    assert guest.get(f"{API}/analytics").status_code == 404  # also while the grant is cached
    advance_clock(site, 1.0)
    assert guest.get(f"{API}/analytics").status_code == 404
    with visitor(site) as late:
        assert late.post(f"{API}/session", json={"share": secret_in(guest)}).status_code == 404


def test_a_link_stops_working_when_the_event_changes_its_owner(site: Site, guest: httpx2.Client) -> None:
    site.world.rows("UPDATE hannun.events SET user_id = %s WHERE event_id = %s", OTHER_MERCHANT, SPRING)
    advance_clock(site, 1.0)
    assert guest.get(f"{API}/analytics").status_code == 404


def test_a_secret_works_for_its_own_event_only_and_a_wrong_one_reveals_nothing(site: Site) -> None:
    secret = secret_of(create_link(site.owner))
    results = []
    for event, tried in itertools.product(
        (SPRING, OTHER, "another-merchants", NONE), (secret, "guessed", "", "x" * 9_000)
    ):
        if (event, tried) == (SPRING, secret):
            continue
        with recorded_commands() as sent:
            answer = site.anonymous.post(f"/api/v1/events/{event}/session", json={"share": tried})
        assert "set-cookie" not in answer.headers
        results.append((comparable(answer), len(sent) if len(tried) < 100 else None))
    assert {str(each[0]) for each in results} == {str(results[0][0])}
    assert {each[1] for each in results} == {results[0][1], None}
    assert results[0][0][0] == 404


def test_only_callers_who_see_the_event_may_create_and_revoke_links(site: Site) -> None:
    body = {"until": until(days=1)}
    assert site.admin.post(f"{API}/shares", json=body).status_code == 201
    assert site.admin.post(f"/api/v1/events/{NONE}/shares", json=body).status_code == 404
    assert site.anonymous.post(f"{API}/shares", json=body).status_code == 401
    for client, status in ((site.other_merchant, 404), (site.service, 403)):
        refused = [client.post(f"/api/v1/events/{event}/shares", json=body) for event in (SPRING, NONE)]
        assert comparable(refused[0]) == comparable(refused[1])
        assert refused[0].status_code == status
    share = create_link(site.owner)
    for event in (SPRING, "another-merchants"):  # a merchant can neither see nor revoke another merchant's links
        assert site.other_merchant.delete(f"/api/v1/events/{event}/shares/{share['shareId']}").status_code == 404
    assert site.other_merchant.get(f"{API}/shares").status_code == 404
    assert site.owner.delete(f"/api/v1/events/{OTHER}/shares/{share['shareId']}").status_code == 404
    assert site.owner.get(f"{API}/shares").json()["shares"][0]["revokedAt"] is None


def test_an_invalid_link_is_refused(site: Site) -> None:
    for body, code in (
        ({"until": until(days=-1)}, "bad-date"),
        ({"until": until(days=400)}, "bad-date"),
        ({"until": "9999-12-31T23:59:59-23:00"}, "bad-date"),
        ({"until": "0001-01-01T00:00:00+23:00"}, "bad-date"),
        ({"until": "2027-01-01T00:00:00"}, "no-offset"),
        ({"until": "tomorrow"}, "bad-date"),
        ({"until": f"{until(days=1)}[Bad]"}, "bad-date"),
        ({"until": f"{until(days=1).removesuffix('+00:00')}[Asia/Seoul]"}, "no-offset"),
        ({"until": 1}, "bad-body"),
        ({}, "bad-body"),
        ([], "bad-body"),
        ({"until": until(days=1), "label": "x" * 101}, "bad-parameter"),
        ({"until": until(days=1), "label": "\0"}, "bad-parameter"),
    ):
        answer = site.owner.post(f"{API}/shares", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, code), body
    assert site.owner.post(f"{API}/shares", content=b"x" * 20_000).status_code == 413
    assert site.owner.get(f"{API}/shares").json() == {"shares": []}


def test_a_link_may_expire_at_an_instant_as_java_writes_it(site: Site) -> None:
    expires_at = datetime.now(ZoneInfo("Asia/Seoul")).replace(microsecond=0) + timedelta(days=1)
    link = create_link(site.owner, until=f"{expires_at.isoformat()}[Asia/Seoul]")
    assert datetime.fromisoformat(link["expiresAt"]) == expires_at


def test_the_number_of_active_links_of_an_event_is_limited(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hannun.flows.share_links.ACTIVE_MAX", 2)
    first, _ = create_link(site.owner), create_link(site.owner)
    refused = site.owner.post(f"{API}/shares", json={"until": until(days=1)})
    assert (refused.status_code, refused.json()["code"]) == (409, "too-many-shares")
    site.owner.delete(f"{API}/shares/{first['shareId']}")
    create_link(site.owner)


def test_a_limited_number_of_revoked_links_stays_listed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hannun.flows.share_links.INACTIVE_KEPT_MAX", 2)
    made = []
    for _ in range(4):
        made.append(create_link(site.owner)["shareId"])
        site.owner.delete(f"{API}/shares/{made[-1]}")
    opens = create_link(site.owner)["shareId"]
    listed = [share["shareId"] for share in site.owner.get(f"{API}/shares").json()["shares"]]
    assert listed == [opens, made[3], made[2]]


def test_a_merchant_with_a_link_sees_that_event_too_and_keeps_their_session(site: Site) -> None:
    with visitor(site) as client:
        assert client.post("/api/v1/session", json={"token": site.token(OTHER_MERCHANT)}).status_code == 204
        assert client.get(f"{API}/analytics").status_code == 404
        open_link(client, create_link(site.owner))
        assert client.get(f"{API}/analytics").status_code == 200
        assert client.get(f"/api/v1/events/{OTHER}/analytics").status_code == 404
        assert client.get("/api/v1/events/another-merchants/analytics").status_code == 200
        assert client.get("/api/v1/session").json()["userId"] == OTHER_MERCHANT
        assert client.post(f"{API}/shares", json={"until": until(days=1)}).status_code == 404
        assert client.delete(f"{API}/session").status_code == 204
        assert client.get(f"{API}/analytics").status_code == 404


def test_an_authorization_header_overrides_a_links_cookie(site: Site, guest: httpx2.Client) -> None:
    for token, status in ((site.token(OTHER_MERCHANT), 404), ("bad", 401), (site.token(OWNER), 200)):
        assert guest.get(f"{API}/analytics", headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_links_of_two_events_work_in_the_same_browser(site: Site, guest: httpx2.Client) -> None:
    open_link(guest, create_link(site.owner, OTHER), OTHER)
    assert guest.get(f"{API}/analytics").json()["eventId"] == SPRING
    assert guest.get(f"/api/v1/events/{OTHER}/analytics").json()["eventId"] == OTHER
    assert guest.get(f"{API}/session").json()["expiresAt"] is not None


def test_a_link_has_a_rate_limit_of_its_own(world: World) -> None:
    with ExitStack() as stack:
        site = stack.enter_context(open_site(world, share_requests_a_minute=2, requests_a_minute=5))
        site.services.share_limit._clock = site.services.request_limit._clock = lambda: 0.0
        world.count(world.created())
        share = create_link(site.owner)
        guests = [stack.enter_context(visitor(site)) for _ in range(2)]
        for guest in guests:
            open_link(guest, share)
        answers = [guests[n % 2].get(f"{API}/analytics") for n in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].headers["retry-after"] == "30"
        assert site.owner.get(f"{API}/analytics").status_code == 200


def test_a_link_costs_one_query_a_second(site: Site, guest: httpx2.Client) -> None:
    advance_clock(site, 1.0)
    with recorded_commands() as sent:
        for _ in range(5):
            guest.get(f"{API}/analytics")
    assert len([step for step in sent if "hannun.shares" in step]) == 1


def test_events_with_special_characters_in_their_id_can_be_create_link(site: Site) -> None:
    for event, path in (("a b;c", "a%20b%3Bc"), ("ㄱ:ㄴ", "%E3%84%B1%3A%E3%84%B4"), ("it's(1)!*", "it's(1)!*")):
        site.world.count(site.world.created(event))
        answer = site.owner.post(f"/api/v1/events/{path}/shares", json={"until": until(days=1)})
        assert answer.json()["address"].startswith(f"/events/{path}#share=")
        with visitor(site) as client:
            entered = client.post(f"/api/v1/events/{path}/session", json={"share": secret_of(answer.json())})
            assert f"Path=/api/v1/events/{path};" in entered.headers["set-cookie"]
            cookie = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
            assert client.get(f"/api/v1/events/{path}/analytics", headers=cookie).json()["eventId"] == event
