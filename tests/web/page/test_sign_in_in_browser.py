"""Signing in to the page: by the platform, by a code, by the address with it."""

from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import EVENT, Browser
from playwright.sync_api import Route, expect
from served import Site, open_site
from world import OWNER, World

pytestmark = pytest.mark.browser

PLATFORM = "https://platform.test/sign-in?from=hannun"


def test_the_platform_signs_a_merchant_in_and_sends_the_browser_back(world: World, browser: Browser) -> None:
    with open_site(world, sign_in_url=PLATFORM) as site:
        world.count(world.created())
        page = browser.new_page()

        def sign_in_at_the_platform(route: Route) -> None:
            asked = parse_qs(urlsplit(route.request.url).query)
            wanted = {"userId": OWNER, "returnTo": asked["return"][0]}
            address = site.service.post("/api/v1/sign-in-codes", json=wanted).json()["address"]
            route.fulfill(status=302, headers={"Location": site.address + address})

        page.route("https://platform.test/**", sign_in_at_the_platform)
        page.goto(f"{site.address}{EVENT}?lang=ko")
        page.get_by_role("link", name="플랫폼으로 로그인").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
        assert page.url == f"{site.address}{EVENT}?lang=ko"
        assert browser.unexpected_messages(401) == []


def test_a_code_or_its_address_can_be_typed(site: Site, browser: Browser) -> None:
    for before in ("", f"{site.address}/?lang=ko#code="):
        page = browser.new_page()
        page.goto(site.address + EVENT)
        field = page.get_by_label("일회용 코드", exact=True)
        submit = page.get_by_role("button", name="로그인")
        for wrong, message in (("", "코드를 넣어 주세요."), ("guessed", "코드가 맞지 않거나")):
            field.fill(wrong)
            submit.click()
            expect(page.locator("#code-error")).to_contain_text(message)
        field.fill(before + site.sign_in_code(OWNER))
        submit.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert browser.unexpected_messages(401) == []
