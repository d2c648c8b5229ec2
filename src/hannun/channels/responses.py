"""What a response says, by the rules of a declaration: over quota, an error, or a document. Pure but for the clock."""

import math
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx2
import msgspec

from hannun.channels.declaration import BodyCode, Code, Declaration, ErrorBody, UsageHeader
from hannun.channels.http_exchange import Received
from hannun.channels.json_paths import steps, value_at, values_at

RETRY_AFTER_S_MAX = 86_400.0
"""A longer wait that a channel asks for is cut to this: its quota may be a day's."""
USAGE_LENGTH_MAX = 20_000


class Classified(NamedTuple):
    """What a response is. `reason` is empty for a document, and `over-quota` where the quota is used up."""

    reason: str
    document: object = None
    known: bool = True


_NOTHING = object()


def classify(declaration: Declaration, received: Received) -> Classified:
    """What the response is: a document to map, or why there is none."""
    status, rules = received.status, declaration.over_quota
    if status in rules.statuses:
        return Classified("over-quota")
    good = 200 <= status < 300
    document = _decoded(received.body) if good or _may_hold_code(declaration, status) else _NOTHING
    if has_code(rules.codes, status, document):
        return Classified("over-quota")
    if has_code(declaration.unknown_id, status, document):
        return Classified("", known=False)
    if 300 <= status < 400:
        return Classified("redirect")
    if not good:
        return Classified(f"status-{status}")
    if document is _NOTHING:
        return Classified("not-json")
    if declaration.error is not None and is_error(declaration.error, document):
        return Classified("error-body")
    return Classified("", document)


def has_code(rule: BodyCode | None, status: int, document: object) -> bool:
    """Whether a document with this status holds one of the codes."""
    if rule is None or document is _NOTHING or (rule.statuses and status not in rule.statuses):
        return False
    return _is_one_of(value_at(document, steps(rule.path)), rule.values)


def is_error(rule: ErrorBody, document: object) -> bool:
    """Whether a document with a good status reports an error: no good code, or any code where none is good."""
    value = value_at(document, steps(rule.path))
    return not _is_one_of(value, rule.good) if rule.good else value is not None


def usage_pause_s(rule: UsageHeader, headers: httpx2.Headers) -> float | None:
    """How long to make no call, because the usage header says that the quota is nearly used up; None where it is not,
    and where the header is absent or cannot be read. The highest of its numbers counts.
    """
    text = headers.get(rule.header, "")
    document = _decoded(text.encode("utf-8", "replace")) if 0 < len(text) <= USAGE_LENGTH_MAX else _NOTHING
    percent = _highest(document, rule.percent)
    if percent is None or percent < rule.stop_at_percent:
        return None
    regain = _highest(document, (rule.regain,)) if rule.regain else None
    pause_s = regain * rule.regain_unit_s if regain else rule.pause_s
    return min(pause_s, RETRY_AFTER_S_MAX)


def retry_after_s(headers: httpx2.Headers, now_s: float) -> float | None:
    """The seconds of Retry-After (RFC 9110, 10.2.3: seconds, or a date), with a bound.

    Args:
        now_s: seconds since 1970.
    """
    text = headers.get("Retry-After", "").strip()
    if not text or len(text) > 60:
        return None
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_S_MAX)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)


def _may_hold_code(declaration: Declaration, status: int) -> bool:
    rules = (declaration.over_quota.codes, declaration.unknown_id)
    return any(rule is not None and (not rule.statuses or status in rule.statuses) for rule in rules)


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return _NOTHING


def _is_one_of(value: object, codes: Iterable[Code]) -> bool:
    """Compared as texts: `-10` and `"-10"` are one code."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    if isinstance(value, str) and len(value) > 1_000:
        return False
    if isinstance(value, int) and abs(value) >= 2**64:
        return False
    return str(value) in map(str, codes)


def _highest(document: object, paths: Iterable[str]) -> float | None:
    numbers = [number for path in paths for value in values_at(document, steps(path)) if (number := _number(value))]
    return max((number for number in numbers if number >= 0), default=None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
