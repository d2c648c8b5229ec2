"""Sign-in codes work once. A session that its user ends is over, in every process."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from issuer import RSA, Issuer, token_by
from served import Site
from test_fast_path import reached
from test_live import LIVE, watched
from test_odd_tokens import claims_with, signed
from world import OWNER, SPRING

from hannun.errors import StoreUnavailable
from hannun.flows import sessions
from hannun.flows.sessions import EndedSessions, Sessions
from hannun.store.database import Database, ReadPool

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
SESSION = "/api/v1/session"
HALF_A_DAY_S = 12 * 3_600


def sign_in(site: Site, code: str) -> httpx2.Response:
    return site.client({}).post(SESSION, json={"code": code})


def cookie_of(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 204, answer.text
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def max_age(answer: httpx2.Response) -> int:
    return int(answer.headers["set-cookie"].partition("Max-Age=")[2].partition(";")[0])


def signed_in(site: Site) -> httpx2.Client:
    """The owner's browser."""
    return site.client(cookie_of(sign_in(site, site.sign_in_code(OWNER))))


def token_of(client: httpx2.Client) -> str:
    return client.headers["cookie"].partition("=")[2]


# -- codes


def test_a_code_signs_in_once_also_of_many_at_the_same_time(site: Site) -> None:
    code = site.sign_in_code(OWNER)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: sign_in(site, code), range(10)))
    assert sorted(answer.status_code for answer in answers) == [204] + [401] * 9
    refused = next(answer for answer in answers if answer.status_code == 401)
    assert (refused.json()["code"], "set-cookie" in refused.headers) == ("unauthenticated", False)
    assert "hannun sign-in-code" in refused.json()["detail"]


def test_a_code_begins_a_session_of_half_a_day(site: Site) -> None:
    answer = sign_in(site, site.sign_in_code(OWNER))
    assert HALF_A_DAY_S - 60 < max_age(answer) <= HALF_A_DAY_S
    who = site.anonymous.get(SESSION, headers=cookie_of(answer)).json()
    assert (who["userId"], who["roles"]) == (OWNER, ["MERCHANT"])


def test_a_used_code_is_used_everywhere_and_after_a_restart(site: Site) -> None:
    used, other = site.sign_in_code(OWNER), site.sign_in_code(OWNER)
    assert sign_in(site, used).status_code == 204
    with Site(site.world) as another_process:
        assert sign_in(another_process, used).status_code == 401
        assert sign_in(another_process, other).status_code == 204
    assert sign_in(site, other).status_code == 401


def test_an_expired_code_signs_nobody_in(site: Site) -> None:
    code = site.sign_in_code(OWNER)
    left = "extract(epoch FROM expires_at - clock_timestamp())"
    assert 590 < site.world.rows(f"SELECT {left} AS left FROM hannun.sign_in_codes")[0].left <= 600
    site.world.rows("UPDATE hannun.sign_in_codes SET expires_at = clock_timestamp()")
    assert sign_in(site, code).status_code == 401
    site.sign_in_code(OWNER)
    assert len(site.world.rows("SELECT 1 AS one FROM hannun.sign_in_codes")) == 1, "the expired one is deleted"


@pytest.mark.parametrize("code", ["", "guessed", "x" * 101, "가" * 20, "\0", "' OR true --"])
def test_any_other_code_signs_nobody_in(site: Site, code: str) -> None:
    site.sign_in_code(OWNER)
    assert sign_in(site, code).status_code == 401


def test_a_code_is_no_token_and_is_not_stored(site: Site) -> None:
    code = site.sign_in_code(OWNER)
    assert site.with_token(code).get(SESSION).status_code == 401
    assert code not in str(site.world.rows("SELECT * FROM hannun.sign_in_codes"))


# -- the end of a session


