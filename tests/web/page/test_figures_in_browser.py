"""The sheet that explains a figure: the numbers in it are those of the API, and give the result that it shows."""

import math
import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from browsing import ANALYTICS, EVENT, Browser, screenshot, signed_in
from playwright.sync_api import Locator, Page, expect
from served import Site

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "tools/page/node_modules/axe-core/axe.min.js"
EXPLAINED_CHANNELS = ("channelPerformance.Instagram.", "channelPerformance.RingoBiz.")
MISSING = re.compile("계산할 수 없어요|나눌 수 없어요|아직|정해지지 않음|기록 없음")


def sheet_of(page: Page, path: str) -> Locator:
    """Open the sheet of a figure by the first button that does."""
    page.locator(f'[data-figure="{path}"]').first.click()
    sheet = page.get_by_role("dialog")
    expect(sheet.locator(".figure-sheet")).to_be_visible()
    return sheet


def value_in(answer: dict[str, Any], path: str) -> Any:
    """The value of a figure in an answer, by its path with the channel's name."""
    if path.startswith("channelPerformance."):
        name, _, figure = path.removeprefix("channelPerformance.").rpartition(".")
        return next(each for each in answer["channelPerformance"] if each["channelName"] == name)[figure]
    value: Any = answer
    for part in path.split("."):
        value = value[part]
    return value


def number(text: str) -> Decimal:
    """The number in a formatted figure."""
    return Decimal(re.sub(r"[^\d.\-]", "", text.replace("−", "-")))


def computed(numbers: str, *, percent: bool) -> Fraction:
    """What a formula with numbers gives: `1,234명 ÷ 56,000회` is computed as 1234 / 56000."""
    digits = re.sub(r"[^\d.()+−÷ ]", "", numbers).strip()
    expression = re.sub(r"\d+(?:\.\d+)?", lambda found: f'Fraction("{found[0]}")', digits)
    assert re.fullmatch(r'(?:Fraction\("[\d.]+"\)|[()+−÷ ])+', expression), expression
    result: Fraction = eval(expression.replace("÷", "/").replace("−", "-"), {"Fraction": Fraction})
    return result * 100 if percent else result


def assert_sheet_is_right(sheet: Locator, path: str, answer: dict[str, Any]) -> None:
    """Assert that the sheet's result is that of the answer, and what its numbers give."""
    value = value_in(answer, path) if not path.startswith("share:") else None
    shown = sheet.locator(".formula-numbers")
    if shown.count() == 0:
        assert MISSING.search(sheet.locator(".formula-missing").inner_text()), path
        return
    text = shown.inner_text()
    numbers, equals, result = text.rpartition("=")
    places = Decimal(1).scaleb(min(0, number(result).as_tuple().exponent))  # type: ignore[type-var]
    if value is not None:
        assert number(result) == Decimal(str(value)).quantize(places, ROUND_HALF_EVEN), path
    if equals:
        found = computed(numbers, percent=result.strip().endswith("%"))
        found = Fraction(math.ceil(found)) if "올림" in numbers else found
        exact = Decimal(found.numerator) / Decimal(found.denominator)
        assert abs(exact - number(result)) <= places / 2, f"{path}: {text}"


def test_every_figure_of_the_page_explains_itself_with_numbers_of_the_api_that_give_it(
    measured: Site, browser: Browser
) -> None:
    page = signed_in(measured, browser.new_page(1440, 900), EVENT)
    expect(page.locator(".plot canvas")).to_be_visible()
    expect(page.locator('[data-figure="comparisons.day.delta"]')).to_be_visible()
    expect(page.locator('[data-figure="summary.delta.totalViews"]')).to_be_visible()
    answer = measured.owner.get(f"{ANALYTICS}/insights").json() | measured.owner.get(ANALYTICS).json()
    today = datetime.now(ZoneInfo("Asia/Seoul")).date()
    range_ = {"startDate": f"{today}", "endDate": f"{today + timedelta(days=1)}"}
    of_today = measured.owner.get(ANALYTICS, params=range_).json()
    buttons = page.locator("[data-figure]")
    paths = sorted({str(path) for path in buttons.evaluate_all("all => all.map((each) => each.dataset.figure)")})
    assert {"summary.totalParticipants", "roi.currentRoi", "roi.breakEvenParticipants"} <= set(paths)
    assert "channelPerformance.RingoBiz.conversionRate" in paths
    for path in paths:
        if path.startswith("channelPerformance.") and not path.startswith(EXPLAINED_CHANNELS):
            continue  # the others are explained alike
        sheet = sheet_of(page, path)
        assert_sheet_is_right(sheet, path, of_today if path.startswith("summary.delta.") else answer)
        page.keyboard.press("Escape")
        expect(sheet).to_have_count(0)
    assert browser.unexpected_messages() == []


