"""Reads values of decoded JSON at a path: keys and positions with dots between them."""

from collections.abc import Iterator
from typing import TypeAlias

Steps: TypeAlias = tuple[str, ...]
FOUND_MAX = 1_000
"""Values that a path with `*` yields at most."""


def steps(path: str) -> Steps:
    """The steps of a path such as `data.0.values`."""
    return tuple(path.split("."))


def value_at(document: object, path: Steps) -> object:
    """The value at a path; None where there is none, or null."""
    for step in path:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isascii() and step.isdigit() and len(step) < 6:
            position = int(step)
            document = document[position] if position < len(document) else None
        else:
            return None
    return document


def values_at(document: object, path: Steps) -> list[object]:
    """All values at a path in which `*` stands for every key or position; at most `FOUND_MAX`."""
    values = [document]
    for step in path:
        if step == "*":
            values = [inner for value in values for inner in _inner(value)][:FOUND_MAX]
        else:
            values = [value_at(value, (step,)) for value in values]
    return [value for value in values if value is not None]


def _inner(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
