"""Every state of the page: in both languages and themes, on a phone and on a wide screen.

Each test opens one state in one language, then changes theme and width in place. It keeps four screenshots where
`HANNUN_SCREENSHOTS` names a folder.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from browsing import EVENT, Browser, screenshot
from playwright.sync_api import Page, expect
from served import Site
from world import OWNER

from hannun.errors import StoreUnavailable

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
WIDTHS = {390: 844, 1440: 900}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOCALES = {"ko": "ko-KR", "en": "en-US"}
NEW_MERCHANT = "0d1e8a52-0000-4000-8000-00000000000c"
NAMES_IN_KOREAN = re.compile("봄맞이|한국어|네이버|오프라인")
"""What an English page shows in Korean: what the merchant wrote, and the name of the other language."""
KOREAN = re.compile("[가-힣]")
ENGLISH_SENTENCE = re.compile(r"(?:\b[a-z]{2,}\b[ ,]+){3}", re.IGNORECASE)


@dataclass(frozen=True)
class Opening:
    """What opens a state: the service, a page, and the language in which it is opened."""

    site: Site
    page: Page
    language: str
    patched: pytest.MonkeyPatch

    def open(self, path: str, user: str = OWNER, *, query: str = "") -> None:
        self.sign_in(user)
        self.visit(path, query=query)

    def sign_in(self, user: str) -> None:
        cookie = {"name": "hannun_session", "value": self.site.token(user), "url": self.site.address}
        self.page.context.add_cookies([cookie])  # type: ignore[list-item]

    def visit(self, path: str, *, query: str = "", fragment: str = "") -> None:
        """Open a path without a new session."""
        self.page.goto(f"{self.site.address}{path}?lang={self.language}{query}{fragment}")

    def open_event(self, *, query: str = "") -> None:
        self.open(EVENT, query=query)
        expect(self.page.locator(".plot canvas")).to_be_visible()

    def open_address_of_the_api(self, path: str) -> None:
        """Open it as a person does who types it: the language is that of the browser, since it takes no `lang`."""
        self.sign_in(OWNER)
        self.page.goto(f"{self.site.address}{path}")

    def make_database_unavailable(self) -> None:
        """Each question for figures fails from here on, as it does while PostgreSQL is away."""

        async def unavailable(*_: object, **__: object) -> None:
            raise StoreUnavailable("away")

        self.patched.setattr(self.site.services.reports, "answer", unavailable)


def normal(opening: Opening) -> None:
    opening.open_event()


def event_list(opening: Opening) -> None:
    opening.open("/")
    expect(opening.page.get_by_role("link", name="봄맞이")).to_be_visible()


def never_received_anything(opening: Opening) -> None:
    opening.open("/", NEW_MERCHANT)
    # It says how to send.
    expect(opening.page.locator(".no-events ol li")).to_have_count(3)
    expect(opening.page.locator(".no-events a[href='/docs']")).to_be_visible()


def nothing_in_this_range(opening: Opening) -> None:
    opening.open_event(query="&view=2h")


def not_yet_begun(opening: Opening) -> None:
    start = datetime.now(UTC) + timedelta(days=3)
    opening.site.send(opening.site.world.created("planned", startDate=start.isoformat(), totalInvestment=100_000))
    opening.open("/events/planned")


def ended(opening: Opening) -> None:
    opening.site.send(opening.site.world.status_changed("ENDED", "2026-11-22T09:00:00+09:00"))
    opening.open_event()


def channel_is_silent(opening: Opening) -> None:
    world = opening.site.world
    silent_since = (datetime.now(UTC) - timedelta(hours=3)).replace(tzinfo=None)
    world.measure(world.measurement("WooriTV", at=silent_since.isoformat(" "), views=8_000, impressions=20_000))
    opening.open_event()


def loading_another_range(opening: Opening) -> None:
    # The page gives up after 10 s, which is too early on a loaded machine.
    opening.page.add_init_script("AbortSignal.timeout = () => new AbortController().signal")
    opening.open_event()
    opening.page.route("**/timeline*", lambda _: None)  # no answer
    opening.page.get_by_role("link", name=re.compile("^(2시간|2 h)$")).click()
    expect(opening.page.locator(".headline")).to_contain_text("7")  # the figures stay


def server_goes_away(opening: Opening) -> None:
    opening.open_event()
    expect(opening.page.locator(".live-warning")).to_have_count(0)
    opening.page.route("**/analytics*", lambda route: route.fulfill(status=503, json={"code": "store-unavailable"}))
    opening.page.get_by_role("link", name=re.compile("^(7일|7 d)$")).click()
    expect(opening.page.locator(".live-warning")).to_be_visible()
    expect(opening.page.locator(".headline")).to_contain_text("7")  # the figures stay, and say of when they are
    expect(opening.page.locator(".live-state")).to_have_text(re.compile("^(다시 연결 중|Reconnecting)$"))


def failed(opening: Opening) -> None:
    opening.make_database_unavailable()
    opening.open(EVENT)
    expect(opening.page.get_by_role("button", name=re.compile("^(다시 해 보기|Try again)$"))).to_be_visible()


def not_allowed(opening: Opening) -> None:
    opening.open("/ops")
    expect(opening.page.locator("main a.button")).to_have_attribute("href", f"/?lang={opening.language}")


def expired(opening: Opening) -> None:
    opening.open(EVENT)
    expect(opening.page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    opening.page.context.clear_cookies()
    opening.page.reload()
    expect(opening.page.get_by_label(re.compile("^(일회용 코드|One-time code)$"))).to_be_visible()


def no_such_event(opening: Opening) -> None:
    opening.open("/events/there-is-none")
    expect(opening.page.locator("main a.button")).to_have_attribute("href", f"/?lang={opening.language}")


def share_link_has_ended(opening: Opening) -> None:
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    shares = f"/api/v1{EVENT}/shares"
    created = opening.site.owner.post(shares, json={"until": until}).json()
    opening.site.owner.delete(f"{shares}/{created['shareId']}")
    opening.visit(EVENT, fragment="#" + created["address"].partition("#")[2])
    expect(opening.page.locator("main a.button")).to_have_attribute("href", f"/?lang={opening.language}")


def address_without_a_page(opening: Opening) -> None:
    opening.visit("/nowhere")


def request_without_rights(opening: Opening) -> None:
    opening.open_address_of_the_api("/api/v1/operations/checks")


def request_while_the_database_is_away(opening: Opening) -> None:
    opening.make_database_unavailable()
    opening.open_address_of_the_api(f"/api/v1/users/{OWNER}/analytics?limit=7")


def token_form(opening: Opening) -> None:
    opening.visit("/")
    opening.page.locator(".for-developers summary").click()
    expect(opening.page.locator("#token")).to_be_visible()


def shortcuts(opening: Opening) -> None:
    opening.open_event()
    opening.page.keyboard.press("?")
    expect(opening.page.get_by_role("dialog")).to_be_visible()


def share_dialog(opening: Opening) -> None:
    opening.site.owner.post(
        f"/api/v1{EVENT}/shares", json={"until": (datetime.now(UTC) + timedelta(days=7)).isoformat()}
    )
    opening.open_event()
    opening.page.get_by_role("button", name=re.compile("^(링크로 공유|Share a link)$")).first.click()
    expect(opening.page.locator(".share-links li")).to_have_count(1)


def sheet_of_a_figure(opening: Opening) -> None:
    opening.open_event()
    opening.page.locator('[data-figure="roi.costPerParticipant"]').first.click()
    expect(opening.page.locator(".figure-sheet")).to_be_visible()


STATES: dict[Callable[[Opening], None], tuple[str, str]] = {
    normal: ("지금까지 7명이 참여했", "7 people have joined so far"),
    event_list: ("이벤트 1개에 모두 7명이 참여했어요.", "7 people have joined 1 event."),
    never_received_anything: ("아직 이벤트가 없어요", "No events yet"),
    nothing_in_this_range: ("최근 2시간 동안 새 참여가 없었어요.", "In the last 2 hours, nobody joined."),
    not_yet_begun: ("아직 시작하지 않았어요", "It has not started yet"),
    ended: ("모두 7명이 참여했", "7 people joined"),
    channel_is_silent: ("멈춤", "Stopped"),
    loading_another_range: ("흐름을 불러오고 있어요: 2시간", "Loading the chart: 2 h"),
    server_goes_away: ("기준 숫자를 보여 드리고 있어요.", "Showing the numbers as of"),
    failed: ("지금은 불러오지 못했어요", "This could not be loaded just now"),
    not_allowed: ("이 화면은 볼 수 없어요", "You may not see this page"),
    expired: ("로그인이 끝났어요.", "Your session has ended"),
    no_such_event: ("이벤트를 찾을 수 없어요", "Event not found"),
    share_link_has_ended: ("이 링크로는 더 이상 볼 수 없어요", "This link no longer opens anything"),
    address_without_a_page: ("없는 주소예요", "There is no page here"),
    request_without_rights: ("이 화면을 볼 권한이 없어요", "You may not see this page"),
    request_while_the_database_is_away: ("서버가 잠시 쉬고 있어요", "The server is unavailable for a moment"),
    token_form: ("개발자를 위한 자리예요", "For developers who test their integration"),
    shortcuts: ("단축키 보기", "Show the shortcuts"),
    share_dialog: ("보기 전용 링크", "View-only link"),
    sheet_of_a_figure: ("참여자당 비용", "Cost per participant"),
}
"""A sentence of each state, in Korean and in English."""


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("opened", STATES, ids=lambda opened: opened.__name__)
def test_a_state_says_what_it_is_and_is_accessible(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Opening], None], language: str
) -> None:
    page = browser.new_page(390, WIDTHS[390], locale=LOCALES[language])
    opened(Opening(site, page, language, monkeypatch))
    sentence = STATES[opened][language == "en"]
    expect(page.locator("body")).to_contain_text(sentence)
    assert page.evaluate("document.documentElement.lang") == language
    assert_is_in_one_language(page.locator("body").inner_text(), language)
    if not AXE.exists():
        pytest.skip("SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
    page.evaluate(AXE.read_text("utf-8"))
    found = {}
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        # The chart is resized one frame after the window.
        page.wait_for_function("width => document.documentElement.scrollWidth === width", arg=width)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            # axe takes the longest. The two languages share the pairs of width and theme.
            if ((width == 1440) == (theme == "dark")) == (language == "ko"):
                found[f"{width} {theme}"] = violations(page)
            screenshot(page, f"state-{opened.__name__}-{language}-{width}-{theme}", full_page=width == 1440)
    expect(page.locator("body")).to_contain_text(sentence)  # what stood here was the state, to the end
    assert found == {view: [] for view in found}


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds in the page as it is shown now."""
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]


def assert_is_in_one_language(text: str, language: str) -> None:
    """No word of the other language, but for names and what the merchant wrote."""
    lines = text.splitlines()
    if language == "en":
        assert [line for line in lines if KOREAN.search(NAMES_IN_KOREAN.sub("", line))] == []
    else:
        assert [line for line in lines if ENGLISH_SENTENCE.search(line)] == []
