"""List dead letters for an operator."""

from typing import NamedTuple

from hannun.errors import OperatorError
from hannun.store import dead_letters
from hannun.store.database import Connection
from hannun.store.dead_letters import DeadLetter


class DeadLetterList(NamedTuple):
    """The newest dead letters, and how many there are in all."""

    newest: list[DeadLetter]
    total: int


def list_dead_letters(conn: Connection, reason: str | None, limit: int, *, resolved_too: bool) -> DeadLetterList:
    """The newest dead letters of one reason, or of all; resolved ones are left out unless `resolved_too`."""
    return DeadLetterList(
        dead_letters.newest(conn, reason, limit, resolved_too=resolved_too),
        dead_letters.count(conn, reason, resolved_too=resolved_too),
    )


def find_dead_letter(conn: Connection, no: int) -> DeadLetter:
    """One dead letter by its number.

    Raises:
        OperatorError: no dead letter has this number.
    """
    dead_letter = dead_letters.find(conn, no)
    if dead_letter is None:
        raise OperatorError(f"there is no dead letter {no}", hint="`hannun dead-letters list` lists them")
    return dead_letter
