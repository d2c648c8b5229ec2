"""Korean or English: what a reader prefers."""

from typing import Literal

Language = Literal["ko", "en"]


def language_of(accept_language: str | None) -> Language:
    """The better of our two languages by an Accept-Language header (RFC 9110, 12.5.4), with its weights.

    Of two that weigh the same the one named first; English where neither is wanted.
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
    """The weight among a language's parameters, 1 where there is none; None where it is none."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                return None
            return weight if 0 <= weight <= 1 else None
    return 1.0
