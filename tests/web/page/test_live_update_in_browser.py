"""What a live update renders: what has changed, and not the page again. Counted in the browser, not timed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browsing import EVENT, Browser, signed_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, Route, expect
from served import Site, open_site
from world import World

pytestmark = pytest.mark.browser

COUNT_WORK = """
window.work = { formattersMadeAgain: 0, formatted: 0, drawings: 0, curves: 0, bars: 0, transitions: 0 };
const made = new Set();
for (const kind of ["NumberFormat", "DateTimeFormat", "RelativeTimeFormat"]) {
    const Original = Intl[kind];
    Intl[kind] = class extends Original {
        static name = kind;
        constructor(...options) {
            super(...options);
            const name = JSON.stringify([kind, ...options]);
            if (made.has(name)) window.work.formattersMadeAgain += 1;
            made.add(name);
        }
        get format() { window.work.formatted += 1; return super.format; }
    };
}
const count = (owner, method, counter) => {
    const original = owner[method];
    owner[method] = function (...values) { window.work[counter] += 1; return original.apply(this, values); };
};
count(CanvasRenderingContext2D.prototype, "clearRect", "drawings");
count(Path2D.prototype, "arcTo", "curves");
count(Path2D.prototype, "rect", "bars");
addEventListener("transitionrun", () => { window.work.transitions += 1; });
"""


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """An event that runs since 25 days."""
    with open_site(world) as site:
        start, end = (datetime.now(UTC) + timedelta(days=days) for days in (-25, 5))
        site.send(world.created(startDate=start.isoformat(), endDate=end.isoformat()))
        hours = (datetime.now(UTC) - timedelta(hours=hour) for hour in range(1, 200, 2))
        site.send(*(world.registered(at=hour.isoformat()) for hour in hours))
        yield site


def work_of_updates(site: Site, page: Page, count: int) -> dict[str, int]:
    """What some live updates cost the page, each with one more participant."""
    page.evaluate("for (const name in work) work[name] = 0")
    shown = int(page.locator(".hero .num").first.inner_text())
    for number in range(shown + 1, shown + 1 + count):
        site.send(site.world.registered(at=datetime.now(UTC).isoformat()))
        expect(page.locator(".headline")).to_contain_text(f"지금까지 {number}명이 참여했")
        expect(page.locator(".chart-table tbody tr").first.locator("td").last).to_have_text(str(number))
    work: dict[str, int] = page.evaluate("work")
    return work


@pytest.fixture
def page(site: Site, browser: Browser) -> Page:
    """The chart of 30 days by the hour, with its table, after the first updates."""
    page = browser.new_page()
    page.add_init_script(COUNT_WORK)
    signed_in(site, page, f"{EVENT}?view=30d&granularity=hourly&table=1")
    expect(page.locator(".live-state")).to_have_text("실시간")
    expect(page.locator(".plot canvas")).to_be_visible()
    work_of_updates(site, page, 2)
    return page


def test_a_live_update_renders_only_the_rows_of_the_table_that_changed(site: Site, page: Page) -> None:
    rows = page.locator(".chart-table tbody tr").count()
    assert rows > 500
    assert work_of_updates(site, page, 1)["formatted"] < rows


def test_a_live_update_makes_no_formatter_a_second_time(site: Site, page: Page) -> None:
    assert work_of_updates(site, page, 3)["formattersMadeAgain"] == 0


def test_bars_of_many_buckets_are_drawn_without_curves(site: Site, page: Page) -> None:
    work = work_of_updates(site, page, 1)
    assert work["drawings"] > 0
    assert work["curves"] == 0


def test_bars_that_share_a_pixel_are_drawn_once(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    pixels = page.locator(".plot canvas").evaluate("canvas => canvas.width")
    buckets = page.locator(".chart-table tbody tr").count()
    assert buckets > pixels
    work = work_of_updates(site, page, 1)
    assert 0 < work["bars"] <= pixels * work["drawings"]


def test_a_live_update_moves_nothing_in_an_animation_of_its_layout(site: Site, page: Page) -> None:
    assert work_of_updates(site, page, 2)["transitions"] == 0


def test_the_chart_is_not_drawn_again_when_its_answer_is_the_same(site: Site, page: Page) -> None:
    changed: list[str] = []
    page.on("response", lambda each: changed.append(each.url) if "/timeline" in each.url and each.ok else None)

    def reload() -> None:
        with page.expect_response("**/analytics/insights*"):
            page.keyboard.press("r")
        page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
        )

    reload()  # what the last update draws is drawn
    changed.clear()
    page.evaluate("work.drawings = 0")
    for _ in range(3):
        reload()
    assert page.evaluate("work.drawings") <= len(changed)  # none, unless an hour begins


@pytest.mark.parametrize("path", [EVENT, "/"])
def test_an_open_stream_requests_nothing_again_when_nothing_has_changed(
    site: Site, browser: Browser, path: str
) -> None:
    page = browser.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url) if "/analytics" in request.url else None)
    signed_in(site, page, path)
    expect(page.locator(".live-state")).to_have_text("실시간")
    assert len(requested) == len(set(requested))
    assert not [url for url in requested if url.endswith("/analytics")]  # it came with the document


@pytest.mark.parametrize("path", [EVENT, "/"])
def test_a_change_between_the_first_answer_and_the_opening_of_the_stream_is_shown(
    site: Site, browser: Browser, path: str
) -> None:
    page = browser.new_page()

    def change_first(route: Route) -> None:
        expect(page.locator(".hero .num, .summary-tiles .num").first).to_have_text("100")
        site.send(site.world.registered(at=datetime.now(UTC).isoformat()))
        route.continue_()

    page.route("**/live", change_first, times=1)
    signed_in(site, page, path)
    expect(page.locator(".hero .num, .summary-tiles .num").first).to_have_text("101")
    expect(page.locator(".live-state")).to_have_text("실시간")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "0"]),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from("abc01"), parts, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def blank(site: Site, browser: Browser) -> Page:
    page = browser.new_page()
    page.goto(f"{site.address}/static/favicon.svg")
    return page


@given(before=JSON, after=JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_an_answer_shares_its_unchanged_parts_and_is_otherwise_the_new_one(
    blank: Page, before: Any, after: Any
) -> None:
    code = """async ([before, after, same]) => {
        const { shareUnchanged } = await import("/static/sharing.js");
        return [shareUnchanged(before, after), shareUnchanged(before, same) === before];
    }"""
    assert blank.evaluate(code, [before, after, before]) == [after, True]


def test_the_parts_of_an_answer_that_did_not_change_stay_identical(blank: Page) -> None:
    code = """async () => {
        const { shareUnchanged } = await import("/static/sharing.js");
        const before = { rows: [{ hour: 1, count: 2 }, { hour: 2, count: 3 }], total: 5 };
        const after = shareUnchanged(before, { rows: [{ hour: 1, count: 2 }, { hour: 2, count: 4 }], total: 6 });
        return [after.rows[0] === before.rows[0], after.rows[1] === before.rows[1], after.rows === before.rows];
    }"""
    assert blank.evaluate(code) == [True, False, False]
