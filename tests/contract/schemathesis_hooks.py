"""Makes schemathesis generate meaningful requests: formats and rules that no schema can express. Loaded by
SCHEMATHESIS_HOOKS.

Every response is checked against the document, and invalid requests are generated too. `schemathesis.toml` leaves
out one check of one operation.
"""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from importlib import resources
from typing import Any
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies as st

from hannun.domain.questions import encode_cursor

_EXAMPLES = json.loads(resources.files("hannun.web").joinpath("examples.json").read_text("utf-8"))
MERCHANT = _EXAMPLES["userDashboard"]["path"]["userId"]
"""A merchant with events, whom the examples of the document name."""
_ZONES = sorted(available_timezones() - {"Factory", "localtime"})
_OFFSETS = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
_DAYS = st.dates(date(1971, 1, 1), date(2069, 1, 1))
_INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(2069, 1, 1), timezones=_OFFSETS)

schemathesis.openapi.format("iana-time-zone", st.sampled_from(_ZONES))
schemathesis.openapi.format("date", _DAYS.map(str))
schemathesis.openapi.format("date-time", _INSTANTS.map(lambda moment: moment.isoformat(timespec="seconds")))
schemathesis.openapi.format("cursor", st.builds(encode_cursor, st.datetimes(), st.integers(0, 2**63 - 1)))


@schemathesis.serializer("application/x-ndjson")
def ndjson(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """What no schema can say: that a range begins before it ends, and has not too many minutes in it, that a link ends
    within the next year, that a workbook holds all tables, and a file all pages, which channels and merchants are
    known, and that totals name a count, with no more completed calls than calls."""
    query, body = case.query, case.body
    if case.meta and case.meta.generation.mode.is_positive:
        if isinstance(query, dict) and query.get("channels"):
            query["channels"] = "NAVER"
        if isinstance(query, dict) and query.get("userId"):
            query["userId"] = MERCHANT
        if isinstance(case.path_parameters, dict) and "channelName" in case.path_parameters:
            case.path_parameters["channelName"] = "NAVER"
            if isinstance(body, dict):
                body["views"] = body.get("views") or 1200
                body.pop("completedCalls", None)
    if isinstance(query, dict) and query.get("format") in ("csv", "xlsx", "parquet"):
        for name in ("cursor", "limit") + (("table",) if query["format"] == "xlsx" else ()):
            query.pop(name, None)
    if isinstance(query, dict) and query.get("granularity") in ("hourly", "minute"):
        start, end = query.get("startDate"), query.get("endDate")
        if _is_day(start) and (end is None or _is_day(end)):
            query["endDate"] = str(date.fromisoformat(start[:10]) + timedelta(days=7))
        elif start is None and _is_day(end):
            query["startDate"] = str(date.fromisoformat(end[:10]) - timedelta(days=7))
    if isinstance(query, dict) and _is_day(query.get("startDate")) and _is_day(query.get("endDate")):
        _make_range(query)
    if isinstance(body, dict) and _is_instant(body.get("until")):
        body["until"] = (datetime.now(UTC) + timedelta(days=30)).isoformat()


def _make_range(query: dict[str, Any]) -> None:
    """Let a range end two days or more after it begins, whatever the offsets of its instants are."""
    start, end = (date.fromisoformat(query[name][:10]) for name in ("startDate", "endDate"))
    if end - start < timedelta(days=3):
        query["endDate"] = str(start + timedelta(days=3))


def _is_day(text: Any) -> bool:
    return isinstance(text, str) and (_is_instant(text) or len(text) == 10)


def _is_instant(text: Any) -> bool:
    try:
        return isinstance(text, str) and datetime.fromisoformat(text.upper()).tzinfo is not None
    except ValueError:
        return False
