"""Amounts of money, encrypted on request: answers stay the same byte for byte, and no amount stays in the database."""

import asyncio
import json
import re
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from world import NOW, OWNER, SPRING, World, make_database

from hannun import key_ring
from hannun.cli.application import app
from hannun.domain.batch import ReceivedMessage
from hannun.domain.channels import load_table
from hannun.domain.dead_letter_redaction import split_amounts
from hannun.domain.findings import Severity
from hannun.domain.questions import (
    ChannelsQuestion,
    EventDashboardQuestion,
    EventSubject,
    MerchantDashboardQuestion,
    MerchantSubject,
    Question,
    RoiQuestion,
)
from hannun.domain.ranges import Range
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.errors import OperatorError, Transient
from hannun.flows import amounts as flow
from hannun.flows.doctor.amounts import amounts as doctor_amounts
from hannun.flows.doctor.amounts import key_ring as doctor_key_ring
from hannun.flows.doctor.registry import CHECKS
from hannun.flows.health_checks import check_database
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import DirectReader
from hannun.key_ring import CannotOpen, open_key_ring
from hannun.store import amount_state, dead_letters
from hannun.store.amount_sweep import Operation
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.database import Connection, Database, PoolLimits, ReadPool, connect
from hannun.store.shadow import check_same_amount_form
from hannun.store.shadow_comparison import PARTS, digests

ENCRYPT, DECRYPT, ROTATE = Operation
CHANGED_BY_WRITES = ("updated_at", "version", "cumulative_owed_from")
LAST_UPDATE = re.compile(rb'(?<="lastUpdatedAt":)"[^"]*"')
EVENTS = [SPRING, *(f"event-{number}" for number in range(4))]


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.toml"
    key_ring.add_key(file, "first")
    return file


@pytest.fixture
def keys(world: World, ring_file: Path) -> World:
    """A world whose processes have a key ring. Nothing is encrypted yet."""
    world.use_amounts(Amounts(open_key_ring(ring_file)))
    return world


def convert(world: World, operation: Operation, progress: Any = lambda _: None, wait: Any = lambda _: None) -> None:
    """`hannun amounts`, which works as the owner."""
    database = Database(world.owner_url, PoolLimits(), application="test-amounts", amounts=world.amounts)
    try:
        flow.convert(database, operation, "tester", progress, wait)
    finally:
        database.close()


def history(world: World) -> list[ReceivedMessage]:
    """Messages with everything that amounts can be: said, not said, corrected, refunded, repeated, too early."""
    money = {"totalInvestment": 1_000_000, "expectedRevenue": "3000000.50", "targetRoi": 150, "baselineRevenue": 7}
    soon = {"endDate": "2026-12-20T00:00:00+09:00"}
    event = EVENTS[1:]
    return [
        world.created(**money, **soon),
        world.created(event[0], totalInvestment="0.01"),
        world.created(event[1], expectedRevenue=9_999_999_999_999),
        world.created(event[2]),
        *(world.registered(event=each, at=f"2026-11-{day}T10:00:30+09:00") for each in event for day in (11, 20, 21)),
        *(world.registered(at=f"2026-11-{day}T10:00:30+09:00", channel="NAVER") for day in (11, 12, 20)),
        world.distributed(channel="NAVER", distributionCost=50_000),
        world.distributed(channel="Instagram", channelType="SNS"),
        world.distributed(event[0], channel="NAVER", distributionCost="1234.56"),
        world.distributed(event[0], channel="NAVER", distributionCost=5, status="FAILED", at=NOW),
        world.sold(12_000, "one"),
        world.sold(12_000, "one"),
        world.sold("99999.99", "two", refund=True),
        *(world.sold(amount, soldAt=f"2026-11-1{amount}T12:00:00+09:00") for amount in range(1, 9)),
        world.sold(5, "of nobody", event[3]),
        world.sold(3, "x", event[1]),
        world.created(at="2026-11-02T09:00:00+09:00", **{**money, "totalInvestment": 2_000_000}, **soon),
        world.sold("7.77", "y", event[0], soldAt="never"),
        world.message("event-created", event[0], createdAt=NOW, totalInvestment=77),
    ]


