"""The ledger rows of a batch as COPY reads them, and array literals that the driver need not adapt value by value."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hannun.domain.registrations import Numbers, Participants, Registrations, hexadecimal
from hannun.store.packed_arrivals import packed_all
from hannun.store.surrogate_keys import SurrogateKeys

NO_CHANNEL = 0
"""The channel number of a participant or a sale without a channel."""


class LedgerRows(NamedTuple):
    """A batch's ledger rows in the binary format of COPY, by statement. `times_cleared` is that of the surrogate keys
    when they were made (`SurrogateKeys.times_cleared`)."""

    times_cleared: int
    by_statement: Mapping[str, bytes]


def ledger_rows(keys: SurrogateKeys, registrations: Registrations) -> LedgerRows | None:
    """The ledger rows of registrations in the order of the primary key, so that neighbouring index entries come
    together; None where a surrogate key is missing."""
    times_cleared = keys.times_cleared
    try:
        columns = LedgerColumns.of(keys, registrations)
    except KeyError:
        return None
    narrow, wide = columns.came >= 0, columns.came < 0
    by_statement = {}
    if narrow.any():
        by_statement["copy_participants"] = _binary_rows(
            columns.event_no[narrow], columns.participant[narrow], columns.came[narrow]
        )
    if wide.any():
        by_statement["copy_wide_participants"] = _wide_lines(
            columns.event_no[wide], columns.participant[wide], columns.minute[wide], columns.channel_no[wide]
        )
    return LedgerRows(times_cleared, by_statement)


class LedgerColumns(NamedTuple):
    """Registrations as the ledger holds them, in the order of the primary key.

    `came` is -1 where minute and channel do not fit into one integer. `place` is each row's place in the registrations.
    """

    place: npt.NDArray[np.intp]
    event_no: Numbers
    participant: Participants
    minute: Numbers
    channel_no: Numbers
    came: Numbers

    @classmethod
    def of(cls, keys: SurrogateKeys, registrations: Registrations) -> "LedgerColumns":
        """The columns of registrations that are ordered by event and then by participant.

        Raises:
            KeyError: an event or a channel has no number yet.
        """
        event_no = event_numbers(keys, registrations)
        place = np.argsort(event_no, kind="stable")
        ordered = registrations.at(place)
        channel_no = channel_numbers(keys, ordered)
        return cls(
            place,
            event_no[place],
            ordered.participant,
            ordered.minute,
            channel_no,
            packed_all(ordered.minute, channel_no),
        )


def event_numbers(keys: SurrogateKeys, registrations: Registrations) -> Numbers:
    """The number of each registration's event.

    Raises:
        KeyError: an event has no number yet.
    """
    return np.array([keys.events[event_id] for event_id in registrations.event_ids], np.int64)[registrations.event]


def channel_numbers(keys: SurrogateKeys, registrations: Registrations) -> Numbers:
    """The number of each registration's channel; `NO_CHANNEL` for none.

    Raises:
        KeyError: a channel has no number yet.
    """
    # The last one is that of NO_CHANNEL_CODE, which is -1.
    nos = [keys.channels[channel.key].no for channel in registrations.channels]
    return np.array([*nos, NO_CHANNEL], np.int64)[registrations.channel]


_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
_TRAILER = b"\xff\xff"
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("event_no_size", ">i4"),
        ("event_no", ">i4"),
        ("participant_size", ">i4"),
        ("participant", "u1", 16),
        ("came_size", ">i4"),
        ("came", ">i4"),
    ]
)
"""A row of the ledger in the binary format of COPY: how many fields, then each behind its size."""


def _binary_rows(event_nos: Numbers, participants: Participants, cames: Numbers) -> bytes:
    rows = np.empty(len(event_nos), _ROW)
    rows["fields"], rows["event_no_size"], rows["participant_size"], rows["came_size"] = 3, 4, 16, 4
    rows["event_no"], rows["participant"], rows["came"] = event_nos, participants, cames
    return _SIGNATURE + rows.tobytes() + _TRAILER


def _wide_lines(event_nos: Numbers, participants: Participants, minutes: Numbers, channel_nos: Numbers) -> bytes:
    """Rows as text, which PostgreSQL checks: a minute may be too large for its column. They are rare."""
    columns = (event_nos.tolist(), hexadecimal(participants), minutes.tolist(), channel_nos.tolist())
    return "".join(
        [f"{no}\t{who}\t{minute}\t{channel}\n" for no, who, minute, channel in zip(*columns, strict=True)]
    ).encode()


def int_array(values: Iterable[int | None]) -> str:
    """An array literal of integers. The driver would look at each value three times; this does it once."""
    return "{" + str(list(values))[1:-1].replace("None", "NULL") + "}"


def text_array(values: Iterable[str]) -> str:
    """An array literal of texts."""
    texts = list(values)
    joined = "".join(texts)
    if "\\" in joined or '"' in joined:
        texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return '{"' + '","'.join(texts) + '"}' if texts else "{}"


def pair_columns(pairs: Iterable[tuple[object, object]], first: str, second: str) -> dict[str, list[object]]:
    """Pairs as two arrays, sorted: every writer touches rows in one order."""
    ordered = sorted(pairs)
    return {first: [one for one, _ in ordered], second: [other for _, other in ordered]}
