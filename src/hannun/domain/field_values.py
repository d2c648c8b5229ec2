"""Decodes single fields of a message: instants, decimals, counts and participant ids.

Each function returns the value, or raises `UnusableField` with the reason. The functions over many values return what
the function over one value returns for each; they decode the usual spellings of a batch together, which is faster.
"""

import codecs
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from hannun.domain.facts import INSTANT_BEFORE_US, INSTANT_FROM_US, MINUTE_US, Reason
from hannun.domain.ids import NOT_ADDRESSABLE, UUID, addressable_id
from hannun.domain.instants import parse_moment, without_zone_name

COUNT_MAX = 2**31 - 1
MONEY_MAX = Decimal("9999999999999.99")  # DECIMAL(15,2)
PERCENT_MAX = Decimal("99999999.99")  # DECIMAL(10,2)
CENT = Decimal("0.01")
ZERO = Decimal("0.00")

Instant = Annotated[str | int | list[int], Meta(extra_json_schema={"format": "date-time"})]
"""The wire type of an instant: ISO 8601, or one of `TimeForm` where the operator allows it. `instant_text` and
`parse_instant` decode it."""


class TimeForm(StrEnum):
    """A form of instants besides ISO 8601, which only an operator's setting allows."""

    EPOCH_MILLISECONDS = "epoch-milliseconds"
    ARRAYS = "arrays"


_EPOCH_MS_FROM, _EPOCH_MS_BEFORE = 1_000_000_000_000, 253_402_300_800_000
"""2001 to 9999. A smaller number is more probably seconds, or no instant."""

NOT_SAID = (b"", b"null", b'""')
"""The JSON texts of an optional field that say nothing; the first is that of an absent field."""

NUMBER = re.compile(rb'"?[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE]([+-]?)([0-9]+))?"?')