def questions(owner: str = OWNER, events: list[str] = EVENTS) -> list[Question]:
    november = Range(start=datetime(2026, 11, 1), end=datetime(2026, 11, 21))
    of_events: list[Question] = [
        question
        for event in map(EventSubject, events)
        for question in (
            EventDashboardQuestion(event, Range()),
            EventDashboardQuestion(event, november),
            ChannelsQuestion(event, Range(), ()),
            ChannelsQuestion(event, Range(), ("NaverBlog",)),
            replace(RoiQuestion(event, Range()), projection=True),
        )
    ]
    merchant = MerchantSubject(owner)
    return [
        *of_events,
        MerchantDashboardQuestion(merchant, Range()),
        MerchantDashboardQuestion(merchant, november),
        ChannelsQuestion(merchant, Range(), ()),
        RoiQuestion(merchant, Range()),
    ]


def answers(world: World, asked: list[Question] | None = None) -> list[bytes | None]:
    """The bodies of all views with amounts, from PostgreSQL. None where the event does not exist yet."""

    async def read() -> list[bytes | None]:
        reader = ReadPool(world.url, PoolLimits(size_min=1), application="test-read", amounts=world.amounts)
        await reader.open()
        try:
            now = datetime.fromisoformat(NOW).astimezone(UTC)
            reports = Reports(reader, DirectReader(), lambda: now, load_table(), timedelta(minutes=10))
            found = [await reports.from_database(question) for question in asked or questions()]
            # A row of channel_stats changes with each write, by a microsecond here: so does this field of its answers.
            return [None if answer is None else LAST_UPDATE.sub(b"0", answer.body) for answer in found]
        finally:
            await reader.close()

    return asyncio.run(read())


def stored(world: World) -> dict[str, list[dict[str, Any]]]:
    """All rows that hold amounts, in the tables of other teams as well; without the columns that each write changes."""
    tables = {
        "hannun.events": "event_no",
        "hannun.distributions": "event_no, channel_no",
        "hannun.sales": "event_no, sale_id",
        "hannun.dead_letters": "dead_letter_no",
        "public.event_stats": "id",
        "public.channel_stats": "id",
    }
    return {
        table: [
            {name: value for name, value in row.columns.items() if name not in CHANGED_BY_WRITES}
            for row in world.rows(f"SELECT * FROM {table} ORDER BY {order}")
        ]
        for table, order in tables.items()
    }


def plain_amounts(world: World) -> list[Any]:
    """Every amount that the database holds as a number or as text."""
    rows = world.rows(
        """
        SELECT unnest(ARRAY[total_investment, expected_revenue, baseline_revenue, recorded_revenue]) AS amount
          FROM hannun.events
         UNION ALL SELECT cost FROM hannun.distributions
         UNION ALL SELECT amount FROM hannun.sales
         UNION ALL SELECT recorded_revenue FROM hannun.event_totals
         UNION ALL SELECT unnest(ARRAY[total_investment, expected_revenue, estimated_roi, sales_growth_rate])
                     FROM event_stats
         UNION ALL SELECT distribution_cost FROM channel_stats
        """
    )
    kept = [row.fields for row in world.dead_letters() if row.fields and split_amounts(row.fields)[1]]
    return [row.amount for row in rows if row.amount] + kept


