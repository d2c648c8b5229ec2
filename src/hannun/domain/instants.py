"""Reads instants that come from outside: messages, query parameters, request bodies and commands.

One grammar for all of them: ISO 8601 with an offset from UTC, and behind the offset perhaps a zone in brackets, as
Java writes it: `2026-11-27T10:00:00+09:00[Asia/Seoul]`. The offset decides, so the zone changes nothing. Brackets with
something that has not the form of a zone name make the whole text unreadable: that may be a mistake of the sender.
"""

import re
from datetime import UTC, date, datetime, time, timedelta

from hannun.errors import BadRequest

_AREAS = (
    "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Etc|Europe|Indian|Mexico|Pacific"
    "|SystemV|US"
)
_WITHOUT_AREA = (
    "CET|CST6CDT|Cuba|EET|EST|EST5EDT|Egypt|Eire|GB|GB-Eire|GMT0|GMT[+-]0|Greenwich|HST|Hongkong|Iceland|Iran|Israel"
    "|Jamaica|Japan|Kwajalein|Libya|MET|MST|MST7MDT|NZ|NZ-CHAT|Navajo|PRC|PST8PDT|Poland|Portugal|ROC|ROK|Singapore"
    "|Turkey|UCT|Universal|W-SU|WET|Zulu"
)
_OFFSET = r"[+-][0-9]{1,2}(?::?[0-9]{2}){0,2}"
_ZONE_NAME = re.compile(
    rf"(?:{_AREAS})(?:/[A-Za-z0-9_+-]{{1,30}}){{1,2}}|{_WITHOUT_AREA}|Z|(?:UTC|GMT|UT)(?:{_OFFSET})?|{_OFFSET}"
)
"""The names of the IANA database, and the offsets that Java takes for zones. The part behind an area is not looked up:
a machine with an older database would refuse messages from a newer zone, and a replay could decide differently."""

_SEPARATOR = re.compile("[Tt ]")
_SIXTY_MINUTES = re.compile("[+-][0-9]{2}(?::?[0-5][0-9])?:?[6-9]")
"""An offset with 60 minutes or seconds, or more."""


class NoOffset(ValueError):
    """An instant without an offset from UTC."""


def parse_instant_with_offset(text: str) -> datetime:
    """The moment of an instant, which must have an offset and may have a zone in brackets behind it.

    Raises:
        NoOffset: it has no offset.
        ValueError: the text is no instant.
    """
    moment = parse_moment(without_zone_name(text))
    if moment.tzinfo is None:
        raise NoOffset(text)
    return moment


def parse_moment(text: str) -> datetime:
    """The moment of an ISO 8601 text of any year, with or without an offset. A date alone is its midnight.

    Raises:
        ValueError: the text is not ISO 8601, or has a zone in brackets.
    """
    separator = _SEPARATOR.search(text)
    if separator is None:
        return datetime.combine(date.fromisoformat(text), time())
    day, clock = text[: separator.start()], text[separator.end() :]
    if _SIXTY_MINUTES.search(clock):  # Python would carry them over: +13:60 is no +14:00
        raise ValueError(text)
    # `datetime.fromisoformat` takes any character between date and time, and no lower-case z as RFC 3339 does
    return datetime.fromisoformat(f"{date.fromisoformat(day)}T{clock.upper()}")


def without_zone_name(text: str) -> str:
    """The text of an instant without the zone in brackets behind it. The same object where there is no such zone."""
    if not text.endswith("]"):
        return text
    moment, _, zone = text[:-1].partition("[")
    return moment if _ZONE_NAME.fullmatch(zone) is not None else text


def no_offset(field: str) -> BadRequest:
    """The error for a field with an instant that has no offset."""
    return BadRequest("{field} has no offset from UTC: add one, as in +09:00 or Z", code="no-offset", field=field)


def to_naive_utc(moment: datetime) -> datetime:
    """A moment with an offset as UTC without a zone, the form of every instant in the tables."""
    return moment.astimezone(UTC).replace(tzinfo=None)


_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def microseconds_since_1970(moment: datetime) -> int:
    """A moment in UTC without a zone, as a timestamp column holds it, in microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND
