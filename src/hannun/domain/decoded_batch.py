"""What the messages of a batch state: registrations in columns, everything else one by one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

from hannun.domain.facts import Fact, OtherFact, ParticipantRegistered, Rejected
from hannun.domain.registrations import Registrations, RegistrationsBuilder


class DecodedBatch(Sequence[Fact | Rejected]):
    """What the messages of a batch state, in their order: registrations in columns, everything else one by one.

    As a sequence it makes a fact of each registration. That is for the few who need them; counting reads the columns.

    Args:
        count: how many messages the batch has.
        others: what the other messages state, by their index in the batch.
    """

    def __init__(self, count: int, registrations: Registrations, others: Mapping[int, OtherFact | Rejected]) -> None:
        self._count = count
        self.registrations = registrations
        self.others = others

    @classmethod
    def of(cls, facts: Iterable[Fact | Rejected]) -> "DecodedBatch":
        """These facts, in this order."""
        builder = DecodedBatchBuilder()
        builder.add(facts)
        return builder.build()

    @classmethod
    def concatenated(cls, batches: Sequence["DecodedBatch"]) -> "DecodedBatch":
        """The messages of several batches, one after the other."""
        if len(batches) == 1:
            return batches[0]
        builder = DecodedBatchBuilder()
        for batch in batches:
            builder.extend(batch)
        return builder.build()

    @property
    def rejected(self) -> list[tuple[int, Rejected]]:
        """The unusable messages, each with its index in the batch, in their order."""
        return [(index, fact) for index, fact in self.others.items() if isinstance(fact, Rejected)]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Fact | Rejected: ...
    @overload
    def __getitem__(self, index: slice) -> list[Fact | Rejected]: ...
    def __getitem__(self, index: int | slice) -> Fact | Rejected | list[Fact | Rejected]:
        return list(self)[index]

    def __iter__(self) -> Iterator[Fact | Rejected]:
        registrations = self.registrations.facts()
        return (self.others[index] if index in self.others else next(registrations) for index in range(self._count))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class DecodedBatchBuilder:
    """Collects what messages state, in their order."""

    def __init__(self) -> None:
        self.count = 0
        """How many messages were added."""
        self.registrations = RegistrationsBuilder()
        self._others: dict[int, OtherFact | Rejected] = {}

    def add(self, facts: Iterable[Fact | Rejected]) -> None:
        """Add what the next messages state."""
        for fact in facts:
            if isinstance(fact, ParticipantRegistered):
                self.registrations.add(self.count, fact)
            else:
                self._others[self.count] = fact
            self.count += 1

    def add_registrations(
        self, event_ids: Sequence[str], participants: bytes, minutes: Sequence[int], channels: Sequence[int]
    ) -> None:
        """Add what the next messages state, which are registrations (`RegistrationsBuilder.add_all`)."""
        self.registrations.add_all(self.count, event_ids, participants, minutes, channels)
        self.count += len(event_ids)

    def extend(self, batch: DecodedBatch) -> None:
        """Add what the messages of another batch state."""
        self.registrations.extend(self.count, batch.registrations)
        self._others |= {self.count + index: fact for index, fact in batch.others.items()}
        self.count += len(batch)

    def build(self) -> DecodedBatch:
        """What all messages state that were added."""
        return DecodedBatch(self.count, self.registrations.build(), dict(self._others))