@pytest.fixture
def one_row_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of a conversion takes one row, so that each moment between two of them is seen."""
    monkeypatch.setattr(flow, "_STEPS", tuple((what, step, first, 1) for what, step, first, _ in flow._STEPS))


@pytest.mark.usefixtures("one_row_a_step")
def test_answers_stay_the_same_while_amounts_are_encrypted_rotated_and_decrypted(keys: World, ring_file: Path) -> None:
    keys.count(*history(keys))
    before, rows = answers(keys), stored(keys)
    assert len(plain_amounts(keys)) > 20
    steps: list[str] = []

    def compare(step: str) -> None:
        steps.append(step)
        assert answers(keys) == before, step
        assert keys.drift() == [], step

    convert(keys, ENCRYPT, compare)
    assert plain_amounts(keys) == []
    assert len(steps) > 20
    key_ring.add_key(ring_file, "second")
    key_ring.activate(ring_file, "second")
    keys.use_amounts(Amounts(open_key_ring(ring_file)))
    convert(keys, ROTATE, compare)
    assert plain_amounts(keys) == []
    assert recorded_keys(keys) == ["second"]
    convert(keys, DECRYPT, compare)
    for table, found in stored(keys).items():
        assert found == rows[table]
    assert recorded_keys(keys) == []


def recorded_keys(world: World) -> list[str]:
    return [row.key_id for row in world.rows("SELECT key_id FROM hannun.amount_keys ORDER BY key_id")]


def test_a_writer_records_each_key_with_which_it_encrypts_once(
    keys: World, ring_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a key that is activated while it runs, and one that becomes active again."""
    convert(keys, ENCRYPT)
    recorded: list[str] = []
    record = amount_state.record_key

    def record_and_note(conn: Connection, key_id: str) -> None:
        recorded.append(key_id)
        record(conn, key_id)

    now_s = 0.0
    keys.use_amounts(Amounts(open_key_ring(ring_file, lambda: now_s)))
    monkeypatch.setattr(amount_state, "record_key", record_and_note)
    keys.count(keys.created(totalInvestment=1))
    recorded.clear()
    key_ring.add_key(ring_file, "second")
    key_ring.activate(ring_file, "second")
    now_s += key_ring.CHECK_EVERY_S
    for number in range(3):
        keys.count(keys.created(f"event-{number}", totalInvestment=1), keys.sold(5, f"{number}"))
    keys.count(keys.message("event-created", "dead", createdAt=NOW, totalInvestment=77))
    assert recorded == ["second"]
    assert recorded_keys(keys) == ["first", "second"]
    key_ring.activate(ring_file, "first")
    now_s += key_ring.CHECK_EVERY_S
    keys.rows("DELETE FROM hannun.amount_keys WHERE key_id = 'first'")  # as a conversion does meanwhile
    for number in range(3):
        keys.count(keys.sold(5, f"last-{number}"))
    assert recorded == ["second", "first"]
    assert recorded_keys(keys) == ["first", "second"]


