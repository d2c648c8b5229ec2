"""Searches everything that the service keeps for personal data, and says whose data a breach could have touched.

    tables (by PostgreSQL) · forgotten ids (by digests) · Redis · a log · a dump ─► findings, never the data itself

The search ends at a deadline and keeps a bounded number of findings; what was not searched is said.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from hannun.domain.audit_chain import ALL_EVENTS, ALL_MERCHANTS, Action, NewEntry, event_object, operator
from hannun.domain.dumped_rows import LEDGERS, DumpedRows
from hannun.domain.field_values import ledger_participant
from hannun.domain.forgotten import ForgottenIds
from hannun.domain.personal_data import GIVEN_ID, PATTERNS, UUIDS, Matcher, with_id
from hannun.errors import OperatorError
from hannun.files.private_csv import write_private_csv
from hannun.store import audit_log, forgotten
from hannun.store import personal_data as store
from hannun.store.batches import participant_key
from hannun.store.database import Connection
from hannun.store.personal_data import ActiveLink, ExposedEvent, Reader

BLOCK_BYTES = 1_000_000
LINE_BYTES_MAX = 1_000_000
PLACES_MAX = 1_000
"""Different places with findings that are kept; findings in more places are counted together."""
REMEMBERED_MAX = 100_000
FORGOTTEN_ID = "forgotten id"
ELSEWHERE = "other places"


class Reads(Protocol):
    """Reads bytes, as files do."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(slots=True)
