"""Tests of the page in a real Chromium against the real service."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from browsing import ANALYTICS, EVENT, Browser, digits, signed_in, tile
from playwright.sync_api import Download, Page, Route, expect
from served import OTHER_MERCHANT, Site
from world import OWNER

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[3]
AXE = ROOT / "tools/page/node_modules/axe-core/axe.min.js"


def test_a_one_time_code_signs_in_and_is_removed_from_the_url(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{site.address}/?lang=ko#code={site.sign_in_code(OWNER)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("내 이벤트")
    assert page.url == f"{site.address}/?lang=ko"
    card = page.get_by_role("link", name="봄맞이")
    expect(card).to_contain_text("7")
    expect(page.get_by_text("남의 이벤트")).to_have_count(0)
    card.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert page.url == f"{site.address}{EVENT}?lang=ko"
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("내 이벤트")
    page.get_by_role("button", name="로그아웃").click()
    expect(page.get_by_label("일회용 코드", exact=True)).to_be_visible()
    page.goto(site.address + EVENT)
    expect(page.get_by_label("일회용 코드", exact=True)).to_be_visible()  # the session is gone on other paths too
    assert browser.unexpected_messages(401) == []


def test_the_tiles_show_the_figures_of_the_api_and_the_channels_add_up_to_the_total(
    site: Site, browser: Browser
) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    answer = site.owner.get(ANALYTICS).json()
    expect(page.locator(".headline")).to_contain_text("지금까지 7명이 참여했")
    assert digits(tile(page, "참여자").locator(".value").text_content()) == answer["summary"]["totalParticipants"] == 7
    tile(page, "참여자").get_by_role("button", name="참여자: 뜻 보기").click()
    expect(page.get_by_role("dialog")).to_contain_text("채널 미확인")
    page.keyboard.press("Escape")
    assert answer["roi"]["currentRoi"] == -45.45
    expect(tile(page, "현재 ROI")).to_contain_text("45.45% 손실")
    expect(tile(page, "현재 ROI")).to_contain_text("목표 30%까지 75.45%p 남았어요")
    expect(page.locator(".roi-panel")).to_contain_text("110,000원")
    expect(tile(page, "참여자당 비용")).to_contain_text("15,714원")  # 15714.29
    expect(page.locator(".break-even")).to_contain_text("13명 중 7명")

    table = page.get_by_role("table").first
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(3)
    parts = [digits(rows.nth(i).locator(".cell-participants .num").text_content()) for i in range(3)]
    assert parts == [4, 2, 1]
    assert digits(table.locator("tr.total .cell-participants .num").text_content()) == sum(parts)
    assert browser.unexpected_messages() == []


def test_an_unmeasured_figure_shows_as_missing_and_not_as_zero(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(tile(page, "조회수").locator(".value")).to_have_text("–")
    expect(tile(page, "조회수")).to_contain_text("채널에서 아직 받지 못했어요")
    row = page.get_by_role("row", name="네이버 블로그")
    expect(row.get_by_role("cell").nth(2)).to_contain_text("–")
    expect(row.get_by_role("cell").nth(2)).to_contain_text("계획 18,600")  # a planned figure, marked as planned
    expect(page.locator("tr.total td").nth(2)).to_have_text(re.compile("–$"))


def test_a_new_participant_shows_without_a_reload_and_no_panel_goes_blank(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    expect(page.locator(".live-state")).to_have_text("실시간")
    expect(page.locator(".plot canvas")).to_be_visible()
    page.evaluate(
        """() => {
            window.notReloaded = true;
            window.blanks = [];
            const panels = () => [...document.querySelectorAll(".tile, .chart, .channels")];
            const count = panels().length;
            new MutationObserver(() => {
                if (panels().length !== count) window.blanks.push("a panel was removed");
                if (document.querySelector(".skeleton")) window.blanks.push("a skeleton was shown");
                for (const panel of panels()) if (!panel.textContent.trim()) window.blanks.push(panel.className);
                if (!document.querySelector(".plot canvas")) window.blanks.push("the chart was removed");
            }).observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )
    for total in (8, 9):
        site.send(site.world.registered(f"late {total}", channel="NAVER"))
        expect(page.locator(".headline")).to_contain_text(f"지금까지 {total}명이 참여했")
        expect(tile(page, "참여자").locator(".value")).to_have_text(f"{total}명")
        expect(page.locator("tr.total .cell-participants .num")).to_have_text(str(total))
    assert page.evaluate("window.notReloaded && window.blanks") == []
    assert browser.unexpected_messages() == []