def test_a_session_that_was_ended_opens_nothing(site: Site) -> None:
    site.send(site.world.created())
    browser, other_browser = signed_in(site), signed_in(site)
    token = token_of(browser)
    bearer = {"Authorization": f"Bearer {token}"}
    for _ in range(2):
        assert browser.get(ANALYTICS).status_code == other_browser.get(ANALYTICS).status_code == 200
    assert not reached(site, ANALYTICS, dict(browser.headers))
    ended = browser.delete(SESSION)
    assert ended.status_code == 204
    assert 'hannun_session=""' in ended.headers["set-cookie"]
    assert reached(site, ANALYTICS, dict(browser.headers)), "the fast path does not answer"
    for client, headers in ((browser, {}), (site.anonymous, bearer)):
        for path in (ANALYTICS, f"{ANALYTICS}/roi", SESSION, LIVE):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path
            assert "has ended" in answer.json()["detail"]
    assert site.anonymous.post(SESSION, json={"token": token}).status_code == 401
    assert browser.delete(SESSION).status_code == 204, "it has ended already"
    assert other_browser.get(ANALYTICS).status_code == 200


def test_a_session_ends_in_all_processes_and_stays_ended_after_a_restart(site: Site) -> None:
    site.send(site.world.created())
    browser = signed_in(site)
    with Site(site.world) as other:
        there = other.client(dict(browser.headers))
        assert there.get(ANALYTICS).status_code == 200
        browser.delete(SESSION)
        site.world.wait_for("the other process to refuse it", lambda: there.get(ANALYTICS).status_code == 401)
        assert site.redis.flushall()
        assert there.get(ANALYTICS).status_code == browser.get(ANALYTICS).status_code == 401
    with Site(site.world) as restarted:
        assert restarted.client(dict(browser.headers)).get(ANALYTICS).status_code == 401, "from the first request on"


def test_the_live_stream_of_a_session_ends_with_it(site: Site) -> None:
    site.send(site.world.created())
    browser = signed_in(site)
    with watched(site, browser) as stream:
        assert site.client(dict(browser.headers)).delete(SESSION).status_code == 204
        assert stream.ends()


def test_the_token_that_a_session_begins_with_goes_on(site: Site) -> None:
    """Programs may use it, too."""
    for lasts_s, session_s in ((3_600.0, 3_600), (365 * 86_400.0, HALF_A_DAY_S)):
        token = site.token(OWNER, "MERCHANT", "SERVICE", lasts_s=lasts_s)
        answer = site.client({}).post(SESSION, json={"token": f" {token} "})
        assert session_s - 60 < max_age(answer) <= session_s
        cookie = cookie_of(answer)
        assert token not in cookie["Cookie"]
        browser = site.client(cookie)
        assert browser.get(SESSION).json()["roles"] == ["MERCHANT", "SERVICE"]
        assert browser.delete(SESSION).status_code == 204
        assert browser.get(SESSION).status_code == 401
        assert site.with_token(token).get(SESSION).status_code == 200
        assert site.client({}).post(SESSION, json={"token": token}).status_code == 204, "for a new session"


def test_a_role_that_the_mapping_cannot_name_stays_in_the_session(site_with: Callable[..., Site]) -> None:
    site = site_with(jwt_role_mapping="MERCHANT=SERVICE,both=MERCHANT,both=ADMIN")
    token = signed({"alg": "HS256"}, claims_with(roles=["both"]))
    browser = site.client(cookie_of(site.client({}).post(SESSION, json={"token": token})))
    assert browser.get(SESSION).json()["roles"] == ["ADMIN", "MERCHANT"]
    assert browser.delete(SESSION).status_code == 204
    assert browser.get(SESSION).status_code == 401


def test_a_session_of_a_published_key_is_its_token(site_with: Callable[..., Site]) -> None:
    with Issuer() as issuer:
        site = site_with(jwt_jwks_url=issuer.url)
        token = token_by(RSA, "rsa-1", OWNER, exp=4_000_000_000)
        site.world.wait_for("the key", lambda: site.with_token(token).get(SESSION).status_code == 200)
        answer = site.client({}).post(SESSION, json={"token": token})
        assert max_age(answer) == HALF_A_DAY_S, "the browser keeps it no longer"
        browser = site.client(cookie_of(answer))
        assert token_of(browser) == token
        assert browser.delete(SESSION).status_code == 204
        assert browser.get(SESSION).status_code == site.with_token(token).get(SESSION).status_code == 401


