"""What operators and users decide is in the audit log: by whom, about what, in the transaction of the decision."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner
from world import OWNER, SPRING, World

from hannun.cli.application import app
from hannun.domain.audit_chain import operator
from hannun.domain.authorization import Principal
from hannun.domain.channel_totals import ChannelTotals
from hannun.domain.channels import load_table
from hannun.errors import StoreUnavailable
from hannun.flows import channel_breakers
from hannun.flows.channel_import import import_totals
from hannun.flows.dead_letter_retry import drop
from hannun.flows.sessions import create_code
from hannun.flows.share_links import ShareLinks
from hannun.flows.typed_totals import TypedTotals
from hannun.store.database import PoolLimits, ReadPool

OPERATOR = "kim@host"
Recorded = list[tuple[str, str | None, str, str, str | None, str]]


def recorded(world: World) -> Recorded:
    """(kind and id of the actor, action, object, whose data, reason) of each entry, oldest first."""
    rows = world.rows(
        "SELECT a.kind, a.subject_id AS actor, e.action, e.object, s.subject_id AS subject, e.reason "
        "FROM hannun.audit_log e JOIN hannun.audit_subjects a ON a.subject_ref = e.actor "
        "LEFT JOIN hannun.audit_subjects s ON s.subject_ref = e.subject ORDER BY e.entry_no"
    )
    return [(row.kind, row.actor, row.action, row.object, row.subject, row.reason) for row in rows]


def test_decisions_of_operators_are_recorded(world: World, tmp_path: Path) -> None:
    world.count(world.created(), world.distributed(channel="NaverBlog", channelType="SNS"))
    world.count(world.message("sales-recorded", saleId="1"), world.message("sales-recorded", saleId="2"))
    path = tmp_path / "totals.csv"
    path.write_text(f"event_id,measured_at,views\n{SPRING},2026-11-20T10:00:00+09:00,5\n", "utf-8")
    with world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "wooritv", OPERATOR)
        channel_breakers.reset(conn, "wooritv", OPERATOR)
        create_code(conn, OWNER, ["MERCHANT"], operator(OPERATOR))
    assert drop(world.database, None, "missing-field", operator(OPERATOR)) == 2
    import_totals(path, "naverblog", world.measurement_counter, OPERATOR, lambda _: None)
    assert recorded(world) == [
        ("operator", OPERATOR, "breaker set", "channel wooritv", None, "held open"),
        ("operator", OPERATOR, "breaker set", "channel wooritv", None, "closed"),
        ("operator", OPERATOR, "sign-in code made", "roles MERCHANT", OWNER, ""),
        ("operator", OPERATOR, "dead letter dropped", "dead letter 1-2", None, ""),
        ("operator", OPERATOR, "totals imported", "channel naverblog", None, "1 lines"),
    ]


def test_decisions_of_users_are_recorded(world: World) -> None:
    async def decide() -> str:
        reader = ReadPool(world.url, PoolLimits(size_min=1), application="test")
        links = ShareLinks(reader, world.database, lambda: datetime.now(UTC))
        made, _ = await links.create(caller, SPRING, datetime.now(UTC) + timedelta(days=1), "")
        await links.revoke(caller, SPRING, made.share_id)
        typed = TypedTotals(world.measurement_counter, load_table(), ())
        await typed.record(caller, SPRING, "NaverBlog", ChannelTotals(views=7), None)
        return made.share_id

    world.count(world.created(), world.distributed(channel="NaverBlog", channelType="SNS"))
    caller = Principal(OWNER, frozenset({"MERCHANT"}))
    event, link = f"event {SPRING}", f"link {asyncio.run(decide())}"
    assert recorded(world) == [
        ("user", OWNER, "share link created", event, None, link),
        ("user", OWNER, "share link revoked", event, None, link),
        ("user", OWNER, "totals typed", event, None, "channel naverblog"),
    ]


def test_a_decision_that_does_not_commit_leaves_no_entry(world: World) -> None:
    def decide_and_fail() -> None:
        with world.database.transaction() as conn:
            channel_breakers.hold_open(conn, "wooritv", OPERATOR)
            raise StoreUnavailable("the connection broke")

    with pytest.raises(StoreUnavailable):
        decide_and_fail()
    assert recorded(world) == []


def test_the_commands_list_and_prove_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str, status: int = 0) -> str:
        ran = CliRunner().invoke(app, ["audit", *arguments])
        assert ran.exit_code == status, ran.output
        wide = [line for line in ran.stdout.splitlines() if len(line) > 80]
        assert all(line.strip().startswith(("hannun audit verify --newest", "{")) for line in wide)
        return " ".join(ran.stdout.split())

    monkeypatch.setenv("DATABASE_URL", world.url)
    monkeypatch.setenv("COLUMNS", "80")
    assert run("list") == "the audit log has no such entry"
    assert run("verify") == "the audit log is empty"
    with world.database.transaction() as conn:
        channel_breakers.hold_open(conn, "wooritv", OPERATOR)
        create_code(conn, OWNER, ["MERCHANT"], operator(OPERATOR))
    assert f"by operator {OPERATOR}, data of user {OWNER}" in run("list", "--person", OWNER)
    assert '"object": "channel wooritv"' in run("list", "--action", "breaker set", "--json")
    assert "no such entry" in run("list", "--since", "2999-01-01T00:00:00Z")
    verified = run("verify")
    assert "the audit log is whole: 2 entries" in verified
    newest = verified.split("--newest ")[1].split()[0]
    assert "2 entries" in run("verify", "--newest", newest)
    forged = f"3:{'ab' * 32}"
    assert "entry 3: was noted as the newest, and the log ends with 2" in run("verify", "--newest", forged, status=1)