def test_a_key_of_a_transaction_that_was_rolled_back_is_recorded_with_the_next(
    keys: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(keys, ENCRYPT)
    keys.rows("DELETE FROM hannun.amount_keys")
    record = amount_state.record_used_keys

    def fail(conn: Connection) -> Any:
        record(conn)
        raise Transient("the server went away")

    monkeypatch.setattr(amount_state, "record_used_keys", fail)
    with pytest.raises(Transient):
        keys.count(keys.created(totalInvestment=1))
    assert recorded_keys(keys) == []
    monkeypatch.setattr(amount_state, "record_used_keys", record)
    keys.count(keys.created(totalInvestment=1))
    assert recorded_keys(keys) == ["first"]


def test_what_is_counted_between_the_steps_of_a_conversion_has_the_form_of_its_event(
    keys: World, one_row_a_step: None
) -> None:
    keys.count(*history(keys))
    steps: Counter[Operation] = Counter()
    sold = 0

    def sell(step: str) -> None:
        nonlocal sold
        steps[operation] += 1
        if steps[operation] % 4 or steps[operation] > 60:
            return
        sold += 1
        new = f"new-{sold}"
        keys.count(
            *(keys.sold("0.01", f"{event} {new}", event) for event in (*EVENTS, new)),
            keys.created(new, totalInvestment=sold),
            keys.distributed(SPRING, channel="NAVER", distributionCost=sold, at=f"2026-11-10T09:{sold % 60:02}:00Z"),
        )
        assert sold % 5 or keys.drift() == [], step

    for operation in (ENCRYPT, DECRYPT, ENCRYPT):
        convert(keys, operation, sell)
        assert keys.drift() == []
        assert (plain_amounts(keys) == []) is (operation is ENCRYPT)
    with connect(keys.url, application="test", amounts=keys.amounts) as conn:
        assert flow.status(conn, keys.amounts.key_ids).state == "encrypted"


def test_writers_and_a_conversion_at_the_same_time_lose_no_amount(keys: World) -> None:
    keys.count(*history(keys))
    stop, failures = threading.Event(), list[BaseException]()
    counters = [keys.another_counter() for _ in range(2)]
    counted = [0, 0]

    def sell(place: int) -> None:
        try:
            while not stop.is_set():
                counted[place] += 1
                name = f"writer {place}, {counted[place]}"
                new = f"e-{place}-{counted[place] // 5}"
                counters[place].count([keys.sold("0.01", name), keys.sold(1, name, new), keys.created(new)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=sell, args=[place]) for place in range(2)]
    for thread in threads:
        thread.start()
    for operation in (ENCRYPT, DECRYPT, ENCRYPT):
        reached = sum(counted) + 20
        convert(keys, operation, lambda _: keys.drift())
        keys.wait_for("both writers to count", lambda reached=reached: bool(failures) or sum(counted) > reached)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert keys.drift() == []
    assert plain_amounts(keys) == []


def test_an_interrupted_conversion_goes_on_and_two_operators_are_refused(keys: World, one_row_a_step: None) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(_: str) -> None:
        raise Interrupted

    keys.count(*history(keys))
    before = answers(keys)
    with pytest.raises(Interrupted):
        convert(keys, ENCRYPT, interrupt)
    for operation in Operation:
        with pytest.raises(OperatorError, match=r"another process converts the amounts \(encrypt, by tester\)"):
            convert(keys, operation)
    with connect(keys.url, application="test", amounts=keys.amounts) as conn:
        assert flow.status(conn, keys.amounts.key_ids).state == "mixed"
    keys.rows("UPDATE hannun.amount_sweeps SET heartbeat_at = heartbeat_at - interval '2 minutes'")
    convert(keys, ENCRYPT)
    assert answers(keys) == before
    assert plain_amounts(keys) == []
    assert len(keys.rows("SELECT FROM hannun.amount_sweeps WHERE finished")) == 1

    with pytest.raises(Interrupted):
        convert(keys, DECRYPT, interrupt)
    keys.rows("UPDATE hannun.amount_sweeps SET heartbeat_at = heartbeat_at - interval '2 minutes'")
    convert(keys, ENCRYPT)  # the other way
    assert plain_amounts(keys) == []
    assert keys.drift() == []


def test_a_rotation_reaches_what_another_process_still_encrypts_with_the_key_of_before(
    keys: World, ring_file: Path
) -> None:
    convert(keys, ENCRYPT)
    keys.count(*history(keys))
    of_before = Amounts(open_key_ring(ring_file, now=lambda: 0.0))  # it does not look at its file again
    key_ring.add_key(ring_file, "second")
    key_ring.activate(ring_file, "second")
    keys.use_amounts(Amounts(open_key_ring(ring_file)))
    waited: list[float] = []

    def sell_with_the_key_of_before(seconds: float) -> None:
        waited.append(seconds)
        rotating = keys.amounts
        keys.use_amounts(of_before)
        keys.count(keys.sold("0.01", "late"))
        keys.use_amounts(rotating)

    convert(keys, ROTATE, wait=sell_with_the_key_of_before)
    assert len(waited) == 1
    with connect(keys.url, application="test", amounts=keys.amounts) as conn:
        assert {row.key_id for row in flow.status(conn, []).counts} == {"second"}
    assert keys.drift() == []


def test_a_process_whose_conversion_was_taken_over_writes_nothing_more(keys: World, one_row_a_step: None) -> None:
    keys.count(*history(keys))

    def take_over(_: str) -> None:
        keys.rows("UPDATE hannun.amount_sweeps SET heartbeat_at = heartbeat_at - interval '2 minutes'")
        convert(keys, DECRYPT)

    with pytest.raises(Transient, match="taken over"):
        convert(keys, ENCRYPT, take_over)
    assert len(plain_amounts(keys)) > 20
    assert keys.drift() == []


def test_an_event_that_is_being_created_makes_the_conversion_wait(keys: World) -> None:
    with connect(keys.url, application="test-creates") as conn:
        conn.execute(
            "INSERT INTO hannun.events (event_id, amounts_sealed) SELECT %s, "
            "(SELECT seals FROM hannun.amount_encryption FOR SHARE)",
            [SPRING],
        )
        converting = threading.Thread(target=convert, args=[keys, ENCRYPT])
        converting.start()
        keys.wait_for(
            "the conversion to wait for the lock",
            lambda: keys.rows(
                "SELECT FROM pg_stat_activity WHERE application_name = 'test-amounts' AND wait_event_type = 'Lock'"
            ),
        )
        conn.commit()
    converting.join()
    keys.count(*history(keys))
    assert plain_amounts(keys) == []
    assert keys.drift() == []


AMOUNT = st.decimals(0, Decimal("9999999999999.99"), places=2).map(str)
SOME = st.none() | AMOUNT


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plans=st.lists(st.tuples(st.integers(0, 1), st.integers(10, 28), SOME, SOME, SOME), max_size=4),
    sales=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), AMOUNT, st.booleans()), max_size=12),
    costs=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["NAVER", "KAKAO"]), st.integers(10, 28), SOME), max_size=6
    ),
    split=st.integers(0, 20),
)
def test_the_same_history_gives_the_same_answers_with_and_without_encryption(
    keys: World,
    plans: list[tuple[int, int, str | None, str | None, str | None]],
    sales: list[tuple[int, int, str, bool]],
    costs: list[tuple[int, str, int, str | None]],
    split: int,
) -> None:
    run = keys.next_number()
    found = []
    for operation in (ENCRYPT, DECRYPT):
        convert(keys, operation)
        owner, ids = f"m-{run}-{operation}", [f"e{at}-{run}-{operation}" for at in range(3)]
        messages = [
            *(
                keys.created(
                    ids[at],
                    owner=owner,
                    at=f"2026-11-{day}T09:00:00Z",
                    totalInvestment=one,
                    expectedRevenue=two,
                    baselineRevenue=three,
                )
                for at, day, one, two, three in plans
            ),
            *(keys.sold(amount, f"s{sale}", ids[at], refund=refund) for at, sale, amount, refund in sales),
            *(
                keys.distributed(ids[at], channel=channel, at=f"2026-11-{day}T09:00:00Z", distributionCost=cost)
                for at, channel, day, cost in costs
            ),
        ]
        keys.count(*messages[:split])
        keys.count(*messages[split:])
        assert keys.drift() == []
        found.append([_without_ids_and_times(body, operation) for body in answers(keys, questions(owner, ids))])
        assert operation is DECRYPT or plain_amounts(keys) == []
    assert found[0] == found[1]


