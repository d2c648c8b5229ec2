"""Line plots as SVG: the same bytes for the same figures, without scripts, for a light and a dark page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pygal
from pygal.style import Style

_INK_LIGHT, _INK_DARK = "#333333", "#d0d0d0"
_LINE_COLORS = ("#2f7ed8", "#d9822b", "#3d9970", "#a463c4")  # readable on white and on black
_INK = """
text, .title, .graph, .axis text, .legends .legend text {{ fill: {ink} !important; }}
.axis .line, .axis .guide.line {{ stroke: {ink} !important; stroke-opacity: 0.35; }}
"""
_CSS = _INK.format(ink=_INK_LIGHT) + f"@media (prefers-color-scheme: dark) {{{_INK.format(ink=_INK_DARK)}}}"
_STYLE = Style(
    background="transparent",
    plot_background="transparent",
    font_family="sans-serif",
    label_font_size=12,
    major_label_font_size=12,
    legend_font_size=13,
    title_font_size=15,
    colors=_LINE_COLORS,
    transition="0s",
)


def write_plot(
    path: Path, title: str, x_title: str, y_title: str, x: Sequence[str], lines: Mapping[str, Sequence[float | None]]
) -> None:
    """Write a plot with a point for each of `x`, evenly spaced; None leaves a point out. The y axis begins at 0."""
    largest = max((value for values in lines.values() for value in values if value is not None), default=0.0)
    chart = pygal.Line(
        js=[],
        css=["file://style.css", "file://graph.css", f"inline:{_CSS}"],
        style=_STYLE,
        no_prefix=True,
        explicit_size=True,
        width=720,
        height=340,
        title=title,
        x_title=x_title,
        y_title=y_title,
        legend_at_bottom=True,
        dots_size=3.5,
        range=(0, largest * 1.05 or 1.0),
        value_formatter=lambda value: f"{value:,.0f}" if largest >= 20 else f"{value:.3g}",
    )
    chart.x_labels = list(x)
    for name, values in lines.items():
        chart.add(name, list(values))
    # pygal adds a script for tooltips, and comments with the date.
    svg = re.sub(r"<script.*?</script>|<!--.*?-->", "", chart.render(is_unicode=True), flags=re.DOTALL)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg + "\n")