def test_a_wrong_token_shows_an_error_and_the_right_one_signs_in(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(site.address + EVENT)
    field = page.get_by_label("접속 토큰", exact=True)
    expect(field).to_be_hidden()  # nobody is asked for a token
    page.get_by_text("개발자용").click()
    form = page.locator(".for-developers")
    for wrong, message in (("", "토큰을 넣어 주세요."), ("not.a.token", "토큰이 맞지 않거나 기간이 지났어요")):
        field.fill(wrong)
        form.get_by_role("button", name="로그인").click()
        expect(page.locator("#token-error")).to_contain_text(message)
        expect(field).to_be_focused()
    field.fill(f"  {site.token(OWNER)}\n")
    form.get_by_role("button", name="로그인").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert page.evaluate("document.cookie") == ""
    assert browser.unexpected_messages(401) == []


def test_an_unknown_one_time_code_shows_an_error(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{site.address}/#code=guessed")
    expect(page.get_by_role("alert").first).to_contain_text("일회용 코드")
    assert page.url == f"{site.address}/"


def test_another_merchants_event_is_not_found(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    for path in ("/events/another-merchants", "/events/there-is-none"):
        signed_in(site, page, path)
        expect(page.get_by_role("heading", level=1)).to_have_text("이벤트를 찾을 수 없어요")
        expect(page.get_by_text("남의 이벤트")).to_have_count(0)
    page.get_by_role("link", name="이벤트 목록으로").click()
    expect(page.get_by_role("link", name="봄맞이")).to_be_visible()
    assert browser.unexpected_messages(404) == []


def test_changing_the_language_keeps_the_view(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), f"{EVENT}?view=all&table=1")
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    page.get_by_role("link", name="English").click()
    expect(page.locator(".headline")).to_contain_text("7 people have joined so far")
    assert page.url == f"{site.address}{EVENT}?view=all&table=1&lang=en"
    assert page.evaluate("document.documentElement.lang") == "en"
    expect(page.locator(".chart-table tbody tr").first).to_be_visible()
    expect(page.locator("html")).not_to_contain_text("참여자")
    page.get_by_role("link", name="한국어").click()
    expect(page.locator(".headline")).to_contain_text("지금까지 7명이")
    assert browser.unexpected_messages() == []


def test_each_view_of_the_chart_requests_its_granularity(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    for name, view, granularity in (("2시간", "2h", "minute"), ("30일", "30d", "daily"), ("전체", "all", "daily")):
        with page.expect_response(re.compile(f"/timeline.*granularity={granularity}")) as timeline:
            page.get_by_role("link", name=name, exact=True).click()
        assert timeline.value.status == 200
        assert f"view={view}" in page.url
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "true")
    expect(page.locator(".readout")).to_contain_text("처음부터 지금까지 7명이 참여했어요")
    assert browser.unexpected_messages() == []


def export(page: Page, name: str) -> Download:
    """Open the export panel, press a button in it and return the download."""
    page.get_by_role("button", name=re.compile("내보내기|Export")).click()
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return download.value


def test_the_shown_figures_can_be_exported_as_files(site: Site, browser: Browser) -> None:
    page = browser.new_page(390, 844, has_touch=True, is_mobile=True)
    with page.expect_response(re.compile("/timeline.*granularity=daily")) as shown:
        signed_in(site, page, f"{EVENT}?view=30d&tz=America/New_York")
    expect(page.locator(".plot canvas")).to_be_visible()
    opener = page.get_by_role("button", name="내보내기")
    opener.click()
    panel = page.get_by_role("dialog", name="내보내기")
    expect(panel).to_contain_text("참여 흐름 30일, 일별 참여")
    choices = panel.get_by_role("button").all()
    assert len(choices) == 3 * 3 + 4  # the report, the text, the link, and the button that closes the panel
    for button in [opener, *choices]:
        box = button.bounding_box()
        assert box is not None and box["height"] >= 44 and box["width"] >= 44
    assert_fits(page)
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_be_focused()

    download = export(page, "참여 흐름: CSV 파일로 받기")
    expect(opener).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="파일을 받았어요")).to_contain_text(download.suggested_filename)
    assert re.fullmatch(r"봄맞이 타임라인 \d{4}-\d\d-\d\d\.csv", download.suggested_filename)
    expected = site.owner.get(f"{shown.value.url}&format=csv&lang=ko").content
    assert download.path().read_bytes() == expected and b"-05:00" in expected
    workbook = export(page, "이벤트 요약: 엑셀 파일로 받기")
    assert workbook.suggested_filename.startswith("봄맞이 대시보드") and workbook.path().read_bytes().startswith(b"PK")
    assert export(page, "채널별 성과: Parquet 파일로 받기").path().read_bytes().startswith(b"PAR1")

    page.get_by_role("link", name="이벤트 목록").click()
    events = export(page, "이벤트 목록: CSV 파일로 받기").path().read_bytes()
    assert events == site.owner.get(f"/api/v1/users/{OWNER}/analytics?tz=America/New_York&format=csv&lang=ko").content
    page.get_by_role("link", name="English").click()
    assert export(page, "Channels: get as CSV").suggested_filename.startswith("All")
    assert browser.unexpected_messages() == []


