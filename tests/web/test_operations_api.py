"""The running system over HTTP, for administrators: its figures, and dead letters to retry or to drop."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from served import Site
from world import OWNER, World

from hannun.domain.channels import load_table
from hannun.errors import KafkaUnavailable, RedisUnavailable
from hannun.flows import channel_breakers
from hannun.flows.channel_status import watched
from hannun.flows.server_watch import read_database
from hannun.processes.commands.watching import InPostgres, Reader, Readers, operations_now
from hannun.web.operations_overview import overview_of

OVERVIEW = "/api/v1/operations/overview"
DEAD_LETTERS = "/api/v1/operations/dead-letters"


def refuse_sales_of(world: World, amount: int) -> None:
    world.rows(f"ALTER TABLE hannun.sales ADD CONSTRAINT for_now CHECK (amount <> {amount})")


def allow_them(world: World) -> None:
    world.rows("ALTER TABLE hannun.sales DROP CONSTRAINT for_now")


def audited(world: World) -> list[tuple[str, str, str]]:
    rows = world.rows(
        "SELECT a.subject_id AS actor, e.action, e.object FROM hannun.audit_log e "
        "JOIN hannun.audit_subjects a ON a.subject_ref = e.actor WHERE e.action LIKE 'dead letter%' ORDER BY e.entry_no"
    )
    return [(row.actor, row.action, row.object) for row in rows]


def test_an_administrator_sees_what_hannun_watch_shows(site: Site, world: World) -> None:
    world.count(world.created(), world.registered(), world.sold(1, "s1", channel="NAVER"))
    found = site.admin.get(OVERVIEW)
    assert found.status_code == 200
    assert found.headers["cache-control"] == "no-store"
    body = found.json()
    assert body["counting"]["deadLettersOpen"] == 0
    assert body["counting"]["lag"] is None, "the test's service knows no Kafka"
    assert body["round"] is None
    assert body["redis"]["keys"] >= 0
    assert body["months"]["ahead"] == 0, "nobody has made months in this world"
    assert body["databaseBytes"] > 1_000_000
    assert body["unreachable"] == {}


def test_rates_and_positions_move_with_what_is_counted(site: Site, world: World) -> None:
    world.rows(
        "INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, epoch) VALUES ('t', 0, 'x', 7, 1)"
    )
    positions = site.admin.get(OVERVIEW).json()["positions"]
    assert [(each["topic"], each["partition"], each["nextOffset"]) for each in positions] == [("t", 0, 7)]


def test_a_breaker_is_shown_under_the_title_of_its_channel(site: Site, world: World) -> None:
    with world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "wooritv", "kim@host")
    (channel,) = site.admin.get(OVERVIEW).json()["channels"]
    assert (channel["channelName"], channel["breaker"], channel["held"]) == ("WooriTV", "open", True)
    assert channel["channelTitle"]["ko"] == "우리동네TV"


@pytest.mark.parametrize(
    ("language", "reason"),
    [("en", "KAFKA_BOOTSTRAP_SERVERS is not set"), ("ko", "KAFKA_BOOTSTRAP_SERVERS가 설정되지 않았습니다")],
)
def test_why_a_check_was_skipped_is_said_in_the_language_of_the_caller(site: Site, language: str, reason: str) -> None:
    checks = site.admin.get("/api/v1/operations/checks", headers={"Accept-Language": language}).json()["checks"]
    assert [(each["state"], each["reason"]) for each in checks if each["check"] == "kafka"] == [("skipped", reason)]


def test_what_is_away_is_named_and_the_rest_is_shown(site: Site, world: World) -> None:
    found = world.database.run(lambda conn: (watched(conn, timedelta(hours=1)), read_database(conn)))
    away = RedisUnavailable("Redis does not answer INFO", hint="is it running?")
    readers = Readers(
        postgres=Reader("PostgreSQL", lambda: InPostgres(*found), 1.0),
        redis=Reader("Redis", raising(away), 1.0),
        lag=Reader("Kafka", raising(KafkaUnavailable("no broker answers", hint="is it running?")), 1.0),
    )
    overview = overview_of(operations_now(readers), load_table())
    assert overview.redis is None
    assert overview.counting.lag is None
    assert overview.unreachable == {"redis": "Redis does not answer INFO", "kafka": "no broker answers"}
    assert overview.counting.dead_letters_open == 0


def raising(error: Exception) -> Callable[[], Any]:
    def read() -> Any:
        raise error

    return read


def test_dead_letters_are_listed_with_their_number_by_reason(site: Site, world: World) -> None:
    refuse_sales_of(world, 666)
    world.count(world.created(), world.sold(666, "s1", channel="NAVER"))
    world.count(world.message("sales-recorded", saleId="1"), world.message("sales-recorded", saleId="2"))
    body = site.admin.get(DEAD_LETTERS).json()
    assert (body["total"], body["byReason"]["missing-field"]) == (3, 2)
    numbers = [each["number"] for each in body["deadLetters"]]
    assert numbers == sorted(numbers, reverse=True)
    of_reason = site.admin.get(DEAD_LETTERS, params={"reason": "missing-field", "limit": 1}).json()["deadLetters"]
    assert [each["reason"] for each in of_reason] == ["missing-field"]


def test_a_retried_message_is_counted_once_and_the_decision_is_on_record(site: Site, world: World) -> None:
    refuse_sales_of(world, 666)
    world.count(world.created(), world.sold(666, "s1", channel="NAVER"))
    (number,) = (each["number"] for each in site.admin.get(DEAD_LETTERS).json()["deadLetters"])
    still = site.admin.post(f"{DEAD_LETTERS}/retry", json={"numbers": [number]}).json()["results"]
    assert [(each["number"], each["result"]) for each in still] == [(number, "dead-letter")]
    assert still[0]["why"]
    allow_them(world)
    retried = site.admin.post(f"{DEAD_LETTERS}/retry", json={"numbers": [number]}).json()["results"]
    assert [each["result"] for each in retried] == ["counted"]
    assert world.event_row().recorded_revenue == 666
    assert site.admin.post(f"{DEAD_LETTERS}/retry", json={"numbers": [number]}).json()["results"] == []
    assert [(action, object_) for _, action, object_ in audited(world)] == [
        ("dead letter retried", f"dead letter {number}")
    ]
    assert world.drift() == []


def test_dropped_ones_are_open_no_longer_and_stay_on_record(site: Site, world: World) -> None:
    world.count(world.message("sales-recorded", saleId="1"), world.message("sales-recorded", saleId="2"))
    numbers = [each["number"] for each in site.admin.get(DEAD_LETTERS).json()["deadLetters"]]
    dropped = site.admin.post(f"{DEAD_LETTERS}/drop", json={"numbers": [*numbers, 999]}).json()["results"]
    assert sorted(each["number"] for each in dropped) == sorted(numbers)
    assert site.admin.get(DEAD_LETTERS).json()["total"] == 0
    assert [action for _, action, _ in audited(world)] == ["dead letter dropped"]


@pytest.mark.parametrize("role", ["MERCHANT"])
def test_a_merchant_may_neither_see_nor_change_it(site: Site, role: str) -> None:
    merchant = site.with_token(site.token(OWNER, role))
    assert merchant.get(OVERVIEW).status_code == 403
    assert merchant.get(DEAD_LETTERS).status_code == 403
    for action in ("retry", "drop"):
        assert merchant.post(f"{DEAD_LETTERS}/{action}", json={"numbers": [1]}).status_code == 403


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"numbers": []}', '{"numbers": ["1"]}', '{"numbers": [0]}', '{"numbers": [1], "all": true}'],
)
def test_a_body_that_chooses_nothing_is_refused(site: Site, body: str) -> None:
    refused = site.admin.post(f"{DEAD_LETTERS}/drop", content=body, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-body")


def test_no_more_than_100_are_taken_at_once(site: Site) -> None:
    refused = site.admin.post(f"{DEAD_LETTERS}/drop", json={"numbers": list(range(1, 102))})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-body")


@pytest.mark.parametrize(
    ("language", "reason"),
    [("en", "Kafka no longer has this topic: it was deleted"), ("ko", "Kafka에 이 토픽이 없습니다. 지워졌습니다")],
)
def test_why_a_partition_is_not_read_is_said_in_the_language_of_the_caller(
    site: Site, world: World, language: str, reason: str
) -> None:
    world.rows("INSERT INTO hannun.positions (topic, partition, topic_id, next_offset) VALUES ('sales', 0, 'x', 1000)")
    world.rows(
        "INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by) VALUES "
        "('sales', 0, 'Kafka no longer has this topic: it was deleted', 'create it, or: hannun x', 'a test')"
    )
    answer = site.admin.get(OVERVIEW, headers={"Accept-Language": language})
    assert answer.headers["content-language"] == language
    [position] = answer.json()["positions"]
    assert position["stopped"] == reason
    assert position["hint"].endswith("hannun x")
