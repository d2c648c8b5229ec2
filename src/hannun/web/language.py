"""The language of a response, Korean or English, by the Accept-Language header."""

from typing import Literal

from starlette.requests import Request

from hannun.web.accept import weights_in

Language = Literal["ko", "en"]
_CHOSEN: dict[str, Language] = {"ko": "ko", "en": "en"}


def chosen_language(request: Request) -> Language | None:
    """The language that an address of the page names in `lang`; None where it names none."""
    return _CHOSEN.get(request.query_params.get("lang", ""))


def language_of(accept_language: str | None) -> Language:
    """The preferred one of Korean and English by an Accept-Language header with weights (RFC 9110, 12.5.4).

    Of two equal weights the language that comes first wins. English where the client accepts neither.
    """
    weights: dict[str, float] = {}
    for tag, weight in weights_in(accept_language):
        primary = tag.partition("-")[0]
        if primary in ("ko", "en", "*"):
            weights[primary] = max(weight, weights.get(primary, 0.0))
    others = weights.get("*", 0.0)
    ko, en = weights.get("ko", others), weights.get("en", others)
    if ko == en:
        return "ko" if ko and next(name for name in weights if name != "*" or len(weights) == 1) == "ko" else "en"
    return "ko" if ko > en else "en"