def _without_ids_and_times(body: bytes | None, operation: Operation) -> Any:
    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            left_out = ("asOf",)
            return {name: without_times(each) for name, each in value.items() if name not in left_out}
        return [without_times(each) for each in value] if isinstance(value, list) else value

    return without_times(None if body is None else json.loads(body.decode().replace(f"-{operation}", "")))


# -- keys ----------------------------------------------------------------------------------------------------------


def test_a_process_without_the_keys_does_not_start_and_reads_nothing_wrong(keys: World, tmp_path: Path) -> None:
    keys.count(*history(keys))
    convert(keys, ENCRYPT)
    with keys.database.transaction() as conn:
        check_database(conn)
    key_ring.add_key(tmp_path / "other.toml", "other")
    for amounts, said in [
        (WITHOUT_KEYS, "are encrypted, and this process has no key ring. Hint: HANNUN_KEY_RING_FILE"),
        (Amounts(open_key_ring(tmp_path / "other.toml")), "key first, and the key ring of this process holds other"),
    ]:
        keys.use_amounts(amounts)
        with pytest.raises(OperatorError, match=said), keys.database.transaction() as conn:
            check_database(conn)
        for work in (
            lambda: answers(keys),
            keys.drift,
            lambda: keys.count(keys.sold(1)),
            lambda: convert(keys, DECRYPT),
        ):
            with pytest.raises(OperatorError, match="key"):
                work()


