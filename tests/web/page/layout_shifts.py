"""Layout shifts of a page: how much of what was shown has moved, and what."""

from playwright.sync_api import Page

SHIFT_MAX = 0.02

_OBSERVE = """
window.shifts = [];
const nameOf = (node) =>
    !node ? "(gone)" : node instanceof Text ? `"${node.data.trim()}"` : `${node.localName}.${node.className}`;
const place = ({ x, y, width, height }) => [x, y, width, height].map(Math.round).join(" ");
const record = (entries) => {
    for (const entry of entries)
        if (!entry.hadRecentInput)
            window.shifts.push({
                value: entry.value,
                moved: entry.sources.map(
                    (each) => `${nameOf(each.node)} from ${place(each.previousRect)} to ${place(each.currentRect)}`,
                ),
            });
};
window.shiftObserver = new PerformanceObserver((list) => record(list.getEntries()));
window.shiftObserver.observe({ type: "layout-shift", buffered: true });
window.takeShifts = () => (record(window.shiftObserver.takeRecords()), window.shifts);
"""
_TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"


def observe_shifts(page: Page) -> None:
    """Record the shifts of each document that the page loads from now on."""
    page.add_init_script(_OBSERVE)


def wait_two_frames(page: Page) -> None:
    """Wait until what has changed is painted, and its shifts are known."""
    page.evaluate(_TWO_FRAMES)


def assert_nothing_moved(page: Page, when: str = "") -> None:
    """Fail with what has moved if the sum of the shifts is too large. Places are x, y, width, height."""
    wait_two_frames(page)
    shifts = page.evaluate("window.takeShifts()")
    total = sum(shift["value"] for shift in shifts)
    lines = [f"{shift['value']:.4f} {moved}" for shift in shifts for moved in shift["moved"] or ["?"]]
    assert total < SHIFT_MAX, "\n".join([f"shifts of {total:.4f} {when}", *lines])
