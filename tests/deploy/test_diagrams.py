"""Every diagram of the docs is one that Mermaid draws, and all that it says can be read."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.image import ROOT
from playwright.sync_api import Page, sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.deploy]

MERMAID = ROOT / "tools/deploy/node_modules/mermaid/dist/mermaid.min.js"
FENCE = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIAGRAMS = {
    f"{path.relative_to(ROOT)}:{path.read_text('utf-8')[: match.start()].count(chr(10)) + 1}": match[1]
    for path in sorted((ROOT / "docs").rglob("*.md"))
    for match in FENCE.finditer(path.read_text("utf-8"))
}
"""The text of each diagram by its file and line."""

DRAW = """async text => {
    mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
    document.body.replaceChildren();
    try {
        document.body.innerHTML = (await mermaid.render("diagram", text)).svg;
    } catch (error) {
        return [`not drawn: ${error.message}`];
    }
    const inside = (inner, outer) => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
        && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
    const svg = document.querySelector("svg");
    const whole = svg.getBoundingClientRect();
    const found = [];
    for (const label of svg.querySelectorAll("foreignObject")) {
        if (!label.textContent.trim()) continue;
        const content = document.createRange();
        content.selectNodeContents(label);
        if (!inside(content.getBoundingClientRect(), label.getBoundingClientRect()))
            found.push(`a label is cut: ${label.textContent.trim()}`);
    }
    for (const label of svg.querySelectorAll("foreignObject, text"))
        if (label.textContent.trim() && !inside(label.getBoundingClientRect(), whole))
            found.push(`a label is outside of the diagram: ${label.textContent.trim()}`);
    const shapes = svg.querySelectorAll(".node, .actor, .state-start, .messageText, .noteText").length;
    if (shapes < 2) found.push(`empty: ${shapes} shapes`);
    return found;
}"""
"""Draws a diagram in the page, and returns what is wrong with it."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Chromium with Mermaid in it."""
    assert MERMAID.exists(), "no Mermaid: run `npm ci` in tools/deploy"
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_content("<!doctype html><html lang=en><body></body></html>")
        page.add_script_tag(path=MERMAID)
        yield page
        browser.close()


@pytest.mark.parametrize("place", DIAGRAMS)
def test_a_diagram_of_the_docs_is_drawn_and_can_be_read(page: Page, place: str) -> None:
    assert page.evaluate(DRAW, DIAGRAMS[place]) == []
    if folder := os.environ.get("HANNUN_SCREENSHOTS"):
        name = re.sub(r"\W+", "-", place)
        page.locator("svg").screenshot(path=Path(folder, f"diagram-{name}.png"))


def test_the_pages_of_the_physical_design_have_their_diagrams() -> None:
    pages = [place.rsplit(":", 1)[0] for place in DIAGRAMS if place.startswith("docs/physical-design/")]
    assert {page: pages.count(page) >= 4 for page in pages} == {
        "docs/physical-design/development.md": True,
        "docs/physical-design/index.md": True,
        "docs/physical-design/production.md": True,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('flowchart LR\n a["one" --> b', "not drawn"),
        ("flowchard LR\n a --> b", "not drawn"),
        ("flowchart LR\n", "empty"),
        (
            '%%{init: {"themeCSS": "foreignObject { width: 20px }"}}%%\nflowchart LR\n a["a long label"] --> b',
            "a label is cut",
        ),
    ],
    ids=["a bracket is open", "no such kind", "nothing in it", "a label is wider than its node"],
)
def test_a_diagram_that_cannot_be_read_is_found(page: Page, text: str, problem: str) -> None:
    assert [line for line in page.evaluate(DRAW, text) if line.startswith(problem)]
