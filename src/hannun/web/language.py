"""Korean or English: what a reader prefers."""

from typing import Literal


def language_of(accept_language: str | None) -> Literal["ko", "en"]:
    """The better of our two languages by an Accept-Language header; English where it names neither."""
    best: tuple[float, Literal["ko", "en"]] = (0.0, "en")
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            quality = float(parameter.partition("=")[2]) if parameter else 1.0
        except ValueError:
            continue
        primary = tag.strip().lower().partition("-")[0]
        if primary == "ko" and quality > best[0]:
            best = (quality, "ko")
        elif primary == "en" and quality > best[0]:
            best = (quality, "en")
    return best[1]
