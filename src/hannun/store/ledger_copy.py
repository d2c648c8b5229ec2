"""The ledger rows of a batch as COPY reads them, and array literals that the driver need not adapt value by value."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hannun.domain.fold import Arrival, FactsByEvent
from hannun.store.packed_arrivals import packed
from hannun.store.surrogate_keys import SurrogateKeys

NO_CHANNEL = 0
"""The channel number of a participant or a sale without a channel."""


class LedgerText(NamedTuple):
    """A batch's ledger rows for COPY, by statement. `times_cleared` is that of the surrogate keys when they were made
    (`SurrogateKeys.times_cleared`)."""

    times_cleared: int
    by_statement: Mapping[str, bytes]


def ledger_text(keys: SurrogateKeys, by_event: FactsByEvent) -> LedgerText | None:
    """The ledger rows in the order of the primary key, so that neighbouring index entries come together; None where a
    surrogate key is missing.

    Participants have 32 digits each, so the order of an event's lines is theirs. The end of a line (minute and channel)
    repeats for everybody who came in one minute through one channel, so it is written once.
    """
    times_cleared = keys.times_cleared
    try:
        channel_nos = channel_numbers(keys, by_event)
        events = sorted((keys.events[event_id], facts.participants) for event_id, facts in by_event.events.items())
    except KeyError:
        return None
    ends: dict[Arrival, str] = {}  # empty where minute and channel do not fit into one integer
    lines: list[str] = []
    wide: list[str] = []
    for event_no, participants in events:
        of_event: list[str] = []
        for participant, arrival in participants.items():
            end = ends.get(arrival)
            if end is None:
                came = packed(arrival.minute, channel_nos[arrival.channel])
                end = ends[arrival] = "" if came is None else f"\t{came}\n"
            if end:
                of_event.append(f"{event_no}\t{participant}{end}")
            else:
                wide.append(f"{event_no}\t{participant}\t{arrival.minute}\t{channel_nos[arrival.channel]}\n")
        of_event.sort()
        lines += of_event
    texts = {"copy_participants": lines, "copy_wide_participants": sorted(wide)}
    return LedgerText(times_cleared, {name: "".join(rows).encode() for name, rows in texts.items() if rows})


def channel_numbers(keys: SurrogateKeys, by_event: FactsByEvent) -> dict[str | None, int]:
    """The numbers of a batch's channels by their keys; `NO_CHANNEL` by None.

    Raises:
        KeyError: a channel has no number yet.
    """
    nos: dict[str | None, int] = {key: keys.channels[key].no for key in by_event.channels}
    nos[None] = NO_CHANNEL
    return nos


def ledger_columns(minute: int, channel_no: int) -> tuple[int | None, int | None, int | None]:
    """The ledger's columns of an arrival: (came, minute, channel_no)."""
    came = packed(minute, channel_no)
    return (None, minute, channel_no) if came is None else (came, None, None)


def int_array(values: Iterable[int | None]) -> str:
    """An array literal of integers. The driver would look at each value three times; this does it once."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def text_array(values: Iterable[str]) -> str:
    """An array literal of texts."""
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def pair_columns(pairs: Iterable[tuple[object, object]], first: str, second: str) -> dict[str, list[object]]:
    """Pairs as two arrays, sorted: every writer touches rows in one order."""
    ordered = sorted(pairs)
    return {first: [one for one, _ in ordered], second: [other for _, other in ordered]}
