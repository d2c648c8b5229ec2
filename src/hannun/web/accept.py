"""Reads the weights (`q`) of Accept headers (RFC 9110, 12.4.2)."""


def weights_in(header: str | None) -> list[tuple[str, float]]:
    """Each value of an Accept header, in lower case, with its weight, in their order. Malformed ones are left out."""
    weights = []
    for part in (header or "").split(","):
        value, *parameters = part.split(";")
        weight = _weight(parameters)
        if value.strip() and weight is not None:
            weights.append((value.strip().lower(), weight))
    return weights


def _weight(parameters: list[str]) -> float | None:
    """The weight among the parameters of a value: 1 where there is none, None where it is malformed."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                return None
            return weight if 0 <= weight <= 1 else None
    return 1.0
