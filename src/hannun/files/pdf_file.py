"""PDF: the one-page report of an event, laid out by Typst with the fonts of this package.

    content (texts and numbers, as JSON) ─► report.typ ─► PDF

The content reaches the layout as data: no text of it is read as Typst code. The creation time of the document is the
one that the caller names, and no font, file or package of the machine is read. The same content gives the same bytes.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import typst

MEDIA_TYPE = "application/pdf"
_FOLDER = Path(str(resources.files("hannun.files")))
_FONTS = _FOLDER / "fonts"


def render(content: Mapping[str, object], as_of: datetime) -> bytes:
    """The PDF of a report's content. It takes some 100 ms of a core, without the lock of the interpreter.

    Args:
        content: what `hannun.domain.event_report` makes.
        as_of: the document's creation time, with a zone.
    """
    pdf = _compiler().compile(
        _template(),
        format="pdf",
        sys_inputs={"report": msgspec.json.encode(content).decode()},
        timestamp=int(as_of.timestamp()),
        pdf_standards="ua-1",  # readable by screen readers: tags, title, language, a description of the chart
    )
    assert isinstance(pdf, bytes)
    return pdf


@cache
def _template() -> bytes:
    return (_FOLDER / "report.typ").read_bytes()


@cache
def _fonts() -> "typst.Fonts":
    import typst  # with the first report

    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[_FONTS])


def _compiler() -> "typst.Compiler":
    """A compiler of its own: one compiler serves one thread at a time."""
    import typst

    return typst.Compiler(_template(), root=_FONTS, font_paths=_fonts(), ignore_system_fonts=True)
