"""The first numbers in the document: who gets them, and that the page takes them over."""

import json
import re
from datetime import datetime
from typing import Any

import pytest
from browsing import ANALYTICS, EVENT, Browser, hours_ago, signed_in, tile
from layout_shifts import assert_nothing_moved, observe_shifts
from playwright.sync_api import Page, Route, expect
from served import OTHER_MERCHANT, Site, open_site
from world import OWNER, World

from hannun.domain.questions import InsightsQuestion
from hannun.errors import StoreUnavailable

MERCHANT = f"/users/{OWNER}"


def document(site: Site, path: str, token: str | None, language: str = "ko", **headers: str) -> Any:
    cookie = {} if token is None else {"Cookie": f"hannun_session={token}"}
    return site.anonymous.get(path, headers={"Accept-Language": language, "Accept": "text/html", **cookie, **headers})


def answers_in(document: str) -> dict[str, Any]:
    """The answers in a document, by their addresses."""
    found = re.search('<script type="application/json" id="answers">(.*?)</script>', document, re.DOTALL)
    return {} if found is None else {each["url"]: each["body"] for each in json.loads(found[1])}


def test_the_document_has_the_numbers_and_the_answers_of_the_api(site: Site) -> None:
    token = site.token(OWNER)
    answer = document(site, f"{EVENT}?view=all", token)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-language"] == "ko"
    assert {"Cookie", "Accept-Language"} <= set(answer.headers["vary"].split(", "))
    for text in (
        '<h1 tabindex="-1">봄맞이</h1>',
        "지금까지 7명이 참여했고, ",
        "<span>7</span>",
        "45.45% 손실",
        '<html lang="ko"',
    ):
        assert text in answer.text
    given = answers_in(answer.text)
    assert given[ANALYTICS] == site.owner.get(ANALYTICS).json()
    insights = given[f"{ANALYTICS}/insights?tz=Asia%2FSeoul"]
    assert insights["advice"] == site.owner.get(f"{ANALYTICS}/insights").json()["advice"]
    assert insights["headline"]["text"]["ko"] in answer.text
    assert given["/api/v1/session"]["userId"] == OWNER
    again = document(site, f"{EVENT}?view=all", token, **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    english = document(site, EVENT, token, "en").text
    assert '<html lang="en"' in english and "7 people have joined so far" in english and "45.45% loss" in english
    assert '<html lang="en"' in document(site, f"{EVENT}?lang=en", token, "ko").text
    assert '<a class="button quiet" href="/events/' in english and "lang=ko" in english
    for path in ("/", MERCHANT):
        listed = document(site, path, token)
        assert "이벤트 1개에 모두 7명이 참여했어요." in listed.text and f'href="{EVENT}"' in listed.text
        assert (
            answers_in(listed.text)[f"/api/v1{MERCHANT}/analytics"]
            == site.owner.get(f"/api/v1{MERCHANT}/analytics").json()
        )


def test_who_may_not_read_the_numbers_gets_a_document_without_any(site: Site) -> None:
    """Another merchant's event and one that does not exist look alike, byte for byte."""
    plain = document(site, EVENT, None).text
    assert answers_in(plain) == {} and "봄맞이" not in plain
    stranger = site.token(OTHER_MERCHANT)
    for path, token in (
        (EVENT, stranger),
        ("/events/there-is-none", stranger),
        (MERCHANT, stranger),
        (EVENT, "no.token.at-all"),
        (EVENT, site.token("the-platform", "SERVICE")),
        (f"/events/{'x' * 300}", stranger),
        ("/events/%00", stranger),
        ("/", site.token("the-operator", "ADMIN")),  # who has to choose a merchant first
        ("/ops", site.token("the-operator", "ADMIN")),
    ):
        answer = document(site, path, token)
        assert (answer.status_code, answer.text) == (200, plain), path
    assert "봄맞이" in document(site, EVENT, site.token("the-operator", "ADMIN")).text


def test_the_numbers_cost_what_one_request_to_the_api_costs(world: World) -> None:
    with open_site(world, requests_a_minute=3) as site:
        world.count(world.created())
        token = site.token(OWNER)
        shown = ["봄맞이" in document(site, EVENT, token).text for _ in range(5)]
        assert shown == [True, True, True, False, False]  # the page comes without numbers, and asks again itself


def test_an_administrators_look_at_a_document_is_recorded(site: Site) -> None:
    def reads() -> int:
        return len(site.world.rows("SELECT FROM hannun.audit_log WHERE action = 'read'"))

    before = reads()
    assert "봄맞이" in document(site, EVENT, site.token("the-operator", "ADMIN")).text
    site.world.wait_for("the read to be recorded", lambda: reads() > before)


def test_while_the_store_is_away_the_page_comes_without_numbers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(site.services.reports, "answer", fail)
    answer = document(site, EVENT, site.token(OWNER))
    assert answer.status_code == 200 and answers_in(answer.text) == {}


def test_without_insights_the_sentence_is_of_the_dashboard(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = site.services.reports.answer

    async def fail_for_insights(principal: Any, question: Any) -> Any:
        if isinstance(question, InsightsQuestion):
            raise StoreUnavailable("away")
        return await answer(principal, question)

    monkeypatch.setattr(site.services.reports, "answer", fail_for_insights)
    text = document(site, EVENT, site.token(OWNER)).text
    assert "지금까지 7명이 참여했고, ROI −45.45%로 목표 30%까지 75.45%p 남았어요." in text
    assert list(answers_in(text)) == ["/api/v1/session", ANALYTICS]


@pytest.mark.browser
def test_a_title_with_markup_is_text(site: Site, browser: Browser) -> None:
    site.send(site.world.created("hostile", eventTitle='</script><script>alert(1)</script><b>"&'))
    text = document(site, "/events/hostile", site.token(OWNER)).text
    assert "<script>alert" not in text and "<b>" not in text
    page = signed_in(site, browser.new_page(), "/events/hostile")
    expect(page.get_by_role("heading", level=1)).to_have_text('</script><script>alert(1)</script><b>"&')
    assert browser.console == []


@pytest.mark.browser
@pytest.mark.parametrize(("path", "text"), [(EVENT, "지금까지 7명이"), ("/", "이벤트 1개에 모두 7명이")])
def test_without_javascript_the_first_numbers_can_be_read(site: Site, browser: Browser, path: str, text: str) -> None:
    page = signed_in(site, browser.new_page(390, 844, java_script_enabled=False), path)
    expect(page.locator(".headline")).to_contain_text(text)
    expect(tile(page, "참여자").locator(".value")).to_contain_text("7")
    # Chromium renders no <noscript> where a debugger has turned scripts off, so it is not visible here.
    assert "자바스크립트가 꺼져 있어요." in page.content()
    page.get_by_role("link", name="English").click()
    expect(page.locator(".headline")).to_contain_text("7 people")
    assert "JavaScript is off." in page.content()
    page.get_by_role("link", name="한국어").click()
    if path == "/":
        page.get_by_role("link", name="봄맞이").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")


@pytest.mark.browser
def test_the_page_takes_the_answers_over_in_place_of_its_first_requests(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url.removeprefix(site.address)))
    page.route("**/live", lambda route: route.abort())  # a stream that opens may ask for what has changed
    page.route(re.compile("/api/v1/session$"), lambda route: route.abort())
    page.route(re.compile(f"{ANALYTICS}$"), lambda route: route.abort())
    signed_in(site, page, EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    expect(page.locator(".headline")).to_contain_text("지금까지 7명이")
    assert "/api/v1/session" not in requested


@pytest.mark.browser
@pytest.mark.parametrize("path", [EVENT, "/"])
@pytest.mark.parametrize(("lang", "people"), [("ko", "7명이"), ("en", "7 people")])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_nothing_jumps_when_the_page_takes_over(
    site: Site, browser: Browser, path: str, lang: str, people: str, width: int, height: int
) -> None:
    page = browser.new_page(width, height)
    observe_shifts(page)
    # The scripts come after the first paint, as on a slow line.
    held: list[Any] = []
    page.route("**/linked/app.js", lambda route: held.append(route))
    page.context.add_cookies([{"name": "hannun_session", "value": site.token(OWNER), "url": site.address}])
    page.goto(f"{site.address}{path}?lang={lang}", wait_until="commit")
    expect(page.locator(".headline")).to_contain_text(people)
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
    held[0].continue_()
    wait_until_whole(page, path, lang)
    assert_nothing_moved(page)
    assert browser.unexpected_messages() == []


def wait_until_whole(page: Page, path: str, lang: str) -> None:
    expect(page.locator(".live-state")).to_have_text({"ko": "실시간", "en": "Live"}[lang])
    if path == EVENT:
        expect(page.locator(".plot canvas")).to_be_visible()


PLANS: dict[str, dict[str, Any]] = {
    "running": {"startDate": hours_ago(480), "endDate": hours_ago(-216)},
    "running-over-new-year": {"startDate": hours_ago(24 * 400), "endDate": hours_ago(-216)},
    "without-end": {"startDate": hours_ago(480), "endDate": None},
    "without-dates": {"startDate": None, "endDate": None},
    "without-start": {"startDate": None, "endDate": hours_ago(-216)},
    "overdue": {"startDate": hours_ago(480), "endDate": hours_ago(24)},
    "upcoming": {"startDate": hours_ago(-24), "endDate": hours_ago(-216)},
    "upcoming-without-end": {"startDate": hours_ago(-24), "endDate": None},
    "ended": {"startDate": hours_ago(480), "endDate": hours_ago(24), "status": "ENDED"},
    "ended-early": {"startDate": hours_ago(480), "endDate": hours_ago(-216), "status": "ENDED"},
    "archived": {"startDate": hours_ago(480), "endDate": hours_ago(24), "status": "ARCHIVED"},
}
INTRODUCTION = ("h1", ".period .status", ".period", ".headline")


def introduction(page: Page) -> list[str]:
    return [" ".join((page.locator(part).text_content() or "").split()) for part in INTRODUCTION]


@pytest.mark.browser
@pytest.mark.parametrize(("lang", "zone"), [("ko", None), ("en", None), ("ko", "America/New_York")])
def test_the_document_says_what_the_page_says(world: World, browser: Browser, lang: str, zone: str | None) -> None:
    with open_site(world) as site:
        for event_id, plan in PLANS.items():
            written = {name: each.isoformat() if isinstance(each, datetime) else each for name, each in plan.items()}
            world.count(world.created(event_id, **written), world.registered(f"of {event_id}", event_id))
        page = browser.new_page()
        page.context.add_cookies([{"name": "hannun_session", "value": site.token(OWNER), "url": site.address}])
        held: list[Route] = []
        page.route("**/linked/app.js", lambda route: held.append(route))
        for event_id in PLANS:
            query = f"?lang={lang}" + (f"&tz={zone}" if zone else "")
            page.goto(f"{site.address}/events/{event_id}{query}", wait_until="commit")
            expect(page.locator(".headline")).not_to_be_empty()
            first = introduction(page)
            held.pop().continue_()
            expect(page.locator(".event-sections")).to_be_visible()
            assert introduction(page) == first, event_id
        assert browser.unexpected_messages() == []
