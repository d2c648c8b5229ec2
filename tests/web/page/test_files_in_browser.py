"""The files and the page show the same: figures, words, and what is missing."""

import pytest
import sheets
from browsing import EVENT, Browser, digits, signed_in, tile
from playwright.sync_api import expect
from served import Site
from world import SPRING

pytestmark = pytest.mark.browser

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
COLUMNS = {  # of the page, by column of the file
    "ko": {
        "조회수": 2,
        "클릭률 (%)": 3,
        "참여율 (%)": 4,
        "전환율 (%)": 5,
        "비용 (원)": 6,
        "참여자당 비용 (원)": 7,
    },
    "en": {"Views": 2, "Click-through rate (%)": 3, "Participation rate (%)": 4}
    | {"Conversion rate (%)": 5, "Cost (KRW)": 6, "Cost per participant (KRW)": 7},
}
TILES = {  # with the name of the figure in the file
    "ko": ("조회수", "참여자당 비용", "참여자"),
    "en": ("Views", "Participants"),
}


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_file_of_channels_has_the_rows_the_words_and_the_gaps_of_the_page(
    site: Site, browser: Browser, language: str, measured: bool
) -> None:
    site.world.count(site.world.distributed(channelName="RingoBiz", channelType="VOICE", status="FAILED"))
    if measured:
        site.world.record_measurement(
            SPRING, "NaverBlog", "2026-11-21 05:00", {"impressions": 900, "views": 300, "clicks": 50, "conversions": 4}
        )
    page = signed_in(site, browser.new_page(), f"{EVENT}?lang={language}")
    rows = page.get_by_role("table").first.locator("tbody tr")
    expect(rows).to_have_count(4)
    file = site.owner.get(f"{ANALYTICS}/channels?format=csv&lang={language}")
    titles, *lines = sheets.csv_rows(file.content)
    assert len(lines) == 4
    total = page.locator("tr.total .cell-participants .num")
    participants = titles.index("참여자" if language == "ko" else "Participants")
    assert sum(int(line[participants]) for line in lines) == digits(total.text_content()) == 7
    for at, line in enumerate(lines):
        cells = dict(zip(titles, line, strict=True))
        shown = rows.nth(at)
        name = shown.locator(".cell-name span").text_content() or ""
        assert line[0].lower() == name.lower()
        assert line[participants] == str(digits(shown.locator(".cell-participants .num").text_content()))
        if at == 3:  # the participants of no known channel
            assert set(line[1:]) == {"", line[participants]}
            continue
        words = shown.locator(".cell-name small").text_content(), shown.locator(".cell-state .badge").text_content()
        assert [word.lower() for word in line[1:3]] == [(word or "").strip().lower() for word in words]
        for title, column in COLUMNS[language].items():
            cell = shown.get_by_role("cell").nth(column).text_content() or ""
            assert ("–" in cell) == (cells[title] == ""), (title, cell, cells[title])
    figures = {
        line[0]: line for line in sheets.csv_rows(site.owner.get(f"{ANALYTICS}?format=csv&lang={language}").content)
    }
    for tile_name in TILES[language]:
        shown_figure = tile(page, tile_name).locator(".value").text_content() or ""
        if not measured:
            assert ("–" in shown_figure) == (figures[tile_name][1] == ""), (tile_name, shown_figure)
    assert browser.unexpected_messages() == []
