"""What looks like personal data in a text: Korean telephone and resident registration numbers, e-mail addresses.

The patterns are written in what Python's and PostgreSQL's regular expressions have in common, so that a table is
searched by the server. A UUID, a hash or an instant matches none of them. Names of people match none either: no pattern
tells them from other words.
"""

import re
from collections.abc import Iterator, Mapping
from uuid import UUID

_NOT_WITHIN = r"(?<![0-9A-Za-z.+-])(?:{})(?![0-9A-Za-z-])"

PATTERNS: Mapping[str, str] = {
    "telephone number": _NOT_WITHIN.format(
        r"(?:\+82[ -]?|0)1[016789][ -]?[0-9]{3,4}[ -]?[0-9]{4}|(?:\+82[ -]?|0)(?:2|[3-6][0-9])-[0-9]{3,4}-[0-9]{4}"
    ),
    "resident registration number": _NOT_WITHIN.format(
        r"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])-[1-8][0-9]{6}"
    ),
    "e-mail address": r"(?<![0-9A-Za-z._%+-])[0-9A-Za-z._%+-]{1,64}@[0-9A-Za-z-]{1,63}(?:\.[0-9A-Za-z-]{1,63})+",
}
"""Regular expressions by what they find; to be used without regard to case."""

UUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


GIVEN_ID = "the given id"


def with_id(id_: str, participant: str | None = None) -> dict[str, str]:
    """The patterns, and one for an id that somebody looks for: as it is, and a UUID without its hyphens.

    Args:
        participant: what the ledger stores for a participant of this id, 32 hexadecimal digits: a hash, where the id is
            no UUID. It is looked for too, also with the hyphens that PostgreSQL writes.
    """
    forms = {id_, id_.replace("-", "")}
    if participant is not None:
        forms |= {participant, str(UUID(participant))}
    alternatives = "|".join(sorted(map(re.escape, forms), reverse=True))
    return {**PATTERNS, GIVEN_ID: rf"(?<![0-9A-Za-z])(?:{alternatives})(?![0-9A-Za-z])"}


class Matcher:
    """Finds what the patterns describe in texts."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._compiled = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in patterns.items()}

    def find(self, text: str) -> Iterator[tuple[str, int]]:
        """What is found, and where it begins."""
        for kind, pattern in self._compiled.items():
            for match in pattern.finditer(text):
                yield kind, match.start()
