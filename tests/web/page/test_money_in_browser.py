"""What the page says of money: expected revenue is not money made, and what is not known is not 0."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from browsing import EVENT, Browser, signed_in, without_insights
from playwright.sync_api import Page, expect
from served import Site, open_site
from world import OWNER, SPRING, World

pytestmark = pytest.mark.browser

REACHED = re.compile("달성|이익|gain|reached", re.IGNORECASE)
PLAN = {"totalInvestment": 100_000, "expectedRevenue": 200_000, "targetRoi": 30}


@pytest.fixture
def site(world: World) -> Any:
    """A site without events."""
    with open_site(world) as site:
        yield site


def horizontal(page: Page, css: str) -> list[tuple[float, float]]:
    """Where the elements begin and end, from left to right within their ROI bars: 0 to 1."""
    found: list[tuple[float, float]] = page.locator(css).evaluate_all(
        """elements => elements.map((element) => {
            const [bar, own] = [element.closest(".roi-track"), element].map((each) => each.getBoundingClientRect());
            return [(own.left - bar.left) / bar.width, (own.right - bar.left) / bar.width];
        })"""
    )
    return found


def colour_class(page: Page, text: str) -> str | None:
    """The class of the element that shows an ROI; it gives a gain and a loss their colours."""
    return page.locator("span:has(> .num)", has_text=text).first.get_attribute("class")


@pytest.mark.parametrize(("lang", "expected"), [("ko", "예상 +100%"), ("en", "+100% expected")])
def test_an_event_that_nobody_joined_has_earned_nothing(site: Site, browser: Browser, lang: str, expected: str) -> None:
    site.world.count(site.world.created(**PLAN))
    page = signed_in(site, browser.new_page(), f"/?lang={lang}")
    card = page.locator(".event-card")
    expect(card).to_contain_text(f"ROI {expected}")
    totals = page.locator(".summary-tiles")
    expect(totals).to_contain_text(expected)
    expect(page.locator("main")).not_to_contain_text(REACHED)
    assert colour_class(page, expected) == ""
    expect(page.locator(".roi-mark.expected")).to_have_count(1)
    expect(page.locator(".roi-fill")).to_have_count(0)  # nothing has come back
    page.goto(f"{site.address}{EVENT}?lang={lang}")
    roi = page.locator(".roi-tile")
    expect(roi.locator(".value")).to_have_text(expected)
    for part in (".headline", ".roi-tile", ".roi-panel"):
        expect(page.locator(part)).not_to_contain_text(REACHED)
    assert colour_class(page, expected) == ""
    assert browser.unexpected_messages() == []


@pytest.mark.usefixtures("no_first_numbers")
def test_expected_revenue_is_not_shown_as_reached_although_people_came(site: Site, browser: Browser) -> None:
    site.world.count(site.world.created(**PLAN), *(site.world.registered(f"p{i}") for i in range(9)))
    page = signed_in(site, without_insights(browser.new_page()), EVENT)
    expect(page.locator(".headline")).to_contain_text("예상대로라면")
    expect(page.locator(".roi-tile")).not_to_contain_text(REACHED)
    # 9 of 5 participants, if the expected revenue came
    expect(page.locator(".break-even")).to_contain_text("예상 매출로 계산했어요")
    expect(page.locator(".break-even")).not_to_contain_text("넘었어요")


@pytest.mark.usefixtures("no_first_numbers")
def test_an_ended_event_without_sales_does_not_say_what_it_earns(site: Site, browser: Browser) -> None:
    world = site.world
    world.count(world.created(**PLAN), world.registered("p"), world.status_changed("ENDED", "2026-11-22T00:00:00Z"))
    page = signed_in(site, without_insights(browser.new_page()), EVENT)
    expect(page.locator(".headline")).to_have_text(
        "모두 1명이 참여했어요. 기록된 매출이 없어 얼마를 벌었는지는 알 수 없어요."
    )
    expect(page.locator(".roi-tile")).to_contain_text("기록된 매출이 없어 목표와 비교할 수 없어요")


@pytest.mark.usefixtures("no_first_numbers")
def test_a_sale_and_its_full_refund_is_a_recorded_revenue_of_0(site: Site, browser: Browser) -> None:
    world = site.world
    world.count(world.created(**PLAN), world.registered("p"), world.sold(5_000), world.sold(5_000, refund=True))
    listed = site.owner.get(f"/api/v1/users/{OWNER}/analytics").json()["events"][0]
    assert (listed["recordedRevenue"], listed["currentRoi"], listed["currentRoiKind"]) == (0, -100, "planned")
    page = signed_in(site, without_insights(browser.new_page()), EVENT)
    expect(page.locator(".roi-tile .value")).to_have_text("100% 손실")
    panel = page.locator(".roi-panel")
    expect(panel.locator('[data-figure="roi.revenue.recorded"]')).to_have_text(re.compile("기록된 매출.*0원"))
    expect(panel).to_contain_text("현재 ROI는 실제로 기록된 매출로 계산해요.")
    page.get_by_role("link", name="이벤트 목록").click()
    expect(page.locator(".event-card")).to_contain_text("ROI 100% 손실")
    expect(page.locator(".summary-tiles")).to_contain_text("100% 손실")
    assert colour_class(page, "100% 손실") == "loss"


def test_totals_of_recorded_and_expected_revenue_say_so(site: Site, browser: Browser) -> None:
    world = site.world
    world.count(
        world.created(SPRING, totalInvestment=100_000, expectedRevenue=900_000),
        world.created("sells", totalInvestment=100_000, expectedRevenue=900_000),
        world.sold(150_000, event="sells"),
    )
    answer = site.owner.get(f"/api/v1/users/{OWNER}/analytics").json()
    kinds = {event["eventId"]: event["currentRoiKind"] for event in answer["events"]}
    assert kinds == {SPRING: "estimated", "sells": "planned"}
    assert answer["provenance"]["roi.currentRoi"]["kind"] == answer["provenance"]["events.currentRoi"]["kind"]
    page = signed_in(site, browser.new_page())
    expect(page.locator(".summary-tiles")).to_contain_text("+425%")
    expect(page.locator(".summary-tiles")).to_contain_text("매출 일부는 예상이에요")
    expect(page.get_by_text("50% 이익")).to_be_visible()
    assert colour_class(page, "50% 이익") == "gain"
    assert colour_class(page, "+425%") == ""


@pytest.mark.usefixtures("no_first_numbers")
def test_each_amount_says_whether_it_is_planned_or_recorded(site: Site, browser: Browser) -> None:
    world = site.world
    world.count(
        world.created(**PLAN), world.distributed(channelName="NAVER", distributionCost=3_000), world.sold(150_000)
    )
    page = signed_in(site, without_insights(browser.new_page()), EVENT)
    totals = page.locator(".roi-panel .money-parts .money-total")
    expect(totals.nth(0)).to_contain_text("계획값")
    expect(totals.nth(1)).to_contain_text("측정값")
    for figure, kind in (("investment.planned", "planned"), ("investment.channels", "recorded")):
        part = page.locator(".money-part", has=page.locator(f'[data-figure="roi.{figure}"]'))
        expect(part.locator(f".bar.{kind}")).to_have_count(1)
    for figure, kind in (("revenue.recorded", "recorded"), ("revenue.expected", "assumed")):
        part = page.locator(".money-part", has=page.locator(f'[data-figure="roi.{figure}"]'))
        expect(part.locator(f".bar.{kind}")).to_have_count(1)
    expect(page.locator(".roi-tile .badge").first).to_have_text("계획값")  # made of the planned investment


def test_the_bar_of_an_event_passes_the_marks_that_it_has_reached_and_all_bars_have_one_scale(
    site: Site, browser: Browser
) -> None:
    world = site.world
    sold = {"loses": 60_000, "almost": 99_000, "earns": 131_000, "most": 900_000}
    for event, amount in sold.items():
        plan = PLAN | {"targetRoi": 300 if event == "most" else 30}
        world.count(world.created(event, eventTitle=event, **plan), world.sold(amount, event=event))
    page = signed_in(site, browser.new_page())
    expect(page.locator(".roi-track")).to_have_count(len(sold))
    titles = page.locator(".event-title").all_text_contents()
    fills = dict(zip(titles, horizontal(page, ".roi-fill"), strict=True))
    zeros = horizontal(page, ".roi-mark.zero")
    targets = horizontal(page, ".roi-mark.target")
    assert len(targets) == 3  # none for a target beyond the scale
    assert {round(at, 2) for at, _ in zeros} == {round(zeros[0][0], 2)}
    assert {round(at, 2) for at, _ in targets} == {round(targets[0][0], 2)}
    break_even, target = (sum(marks[0]) / 2 for marks in (zeros, targets))
    assert fills["loses"][1] < fills["almost"][1] < break_even < target < fills["earns"][1]
    assert fills["most"][1] == pytest.approx(1, abs=0.01)
    expect(page.locator(".roi-beyond")).to_have_count(1)
    page.goto(f"{site.address}/events/almost")
    expect(page.locator(".roi-panel .roi-fill")).to_be_visible()
    assert horizontal(page, ".roi-panel .roi-fill")[0] == pytest.approx(fills["almost"], abs=0.01)


def test_each_sparkline_of_a_list_has_its_own_scale(site: Site, browser: Browser) -> None:
    world = site.world
    now = datetime.now(UTC).isoformat()
    site.send(
        world.created("busy", eventTitle="busy"),
        world.created("quiet", eventTitle="quiet"),
        *(world.registered(f"p{i}", "busy", at=now) for i in range(40)),
        *(world.registered(f"q{i}", "quiet", at=now) for i in range(8)),
        world.created("silent", eventTitle="silent"),
        world.registered("p", "silent", at=now),
    )
    page = signed_in(site, browser.new_page())
    expect(page.locator(".spark")).to_have_count(3)
    heights = {
        card.locator(".event-title").text_content(): card.locator("path.last").evaluate("hour => hour.getBBox().height")
        for card in page.locator(".event-card").all()
    }
    assert heights["busy"] == heights["quiet"] > 4 * heights["silent"] > 0, "one participant is no rush"


@pytest.mark.usefixtures("no_first_numbers")
def test_what_an_ended_event_has_missed_is_not_still_to_come(site: Site, browser: Browser) -> None:
    world = site.world
    site.send(world.created(**PLAN), *(world.registered(f"p{i}") for i in range(2)), world.sold(60_000))
    page = signed_in(site, without_insights(browser.new_page()), EVENT)
    expect(page.locator(".headline")).to_contain_text("본전까지 40,000원 남았어요")
    expect(page.locator(".roi-tile")).to_contain_text("목표 30%까지 70%p 남았어요")
    expect(page.locator(".break-even")).to_contain_text("2명 더 오면 본전")
    site.send(world.status_changed("ENDED", "2026-11-22T00:00:00Z"))
    expect(page.locator(".headline")).to_have_text("모두 2명이 참여했어요. 쓴 돈보다 40,000원 덜 벌었어요.")
    expect(page.locator(".roi-tile")).to_contain_text("목표 30%에 70%p 못 미쳤어요")
    expect(page.locator(".break-even")).to_contain_text("본전에 2명 모자랐어요")
    page.get_by_role("link", name="English").click()
    expect(page.locator(".headline")).to_have_text("2 people joined. It has earned ₩40,000 less than it cost.")
    for part in (".headline", ".roi-tile", ".roi-panel"):
        expect(page.locator(part)).not_to_contain_text(re.compile("to go|more to|to the target"))


@pytest.mark.usefixtures("no_first_numbers")
def test_one_person_is_not_people(site: Site, browser: Browser) -> None:
    site.send(site.world.created(), site.world.registered("p", at=datetime.now(UTC).isoformat()))
    page = signed_in(site, without_insights(browser.new_page()), "/?lang=en")
    expect(page.locator(".headline")).to_have_text("1 person has joined 1 event.")
    page.locator(".event-card").click()
    expect(page.locator(".headline")).to_have_text("1 person has joined so far.")
    expect(page.locator(".readout")).to_contain_text("In the last 48 hours, 1 person joined.")


def test_an_expected_roi_and_a_target_beyond_the_scale_leave_no_mark_outside_it(site: Site, browser: Browser) -> None:
    site.world.count(site.world.created(totalInvestment=100_000, expectedRevenue=900_000, targetRoi=300))
    page = signed_in(site, browser.new_page())
    expect(page.locator(".event-card")).to_contain_text("목표 300%")
    expect(page.locator(".event-target.on-scale, .roi-mark.target")).to_have_count(0)
    ((begins, ends),) = horizontal(page, ".roi-mark.expected")
    assert 0.9 < begins < ends <= 1
