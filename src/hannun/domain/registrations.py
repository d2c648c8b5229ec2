"""The registrations of a batch, in columns.

Nearly all messages are registrations. One object for each would cost more than the rest of counting it. In columns,
numpy finds repeats, groups and counts the registrations of a whole batch in a few calls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hannun.domain.channels import Channel
from hannun.domain.facts import ParticipantRegistered

Numbers = npt.NDArray[np.int64]
Participants = npt.NDArray[np.uint8]
"""Participants in the ledger's form: a row of 16 bytes for each."""

NO_CHANNEL_CODE = -1
"""The code of a registration that names no channel."""
_PARTICIPANT_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Registrations:
    """Registrations, one at each place of all columns.

    Attributes:
        index: the index of the message in its batch.
        event: an index into `event_ids`, which holds each event once.
        participant: 16 bytes for each.
        minute: minutes since 1970 UTC.
        channel: an index into `channels`, which holds each channel once; `NO_CHANNEL_CODE` for none.
    """

    index: Numbers
    event: Numbers
    participant: Participants
    minute: Numbers
    channel: Numbers
    event_ids: Sequence[str]
    channels: Sequence[Channel]

    def __len__(self) -> int:
        return len(self.index)

    def at(self, places: Any) -> "Registrations":
        """The registrations at these places: indexes, or a mask."""
        return Registrations(
            self.index[places],
            self.event[places],
            self.participant[places],
            self.minute[places],
            self.channel[places],
            self.event_ids,
            self.channels,
        )

    def first_index(self, channel: int) -> int:
        """The index of the first message that names a channel, by its code."""
        return int(self.index[self.channel == channel].min())

    def facts(self) -> Iterator[ParticipantRegistered]:
        """Each registration as a fact, in the order of the columns."""
        channels: list[Channel | None] = [*self.channels, None]  # the code of none, -1, is the last
        columns = (self.event.tolist(), hexadecimal(self.participant), self.minute.tolist(), self.channel.tolist())
        for event, participant, minute, channel in zip(*columns, strict=True):
            yield ParticipantRegistered(self.event_ids[event], participant, minute, channels[channel])

    def first_of_each(self) -> "Registrations":
        """The first registration of each participant of an event, by event and then by participant."""
        if not len(self):
            return self
        halves = self.participant.view(">u8").astype(np.uint64)
        # Event and the first bits of the participant in one number: sorting by it is several times faster than by
        # all columns. Where two are alike, the order is not decided by it.
        event_bits = max(len(self.event_ids) - 1, 1).bit_length()
        key = (self.event.astype(np.uint64) << np.uint64(64 - event_bits)) | (halves[:, 0] >> np.uint64(event_bits))
        order = np.argsort(key)
        ordered = key[order]
        if not (ordered[1:] == ordered[:-1]).any():
            return self.at(order)
        order = np.lexsort((self.index, halves[:, 1], halves[:, 0], self.event))
        event, halves = self.event[order], halves[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (event[1:] != event[:-1]) | (halves[1:] != halves[:-1]).any(axis=1)
        return self.at(order[first])


def hexadecimal(participants: Participants) -> list[str]:
    """Each participant as 32 hexadecimal digits."""
    digits, length = participants.tobytes().hex(), 2 * _PARTICIPANT_BYTES
    return [digits[at : at + length] for at in range(0, len(digits), length)]


class RegistrationsBuilder:
    """Collects registrations in the order of their messages."""

    def __init__(self) -> None:
        self._events: dict[str, int] = _Codes()
        self._channels: dict[str, int] = {}
        self._channel_list: list[Channel] = []
        self._chunks: list[tuple[Numbers, Numbers, Participants, Numbers, Numbers]] = []
        self._single: list[tuple[int, ParticipantRegistered]] = []

    def add(self, index: int, fact: ParticipantRegistered) -> None:
        """Add one registration."""
        self._single.append((index, fact))

    def add_all(
        self,
        first_index: int,
        event_ids: Sequence[str],
        participants: bytes,
        minutes: Sequence[int],
        channels: Sequence[int],
    ) -> None:
        """Add registrations of messages that follow each other in the batch.

        Args:
            participants: 16 bytes for each.
            channels: their codes (`channel_code`).
        """
        self._flush()
        indexes = np.arange(first_index, first_index + len(event_ids), dtype=np.int64)
        self._append(indexes, event_ids, participants, minutes, channels)

    def extend(self, first_index: int, others: Registrations) -> None:
        """Add the registrations of another batch, whose first message gets this index."""
        self._flush()
        events = np.fromiter(map(self._events.__getitem__, others.event_ids), np.int64, len(others.event_ids))
        channels = np.array([*map(self.channel_code, others.channels), NO_CHANNEL_CODE], np.int64)
        self._chunks.append(
            (
                others.index + first_index,
                events[others.event],
                others.participant,
                others.minute,
                channels[others.channel],  # the code of none, -1, is the last
            )
        )

    def channel_code(self, channel: Channel | None) -> int:
        """The code of a channel. The same key under another name is the same channel; the first name stays."""
        if channel is None:
            return NO_CHANNEL_CODE
        code = self._channels.get(channel.key)
        if code is None:
            code = self._channels[channel.key] = len(self._channel_list)
            self._channel_list.append(channel)
        return code

    def build(self) -> Registrations:
        """All registrations that were added."""
        self._flush()
        index, event, participant, minute, channel = map(np.concatenate, zip(_NONE, *self._chunks, strict=True))
        return Registrations(index, event, participant, minute, channel, list(self._events), list(self._channel_list))

    def _flush(self) -> None:
        if not self._single:
            return
        facts = [fact for _, fact in self._single]
        self._append(
            np.array([index for index, _ in self._single], dtype=np.int64),
            [fact.event_id for fact in facts],
            bytes.fromhex("".join([fact.participant for fact in facts])),
            [fact.minute for fact in facts],
            [self.channel_code(fact.channel) for fact in facts],
        )
        self._single.clear()

    def _append(
        self,
        indexes: Numbers,
        event_ids: Sequence[str],
        participants: bytes,
        minutes: Sequence[int],
        channels: Sequence[int],
    ) -> None:
        count = len(event_ids)
        self._chunks.append(
            (
                indexes,
                np.fromiter(map(self._events.__getitem__, event_ids), np.int64, count),
                np.frombuffer(participants, np.uint8).reshape(count, _PARTICIPANT_BYTES),
                np.array(minutes, np.int64),
                np.array(channels, np.int64),
            )
        )


class _Codes(dict[str, int]):
    """Numbers texts in the order in which they are first looked up."""

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self)
        return code


_NO_NUMBERS: Numbers = np.empty(0, np.int64)
_NO_PARTICIPANTS: Participants = np.empty((0, _PARTICIPANT_BYTES), np.uint8)
_NONE = (_NO_NUMBERS, _NO_NUMBERS, _NO_PARTICIPANTS, _NO_NUMBERS, _NO_NUMBERS)
