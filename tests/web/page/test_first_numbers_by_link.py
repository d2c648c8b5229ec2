"""The first numbers in the document for a visitor by a share link: while it is open, and for its event only."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from browsing import ANALYTICS, EVENT, Browser, tile
from layout_shifts import assert_nothing_moved, observe_shifts
from playwright.sync_api import Page, Route, expect
from served import OTHER_MERCHANT, Site
from test_first_numbers import answers_in
from world import OWNER, SPRING

API = f"/api/v1{EVENT}"
HTML = {"Accept": "text/html", "Accept-Language": "ko"}
ENDED = "이 링크로는 더 이상 볼 수 없어요"


@pytest.fixture
def link(site: Site) -> dict[str, Any]:
    """A link to the event for a week."""
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    created: dict[str, Any] = site.owner.post(f"{API}/shares", json={"until": until}).json()
    return created


@pytest.fixture
def secret(link: dict[str, Any]) -> str:
    return str(link["address"]).partition("#share=")[2]


@pytest.fixture
def visitor(site: Site, secret: str) -> Iterator[httpx2.Client]:
    """A browser that has opened the link."""
    with httpx2.Client(base_url=site.address, headers=HTML, timeout=60, trust_env=False) as client:
        assert client.post(f"{API}/session", json={"share": secret}).status_code == 204
        yield client


def without_numbers(site: Site) -> str:
    text = str(site.anonymous.get(EVENT, headers=HTML).text)
    assert answers_in(text) == {} and "봄맞이" not in text
    return text


def expire_links(site: Site) -> None:
    site.services.share_links._now = lambda: datetime.now(UTC) + timedelta(days=7, seconds=1)


def test_a_visitor_gets_the_numbers_of_the_event_and_nothing_on_its_owner(site: Site, visitor: httpx2.Client) -> None:
    answer = visitor.get(EVENT)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert {"Cookie", "Accept-Language"} <= set(answer.headers["vary"].split(", "))
    for text in ('<h1 tabindex="-1">봄맞이</h1>', "지금까지 7명이 참여했고, ", "공유 링크로 보고 있어요."):
        assert text in answer.text
    assert OWNER not in answer.text
    given = answers_in(answer.text)
    assert set(given) == {f"{API}/session", ANALYTICS, f"{ANALYTICS}/insights?tz=Asia%2FSeoul"}
    assert given[f"{API}/session"] == visitor.get(f"{API}/session").json()
    assert given[ANALYTICS] == visitor.get(ANALYTICS).json()


def test_the_cookie_goes_to_the_paths_of_the_event_only_until_the_link_expires(site: Site, secret: str) -> None:
    opened = site.client({}).post(f"{API}/session", json={"share": secret})
    cookies = [each.split("; ") for each in opened.headers.get_list("set-cookie")]
    assert [next(part for part in parts if part.startswith("Path=")) for parts in cookies] == [
        f"Path=/api/v1/events/{SPRING}",
        f"Path=/events/{SPRING}",
    ]
    for parts in cookies:
        assert parts[0] == f"hannun_share={secret}"
        assert {"HttpOnly", "SameSite=strict"} <= set(parts)
        (age,) = [int(part.partition("=")[2]) for part in parts if part.startswith("Max-Age=")]
        assert timedelta(days=6, hours=23) < timedelta(seconds=age) <= timedelta(days=7)


def test_the_cookie_brings_no_numbers_to_any_other_page(site: Site, visitor: httpx2.Client, secret: str) -> None:
    site.world.count(site.world.created("another-of-the-owner", eventTitle="비밀"))
    plain = without_numbers(site)
    everywhere = {**HTML, "Cookie": f"hannun_share={secret}"}
    for path in ("/", f"/users/{OWNER}", "/events/another-of-the-owner", "/events/another-merchants", "/events/none"):
        assert visitor.get(path).text == plain, path
        assert site.anonymous.get(path, headers=everywhere).text == plain, path
    for wrong in ("guessed", "", "x" * 900):
        assert site.anonymous.get(EVENT, headers={**HTML, "Cookie": f"hannun_share={wrong}"}).text == plain


def test_a_revoked_link_brings_no_numbers(site: Site, visitor: httpx2.Client, link: dict[str, Any]) -> None:
    before = visitor.get(EVENT)
    assert "봄맞이" in before.text
    assert site.owner.delete(f"{API}/shares/{link['shareId']}").status_code == 204
    after = visitor.get(EVENT, headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.text) == (200, without_numbers(site))


def test_an_expired_link_brings_no_numbers(site: Site, visitor: httpx2.Client) -> None:
    assert "봄맞이" in visitor.get(EVENT).text
    expire_links(site)
    assert visitor.get(EVENT).text == without_numbers(site)


def test_a_link_to_an_event_that_is_now_another_merchants_brings_no_numbers(site: Site, visitor: httpx2.Client) -> None:
    assert "봄맞이" in visitor.get(EVENT).text
    site.world.rows("UPDATE hannun.events SET user_id = %s WHERE event_id = %s", OTHER_MERCHANT, SPRING)
    plain = without_numbers(site)
    site.world.wait_for("the link to stop working", lambda: visitor.get(EVENT).text == plain)


def test_a_user_with_a_link_gets_the_page_without_numbers(site: Site, secret: str) -> None:
    """It has to find out first who looks: the header and the way back are those of the user."""
    cookies = f"hannun_share={secret}; hannun_session={site.token(OTHER_MERCHANT)}"
    assert site.anonymous.get(EVENT, headers={**HTML, "Cookie": cookies}).text == without_numbers(site)


def test_closing_the_access_deletes_the_cookie_for_both_paths(site: Site, visitor: httpx2.Client) -> None:
    assert visitor.delete(f"{API}/session").status_code == 204
    assert visitor.get(ANALYTICS).status_code == 401
    assert visitor.get(EVENT).text == without_numbers(site)


# -- in a browser


def opened_by_link(site: Site, page: Page, link: dict[str, Any], lang: str = "ko") -> Page:
    page.goto(site.address + link["address"].replace("#", f"?lang={lang}#"))
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    return page


@pytest.mark.browser
def test_without_javascript_a_visitor_reads_the_first_numbers(site: Site, browser: Browser, secret: str) -> None:
    page = browser.new_page(390, 844, java_script_enabled=False)
    cookie: Any = {"name": "hannun_share", "value": secret, "url": site.address + EVENT}
    page.context.add_cookies([cookie])
    page.goto(f"{site.address}{EVENT}?lang=ko")
    expect(page.locator(".headline")).to_contain_text("지금까지 7명이")
    expect(tile(page, "참여자").locator(".value")).to_contain_text("7")
    expect(page.get_by_text("공유 링크로 보고 있어요")).to_be_visible()
    expect(page.get_by_role("button", name="로그아웃")).to_have_count(0)


@pytest.mark.browser
@pytest.mark.parametrize("lang", ["ko", "en"])
@pytest.mark.parametrize("size", [(390, 844), (1440, 900)])
def test_nothing_jumps_when_the_page_of_a_link_takes_over(
    site: Site, browser: Browser, link: dict[str, Any], size: tuple[int, int], lang: str
) -> None:
    page = opened_by_link(site, browser.new_page(*size), link, lang)
    observe_shifts(page)
    requested: list[str] = []
    held: list[Route] = []
    page.on("request", lambda request: requested.append(request.url))
    page.route("**/linked/app.js", lambda route: held.append(route))
    page.reload(wait_until="commit")
    expect(page.locator(".headline")).not_to_be_empty()
    note = page.locator(".event-actions > .note").text_content()
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
    held[0].continue_()
    expect(page.locator(".live-live")).to_be_visible()
    expect(page.locator(".plot canvas")).to_be_visible()
    assert_nothing_moved(page)
    assert page.locator(".event-actions > .note").text_content() == note
    assert not [url for url in requested if url.endswith("/session")]


@pytest.mark.browser
def test_an_open_page_says_that_its_link_has_expired_and_a_reload_too(
    site: Site, browser: Browser, link: dict[str, Any]
) -> None:
    page = opened_by_link(site, browser.new_page(), link)
    expect(page.locator(".live-live")).to_be_visible()
    expire_links(site)
    page.keyboard.press("r")
    for _ in range(2):
        expect(page.get_by_role("heading", level=1)).to_have_text(ENDED)
        expect(page.get_by_text("봄맞이")).to_have_count(0)
        expect(page.get_by_role("link", name="첫 화면으로")).to_be_visible()
        page.reload()


@pytest.mark.browser
def test_an_open_page_says_that_its_link_was_revoked_and_a_reload_too(
    site: Site, browser: Browser, link: dict[str, Any]
) -> None:
    page = opened_by_link(site, browser.new_page(), link)
    expect(page.locator(".live-live")).to_be_visible()
    assert site.owner.delete(f"{API}/shares/{link['shareId']}").status_code == 204
    for _ in range(2):
        expect(page.get_by_role("heading", level=1)).to_have_text(ENDED)
        expect(page.get_by_text("봄맞이")).to_have_count(0)
        page.reload()


@pytest.mark.browser
def test_a_visitor_takes_the_report_and_the_tables_and_gives_no_link_away(
    site: Site, browser: Browser, link: dict[str, Any]
) -> None:
    page = opened_by_link(site, browser.new_page(), link)
    expect(page.get_by_role("button", name="링크로 공유")).to_have_count(0)
    for button, kind in (("보고서 (PDF)", "pdf"), (re.compile("이벤트 요약.*CSV"), "csv")):
        page.get_by_role("button", name="내보내기").click()
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename.endswith(f".{kind}")
        expect(page.locator(".export-status")).to_contain_text("파일을 받았어요")