_EXPONENT_DIGITS_MAX = 5  # a longer exponent is beyond every column, or rounds to 0
_INTEGER = re.compile(rb"-?[0-9]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UUID_LINE = b"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh\n"
_HEX_AS_H = bytes(104 if chr(at) in "0123456789abcdefABCDEF" else at if chr(at) in "-\n" else 0 for at in range(256))
_DIGIT_AS_0 = bytes(48 if 48 <= at <= 57 else at for at in range(256))
_MINUTE_ENDS, _SECONDS_AT = len("0000-00-00T00:00"), len("0000-00-00T00:00:")
# The usual forms of an instant, each with the position at which its zone begins.
_USUAL_FORMS = {
    b"0000-00-00T00:00:00" + fraction + zone: len("0000-00-00T00:00:00") + len(fraction)
    for fraction in (b"", b".000", b".000000")
    for zone in (b"Z", b"+00:00")
}


class UnusableField(ValueError):
    """A field that makes its message unusable. `Decoder` turns it into a rejection."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


# -- texts -------------------------------------------------------------------------------------------------------


def without_byte_order_mark(raw: bytes) -> bytes:
    """The bytes of a JSON text without a byte-order mark, which some producers write before it."""
    return raw.removeprefix(codecs.BOM_UTF8)


def check_no_nul(value: Any) -> None:
    """Check all texts of a decoded value: PostgreSQL cannot store a NUL in a text.

    Raises:
        UnusableField: there is a NUL.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise UnusableField(Reason.BAD_TEXT, "a NUL in a text")
    elif isinstance(value, list):
        for item in value:
            check_no_nul(item)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            check_no_nul(getattr(value, name))


def parse_addressable_id(field: str, text: str) -> str:
    """The canonical form of an event's or a merchant's id."""
    id_ = addressable_id(text)
    if id_ is None:
        raise UnusableField(Reason.OUT_OF_BOUNDS, f"{field} {NOT_ADDRESSABLE}")
    return id_


# -- numbers -----------------------------------------------------------------------------------------------------


def parse_decimal(field: str, raw: Raw, highest: Decimal) -> Decimal | None:
    """A decimal from its JSON text, without a float in between; two places, rounded half even; None where not said."""
    text = bytes(raw)
    if text in NOT_SAID:
        return None
    number = NUMBER.fullmatch(text)
    if number is None or text.startswith(b'"') is not text.endswith(b'"'):
        raise UnusableField(Reason.WRONG_TYPE, f"{field} is not a decimal")
    sign, exponent = number.groups()
    if exponent is not None and len(exponent) > _EXPONENT_DIGITS_MAX:
        if sign == b"-":
            return ZERO
        raise UnusableField(Reason.OUT_OF_BOUNDS, f"{field} is above {highest}")
    value = Decimal(text.decode().strip('"'))
    if value < 0:
        raise UnusableField(Reason.OUT_OF_BOUNDS, f"{field} is below 0")
    if value > highest + 1:  # before rounding: 1e9999 cannot be given two decimal places
        raise UnusableField(Reason.OUT_OF_BOUNDS, f"{field} is above {highest}")
    try:
        value = value.quantize(CENT, ROUND_HALF_EVEN)
    except InvalidOperation:
        value = ZERO  # more digits than a Decimal's context holds, all of them after the point: 1e-9999
    if value > highest:
        raise UnusableField(Reason.OUT_OF_BOUNDS, f"{field} is above {highest}")
    return abs(value)


def parse_count(field: str, raw: Raw) -> int | None:
    """A whole number from 0 to `COUNT_MAX` from its JSON text; None where not said."""
    text = bytes(raw)
    if text in NOT_SAID:
        return None
    if _INTEGER.fullmatch(text) is None:
        raise UnusableField(Reason.WRONG_TYPE, f"{field} is not a whole number")
    if len(text) > 20 or not 0 <= int(text) <= COUNT_MAX:
        raise UnusableField(Reason.OUT_OF_BOUNDS, f"{field} is not between 0 and {COUNT_MAX}")
    return int(text)


# -- instants ----------------------------------------------------------------------------------------------------


def instant_text(field: str, value: str | int | list[int], allowed: frozenset[TimeForm]) -> str:
    """The ISO 8601 text of an instant in any of these forms.

    A number is milliseconds since 1970. A list is a date or a local time as Java's Jackson writes it: year, month, day,
    hour, minute, second, nanosecond, of which the last ones may be absent. Its text has no offset.
    """
    if isinstance(value, str):
        return value
    form = TimeForm.EPOCH_MILLISECONDS if isinstance(value, int) else TimeForm.ARRAYS
    if form not in allowed:
        raise UnusableField(Reason.WRONG_TYPE, f"{field} is of the form {form}, which HANNUN_TIMES_ARE does not allow")
    if isinstance(value, int):
        if not _EPOCH_MS_FROM <= value < _EPOCH_MS_BEFORE:
            raise UnusableField(Reason.OUT_OF_TIME, f"{field} is no number of milliseconds after 2001 and before 10000")
        return (_EPOCH + timedelta(milliseconds=value)).isoformat()
    try:
        return _text_of_array(value)
    except (ValueError, OverflowError):
        raise UnusableField(Reason.WRONG_TYPE, f"{field} is not an array of a date or a local time") from None


def _text_of_array(parts: Sequence[int]) -> str:
    if len(parts) == 3:
        return date(*parts).isoformat()
    if not 5 <= len(parts) <= 7:
        raise ValueError("neither a date nor a local time")
    year, month, day, hour, minute, second, nanosecond = [*parts, 0, 0][:7]
    return datetime(year, month, day, hour, minute, second, nanosecond // 1_000).isoformat()


def parse_instant(field: str, text: str, naive_zone: tzinfo | None) -> int:
    """Microseconds since 1970 (UTC) of an ISO 8601 instant, which may have a zone in brackets behind its offset.

    Args:
        naive_zone: the zone of an instant without an offset; None refuses such an instant.
    """
    plain = without_zone_name(text)
    try:
        moment = parse_moment(plain)
    except ValueError:
        raise UnusableField(Reason.WRONG_TYPE, f"{field} is not an ISO 8601 instant") from None
    if moment.tzinfo is None:
        if naive_zone is None or plain is not text:
            raise UnusableField(Reason.NO_OFFSET, field)
        moment = moment.replace(tzinfo=naive_zone)
    since_1970 = (moment - _EPOCH) // _MICROSECOND
    if not INSTANT_FROM_US <= since_1970 < INSTANT_BEFORE_US:
        raise UnusableField(Reason.OUT_OF_TIME, f"{field} is before 1970 or after 9997")
    return since_1970


def means_no_end(text: str) -> bool:
    """Whether an end is written as the last day of the calendar, as many systems store "no end"."""
    try:
        return parse_moment(without_zone_name(text)).date() == date.max
    except ValueError:
        return False


def redact_instant(value: str | int | list[int]) -> str | int | list[int] | None:
    """What a dead letter keeps of an instant of any year: the text without a zone in brackets, the number, the array.

    None where it is no instant, or has such a zone and no offset: without its zone it might become another one.
    """
    try:
        text = instant_text("", value, frozenset(TimeForm))
    except UnusableField:
        return None
    if not isinstance(value, str):
        return value
    plain = without_zone_name(text)
    try:
        moment = parse_moment(plain)
    except ValueError:
        return None
    return None if moment.tzinfo is None and plain is not text else plain


def parse_usual_minutes(field: str, texts: Sequence[str], from_us: int, to_us: int) -> list[int] | None:
    """The minutes since 1970 of instants that share one usual form and lie in [from_us, to_us].

    None where they do not: then `parse_instant` has to decode each.
    """
    lines = "\n".join(texts) + "\n"
    form = texts[0].encode().translate(_DIGIT_AS_0)
    if (
        form not in _USUAL_FORMS
        or lines.encode().translate(_DIGIT_AS_0) != (form + b"\n") * len(texts)
        or max(lines[_SECONDS_AT :: len(form) + 1]) > "5"
        or "T24" in lines  # valid at midnight only, which depends on the seconds that are dropped here
    ):
        return None
    # Many instants share a minute, so each distinct minute is parsed once.
    zone_at = _USUAL_FORMS[form]
    without_seconds = [text[:_MINUTE_ENDS] + text[zone_at:] for text in texts]
    minutes = {text: parse_instant(field, text, None) // MINUTE_US for text in set(without_seconds)}
    first, last = min(minutes.values()), max(minutes.values())
    if first * MINUTE_US < from_us or (last + 1) * MINUTE_US > to_us:
        return None
    return [minutes[text] for text in without_seconds]


# -- participants ------------------------------------------------------------------------------------------------


def ledger_participant(participant_id: str, key: bytes) -> str:
    """A participant as the ledger stores it, 32 hexadecimal digits: the UUID itself, else a hash under this key."""
    if UUID.fullmatch(participant_id) is not None:
        return participant_id.replace("-", "").lower()
    return hashlib.blake2b(participant_id.encode(), digest_size=16, key=key).hexdigest()


def ledger_participants(participant_ids: Sequence[str], key: bytes) -> bytes:
    """`ledger_participant` of each, as 16 bytes."""
    lines = "\n".join(participant_ids) + "\n"
    if lines.isascii() and lines.encode().translate(_HEX_AS_H) == _UUID_LINE * len(participant_ids):
        return bytes.fromhex(lines.replace("-", ""))
    return bytes.fromhex("".join([ledger_participant(id_, key) for id_ in participant_ids]))