def test_a_sheet_says_what_the_figure_means_its_kind_and_what_a_refund_does(measured: Site, browser: Browser) -> None:
    page = signed_in(measured, browser.new_page(), EVENT)
    sheet = sheet_of(page, "roi.currentRoi")
    expect(sheet).to_contain_text("(매출 − 투자금) ÷ 투자금")
    expect(sheet).to_contain_text("(60,000원 − 159,000원) ÷ 159,000원 = −62.26%")
    expect(sheet).to_contain_text("환불하면 매출이 줄어서 ROI도 내려가요.")
    expect(sheet).to_contain_text("계획값")
    expect(sheet).to_contain_text("기준")
    sheet.get_by_role("button", name="투자금").click()
    expect(sheet).to_contain_text("계획한 투자금 + 채널 비용")
    sheet.get_by_role("button", name="채널 비용").click()
    expect(sheet.locator(".formula-numbers")).to_contain_text("= 59,000원")
    expect(sheet.get_by_role("button", name="인스타그램")).to_contain_text("40,000원")
    sheet.get_by_role("button", name="‘투자금’ 설명으로 돌아가기").click()
    expect(sheet.get_by_role("heading", name="투자금", exact=True)).to_be_visible()


def test_a_figure_that_cannot_be_computed_says_which_number_is_missing(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    sheet = sheet_of(page, "summary.conversionRate")
    expect(sheet.locator(".formula-missing")).to_have_text("‘TV·SNS 전환’ 값이 아직 없어서 계산할 수 없어요.")
    expect(sheet.locator(".input").first).to_contain_text("아직 측정 전")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    sheet = sheet_of(page, "summary.totalViews")
    expect(sheet.locator(".formula-missing")).to_have_text("아직 측정 전")


def test_an_open_sheet_follows_a_change_and_gives_the_focus_back(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    button = page.locator('[data-figure="summary.totalParticipants"]').first
    button.focus()
    page.keyboard.press("Enter")
    sheet = page.get_by_role("dialog", name="참여자")
    expect(sheet.locator(".formula-numbers")).to_have_text("4명 + 2명 + 1명 = 7명")
    site.send(site.world.registered("one more", channel="NAVER"))
    expect(sheet.locator(".formula-numbers")).to_have_text("5명 + 2명 + 1명 = 8명")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(button).to_be_focused()
    button.click()
    expect(sheet).to_be_visible()
    button.click()
    expect(sheet).to_have_count(0)


def test_an_open_sheet_follows_its_inputs_where_the_figure_in_the_table_stays(site: Site, browser: Browser) -> None:
    page = signed_in(site, browser.new_page(), EVENT)
    cell = page.locator('.channels [data-figure$=".participationRate"]').first
    before = cell.inner_text()
    cell.click()
    participants = page.get_by_role("dialog").locator(".input").first
    expect(participants).to_contain_text("4명")
    site.send(site.world.registered("one more", channel="NAVER"))
    expect(participants).to_contain_text("5명")
    assert cell.inner_text() == before


@pytest.mark.skipif(not AXE.exists(), reason="SKIPPED LOUDLY: no axe-core; run `npm ci` in tools/page")
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_sheet_is_accessible_and_fits(measured: Site, browser: Browser, width: int, language: str) -> None:
    page = signed_in(measured, browser.new_page(width, 844, bypass_csp=True), f"{EVENT}?lang={language}")
    page.add_script_tag(path=AXE)
    for path in ("roi.breakEvenParticipants", "summary.totalViews"):
        sheet = sheet_of(page, path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
            assert [(rule["id"], rule["nodes"][0]["html"]) for rule in violations] == []
            screenshot(page, f"sheet-{path}-{language}-{scheme}-{width}", full_page=False)
        box = sheet.bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] >= 0 and box["y"] + box["height"] <= 844
        page.keyboard.press("Escape")
        expect(sheet).to_have_count(0)
