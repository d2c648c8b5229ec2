"""How the pages of a response follow each other. Pure. A page is never an address that the channel names."""

from typing import NamedTuple

from hannun.channels.declaration import Cursor, NextToken, NoPaging, PageNumber, Paging
from hannun.channels.json_paths import steps, value_at

TOKEN_LENGTH_MAX = 2_000


class Page(NamedTuple):
    """One page: the value of the paging parameter, None for a request without it."""

    value: str | None
    number: int = 1


class PagingFailed(Exception):
    """The response names more pages than are read, or what it says about the next page cannot be used."""


def first_page(paging: Paging) -> Page:
    """The page to begin with."""
    return Page(str(paging.first) if isinstance(paging, PageNumber) else None)


def next_page(paging: Paging, page: Page, document: object) -> Page | None:
    """The page after this one; None after the last.

    Raises:
        PagingFailed: there is one, and it cannot be read.
    """
    if isinstance(paging, NoPaging):
        return None
    value = _next_value(paging, page, document)
    if value is None:
        return None
    if page.number >= paging.pages_max or value == page.value:
        raise PagingFailed
    return Page(value, page.number + 1)


def _next_value(paging: PageNumber | Cursor | NextToken, page: Page, document: object) -> str | None:
    match paging:
        case PageNumber(pages=path, first=first):
            pages = _whole(value_at(document, steps(path)))
            return str(first + page.number) if page.number < pages else None
        case Cursor(next=path, more=more):
            if value_at(document, steps(more)) is not True:
                return None
            token = _token(value_at(document, steps(path)))
            if token is None:
                raise PagingFailed
            return token
        case NextToken(next=path):
            return _token(value_at(document, steps(path)))


def _whole(value: object) -> int:
    """The number of pages. A channel without results may leave it out: then this page is the last."""
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if type(value) is int:
        return value
    raise PagingFailed


def _token(value: object) -> str | None:
    if value is None or value == "":
        return None
    if type(value) is int and abs(value) < 2**64:
        return str(value)
    if isinstance(value, str) and len(value) <= TOKEN_LENGTH_MAX and value.isprintable():
        return value
    raise PagingFailed