def test_an_amount_that_was_moved_to_another_row_does_not_open(keys: World) -> None:
    keys.count(*history(keys))
    convert(keys, ENCRYPT)
    keys.rows(
        "UPDATE hannun.sales s SET sealed_amount = o.sealed_amount FROM hannun.sales o "
        "WHERE s.sale_id = 'one' AND o.sale_id = 'two'"
    )
    keys.rows(
        "UPDATE hannun.events e SET sealed_plan = o.sealed_plan FROM hannun.events o "
        "WHERE e.event_id = %s AND o.event_id = %s",
        SPRING,
        EVENTS[1],
    )
    with pytest.raises(CannotOpen, match="changed or moved"):
        answers(keys)
    drift = {(drift.place, drift.figure) for drift in keys.drift()}
    assert {(SPRING, "sale one"), (SPRING, "plan"), (SPRING, "recorded_revenue")} == drift


def test_all_encrypted_amounts_have_the_same_length(keys: World) -> None:
    convert(keys, ENCRYPT)
    keys.count(keys.created(), *(keys.sold(amount) for amount in ("0.01", "9999999999999.99", 12)))
    lengths = keys.rows("SELECT DISTINCT length(sealed_amount) AS bytes FROM hannun.sales")
    assert len(lengths) == 1


# -- dead letters --------------------------------------------------------------------------------------------------


def test_a_dead_letter_keeps_its_amounts_encrypted_and_shows_them_with_the_keys(keys: World) -> None:
    sale = keys.sold("77.70", "late", soldAt="never")
    distributed = keys.message(
        "distribution-completed", channels=[{"channelName": "NAVER", "distributionCost": 777}, {}]
    )

    def fields() -> list[dict[str, Any]]:
        with keys.database.transaction() as conn:
            return [letter.fields or {} for letter in dead_letters.find_open(conn, None, None)]

    keys.count(sale)
    convert(keys, ENCRYPT)
    keys.count(distributed)
    assert len(keys.dead_letters()) == 2
    assert "77" not in json.dumps([row.fields for row in keys.dead_letters()])
    sealed = fields()
    assert sealed[0]["amount"] == "77.70"
    assert sealed[1]["channels"] == [{"channelName": "NAVER", "distributionCost": "777"}, {}]
    convert(keys, DECRYPT)
    assert fields() == sealed == [row.fields for row in keys.dead_letters()]


def test_a_missing_key_and_an_interrupted_conversion_are_the_doctors_findings(keys: World, ring_file: Path) -> None:
    def found() -> list[tuple[Severity, str]]:
        with keys.database.transaction() as conn:
            examined = SimpleNamespace(conn=conn)
            findings = [*doctor_key_ring(examined), *doctor_amounts(examined)]
            return [(finding.severity, finding.cause_text) for finding in findings]

    assert found() == []
    convert(keys, ENCRYPT)
    assert found() == [
        (Severity.NOTICE, "amounts are encrypted with the key first; the columns for other teams hold 0.00")
    ]
    key_ring.add_key(ring_file, "second")
    key_ring.activate(ring_file, "second")
    keys.use_amounts(Amounts(open_key_ring(ring_file)))
    assert found() == [(Severity.NOTICE, "amounts are encrypted with first, and the active key is second")]
    convert(keys, ROTATE)
    assert len(found()) == 1
    key_ring.add_key(ring_file.with_name("other.toml"), "other")
    keys.use_amounts(Amounts(open_key_ring(ring_file.with_name("other.toml"))))
    lacking = "amounts are encrypted with the key second, which the key ring of this process lacks"
    assert found() == [(Severity.CRITICAL, lacking)]


