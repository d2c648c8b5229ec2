"""What a merchant takes away from an event's page: a report, a text to send, a link to share, a printed page."""

import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from browsing import EVENT, Browser, screenshot, signed_in
from pdf_pages import read_pdf
from playwright.sync_api import Page, expect
from served import Site
from world import NOW, SPRING

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
SHARES = f"/api/v1/events/{SPRING}/shares"
ENDING = "5b0c2f64-0000-4000-8000-0000000000e1"
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
WELL_KNOWN = ("Instagram", "NaverBlog", "WooriTV", "GenieTV", "RingoBiz", "KakaoChannel")
PRINTED = ("h1", ".headline", ".metric", ".plot canvas", ".advice-item", ".break-even", ".channels .total")
NOT_PRINTED = (
    ".button",
    ".info",
    ".back",
    ".app-actions",
    ".export",
    ".live",
    "dialog",
    ".segments",
    ".funnel",
    ".heat-map",
)
A4_WIDTH_PX, A4_HEIGHT_PX = 718, 1047
"""The printed area: 190 mm and 277 mm with 96 px per inch."""
COPIED = "() => navigator.clipboard.readText()"


def opened(site: Site, page: Page, *, language: str = "ko", event: str = SPRING, query: str = "") -> Page:
    """The event's page, with a clipboard that the test may read."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.address)
    signed_in(site, page, f"/events/{event}?lang={language}{query}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    return page


def share_panel(page: Page) -> Page:
    page.get_by_role("button", name=re.compile("^(링크로 공유|Share a link)$")).first.click()
    return page.get_by_role("dialog", name=re.compile("보기 전용 링크|View-only link"))  # type: ignore[return-value]


def test_a_merchant_makes_copies_and_revokes_a_link(site: Site, browser: Browser) -> None:
    page = opened(site, browser.new_page())
    panel = share_panel(page)
    expect(panel.get_by_text("아직 만든 링크가 없어요.")).to_be_visible()
    panel.get_by_label("누구에게 보내나요?").fill("대행사")
    panel.get_by_label("30일", exact=True).check()
    panel.get_by_role("button", name="링크 만들기").click()
    expect(panel.get_by_role("status")).to_have_text("링크를 만들고 복사했어요. 붙여 넣어 보내세요.")
    address = panel.get_by_label("링크 주소").input_value()
    assert address.startswith(f"{site.address}{EVENT}#share=")
    assert page.evaluate(COPIED) == address
    (link,) = site.owner.get(SHARES).json()["shares"]
    left = datetime.fromisoformat(link["expiresAt"]) - datetime.now(UTC)
    assert link["label"] == "대행사" and timedelta(days=29, hours=23) < left <= timedelta(days=30)
    row = panel.get_by_role("listitem").filter(has_text="대행사")
    expect(row).to_contain_text("까지 열림")
    expect(row).to_contain_text("내가 만듦")

    guest = browser.new_page()
    guest.goto(address)
    expect(guest.get_by_text("공유 링크로 보고 있어요.")).to_be_visible()
    expect(guest.get_by_role("button", name="내보내기")).to_be_visible()
    expect(guest.get_by_role("button", name="링크로 공유")).to_have_count(0)

    row.get_by_role("button", name="링크 끊기: 대행사").click()
    expect(row.get_by_text("이 링크를 끊을까요?")).to_be_visible()
    assert site.owner.get(SHARES).json()["shares"][0]["revokedAt"] is None  # it asks first
    row.get_by_role("button", name="그대로 두기").click()
    row.get_by_role("button", name="링크 끊기: 대행사").click()
    row.get_by_role("button", name="네, 끊을게요").click()
    expect(panel.get_by_role("status")).to_have_text("링크를 끊었어요.")
    expect(panel.get_by_text("아직 만든 링크가 없어요.")).to_be_visible()
    panel.get_by_text("끝난 링크 1개 보기").click()
    expect(row).to_contain_text("에 끊음")
    expect(panel.get_by_label("링크 주소")).to_have_count(0)
    assert site.anonymous.post(f"/api/v1{EVENT}/session", json={"share": address.partition("#share=")[2]}).is_error
    assert browser.unexpected_messages(401, 404) == []


def test_a_link_may_live_until_a_date_or_until_the_event_ends(site: Site, browser: Browser) -> None:
    end = (datetime.now(UTC) + timedelta(days=40)).replace(microsecond=0)
    site.world.count(site.world.created(ENDING, endDate=end.isoformat()))
    page = opened(site, browser.new_page(), event=ENDING)
    panel = share_panel(page)
    make = panel.get_by_role("button", name="링크 만들기")
    panel.get_by_label("이벤트가 끝날 때까지").check()
    make.click()
    expect(panel.get_by_role("listitem")).to_have_count(1)
    panel.get_by_label("날짜 고르기").check()
    make.click()
    expect(panel.get_by_role("status")).to_have_text("내일부터 1년 안의 날짜를 골라 주세요.")
    expect(panel.get_by_label("마지막 날")).to_be_focused()
    panel.get_by_label("마지막 날").fill("2020-01-01")
    make.click()
    expect(panel.get_by_role("status")).to_have_text("내일부터 1년 안의 날짜를 골라 주세요.")
    day = (datetime.now(UTC) + timedelta(days=100)).date()
    panel.get_by_label("마지막 날").fill(day.isoformat())
    make.click()
    expect(panel.get_by_role("listitem")).to_have_count(2)
    ends = {
        datetime.fromisoformat(link["expiresAt"])
        for link in site.owner.get(SHARES.replace(SPRING, ENDING)).json()["shares"]
    }
    assert ends == {end, datetime.fromisoformat(f"{day}T23:59:59+09:00")}


def test_a_link_is_copied_also_where_a_page_has_no_clipboard(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.add_init_script(NO_CLIPBOARD)
    panel = share_panel(opened(site, page))
    panel.get_by_role("button", name="링크 만들기").click()
    expect(panel.get_by_role("status")).to_have_text("링크를 만들고 복사했어요. 붙여 넣어 보내세요.")
    label = panel.get_by_label("누구에게 보내나요?")
    label.focus()
    page.keyboard.press("Control+V")
    expect(label).to_have_value(re.compile("#share="))


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (400, "too-many-shares", "열려 있는 링크가 너무 많아요."),
        (429, "too-many-requests", "요청이 잠시 몰렸어요."),
        (503, "store-unavailable", "서버가 잠시 쉬고 있어요."),
        (404, "not-found", "더 이상 찾을 수 없어요."),
        (0, "", "서버에 닿지 않아요."),
    ],
)
def test_what_prevents_a_link_is_said(site: Site, browser: Browser, status: int, code: str, text: str) -> None:
    page = opened(site, browser.new_page())
    panel = share_panel(page)
    expect(panel.get_by_text("아직 만든 링크가 없어요.")).to_be_visible()
    page.route(
        f"**{SHARES}",
        lambda route: route.fulfill(status=status, json={"code": code}) if status else route.abort(),
    )
    panel.get_by_role("button", name="링크 만들기").click()
    expect(panel.get_by_role("status")).to_contain_text(text)
    expect(panel.get_by_role("button", name="링크 만들기")).to_be_enabled()


def test_the_report_and_the_text_are_of_the_shown_event(site: Site, browser: Browser) -> None:
    page = opened(site, browser.new_page())
    page.get_by_role("button", name="내보내기").click()
    panel = page.get_by_role("dialog", name="내보내기")
    order = panel.get_by_role("button").all_inner_texts()
    assert [text.split("\n")[0] for text in order[:4]] == ["보고서 (PDF)", "엑셀", "CSV", "Parquet"]
    assert order[-3:] == ["카톡으로 보낼 글 복사", "링크로 공유", "닫기"] or order[-2:] == [
        "카톡으로 보낼 글 복사",
        "링크로 공유",
    ]
    panel.get_by_role("button", name="카톡으로 보낼 글 복사").click()
    expect(panel.get_by_role("status")).to_have_text("글을 복사했어요. 카카오톡에 붙여 넣으세요.")
    assert page.evaluate(COPIED) == site.owner.get(f"/api/v1{EVENT}/analytics?format=txt&lang=ko").text
    with page.expect_download() as download:
        panel.get_by_role("button", name="보고서 (PDF)").click()
    assert re.fullmatch(r".+ 보고서 20\d\d-\d\d-\d\d\.pdf", download.value.suggested_filename)
    assert read_pdf(download.value.path().read_bytes()).pages == 1
    expect(page.locator(".export-status")).to_contain_text("파일을 받았어요")
    page.get_by_role("button", name="내보내기").click()
    panel.get_by_role("button", name="링크로 공유").click()
    expect(panel).to_be_hidden()
    expect(page.get_by_role("dialog", name="보기 전용 링크")).to_be_visible()
    assert browser.unexpected_messages() == []


def test_a_phone_sends_the_text_to_another_app(site: Site, browser: Browser) -> None:
    page = browser.new_page(390, 844, has_touch=True, is_mobile=True)
    page.add_init_script("window.sent = []; navigator.share = async (data) => { window.sent.push(data); };")
    opened(site, page)
    page.get_by_role("button", name="내보내기").click()
    page.get_by_role("button", name="글 보내기").click()
    page.wait_for_function("() => window.sent.length === 1")
    assert page.evaluate("window.sent[0].text").startswith("참여 ")
    page.keyboard.press("Escape")
    panel = share_panel(page)
    panel.get_by_role("button", name="링크 만들기").click()
    panel.get_by_role("button", name="보내기", exact=True).click()
    page.wait_for_function("() => window.sent.length === 2")
    assert "#share=" in page.evaluate("window.sent[1].url")


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_axe_finds_nothing_in_the_panels(site: Site, browser: Browser, language: str, theme: str) -> None:
    site.owner.post(SHARES, json={"until": (datetime.now(UTC) + timedelta(days=9)).isoformat(), "label": "본점"})
    for width, height in ((390, 844), (1440, 900)):
        page = browser.new_page(width, height, color_scheme=theme, bypass_csp=True)
        opened(site, page, language=language)
        page.add_script_tag(path=AXE)

        def check(what: str, page: Page = page, width: int = width) -> None:
            screenshot(page, f"{what}-{language}-{theme}-{width}", full_page=False)
            violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
            assert not violations, [(what, each["id"], each["nodes"][0]["html"]) for each in violations]

        page.get_by_role("button", name=re.compile("^(내보내기|Export)$")).click()
        check("take-away")
        page.keyboard.press("Escape")
        panel = share_panel(page)
        panel.get_by_role("button", name=re.compile("링크 만들기|Make a link")).click()
        expect(panel.get_by_role("listitem").first).to_be_visible()
        panel.get_by_role("button", name=re.compile("본점")).click()
        check("share")
        page.context.close()


def many_channels(site: Site, channels: int, title: str = "봄맞이 대축제") -> str:
    """An event with so many channels, each with its costs and participants, most by the first."""
    event = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{channels} {title}"))
    others = [f"{title[:40]} {number:02}" for number in range(channels - len(WELL_KNOWN))]
    names = [*WELL_KNOWN, *others]
    now = datetime.fromisoformat(NOW)
    begun = (now - timedelta(days=20)).isoformat()
    site.world.count(
        site.world.created(
            event, at=begun, eventTitle=title, totalInvestment=500_000, expectedRevenue=900_000, targetRoi=50
        ),
        *(site.world.distributed(event, channelName=name, distributionCost=30_000, at=begun) for name in WELL_KNOWN),
        *(
            site.world.distributed(event, channelName=name, channelType="SNS", distributionCost=30_000, at=begun)
            for name in others
        ),
        *(
            site.world.registered(event=event, channel=name, at=(now - timedelta(hours=3 + 7 * at)).isoformat())
            for number, name in enumerate(names)
            for at in range(1 + 60 // (number + 1))
        ),
    )
    return event


LONG = "겨울 한정판 딸기 생크림 케이크 사전 예약 감사 대축제 " * 4


@pytest.mark.parametrize(
    ("language", "theme", "width", "channels", "title"),
    [
        ("ko", "dark", 390, 6, "봄맞이 대축제"),
        ("en", "dark", 1440, 6, "Spring"),
        ("ko", "light", 1440, 20, LONG),
        ("en", "dark", 390, 20, LONG),
        ("ko", "light", 390, 40, LONG),
    ],
)
def test_an_event_prints_on_one_page_in_light_colours(
    site: Site, browser: Browser, language: str, theme: Any, width: int, channels: int, title: str
) -> None:
    event = many_channels(site, channels, title)
    page = opened(
        site, browser.new_page(width, 900, color_scheme=theme), language=language, event=event, query="&view=all"
    )
    expect(page.locator(".plot canvas")).to_be_visible()
    expect(page.locator(".advice-item").first).to_be_visible()
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    if folder := os.environ.get("HANNUN_SCREENSHOTS"):
        Path(folder, f"print-{language}-{theme}-{width}-{channels}.pdf").write_bytes(printed)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1

    page.emulate_media(media="print", color_scheme=theme)
    page.set_viewport_size({"width": A4_WIDTH_PX, "height": A4_HEIGHT_PX})
    screenshot(page, f"print-{language}-{theme}-{width}-{channels}", full_page=False)
    for part in PRINTED:
        box = page.locator(part).last.bounding_box()
        assert box and box["height"] > 0, part
        assert box["x"] >= 0 and box["x"] + box["width"] <= A4_WIDTH_PX, (part, box)
        assert box["y"] + box["height"] <= A4_HEIGHT_PX, (part, box)
    for part in NOT_PRINTED:
        expect(page.locator(f"{part} >> visible=true")).to_have_count(0)
    rows = page.locator(".channels tbody tr:not(.unattributed) >> visible=true")
    expect(rows).to_have_count(min(channels, 20))
    expect(page.locator(".channels .print-only >> visible=true")).to_have_count(int(channels > 20))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # as printing does
    if channels < 12:  # more of them take the room of the chart
        share = "document.querySelector('.plot canvas').clientWidth / document.querySelector('.plot').clientWidth"
        page.wait_for_function(f"() => {share} > 0.9")  # as wide as the paper, also from a phone
    background = page.evaluate("getComputedStyle(document.querySelector('.metric')).backgroundColor")
    assert background == "rgb(255, 255, 255)"
