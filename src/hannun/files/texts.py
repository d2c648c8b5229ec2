"""Texts that a spreadsheet would take for something else: a formula, a number, a date."""

import re
import unicodedata

_FORMULA = ("=", "+", "-", "@", "−")
_NUMBER_OR_DATE = re.compile(
    r"(?i:true|false)"
    r"|(?=.*\d)(?i:[\d\s.,:/+\-−()%$€£¥₩원년월일시분초e]|am|pm|오전|오후"
    r"|jan\w*|feb\w*|mar\w*|apr\w*|may|june?|july?|aug\w*|sep\w*|oct\w*|nov\w*|dec\w*)+",
)


def guarded(text: str) -> str:
    """The text as it may stand in a cell: `=1+1`, `００12` and `3월 1일` stay texts."""
    # Full-width signs are formulas too; spaces and signs that nobody sees may stand before one.
    plain = unicodedata.normalize("NFKC", text)
    seen = "".join(sign for sign in plain if unicodedata.category(sign) not in ("Cc", "Cf")).strip()
    starts_unseen = text[:1] in ("\t", "\r", "\n")
    if text.startswith("'") or starts_unseen or seen.startswith(_FORMULA) or _NUMBER_OR_DATE.fullmatch(seen):
        return f"'{text}"
    return text
