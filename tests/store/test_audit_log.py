"""The audit log: append-only for every role, and a chain that shows each change that somebody makes all the same."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World

from hannun.domain.audit_chain import Action, Entry, NewEntry, Newest, Subject, Verification
from hannun.flows.audit_log import AuditCheck
from hannun.store import audit_log
from hannun.store.database import connect

OPERATOR = Subject("operator", "kim@host")
MERCHANT = Subject("user", "0d1e8a52-0000-4000-8000-00000000000a")


def write(world: World, count: int = 5) -> list[Entry]:
    with world.database.transaction() as conn:
        for no in range(count):
            audit_log.record(conn, NewEntry(OPERATOR, Action.READ, f"event {no}", MERCHANT, "한국어 이유"))
    return entries(world)


def entries(world: World) -> list[Entry]:
    with world.database.transaction() as conn:
        return list(audit_log.entries(conn))


def breaks(world: World, *noted: Newest) -> list[str]:
    with connect(world.owner_url, application="test") as conn:
        return [str(found) for found in AuditCheck(conn, noted).breaks()]


@contextmanager
def superuser(world: World) -> Iterator[psycopg.Connection[Any]]:
    """A session that no trigger stops: the chain must show what it changes."""
    with psycopg.connect(world.postgres.superuser_url, dbname=world.name) as conn:
        conn.execute("SET session_replication_role = replica")
        yield conn


def test_entries_follow_each_other_and_the_database_hashes_as_the_check_does(world: World) -> None:
    written = write(world)
    assert [entry.no for entry in written] == [1, 2, 3, 4, 5]
    assert all(entry.computed_hash() == entry.hash for entry in written)
    assert len({entry.actor for entry in written}) == len({entry.subject for entry in written}) == 1
    assert breaks(world, Newest(3, written[2].hash)) == []


@pytest.mark.parametrize("role", ["owner", "readwrite", "readonly"])
def test_no_role_changes_or_removes_an_entry_or_chooses_its_number(world: World, role: str) -> None:
    before = write(world, 2)
    url = {"owner": world.owner_url, "readwrite": world.url, "readonly": world.readonly_url}[role]
    statements = [
        "UPDATE hannun.audit_log SET reason = 'another'",
        "DELETE FROM hannun.audit_log",
        "TRUNCATE hannun.audit_log",
        "INSERT INTO hannun.audit_log (entry_no, actor, action, object) SELECT 2, actor, action, object "
        "FROM hannun.audit_log ON CONFLICT (entry_no) DO UPDATE SET reason = 'another'",
        "DELETE FROM hannun.audit_subjects",
        "UPDATE hannun.audit_subjects SET subject_id = 'another'",
    ]
    if role != "owner":
        statements.append(
            "INSERT INTO hannun.audit_log SELECT 9, at, actor, action, object, subject, reason, "
            "previous_hash, hash FROM hannun.audit_log"
        )
    with psycopg.connect(url) as conn:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                conn.execute(statement)  # type: ignore[call-overload]
    assert entries(world) == before


TAMPERING = {
    "change": ("UPDATE hannun.audit_log SET reason = 'another' WHERE entry_no = 3", "entry 3: was changed"),
    "change of the time": ("UPDATE hannun.audit_log SET at = at - interval '1 us' WHERE entry_no = 3", "entry 3: was"),
    "remove": ("DELETE FROM hannun.audit_log WHERE entry_no IN (2, 3)", "entry 4: follows entry 1: entries 2 to 3"),
    "remove the first": ("DELETE FROM hannun.audit_log WHERE entry_no = 1", "entry 2: follows entry 0: entry 1 is"),
    "insert": (
        "UPDATE hannun.audit_log SET entry_no = entry_no + 10 WHERE entry_no > 3; INSERT INTO hannun.audit_log "
        "SELECT 4, at, actor, action, 'event 99', subject, reason, hash, hash FROM hannun.audit_log WHERE entry_no = 3",
        "entry 4: was changed",
    ),
    "cut off": (
        "DELETE FROM hannun.audit_log WHERE entry_no > 3",
        "entry 5: was noted as the newest, and the log ends",
    ),
    "name another": (
        "UPDATE hannun.audit_subjects SET subject_id = 'lee@host' WHERE kind = 'operator'",
        "lee@host now",
    ),
    "forget without an entry": (
        "UPDATE hannun.audit_subjects SET subject_id = NULL, salt = NULL WHERE kind = 'user'",
        "no entry says that",
    ),
    "remove a name": ("DELETE FROM hannun.audit_subjects WHERE kind = 'user'", "entry 1: names somebody whose row"),
}


@pytest.mark.parametrize(("statement", "found"), TAMPERING.values(), ids=TAMPERING)
def test_a_change_by_a_superuser_is_found(world: World, statement: str, found: str) -> None:
    newest = write(world)[-1]
    with superuser(world) as conn:
        conn.execute(statement)  # type: ignore[call-overload]
    assert any(found in line for line in breaks(world, Newest(newest.no, newest.hash)))


def test_a_log_that_was_written_anew_contradicts_the_newest_entry_that_was_noted(world: World) -> None:
    newest = write(world)[-1]
    with superuser(world) as conn:
        conn.execute("DELETE FROM hannun.audit_log WHERE entry_no >= 3")
    write(world, 5)
    assert breaks(world) == []
    assert breaks(world, Newest(newest.no, newest.hash)) == [
        "entry 5: was noted with another hash: the log was written anew up to here"
    ]


def test_a_person_who_was_forgotten_leaves_the_chain_whole(world: World) -> None:
    write(world)
    with world.database.transaction() as conn:
        audit_log.record(conn, NewEntry(OPERATOR, Action.FORGOTTEN, "merchant", MERCHANT, "request"))
        audit_log.forget(conn, MERCHANT)
        listed = audit_log.find(conn, action=None, object_=None, person=None, since=None, limit=10)
    assert {entry.subject_id for entry in listed} == {None}
    assert {entry.actor_id for entry in listed} == {OPERATOR.id}
    assert breaks(world) == []


def test_writers_at_once_make_one_chain(world: World) -> None:
    def write_some(name: str) -> None:
        with psycopg.connect(world.url, autocommit=True) as conn:
            for no in range(20):
                audit_log.record(conn, NewEntry(Subject("operator", f"{name} {no % 3}"), Action.READ, f"event {no}"))

    threads = [threading.Thread(target=write_some, args=(f"writer {no}",)) for no in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.no for entry in entries(world)] == list(range(1, 81))
    assert breaks(world) == []


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=2, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_any_change_of_any_entry_is_found(texts: list[tuple[str, str]], data: st.DataObject) -> None:
    """Property: of the chain as the database writes it, no field of an entry can be changed and no entry left out."""
    from datetime import datetime

    chain: list[Entry] = []
    for no, (object_, reason) in enumerate(texts, 1):
        previous = chain[-1].hash if chain else bytes(32)
        entry = Entry(no, datetime(2026, 11, 1), b"a" * 32, "read", object_, None, reason, previous, b"")
        chain.append(_with(entry, hash=entry.computed_hash()))
    assert list(Verification().check(chain)) == []
    noted = Newest(len(chain), chain[-1].hash)
    at = data.draw(st.integers(0, len(chain) - 1))
    changes = [
        {"object": texts[at][0] + "x"},
        {"object": texts[at][0] + texts[at][1], "reason": ""},
        {"subject": b""},
        {"actor": b"b" * 32},
        {"at": datetime(2026, 11, 2)},
        {"no": at + 2},
        None,
    ]
    change = data.draw(st.sampled_from(changes))
    changed = chain[:at] + ([] if change is None else [_with(chain[at], **change)]) + chain[at + 1 :]
    if changed != chain:
        assert list(Verification([noted]).check(changed))


def _with(entry: Entry, **fields: Any) -> Entry:
    from dataclasses import replace

    return replace(entry, **fields)
