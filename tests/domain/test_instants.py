"""Instants from outside: every way in reads the same texts."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import available_timezones

import pytest

from hannun.cli.positions import parse_log_point
from hannun.domain.field_values import UnusableField, parse_instant
from hannun.domain.instants import parse_instant_with_offset
from hannun.domain.ranges import parse_range
from hannun.errors import BadRequest, OperatorError
from hannun.web.shares import parse_until

INSTANT = datetime(2026, 11, 20, 10, tzinfo=UTC)

READABLE = [
    "2026-11-20T10:00:00Z",
    "2026-11-20 19:00+09:00",
    "2026-11-20t10:00:00.000000000z",
    "20261120T190000+0900",
    "2026-W47-5T10:00Z",
    "2026-11-20T19:00:00+09:00[Asia/Seoul]",
    "2026-11-20T10:00:00Z[UTC]",
    "2026-11-20T19:00+09:00[GMT+09:00]",
    "2026-11-20T19:00+09:00[+09:00]",
    "2026-11-20T07:00-03:00[America/Argentina/Buenos_Aires]",
    "2026-11-20T19:00+09:00[Asia/Founded_After_This_Release]",
]
REFUSED = [
    "2026-11-20T10:00:00",
    "2026-11-20T19:00:00[Asia/Seoul]",
    "2026-11-20[Asia/Seoul]",
    "2026-11-20T19:00:00+09:00[Bad]",
    "2026-11-20T19:00:00+09:00[]",
    "2026-11-20T19:00:00+09:00[Nowhere/City]",
    "2026-11-20T19:00:00+09:00[Asia Seoul]",
    "2026-11-20T19:00:00+09:00[Asia/Seoul][Asia/Seoul]",
    "2026-11-20T19:00:00+09:00[u-ca=gregory]",
    "2026-11-20T19:00:00[Asia/Seoul]+09:00",
    "2026-11-20_19:00:00+09:00",
    "2026-11-20T19:00+08:60",
    "20261120T190000+0860",
    "2026-11-20T19:00+09:00:60",
    "2026-11-20+09:00",
    "2026-11-20T19:00:00+09:00 ",
    "٢٠٢٦-11-20T10:00:00Z",
    "2026-02-30T10:00:00Z",
    "tomorrow\ud800",
    "",
]


def message_instant(text: str) -> datetime:
    return datetime.fromtimestamp(parse_instant("createdAt", text, None) / 1_000_000, UTC)


def query_instant(text: str) -> datetime | None:
    start = parse_range(text, None, "UTC").start
    return None if start is None else start.replace(tzinfo=UTC)


def command_instant(text: str) -> object:
    return parse_log_point(text, "--to")


WAYS_IN: list[Callable[[str], object]] = [message_instant, query_instant, parse_until, command_instant]


@pytest.mark.parametrize("read", WAYS_IN)
def test_every_way_in_reads_the_same_instants(read: Callable[[str], object]) -> None:
    assert {text: read(text) for text in READABLE} == dict.fromkeys(READABLE, INSTANT)


@pytest.mark.parametrize("read", WAYS_IN)
@pytest.mark.parametrize("text", REFUSED)
def test_every_way_in_refuses_the_same_texts(read: Callable[[str], object], text: str) -> None:
    with pytest.raises((UnusableField, BadRequest, OperatorError)):
        read(text)


def test_every_zone_of_the_iana_database_may_stand_in_brackets() -> None:
    refused = set()
    for zone in available_timezones() - {"Factory", "localtime"}:
        try:
            assert parse_instant_with_offset(f"2026-11-20T10:00:00Z[{zone}]") == INSTANT
        except ValueError:
            refused.add(zone)
    assert refused == set()