class Findings:
    """How often personal data was found, by place and kind; and what was not searched to its end.

    `first_lines` says where in a log a kind was found first.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_lines: dict[tuple[str, str], int] = field(default_factory=dict)
    unsearched: list[str] = field(default_factory=list)

    def add(self, place: str, kind: str, count: int = 1) -> None:
        known = (place, kind) in self.counts or len(self.counts) < PLACES_MAX
        self.counts[place if known else ELSEWHERE, kind] += count


class Search:
    """One search, with a deadline.

    Args:
        patterns: regular expressions by what they find (`domain.personal_data`).
        forgotten: the forgotten ids of the live database.
        now: seconds that only increase.
    """

    def __init__(
        self,
        patterns: Mapping[str, str],
        forgotten: ForgottenIds,
        seconds_max: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patterns = patterns
        self._matcher = Matcher(patterns)
        self._forgotten = forgotten
        self._now = now
        self._ends_at = now() + seconds_max
        self._known: dict[str, bool] = {}
        self.findings = Findings()

    @property
    def _left_s(self) -> float:
        return self._ends_at - self._now()

    def search_tables(self, conn: Connection, on_step: Callable[[str], object] = lambda _: None) -> None:
        """Search every column that can hold a text, the smallest tables first."""
        for column in store.text_columns(conn):
            on_step(str(column))
            counts = store.count_matches(conn, column, self._patterns, self._left_s) if self._left_s > 0 else None
            if counts is None:
                self.findings.unsearched.append(str(column))
            for kind, count in (counts or {}).items():
                self.findings.add(str(column), kind, count)

    def search_forgotten(self, conn: Connection, on_step: Callable[[str], object] = lambda _: None) -> None:
        """Search the registers, the ledger and the dead letters for ids that were forgotten and are back."""
        on_step("forgotten merchants")
        with conn.transaction():
            for place, user_id in store.user_ids(conn):
                if self._is_forgotten_merchant(user_id):
                    self.findings.add(place, FORGOTTEN_ID)
        for event_id in self._forgotten.participants:
            on_step(f"forgotten participants of {event_object(event_id)}")
            if not self._search_ledger(conn, event_id):
                self.findings.unsearched.append(f"hannun.participants of {event_object(event_id)}")
        if self._forgotten.participants:
            on_step("forgotten participants of dead letters")
            self._search_dead_letters(conn)

    def _search_ledger(self, conn: Connection, event_id: str) -> bool:
        """Returns whether the event's participants were searched to their end."""
        with conn.transaction():
            for participant in store.participants(conn, event_id):
                if self._left_s <= 0:
                    return False
                if self._forgotten.is_participant(event_id, participant):
                    self.findings.add(f"hannun.participants of {event_object(event_id)}", FORGOTTEN_ID)
        return True

    def _search_dead_letters(self, conn: Connection) -> None:
        with conn.transaction():
            for event_id, participant in store.dead_letter_participants(conn):
                if self._left_s <= 0:
                    self.findings.unsearched.append("participants of hannun.dead_letters")
                    return
                if self._is_forgotten_participant(event_id, participant):
                    self.findings.add("hannun.dead_letters.fields", FORGOTTEN_ID)

    def _is_forgotten_participant(self, event_id: str | None, participant: str) -> bool:
        return any(self._forgotten.is_participant(each, participant) for each in self._forgotten.events_for(event_id))

    def search_cache(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Search keys and values of Redis. Keys are named by their kind, since an id may stand in them."""
        for key, value in entries:
            if self._left_s <= 0:
                self.findings.unsearched.append("Redis")
                return
            for kind in self._found_in(f"{key}\n{value.decode('utf-8', 'replace')}"):
                self.findings.add(f"Redis, keys {':'.join(key.split(':')[:2])}", kind)

    def search_log(self, name: str, source: Reads) -> None:
        """Search a log. The place is the name, with the first line for each kind."""
        for number, line in enumerate(lines_of(source), 1):
            if self._left_s <= 0:
                self.findings.unsearched.append(f"{name} from line {number} on")
                return
            for kind in self._found_in(line):
                self.findings.first_lines.setdefault((name, kind), number)
                self.findings.add(name, kind)

    def search_dump(self, name: str, source: Reads) -> None:
        """Search a dump as `pg_restore --file=-` writes it; the place is the table."""
        table = "its definitions"
        rows = DumpedRows(self._forgotten)
        for line in lines_of(source):
            if self._left_s <= 0:
                self.findings.unsearched.append(f"{name} from {table} on")
                while source.read(BLOCK_BYTES):  # the program ends by itself
                    pass
                return
            if line.startswith("COPY "):
                table = line.split(" ", 2)[1]
                rows.start_table(line)
                if rows.unknown_events:
                    self.findings.unsearched.append(f"{name}, forgotten participants of {table}")
            elif line == "\\.":
                table = "its definitions"
                rows.end_table()
            else:
                for kind in self._found_in(line, names_merchants=table not in LEDGERS):
                    self.findings.add(f"{name}, {table}", kind)
                if rows.names_forgotten(line):
                    self.findings.add(f"{name}, {table}", FORGOTTEN_ID)

    def _found_in(self, text: str, *, names_merchants: bool = True) -> Iterator[str]:
        """What is found in a text, each as often as it stands there."""
        for kind, _ in self._matcher.find(text):
            yield kind
        if names_merchants and self._forgotten.merchants:
            for match in UUIDS.finditer(text):
                if self._is_forgotten_merchant(match[0].lower()):
                    yield FORGOTTEN_ID

    def _is_forgotten_merchant(self, user_id: str) -> bool:
        known = self._known.get(user_id)
        if known is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            known = self._known[user_id] = self._forgotten.is_merchant(user_id)
        return known


def lines_of(source: Reads) -> Iterator[str]:
    """The lines of a text; one of more than `LINE_BYTES_MAX` comes in parts."""
    rest = b""
    while block := source.read(BLOCK_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
        if len(rest) > LINE_BYTES_MAX:
            yield rest.decode("utf-8", "replace")
            rest = b""
    if rest:
        yield rest.decode("utf-8", "replace")


class Exposure(NamedTuple):
    """Whose data a breach of an event could have touched, and who saw it since an instant."""

    event: ExposedEvent
    readers: list[Reader]
    links: list[ActiveLink]


def exposure(conn: Connection, event_id: str, since: datetime) -> Exposure:
    """Whose data an event holds, and who may have seen it since an instant (UTC, without a zone).

    Raises:
        OperatorError: there is no such event.
    """
    event = store.exposed_event(conn, event_id)
    if event is None:
        raise _no_event(event_id)
    readers = store.readers(conn, event.owner, [event_object(event_id), ALL_EVENTS, ALL_MERCHANTS], since)
    return Exposure(event, readers, store.active_links(conn, event_id, since))


def list_people(conn: Connection, event_id: str, path: Path, by: str) -> int:
    """Write whose data an event holds into a new file. Returns how many people there are.

    The audit log names it first: also a list that was interrupted may have been read.

    Raises:
        OperatorError: there is no such event, or the file exists or cannot be written.
    """
    if store.exposed_event(conn, event_id) is None:
        raise _no_event(event_id)
    reason = "a list of whose data a breach could have touched"
    audit_log.record(conn, NewEntry(operator(by), Action.EXPORTED, event_object(event_id), reason=reason))
    conn.commit()
    with conn.transaction():
        return write_private_csv(path, ("kind", "id"), store.people(conn, event_id))


def _no_event(event_id: str) -> OperatorError:
    return OperatorError(f"no event has the id {event_id}", hint="give the eventId of the event's messages")


def patterns_for(conn: Connection, id_: str | None) -> Mapping[str, str]:
    """What is searched for: personal data, and an id in every form in which this database may hold it."""
    return PATTERNS if id_ is None else with_id(id_, ledger_participant(id_, participant_key(conn)))


def search_ledger_for(conn: Connection, id_: str, findings: Findings) -> None:
    """Search the ledger for a participant, whose id no text column holds."""
    participant = ledger_participant(id_, participant_key(conn))
    for event_id in forgotten.events_of_participant(conn, participant):
        findings.add(f"hannun.participants of {event_object(event_id)}", GIVEN_ID)


def record_search(conn: Connection, by: str, what: str) -> None:
    """Record in the audit log that somebody searches for personal data: the result says where it stands."""
    audit_log.record(conn, NewEntry(operator(by), Action.PRIVACY_SCANNED, what))
    conn.commit()
