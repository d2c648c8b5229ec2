"""Ids that others have chosen: their canonical form, and ids that are refused.

A UUID (RFC 9562: with hyphens) is the same id in capitals, and stored in lower case. Every other id is opaque: it stays
as it is. The id of an event or of a merchant becomes a segment of an address, so one that no address could hold is
refused.
"""

import re
from functools import lru_cache

UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII)

ID_LENGTH_MAX = 36
"""Characters of an event's or a merchant's id: the width of their columns."""

NOT_ADDRESSABLE = "has a slash or a control character, or is . or .., so that it could have no address"

_WITHOUT_ADDRESS = re.compile(r"[\x00-\x1f/\x7f-\x9f]|\A\.\.?\Z")
_REMEMBERED_MAX = 65_536


@lru_cache(_REMEMBERED_MAX)
def canonical_id(id_: str) -> str:
    """The form in which an id is stored and compared."""
    return id_ if UUID.fullmatch(id_) is None else id_.lower()


def is_id(text: str) -> bool:
    """Whether a segment of a path may be an id: columns hold no more characters, and PostgreSQL no NUL."""
    return 0 < len(text) <= ID_LENGTH_MAX and "\0" not in text


@lru_cache(_REMEMBERED_MAX)
def addressable_id(id_: str) -> str | None:
    """The canonical form of an event's or a merchant's id; None where no address could hold it.

    A slash would begin another segment, also as %2F, because servers decode a path before they route it. Browsers
    remove `.` and `..` from addresses, also as %2E.
    """
    return canonical_id(id_) if _WITHOUT_ADDRESS.search(id_) is None else None
