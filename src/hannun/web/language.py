"""The language of a response, Korean or English, by the Accept-Language header."""

from typing import Literal

Language = Literal["ko", "en"]


def language_of(accept_language: str | None) -> Language:
    """The preferred one of Korean and English by an Accept-Language header with weights (RFC 9110, 12.5.4).

    Of two equal weights the language that comes first wins. English where the client accepts neither.
    """
    weights: dict[str, float] = {}
    for part in (accept_language or "").split(","):
        tag, *parameters = part.split(";")
        weight = _weight(parameters)
        primary = tag.strip().lower().partition("-")[0]
        if primary in ("ko", "en", "*") and weight is not None:
            weights[primary] = max(weight, weights.get(primary, 0.0))
    others = weights.get("*", 0.0)
    ko, en = weights.get("ko", others), weights.get("en", others)
    if ko == en:
        return "ko" if ko and next(name for name in weights if name != "*" or len(weights) == 1) == "ko" else "en"
    return "ko" if ko > en else "en"


def _weight(parameters: list[str]) -> float | None:
    """The weight (`q`) among a language's parameters: 1 where there is none, None where it is malformed."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                return None
            return weight if 0 <= weight <= 1 else None
    return 1.0
