"""The ledger of participants stores minute and channel in two forms, and reads both as the same."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import namedtuple_row
from world import DATABASE_OWNER, PASSWORD, World, make_database

from hannun.domain.batch import MessageOutcome, ReceivedMessage
from hannun.domain.channels import load_table
from hannun.domain.wire_formats import REGISTERED_FROM_US
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.store import shadow_comparison
from hannun.store.migrate import migrate
from hannun.store.packed_arrivals import CHANNELS, FIRST_MINUTE, LAST_MINUTE, packed, packed_all
from hannun.store.roles import ROLES

MINUTE_US = 60_000_000
MINUTES = st.sampled_from([FIRST_MINUTE, FIRST_MINUTE + 1, LAST_MINUTE, LAST_MINUTE + 1, 68_375_520]) | st.integers(
    FIRST_MINUTE, 2 * LAST_MINUTE - FIRST_MINUTE
)
NUMBERS = (0, 1, 62, 63, 64, 65, 127, 128, 40_000, 2**31 - 1)
"""Channel numbers: 0 is no channel, 1 is known to Hannun, the others are inserted here."""
ARRIVALS = st.tuples(MINUTES, st.sampled_from(NUMBERS))
DAY = 24 * 60


def name_of(number: int) -> str | None:
    return None if number == 0 else f"channel {number}"


def insert_channels(world: World, numbers: tuple[int, ...] = NUMBERS) -> None:
    """Channels with exactly these numbers; every other one has no type, so that its participants are untyped."""
    world.rows("DELETE FROM hannun.channels")
    for index, number in enumerate(number for number in numbers if number):
        world.rows(
            "INSERT INTO hannun.channels (channel_no, key, name, channel_type) OVERRIDING SYSTEM VALUE "
            "VALUES (%s, %s, %s, %s)",
            number,
            f"channel{number}",
            name_of(number),
            (None, "SNS")[index % 2],
        )


@pytest.fixture
def numbered(world: World) -> World:
    insert_channels(world)
    return world


def came(world: World, event: str, who: str, minute: int, number: int) -> ReceivedMessage:
    """A registration, received a second after it happened."""
    at = datetime.fromtimestamp(minute * 60 + 30, UTC).isoformat()
    channel = {} if number == 0 else {"channel": name_of(number)}
    message = world.registered(who, event, at=at, **channel)
    return message._replace(received_at=minute * MINUTE_US + 31_000_000)


def arrivals(world: World, event: str) -> dict[str, tuple[int, int]]:
    rows = world.rows(
        "SELECT participant::text, minute, channel_no FROM hannun.arrivals JOIN hannun.events USING (event_no) "
        "WHERE event_id = %s",
        event,
    )
    return {row.participant: (row.minute, row.channel_no) for row in rows}


def results(outcomes: list[MessageOutcome]) -> list[str]:
    return [outcome.reason or outcome.result for outcome in outcomes]


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


# -- the packed integer ----------------------------------------------------------------------------------------------


@given(st.lists(ARRIVALS, max_size=20))
def test_columns_are_packed_as_one_by_one(arrivals: list[tuple[int, int]]) -> None:
    minutes, numbers = (np.array([pair[at] for pair in arrivals], np.int64) for at in (0, 1))
    one_by_one = [packed(minute, number) for minute, number in arrivals]
    assert packed_all(minutes, numbers).tolist() == [-1 if each is None else each for each in one_by_one]


def test_what_fits_is_exactly_what_an_integer_of_postgresql_holds() -> None:
    assert FIRST_MINUTE * MINUTE_US == REGISTERED_FROM_US
    assert packed(FIRST_MINUTE, 0) == 0
    assert packed(LAST_MINUTE, CHANNELS - 1) == 2**31 - 1
    assert [packed(FIRST_MINUTE - 1, 0), packed(LAST_MINUTE + 1, 0)] == [None, None]
    assert [packed(FIRST_MINUTE, CHANNELS), packed(FIRST_MINUTE, -1)] == [None, None]


@given(MINUTES, st.integers(0, 200), MINUTES, st.integers(0, 200))
def test_no_two_arrivals_have_the_same_packed_integer(
    minute: int, number: int, other_minute: int, other_number: int
) -> None:
    one, other = packed(minute, number), packed(other_minute, other_number)
    if one is not None and one == other:
        assert (minute, number) == (other_minute, other_number)


# -- counted ---------------------------------------------------------------------------------------------------------


@settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(ARRIVALS, min_size=1, max_size=8), st.lists(ARRIVALS, min_size=1, max_size=8), st.booleans())
def test_any_minute_and_channel_is_counted_once_and_read_back_unchanged(
    numbered: World, first: list[tuple[int, int]], then: list[tuple[int, int]], restarted: bool
) -> None:
    """Both by COPY and by the path that a batch with repeats takes."""
    world = numbered
    event = f"event-{world.next_number()}"  # each example has its own event
    sent = dict(zip(ids(len(first) + len(then)), first + then, strict=True))
    messages = [came(world, event, who, *how) for who, how in sent.items()]
    if restarted:
        world.restart()
    assert results(world.count(*messages[: len(first)])) == ["counted"] * len(first)
    assert results(world.count(*messages)) == ["repeated"] * len(first) + ["counted"] * len(then)
    assert results(world.count(*messages)) == ["repeated"] * len(messages)
    assert arrivals(world, event) == sent
    waiting = world.rows(
        "SELECT channel_no, u.participants FROM hannun.untyped_participants u JOIN hannun.events USING (event_no) "
        "WHERE event_id = %s",
        event,
    )
    untyped = Counter(number for _, number in sent.values() if number in NUMBERS[1::2])
    assert {row.channel_no: row.participants for row in waiting} == untyped
    assert world.drift() == []


def test_only_rows_that_do_not_fit_use_the_wide_columns(numbered: World) -> None:
    world = numbered
    sent = {(LAST_MINUTE, 63), (LAST_MINUTE, 64), (LAST_MINUTE + 1, 63), (FIRST_MINUTE, 0), (FIRST_MINUTE, 65)}
    messages = [came(world, "one", who, *how) for who, how in zip(ids(5), sorted(sent), strict=True)]
    for event in ("one", "two"):  # a batch with repeats takes another path than the first
        world.count(
            *(message._replace(raw=message.raw.replace(b'"one"', f'"{event}"'.encode())) for message in messages)
        )
        wide = world.rows(
            "SELECT minute, channel_no FROM hannun.participants JOIN hannun.events USING (event_no) "
            "WHERE event_id = %s AND came IS NULL",
            event,
        )
        assert {(row.minute, row.channel_no) for row in wide} == {how for how in sent if packed(*how) is None}
        world.count(*messages)
    assert world.drift() == []


@pytest.mark.parametrize(
    "columns", ["1, 3, NULL", "1, NULL, 1", "1, 3, 1", "NULL, 3, NULL", "NULL, NULL, 1", "NULL, NULL, NULL"]
)
def test_a_row_in_both_forms_or_in_neither_is_refused(world: World, columns: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="participants_came_check"):
        world.rows(
            "INSERT INTO hannun.participants (participant, event_no, came, minute, channel_no) "
            f"VALUES (gen_random_uuid(), 1, {columns})"
        )


# -- reconciliation --------------------------------------------------------------------------------------------------

PACKED, WIDE = (FIRST_MINUTE + DAY, 62), (FIRST_MINUTE + DAY, 65)


@pytest.mark.parametrize("how", [PACKED, WIDE], ids=["packed", "wide"])
@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        ("DELETE FROM hannun.participants", {"event_totals", "timeline_data", "channel_stats"}),
        (
            "INSERT INTO hannun.participants SELECT gen_random_uuid(), event_no, minute, channel_no, came "
            "FROM hannun.participants",
            {"event_totals", "timeline_data", "channel_stats"},
        ),
        ("UPDATE hannun.participants SET came = came + 64, minute = minute + 1", {"timeline_data"}),
        (
            "UPDATE hannun.participants SET came = came + 1, channel_no = channel_no - 1",
            {"channel_stats", "event_totals"},
        ),
        # The other form, with another minute.
        (
            f"UPDATE hannun.participants SET came = CASE WHEN came IS NULL THEN {packed(FIRST_MINUTE, 62)} END, "
            f"minute = CASE WHEN came IS NOT NULL THEN {FIRST_MINUTE} END, "
            "channel_no = CASE WHEN came IS NOT NULL THEN came & 63 END",
            {"timeline_data"},
        ),
    ],
)
def test_a_falsified_row_is_found_in_either_form(
    world: World, how: tuple[int, int], tampering: str, named: set[str]
) -> None:
    insert_channels(world, (0, 61, 62, 63, 64, 65))  # 62 and 64 have no type
    world.rows("UPDATE hannun.channels SET channel_type = CASE WHEN channel_no IN (62, 65) THEN 'SNS' END")
    world.count(came(world, "one", ids(1)[0], *how))
    assert world.drift() == []
    world.rows(tampering)
    assert {drift.table for drift in world.drift()} >= named


def test_a_row_that_changes_only_its_form_is_no_drift(numbered: World) -> None:
    """A writer of the previous version, which still runs on a migrated database, writes this form."""
    world = numbered
    world.count(
        *(came(world, "one", who, FIRST_MINUTE + DAY, number) for number, who in zip(NUMBERS, ids(10), strict=True))
    )
    before = arrivals(world, "one")
    world.rows(
        "UPDATE hannun.participants p SET came = NULL, minute = a.minute, channel_no = a.channel_no "
        "FROM hannun.arrivals a WHERE a.event_no = p.event_no AND a.participant = p.participant"
    )
    assert arrivals(world, "one") == before
    assert world.drift() == []


# -- comparison ------------------------------------------------------------------------------------------------------


@pytest.fixture
def shadow(world: World, postgres: PostgresServer, valkey: ValkeyServer) -> Iterator[World]:
    """Another database that counts the same messages, and numbers its channels in another order."""
    name = f"{world.name}_b"
    make_database(postgres, name)
    with World(postgres, valkey, name) as shadow:
        yield shadow
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_comparison_treats_both_forms_of_an_arrival_as_equal(world: World, shadow: World) -> None:
    """Channels beyond the 64th in one database are among the first in the other, and the other way round."""
    world.rows("ALTER TABLE hannun.channels ALTER COLUMN channel_no RESTART WITH 60")
    messages = [
        came(world, "one", who, minute, number)
        for number, who in enumerate(ids(10))
        for minute in (FIRST_MINUTE, LAST_MINUTE + 1)[number % 2 :][:1]
    ]
    for message in messages:
        world.count(message)
    for message in reversed(messages):
        shadow.count(message)
    forms = "SELECT count(*) AS wide FROM hannun.participants WHERE came IS NULL"
    assert world.rows(forms)[0].wide > shadow.rows(forms)[0].wide > 0
    with world.owner_connection() as live, shadow.owner_connection() as other:
        for conn in (live, other):
            conn.row_factory = namedtuple_row  # type: ignore[assignment]
        assert shadow_comparison.digests(live, "participants") == shadow_comparison.digests(other, "participants")
        assert shadow_comparison.rows_of(live, "participants", "one") == shadow_comparison.rows_of(
            other, "participants", "one"
        )
        other.execute("UPDATE hannun.participants SET came = came + 64 WHERE came IS NOT NULL")
        assert shadow_comparison.digests(live, "participants") != shadow_comparison.digests(other, "participants")


# -- migration -------------------------------------------------------------------------------------------------------


def test_a_ledger_of_an_earlier_version_is_migrated_whatever_it_holds(
    postgres: PostgresServer, valkey: ValkeyServer, before: Callable[[str], str]
) -> None:
    minutes = (
        -5,
        FIRST_MINUTE - 1,
        FIRST_MINUTE,
        FIRST_MINUTE + 1,
        29_000_000,
        LAST_MINUTE,
        LAST_MINUTE + 1,
        2**31 - 1,
    )
    hows = [(minute, number) for minute in minutes for number in (-1, *NUMBERS)]
    sent = dict(zip(ids(len(hows)), hows, strict=True))
    old = before("0008")
    url = postgres.url(old, DATABASE_OWNER, PASSWORD)
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO hannun.events (event_id, participants) VALUES ('one', %s)", [len(sent)])
        with conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO hannun.participants (participant, event_no, minute, channel_no) VALUES (%s, 1, %s, %s)",
                [(who, *how) for who, how in sent.items()],
            )
    migrate(url, load_table(), dict.fromkeys(ROLES, PASSWORD))
    with World(postgres, valkey, old) as world:
        assert arrivals(world, "one") == sent
        rows = world.rows("SELECT participant::text, came FROM hannun.participants")
        assert {row.participant: row.came for row in rows} == {who: packed(*how) for who, how in sent.items()}
        again = [came(world, "one", who, FIRST_MINUTE, 0) for who in sent]
        assert set(results(world.count(*again))) == {"repeated"}
        assert results(world.count(came(world, "one", ids(1)[0], FIRST_MINUTE, 0))) == ["counted"]