def test_a_failed_export_shows_the_reason(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    status = page.locator(".export-status")
    held: list[Route] = []
    page.route("**/analytics?*format=xlsx", lambda route: held.append(route))
    page.route("**/channels?*format=csv", lambda route: route.abort())
    page.get_by_role("button", name="내보내기").click()
    page.get_by_role("button", name="이벤트 요약: 엑셀 파일로 받기").click()
    expect(status).to_have_text("이벤트 요약 엑셀 파일을 만들고 있어요")
    page.get_by_role("button", name="내보내기").click()
    # Only one export runs at a time.
    expect(page.get_by_role("button", name="채널별 성과: CSV 파일로 받기")).to_be_disabled()
    refusal = '{"code": "unavailable", "detail": "away"}'
    held[0].fulfill(status=503, content_type="application/problem+json", body=refusal)
    expect(status).to_have_text(
        "이벤트 요약 엑셀 파일을 받지 못했어요. 서버가 잠시 쉬고 있어요. 조금 뒤에 다시 눌러 주세요."
    )
    page.get_by_role("button", name="채널별 성과: CSV 파일로 받기").click()
    expect(status).to_contain_text("채널별 성과 CSV 파일을 받지 못했어요. 서버에 닿지 않거나 중간에 끊겼어요.")
    assert [text for text in browser.unexpected_messages(503) if "ERR_FAILED" not in text] == []


def test_on_a_phone_the_page_does_not_scroll_sideways(site: Site, browser: Browser) -> None:
    page = browser.new_page(390, 844, has_touch=True, is_mobile=True)
    page.goto(site.address)
    expect(page.get_by_label("일회용 코드", exact=True)).to_be_visible()
    assert_fits(page)
    signed_in(site, page)
    expect(page.get_by_role("link", name="봄맞이")).to_be_visible()
    assert_fits(page)
    for query in ("?view=all&table=1", "?lang=en"):
        signed_in(site, page, EVENT + query)
        expect(page.locator(".plot canvas")).to_be_visible()
        assert_fits(page)


def assert_fits(page: Page) -> None:
    """Assert that the page is as wide as the window: on a common phone (390 px) and on the narrowest (320 px)."""
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        # The chart is resized one frame after the window, so wait for it.
        page.wait_for_function("width => document.documentElement.scrollWidth === width", arg=width)


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
def test_axe_finds_no_accessibility_violation(site: Site, browser: Browser) -> None:
    page = browser.new_page(390, 844, bypass_csp=True)
    found = {}

    def check(state: str) -> None:
        page.add_script_tag(path=AXE)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
            found[f"{state}, {scheme}"] = [
                (rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in violations
            ]

    page.goto(site.address)
    expect(page.get_by_label("일회용 코드", exact=True)).to_be_visible()
    check("sign in")
    signed_in(site, page)
    expect(page.get_by_role("link", name="봄맞이")).to_be_visible()
    check("list")
    signed_in(site, page, f"{EVENT}?table=1")
    expect(page.locator(".plot canvas")).to_be_visible()
    check("event")
    page.locator("button.info").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check("event with a definition open")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="내보내기").click()
    expect(page.get_by_role("dialog", name="내보내기")).to_be_visible()
    check("event with the export panel open")
    page.set_viewport_size({"width": 1440, "height": 900})
    signed_in(site, page, f"{EVENT}?lang=en")
    expect(page.locator(".plot canvas")).to_be_visible()
    check("event, wide")
    signed_in(site, page, "/events/there-is-none")
    expect(page.get_by_role("heading", level=1)).to_have_text("이벤트를 찾을 수 없어요")
    check("event not found")
    page.goto(f"{site.address}/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("없는 주소예요")
    check("unknown path")
    ahead = datetime.now(UTC) + timedelta(days=3)
    site.send(
        site.world.created("planned", eventTitle="다음 행사", totalInvestment=10, expectedRevenue=90, targetRoi=300),
        site.world.created("planned-dates", startDate=ahead.isoformat()),
    )
    signed_in(site, page)
    expect(page.get_by_role("link", name="예정")).to_be_visible()
    check("list with planned events")
    signed_in(site, page, "/events/planned-dates")
    expect(page.locator(".chart")).to_contain_text("아직 시작하지 않았어요")
    check("event that has not started")
    signed_in(site, page, "/events/planned")
    expect(page.locator(".roi-tile")).to_contain_text("예상 +800%")
    page.route("**/timeline*", lambda route: route.abort())
    page.get_by_role("link", name="2시간", exact=True).click()
    expect(page.locator(".chart")).to_contain_text("2시간의 흐름을 불러오지 못했어요")
    check("event of expected revenue, without its chart")
    page.context.clear_cookies()
    page.reload()
    expect(page.get_by_role("alert").first).to_contain_text("로그인이 끝났어요")
    check("session ended")
    assert found == {state: [] for state in found}


def test_a_page_at_an_unknown_path_looks_like_the_page_and_leads_to_it(site: Site, browser: Browser) -> None:
    looks = "['backgroundColor', 'color', 'fontFamily'].map((name) => getComputedStyle(document.body)[name])"
    page = signed_in(site, browser.new_page(390, 844))
    expect(page.get_by_role("heading", level=1)).to_have_text("내 이벤트")
    expected = page.evaluate(looks)
    page.goto(f"{site.address}/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("없는 주소예요")
    assert page.evaluate(looks) == expected
    assert_fits(page)
    home = page.get_by_role("link", name="한눈 첫 화면으로")
    assert (home.bounding_box() or {})["height"] >= 44
    home.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("내 이벤트")
    page.goto(f"{site.address}/nowhere?lang=en")  # a language that was chosen on the page
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no page here")
    page.get_by_role("link", name="Go to the start page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("My events")
    assert browser.unexpected_messages(404) == []


def create_share_link(site: Site, days: float = 7) -> tuple[str, str]:
    """Create a share link of the event; return its URL and its id."""
    until = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    created = site.owner.post(f"/api/v1{EVENT}/shares", json={"until": until}).json()
    return site.address + created["address"], created["shareId"]


def test_a_share_link_gives_access_to_its_event_only(site: Site, browser: Browser) -> None:
    address, _ = create_share_link(site)
    page = browser.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(address.replace("#", "?lang=ko#"))
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert page.url == f"{site.address}{EVENT}?lang=ko"  # without the secret
    secret = address.partition("#share=")[2]
    assert not [url for url in requested if secret in url.partition("#")[0]]
    assert page.evaluate("document.cookie") == ""
    expect(page.get_by_text("공유 링크로 보고 있어요")).to_be_visible()
    expect(page.get_by_role("link", name="이벤트 목록")).to_have_count(0)
    expect(page.get_by_role("button", name="로그아웃")).to_have_count(0)
    expect(page.get_by_text("실시간", exact=True)).to_be_visible()
    site.world.count(site.world.registered("one-more"))
    expect(page.locator(".headline")).to_contain_text("지금까지 8명이 참여했")  # with live updates
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")  # the cookie grants access
    page.get_by_role("link", name="English").click()
    expect(page.get_by_text("You are looking through a share link")).to_be_visible()
    page.goto(f"{site.address}/events/another-merchants?lang=ko")
    expect(page.get_by_label("일회용 코드", exact=True)).to_be_visible()
    page.goto(f"{site.address}/?lang=ko")
    expect(page.get_by_label("일회용 코드", exact=True)).to_be_visible()
    assert browser.unexpected_messages(401) == []


def test_revoking_a_share_link_ends_the_access_of_open_pages(site: Site, browser: Browser) -> None:
    address, share = create_share_link(site)
    page = browser.new_page()
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    assert site.owner.delete(f"/api/v1{EVENT}/shares/{share}").status_code == 204
    expect(page.get_by_role("heading", level=1)).to_have_text("이 링크로는 더 이상 볼 수 없어요")
    expect(page.get_by_text("봄맞이")).to_have_count(0)
    expect(page.get_by_role("link", name="첫 화면으로")).to_have_attribute("href", "/")
    page.goto("about:blank")
    page.goto(address.replace("#", "?lang=en#"))
    expect(page.get_by_role("heading", level=1)).to_have_text("This link no longer opens anything")
    assert browser.unexpected_messages(401, 404) == []


def test_a_signed_in_merchant_can_open_another_merchants_share_link(site: Site, browser: Browser) -> None:
    address, _ = create_share_link(site)
    page = browser.new_page()
    page.context.add_cookies([{"name": "hannun_session", "value": site.token(OTHER_MERCHANT), "url": site.address}])
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_have_text("봄맞이")
    page.locator("a.back").click()
    expect(page.get_by_role("link", name="남의 이벤트")).to_be_visible()  # the merchant's own event
    assert browser.unexpected_messages() == []


def test_the_api_documentation_works_under_the_same_policy_and_calls_no_third_party(
    site: Site, browser: Browser
) -> None:
    page = browser.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{site.address}/docs")
    operation = page.locator("#operations-events-eventTimeline")
    expect(operation).to_be_visible()
    operation.get_by_role("button").first.click()
    expect(operation).to_contain_text("granularity")
    assert [url for url in requested if not url.startswith((site.address, "data:"))] == []
    assert browser.console == []


FIRST_LOAD_BYTES_MAX = 120_000
FIRST_LOAD_REQUESTS_MAX = 15


@pytest.mark.parametrize("path", [EVENT, "/"])
def test_a_first_load_takes_few_requests_and_bytes_and_a_second_one_no_file_at_all(
    site: Site, browser: Browser, path: str
) -> None:
    page = browser.new_page()
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    addresses: dict[str, str] = {}
    received: Counter[str] = Counter()
    network.on("Network.requestWillBeSent", lambda sent: addresses.update({sent["requestId"]: sent["request"]["url"]}))
    network.on(
        "Network.dataReceived", lambda part: received.update({addresses[part["requestId"]]: part["encodedDataLength"]})
    )

    def wait_until_shown() -> None:
        expect(page.locator(".live-state")).to_have_text("실시간")
        if path == EVENT:
            expect(page.locator(".plot canvas")).to_be_visible()
        page.wait_for_load_state("load")

    signed_in(site, page, path)
    wait_until_shown()
    assert 3 < len(addresses) <= FIRST_LOAD_REQUESTS_MAX, sorted(addresses.values())
    assert 20_000 < sum(received.values()) <= FIRST_LOAD_BYTES_MAX, received
    received.clear()
    page.goto(site.address + path)
    wait_until_shown()
    # a browser asks for icon and manifest when it likes
    assert [address for address in received if address.endswith((".js", ".css")) and received[address]] == []
    assert browser.unexpected_messages() == []