def test_a_bearer_token_is_not_ended(site: Site) -> None:
    client = site.with_token(site.token(OWNER))
    assert client.delete(SESSION).status_code == 204
    assert client.get(SESSION).status_code == 200
    assert site.world.rows("SELECT 1 AS one FROM hannun.ended_sessions") == []


def test_what_is_no_session_ends_without_a_record(site: Site) -> None:
    for cookie in ("guessed", site.token(OWNER, lasts_s=-60), ""):
        assert site.client({"Cookie": f"hannun_session={cookie}"}).delete(SESSION).status_code == 204
    assert site.world.rows("SELECT 1 AS one FROM hannun.ended_sessions") == []


def test_a_sign_out_takes_from_the_limit_of_its_user(site_with: Callable[..., Site]) -> None:
    site = site_with(requests_a_minute=1)
    site.services.request_limit._clock = lambda: 0.0
    browser = signed_in(site)
    assert browser.get(SESSION).status_code == 200
    assert browser.delete(SESSION).status_code == 429
    assert site.world.rows("SELECT 1 AS one FROM hannun.ended_sessions") == []


def test_a_sign_out_that_cannot_be_recorded_is_503_and_ends_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = signed_in(site)

    def away(_: Any) -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", away)
        refused = browser.delete(SESSION)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "set-cookie" not in refused.headers
        assert sign_in(site, "any").status_code == 503
    assert browser.get(SESSION).status_code == 200
    assert browser.delete(SESSION).status_code == 204


def test_ended_sessions_stay_ended_while_postgresql_is_unavailable(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = signed_in(site)
    browser.delete(SESSION)

    tried: list[None] = []

    async def away(*_: Any) -> Any:
        tried.append(None)
        raise StoreUnavailable("away")

    monkeypatch.setattr(ReadPool, "read", away)
    site.world.wait_for("a read of ended sessions", lambda: tried)
    assert browser.get(SESSION).status_code == 401


def test_records_of_expired_tokens_are_deleted(site: Site) -> None:
    signed_in(site).delete(SESSION)
    site.world.rows("UPDATE hannun.ended_sessions SET expires_at = expires_at - interval '2 days'")
    signed_in(site).delete(SESSION)
    assert len(site.world.rows("SELECT 1 AS one FROM hannun.ended_sessions")) == 1


def test_a_process_forgets_sessions_whose_token_has_expired() -> None:
    ended = EndedSessions()
    ended.add(b"old", 100.0)
    ended.add(b"new", 200.0)
    ended.drop_expired(150.0)
    assert (b"old" in ended, b"new" in ended) == (False, True)


def test_reading_goes_on_after_an_error_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = EndedSessions()
    logged: list[str] = []
    follower = Sessions(None, None, ended)  # type: ignore[arg-type]  # its reads are replaced
    outcomes: list[Callable[[], Coroutine[Any, Any, None]]] = []

    async def read() -> None:
        if not outcomes:
            raise asyncio.CancelledError
        await outcomes.pop(0)()

    async def fails() -> None:
        raise StoreUnavailable("away")

    async def breaks() -> None:
        raise ValueError("odd")

    async def works() -> None:
        ended.add(b"read", 1e12)

    outcomes += [works, fails, breaks, fails, works, fails]
    monkeypatch.setattr(follower, "read_ended", read)
    monkeypatch.setattr(sessions, "log", SimpleNamespace(warning=lambda event, **_: logged.append(event)))
    monkeypatch.setattr(sessions, "READ_INTERVAL_S", 0)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(follower.run())
    assert logged == ["ended sessions could not be read"] * 2
    assert b"read" in ended


def test_a_sign_in_ends_the_session_that_it_replaces(site: Site) -> None:
    """Its cookie may have been copied before; another browser's session goes on."""
    browser, other = site.client({}), site.client({})
    for each in (browser, other):
        assert each.post(SESSION, json={"code": site.sign_in_code(OWNER)}).status_code == 204
    copied = site.client({"Cookie": f"hannun_session={browser.cookies['hannun_session']}"})
    assert copied.get(SESSION).status_code == 200
    assert browser.post(SESSION, json={"code": site.sign_in_code(OWNER)}).status_code == 204
    assert [copied.get(SESSION).status_code, other.get(SESSION).status_code] == [401, 200]
    assert browser.get(SESSION).status_code == 200
