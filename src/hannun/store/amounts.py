"""Amounts of money in rows: as numbers, or encrypted ("sealed") with the operator's key ring.

    hannun.events          total_investment, expected_revenue, baseline_revenue │ sealed_plan
                           recorded_revenue                                     │ sealed_revenue
    hannun.distributions   cost                                                 │ sealed_cost
    hannun.sales           amount                                               │ sealed_amount
    hannun.dead_letters    amounts among the kept fields                        │ sealed_amounts

An event's row says whether its amounts are sealed (`amounts_sealed`). What a writer adds to the event has the form of
the event, which it knows while it holds the event's lock. So no amount is ever in both forms, and events of both forms
stand side by side while `hannun amounts` converts them. Sales of before the conversion follow later: each sale is read
in the form that it has.

A sealed value is bound to its place, that is to its table and to the ids of its row: in another row it does not open.
All sealed amounts have the same length, so it does not tell how large an amount is.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from hannun.errors import KeysMissing, OperatorError
from hannun.key_ring import KeyRing, key_id_of

PURPOSE = "amounts"

UsedKey = tuple[str, int]
"""The id of a key, and how often the ring had been read when it sealed. A key that became active again is recorded
again: a conversion may have deleted its record meanwhile."""

_AMOUNT_BYTES = 10  # hundredths of won; recorded_revenue has 20 digits
_NOT_SAID = -(1 << (8 * _AMOUNT_BYTES - 1))
_CENTS = -2


class Amounts:
    """Seals amounts and opens them, with the key ring of this process. A connection has one of its own (`amounts_of`).

    It knows with which keys it has sealed, so that each is recorded once (`amount_state.record_used_keys`).

    Args:
        ring: None where the settings name no key ring.
        unusable: why the key ring that they name cannot be used.
    """

    def __init__(self, ring: KeyRing | None = None, unusable: OperatorError | None = None) -> None:
        self._ring = ring
        self.unusable = unusable
        self._used: set[UsedKey] = set()
        self._recorded: set[UsedKey] = set()

    def of_connection(self) -> "Amounts":
        """The same keys, for one connection: what is recorded in its database is recorded in no other."""
        return Amounts(self._ring, self.unusable)

    @property
    def unrecorded(self) -> frozenset[UsedKey]:
        """The keys that have sealed something here, and are not known to be recorded in the database."""
        return frozenset(self._used - self._recorded)

    def recorded(self, keys: Iterable[UsedKey]) -> None:
        """These keys are recorded, by a transaction that is committed."""
        self._recorded.update(keys)

    @property
    def ring(self) -> KeyRing:
        """
        Raises:
            KeysMissing: there is none.
            OperatorError: it cannot be used.
        """
        if self.unusable is not None:
            raise self.unusable
        if self._ring is None:
            raise KeysMissing(
                "the amounts in this database are encrypted, and this process has no key ring",
                hint="HANNUN_KEY_RING_FILE names the file with the keys",
            )
        return self._ring

    @property
    def trouble(self) -> OperatorError | None:
        """Why the file of the key ring cannot be used now: the process has no keys, or goes on with those of before."""
        return self.unusable if self._ring is None else self._ring.current_trouble()

    @property
    def key_ids(self) -> list[str]:
        """The ids of the keys of this process, the one that seals first; empty without a key ring."""
        return [] if self._ring is None else self._ring.key_ids

    def missing(self, key_ids: Iterable[str]) -> list[str]:
        """Those of these keys that this process lacks."""
        return sorted(key_ids) if self._ring is None else self._ring.missing(key_ids)

    def seal(self, place: bytes, *amounts: Decimal | None) -> bytes:
        """The sealed form of the amounts of one place. Raises KeysMissing where there is no key ring."""
        return self._noted(self.ring.seal(PURPOSE, place, b"".join(map(_encoded, amounts))))

    def seal_each(self, amounts: Sequence[tuple[bytes, Decimal | None]]) -> list[bytes]:
        """The sealed form of many amounts, each given with its place. Raises as `seal`."""
        sealed = self.ring.seal_all(PURPOSE, [(place, _encoded(amount)) for place, amount in amounts])
        if sealed:
            self._noted(sealed[0])  # one key has sealed all of them
        return sealed

    def open(self, place: bytes, sealed: bytes) -> list[Decimal | None]:
        """The amounts that were sealed for this place.

        Raises:
            KeysMissing: the key ring is missing, or lacks the key.
            CannotOpen: the value was changed, or belongs to another place.
        """
        plain = self.ring.open(PURPOSE, place, sealed)
        return [_decoded(plain[at : at + _AMOUNT_BYTES]) for at in range(0, len(plain), _AMOUNT_BYTES)]

    def seal_bytes(self, place: bytes, plain: bytes) -> bytes:
        """The sealed form of other bytes with amounts, such as the fields of a dead letter. Raises as `seal`."""
        return self._noted(self.ring.seal(PURPOSE, place, plain))

    def _noted(self, sealed: bytes) -> bytes:
        """The same value, whose key is noted."""
        self._used.add((key_id_of(sealed), self.ring.readings))
        return sealed

    def open_bytes(self, place: bytes, sealed: bytes) -> bytes:
        """What `seal_bytes` has sealed. Raises as `open`."""
        return self.ring.open(PURPOSE, place, sealed)

    def one(self, place: bytes, number: Decimal | None, sealed: bytes | None) -> Decimal | None:
        """The amount of a row that holds it as a number, or sealed. Raises as `open`."""
        return number if sealed is None else self.open(place, sealed)[0]

    def several(
        self, place: bytes, numbers: Sequence[Decimal | None], sealed: bytes | None
    ) -> Sequence[Decimal | None]:
        """The amounts of a row that holds them as numbers, or together sealed. Raises as `open`."""
        return numbers if sealed is None else self.open(place, sealed)


WITHOUT_KEYS = Amounts()


def amounts_of(conn: Any) -> Amounts:
    """How this connection reads and writes amounts; one that the service did not open has no keys."""
    found: Amounts = getattr(conn, "amounts", WITHOUT_KEYS)
    return found


def plan_of(event_id: str) -> bytes:
    """The place of `sealed_plan`: investment, expected revenue, baseline."""
    return _place("plan", event_id)


def revenue_of(event_id: str) -> bytes:
    """The place of `sealed_revenue`."""
    return _place("revenue", event_id)


def cost_of(event_id: str, channel_no: int) -> bytes:
    """The place of `sealed_cost`."""
    return _place("cost", event_id, str(channel_no))


def sale_of(event_id: str, sale_id: str) -> bytes:
    """The place of `sealed_amount`."""
    return _place("sale", event_id, sale_id)


def dead_letter_of(hash_: bytes) -> bytes:
    """The place of a dead letter's `sealed_amounts`."""
    return _place("dead letter", hash_.hex())


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """The sum of amounts, where one that was not said is 0."""
    return sum((amount for amount in amounts if amount is not None), Decimal("0.00"))


def bytes_array(values: Iterable[bytes | None]) -> str:
    """An array literal of bytea. The driver would escape each byte."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def _place(*parts: str) -> bytes:
    return "\0".join(parts).encode()  # PostgreSQL's texts have no NUL


def _encoded(amount: Decimal | None) -> bytes:
    cents = _NOT_SAID if amount is None else int(amount.scaleb(2))
    return cents.to_bytes(_AMOUNT_BYTES, "big", signed=True)


def _decoded(encoded: bytes) -> Decimal | None:
    cents = int.from_bytes(encoded, "big", signed=True)
    return None if cents == _NOT_SAID else Decimal(cents).scaleb(_CENTS)
