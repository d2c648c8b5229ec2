"""Guards texts that a spreadsheet would read as a formula, a number or a date."""

import re
import unicodedata

_FORMULA = ("=", "+", "-", "@", "−")
_NUMBER_OR_DATE = re.compile(
    r"(?i:true|false)"
    r"|(?=.*\d)(?i:[\d\s.,:/+\-−()%$€£¥₩원년월일시분초e]|am|pm|오전|오후"
    r"|jan\w*|feb\w*|mar\w*|apr\w*|may|june?|july?|aug\w*|sep\w*|oct\w*|nov\w*|dec\w*)+",
)


def guarded(text: str) -> str:
    """The text for a cell, with an apostrophe in front where it needs one, as `=1+1`, `００12` and `3월 1일` do."""
    # Full-width signs start formulas too, also after spaces and invisible characters.
    plain = unicodedata.normalize("NFKC", text)
    visible = "".join(sign for sign in plain if unicodedata.category(sign) not in ("Cc", "Cf")).strip()
    starts_invisibly = text[:1] in ("\t", "\r", "\n")
    if text.startswith("'") or starts_invisibly or visible.startswith(_FORMULA) or _NUMBER_OR_DATE.fullmatch(visible):
        return f"'{text}"
    return text