@pytest.mark.parametrize("what", ["ids are forgotten", "amounts are encrypted"])
def test_a_process_without_the_key_ring_that_the_data_needs_is_a_critical_finding_also_of_its_health(
    keys: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", keys.url)
    command = ["doctor", "--json", "--only", "key-ring", "--only", "amounts"]
    assert CliRunner().invoke(app, command).exit_code == 0
    if what == "ids are forgotten":
        keys.rows(
            "INSERT INTO hannun.forgotten (kind, event_id, digest, key_id) VALUES ('merchant', '', sha256('x'), 'a')"
        )
    else:
        convert(keys, ENCRYPT)
    examined = CliRunner().invoke(app, command)
    assert examined.exit_code == 2
    (finding,) = json.loads(examined.stdout)["findings"]
    assert (finding["check"], finding["severity"]) == ("key-ring", "critical")
    assert finding["cause"].startswith(f"{what}, and this process has no key ring")
    assert "HANNUN_KEY_RING_FILE" in finding["remedy"]
    assert CHECKS["key-ring"].in_health


def test_an_unusable_key_ring_is_a_finding_and_the_doctor_examines_the_rest(
    keys: World, ring_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", keys.url)
    monkeypatch.setenv("HANNUN_KEY_RING_FILE", str(ring_file))
    convert(keys, ENCRYPT)
    command = ["doctor", "--json", "--only", "key-ring", "--only", "amounts", "--only", "schema"]
    assert CliRunner().invoke(app, command).exit_code == 0
    ring_file.write_text("")
    examined = CliRunner().invoke(app, command)
    assert examined.exit_code == 2
    answer = json.loads(examined.stdout)
    states = {each["check"]: each["state"] for each in answer["checks"]}
    assert states == {"key-ring": "found", "amounts": "skipped", "schema": "ok"}
    (finding,) = answer["findings"]
    assert "has no keys: expected a table [keys]. Processes that run go on" in finding["cause"]


def test_the_status_names_the_keys_of_forgotten_ids(keys: World) -> None:
    keys.rows(
        "INSERT INTO hannun.forgotten (kind, event_id, digest, key_id) VALUES "
        "('merchant', '', sha256('x'), 'first'), ('merchant', '', sha256('y'), 'first'), "
        "('merchant', '', sha256('z'), 'gone')"
    )
    with connect(keys.url, application="test", amounts=keys.amounts) as conn:
        found = flow.status(conn, keys.amounts.key_ids)
    assert (found.state, found.forgotten, found.missing) == ("plain", {"first": 2, "gone": 1}, ["gone"])


# -- a shadow ------------------------------------------------------------------------------------------------------


def test_a_shadow_with_the_same_encrypted_amounts_does_not_differ_and_another_amount_does(
    keys: World, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    name = f"{keys.name}_shadow"
    make_database(postgres, name)
    with World(postgres, valkey, name) as shadow:
        shadow.use_amounts(keys.amounts)
        convert(keys, ENCRYPT)
        convert(shadow, ENCRYPT)
        messages = [
            keys.created(totalInvestment=5),
            keys.distributed(channel="NAVER", distributionCost=3),
            keys.sold(7),
        ]
        keys.count(*messages)
        for message in reversed(messages):
            shadow.count(message)
        with (
            connect(keys.owner_url, application="test", amounts=keys.amounts) as live,
            connect(shadow.owner_url, application="test", amounts=keys.amounts) as other,
        ):
            assert all(digests(live, part) == digests(other, part) for part in PARTS)
            shadow.count(keys.sold(1, "only in the shadow"))
            other.rollback()
            differ = {part for part in PARTS if digests(live, part) != digests(other, part)}
            assert "sealed_amounts" in differ
            check_same_amount_form(live, other)
            convert(shadow, DECRYPT)
            other.rollback()
            with pytest.raises(OperatorError, match="hannun replay drop"):
                check_same_amount_form(live, other)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
