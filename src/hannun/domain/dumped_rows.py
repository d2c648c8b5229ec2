"""Finds forgotten participants in the rows of a dump, as `pg_restore --file=-` writes them.

The ledger names an event by its number. The rows of hannun.events, which a dump holds before, say which event that is.
"""

import re
from collections.abc import Iterator

from hannun.domain.forgotten import ForgottenIds

EVENTS, DEAD_LETTERS = "hannun.events", "hannun.dead_letters"
PARTICIPANTS, PACKED_PARTICIPANTS = "hannun.participants", "hannun.packed_participants"
LEDGERS = frozenset({PARTICIPANTS, PACKED_PARTICIPANTS})
"""The two tables of the ledger of participants. They name nobody but participants."""
_START = re.compile(r"COPY (\S+) \(([^)]*)\) FROM stdin;")
_KEPT_PARTICIPANT = re.compile(r'"participant": ?"([0-9a-f]{32})"')


class DumpedRows:
    """The rows of one dump, line by line."""

    def __init__(self, forgotten: ForgottenIds) -> None:
        self._forgotten = forgotten
        self._table = ""
        self._columns: dict[str, int] = {}
        self._event_ids: dict[str, str] = {}
        self._events_read = False

    def start_table(self, line: str) -> None:
        """Read the line of a COPY statement."""
        found = _START.fullmatch(line)
        self._table, names = (found[1], found[2].split(", ")) if found else ("", [])
        self._columns = {name.strip('"'): at for at, name in enumerate(names)}
        self._events_read = self._events_read or self._table == EVENTS

    def end_table(self) -> None:
        """Read the line that ends a table: what follows are definitions."""
        self._table = ""

    @property
    def unknown_events(self) -> bool:
        """Whether this is the ledger, and its events cannot be known."""
        return self._table in LEDGERS and not self._events_read and bool(self._forgotten.participants)

    def names_forgotten(self, line: str) -> bool:
        """Whether a row of the table names a forgotten participant."""
        if not self._forgotten.participants:
            return False
        if self._table == EVENTS:
            self._read_event(line)
        return any(self._forgotten.is_participant(event_id, found) for event_id, found in self._named(line))

    def _read_event(self, line: str) -> None:
        """Remember the number of an event of which participants were forgotten."""
        number, event_id = self._values(line, "event_no", "event_id")
        if event_id in self._forgotten.participants:
            self._event_ids[number] = event_id

    def _named(self, line: str) -> Iterator[tuple[str, str]]:
        """Event and participant, as a row names them."""
        if self._table == PARTICIPANTS:
            number, participant = self._values(line, "event_no", "participant")
            if number in self._event_ids:
                yield self._event_ids[number], participant.replace("-", "")
        elif self._table == PACKED_PARTICIPANTS:
            number, participants = self._values(line, "event_no", "participants")
            if number in self._event_ids:
                event_id = self._event_ids[number]
                yield from ((event_id, each.replace("-", "")) for each in participants.strip("{}").split(","))
        elif self._table == DEAD_LETTERS:
            event_id, fields = self._values(line, "event_id", "fields")
            for found in _KEPT_PARTICIPANT.finditer(fields):
                yield from ((each, found[1]) for each in self._forgotten.events_for(event_id or None))

    def _values(self, line: str, *names: str) -> list[str]:
        """The values of these columns; empty where one is NULL, or the row has no such column."""
        values = line.split("\t")
        places = [self._columns.get(name, len(values)) for name in names]
        return [_value(values[at]) if at < len(values) else "" for at in places]


def _value(text: str) -> str:
    """A value of COPY's text format. Line breaks and tabs stay as they are written: no id holds one."""
    return "" if text == "\\N" else text.replace("\\\\", "\\")
