"""Texts in files: guarded where a spreadsheet would read them as a formula, a number, a date or an error value."""

import re
import unicodedata
from collections.abc import Sequence

_FORMULA = ("=", "+", "-", "@", "−")
_NUMBER_OR_DATE = re.compile(
    r"(?i:true|false)"
    r"|(?=.*\d)(?i:[\d\s.,:/+\-−()%$€£¥₩원년월일시분초e]|am|pm|오전|오후"
    r"|jan\w*|feb\w*|mar\w*|apr\w*|may|june?|july?|aug\w*|sep\w*|oct\w*|nov\w*|dec\w*)+",
)

_ERROR_VALUE = re.compile(r"(?i:#(?:N/[AD]|NV|GETTING_DATA|[¡¿]?[a-zà-öø-þ0-9_/]+[!?]))")
"""`#N/A`, `#REF!`, `#NAME?` and their names in other languages of Excel, as `#NV` or `#¡VALOR!`."""


def counts_text(counts: Sequence[int | None]) -> str:
    """Counts as one text; a missing one is a dash, as on the page."""
    return " ".join("–" if count is None else str(count) for count in counts)


def guarded(text: str) -> str:
    """The text for a cell, with an apostrophe in front where it needs one: `=1+1`, `００12`, `3월 1일`, `#N/A`."""
    # Full-width signs start formulas too, also after spaces and invisible characters.
    plain = unicodedata.normalize("NFKC", text)
    visible = "".join(sign for sign in plain if unicodedata.category(sign) not in ("Cc", "Cf")).strip()
    starts_invisibly = text[:1] in ("\t", "\r", "\n")
    is_value = _NUMBER_OR_DATE.fullmatch(visible) or _ERROR_VALUE.fullmatch(visible)
    if text.startswith("'") or starts_invisibly or visible.startswith(_FORMULA) or is_value:
        return f"'{text}"
    return text
