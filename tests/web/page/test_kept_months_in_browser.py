"""What the page shows of a month whose minutes are not kept: that it is so, and never 0."""

import pytest
from browsing import EVENT, Browser, signed_in
from playwright.sync_api import expect
from served import open_site
from world import World

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("lang", "not_kept", "total"), [("ko", "보관되지 않음", "4명이 참여했어요"), ("en", "not kept", "4 people joined")]
)
def test_the_chart_says_that_a_month_is_not_kept_and_its_total_counts_it(
    world: World, browser: Browser, lang: str, not_kept: str, total: str
) -> None:
    times = ("2026-09-20T10:00Z", "2026-10-20T10:00Z", "2026-10-21T10:00Z", "2026-11-20T10:00Z")
    with open_site(world) as site:
        world.count(world.created(), *(world.registered(at=at) for at in times))
        world.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_10")
        page = signed_in(site, browser.new_page(), f"{EVENT}?view=all&table=1&lang={lang}")
        chart = page.locator(".chart")
        expect(chart.locator(".readout")).to_contain_text(total)
        days_of_october = chart.locator("tbody tr", has_text=not_kept)
        expect(days_of_october).to_have_count(32)  # in Seoul; the first and the last are partly in other months
        assert browser.unexpected_messages() == []
