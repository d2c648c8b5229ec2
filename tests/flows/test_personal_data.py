"""The search for personal data finds it wherever it stands, names no data itself, and ends in time."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from forgetting import KIM, Counting
from typer.testing import CliRunner
from world import OWNER, SPRING, World

from hannun.cache.key_scan import KeyScan
from hannun.cli.application import app
from hannun.domain.audit_chain import ALL_EVENTS, ALL_MERCHANTS, MERCHANTS_EVENTS, Action, NewEntry, event_object, user
from hannun.domain.forgotten import NOTHING_FORGOTTEN
from hannun.domain.personal_data import PATTERNS, with_id
from hannun.errors import OperatorError
from hannun.flows.forgetting import Person
from hannun.flows.personal_data import Search, exposure, list_people, patterns_for
from hannun.key_ring import KeyRing, add_key, open_key_ring
from hannun.store import audit_log, forgotten
from hannun.store.database import connect
from hannun.store.personal_data import text_columns

TELEPHONE, EMAIL = "010-1234-5678", "kim@example.com"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    add_key(tmp_path / "keys.toml", "2026-11")
    return open_key_ring(tmp_path / "keys.toml")


@pytest.fixture
def counting(world: World, ring: KeyRing) -> Iterator[Counting]:
    """Counted messages that hold nothing personal, though their senders tried: what the service keeps of them."""
    counting = Counting(world, ring)
    client = redis.Redis(host=world.valkey.host, port=world.valkey.port, password=world.valkey.password)
    client.flushall()
    counting.count(
        world.created(),
        world.registered(EMAIL, name="김철수", phone=TELEPHONE),
        world.registered(KIM, channel="NAVER"),
        world.message("participant-registered", participantId=EMAIL, phone=TELEPHONE, registeredAt=TELEPHONE),
        world.message("sales-recorded", saleId="1", amount=TELEPHONE, soldAt="2026-11-20T10:00:00+09:00"),
    )
    client.set(f"analytics:dashboard:{SPRING}", "an answer")
    yield counting
    client.close()
    counting.database.close()


def found(
    counting: Counting, patterns: Mapping[str, str] | None = None, seconds_max: float = 60.0
) -> dict[str, set[str]]:
    """Kinds by place, over tables and Redis."""
    with connect(counting.url, application="test") as conn:
        known = forgotten.load(conn, counting.ring)
        conn.rollback()
        search = Search(patterns or PATTERNS, known, seconds_max)
        search.search_tables(conn)
        search.search_forgotten(conn)
    scan = KeyScan(counting.world.redis)
    search.search_cache(scan.entries())
    scan.close()
    places: dict[str, set[str]] = {}
    for place, kind in search.findings.counts:
        places.setdefault(place, set()).add(kind)
    return places


def test_what_the_service_keeps_of_messages_holds_nothing_personal(counting: Counting) -> None:
    assert found(counting) == {}


def test_personal_data_is_found_in_every_column_that_can_hold_a_text(counting: Counting) -> None:
    world = counting.world
    with connect(counting.url, application="test") as conn:
        columns = text_columns(conn)
        keys = {str(column) for column in columns}
    assert {"hannun.events.title", "hannun.dead_letters.fields", "hannun.shares.label", "hannun.sales.sale_id"} <= keys
    world.rows("UPDATE hannun.events SET title = %s", f"문의 {TELEPHONE}")
    world.rows("UPDATE hannun.dead_letters SET fields = jsonb_build_object('note', %s::text)", EMAIL)
    world.rows("INSERT INTO hannun.shares VALUES ('s', 'e', 'u', 's', %s, now(), 'u', now())", "900101-1234567")
    world.rows("UPDATE public.event_stats SET event_title = %s", EMAIL)
    assert found(counting) == {
        "hannun.events.title": {"telephone number"},
        "hannun.dead_letters.fields": {"e-mail address"},
        "hannun.shares.label": {"resident registration number"},
        "public.event_stats.event_title": {"e-mail address"},
    }


def test_personal_data_and_a_given_id_are_found_in_redis(counting: Counting) -> None:
    client = redis.Redis(host=counting.world.valkey.host, port=counting.world.valkey.port,
                         password=counting.world.valkey.password)  # fmt: skip
    client.set(f"analytics:user:{OWNER}", f'{{"title": "{TELEPHONE}"}}')
    client.lpush("analytics:processed:list", EMAIL)
    assert found(counting) == {"Redis, keys analytics:user": {"telephone number"}}
    assert found(counting, with_id(OWNER))["Redis, keys analytics:user"] == {"telephone number", "the given id"}
    client.close()


def test_an_id_that_was_forgotten_and_is_back_is_found(counting: Counting) -> None:
    world = counting.world
    counting.forget(Person(participant=KIM))
    counting.forget(Person(merchant=OWNER))
    assert found(counting) == {}
    world.rows("INSERT INTO hannun.participants SELECT %s, event_no, NULL, NULL, 1 FROM hannun.events", KIM)
    world.rows("UPDATE public.event_stats SET user_id = %s", OWNER)
    assert found(counting) == {
        f"hannun.participants of event {SPRING}": {"forgotten id"},
        "public.event_stats.user_id": {"forgotten id"},
    }


def test_a_forgotten_participant_who_is_back_in_dead_letters_is_found(counting: Counting) -> None:
    counting.forget(Person(participant=KIM))
    counting.forget(Person(participant=EMAIL))  # also in the dead letter of the fixture
    assert found(counting) == {}
    hex_ = KIM.replace("-", "")
    back = (
        "UPDATE hannun.dead_letters SET event_id = %s, fields = jsonb_build_object('participant', %s::text) "
        "WHERE kind = 'participant-registered'"
    )
    for event_id in (SPRING, None):
        counting.world.rows(back, event_id, hex_)
        assert found(counting) == {"hannun.dead_letters.fields": {"forgotten id"}}
    counting.world.rows(back, "an event in which nobody was forgotten", hex_)
    assert found(counting) == {}


@pytest.mark.parametrize("id_", [EMAIL, KIM, "member-17"])
def test_a_participant_whom_only_dead_letters_name_is_found_by_their_id(counting: Counting, id_: str) -> None:
    world = counting.world
    world.rows("DELETE FROM hannun.dead_letters")
    world.rows("DELETE FROM hannun.participants")
    with counting.connect() as conn:
        before = patterns_for(conn, id_)
    assert found(counting, before) == {}
    counting.count(world.message("participant-registered", participantId=id_, registeredAt="never"))
    assert found(counting, before) == {"hannun.dead_letters.fields": {"the given id"}}


def test_forgotten_participants_are_found_in_the_rows_of_a_dump(counting: Counting) -> None:
    """In the ledger of their event, which it names by its number, and in dead letters; and no others."""
    counting.forget(Person(participant=KIM))
    hex_ = KIM.replace("-", "")
    dump = (
        "COPY hannun.dead_letters (dead_letter_no, event_id, fields) FROM stdin;\n"
        f'1\t{SPRING}\t{{"participant": "{hex_}"}}\n2\tanother\t{{"participant": "{hex_}"}}\n3\t{SPRING}\t\\N\n'
        f'4\t\\N\t{{"participant": "{hex_}"}}\n\\.\n'
        f"COPY hannun.events (event_no, event_id) FROM stdin;\n7\t{SPRING}\n8\tanother\n\\.\n"
        f"COPY hannun.participants (participant, event_no, minute) FROM stdin;\n{KIM}\t8\t1\n{KIM}\t7\t1\n"
        f"{SPRING}\t7\t1\n\\.\n{KIM}\t7\t1\n"
    )
    with counting.connect() as conn:
        known = forgotten.load(conn, counting.ring)
    search = Search(PATTERNS, known, 60)
    search.search_dump("a backup", io.BytesIO(dump.encode()))
    assert search.findings.counts == {
        ("a backup, hannun.dead_letters", "forgotten id"): 2,
        ("a backup, hannun.participants", "forgotten id"): 1,
    }
    segments = (
        f"COPY hannun.events (event_no, event_id) FROM stdin;\n7\t{SPRING}\n8\tanother\n\\.\n"
        "COPY hannun.packed_participants (event_no, first_participant, participants, cames) FROM stdin;\n"
        f"7\t{SPRING}\t{{{SPRING},{KIM}}}\t{{1,2}}\n8\t{KIM}\t{{{KIM}}}\t{{1}}\n7\t{OWNER}\t{{{OWNER}}}\t{{1}}\n\\.\n"
    )
    of_segments = Search(PATTERNS, known, 60)
    of_segments.search_dump("a backup", io.BytesIO(segments.encode()))
    assert of_segments.findings.counts == {("a backup, hannun.packed_participants", "forgotten id"): 1}
    without_events = Search(PATTERNS, known, 60)
    without_events.search_dump("a part", io.BytesIO(dump[dump.index("COPY hannun.participants") :].encode()))
    assert without_events.findings.unsearched == ["a part, forgotten participants of hannun.participants"]


def test_a_log_and_a_dump_are_searched_line_by_line(counting: Counting) -> None:
    counting.forget(Person(merchant=OWNER))
    with counting.connect() as conn:
        search = Search(PATTERNS, forgotten.load(conn, counting.ring), 60)
    log = f'{{"event": "started"}}\n{{"mail": "{EMAIL}"}}\n{{"user": "{OWNER.upper()}"}}\n{{"mail": "{EMAIL}"}}'
    search.search_log("serve.log", io.BytesIO(log.encode()))
    dump = (
        f"COPY hannun.events (title) FROM stdin;\n{TELEPHONE}\n\\.\nCOPY hannun.shares (l) FROM stdin;\n{OWNER}\n\\.\n"
    )
    search.search_dump("a backup", io.BytesIO(dump.encode()))
    assert search.findings.counts == {
        ("serve.log", "e-mail address"): 2,
        ("serve.log", "forgotten id"): 1,
        ("a backup, hannun.events", "telephone number"): 1,
        ("a backup, hannun.shares", "forgotten id"): 1,
    }
    assert search.findings.first_lines["serve.log", "forgotten id"] == 3


class Endless(io.RawIOBase):
    """A log without line breaks and without end."""

    def read(self, size: int = -1) -> bytes:
        return b"x" * 1_000


def clock(*times: float) -> Callable[[], float]:
    left = list(times)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_search_ends_at_its_deadline_and_says_what_it_left_out(counting: Counting) -> None:
    search = Search(PATTERNS, NOTHING_FORGOTTEN, 10, clock(0, 5, 5, 11))
    search.search_log("endless.log", Endless())
    with counting.connect() as conn:
        search.search_tables(conn)
        assert len(search.findings.unsearched) == 1 + len(text_columns(conn))
    assert search.findings.unsearched[0].startswith("endless.log from line")


def test_a_thousand_places_are_kept_and_the_others_counted_together() -> None:
    search = Search(PATTERNS, NOTHING_FORGOTTEN, 60)
    for no in range(1_500):
        search.findings.add(f"place {no}", "e-mail address")
    assert len(search.findings.counts) == 1_001
    assert search.findings.counts["other places", "e-mail address"] == 500


def test_who_may_have_seen_an_event_since_an_instant(counting: Counting) -> None:
    world = counting.world
    with counting.connect() as conn:
        entries = [
            NewEntry(user("before"), Action.READ, event_object(SPRING)),
            NewEntry(user("a"), Action.READ, event_object(SPRING)),
            NewEntry(user("b"), Action.EXPORTED, MERCHANTS_EVENTS, user(OWNER)),
            NewEntry(user("c"), Action.READ, ALL_EVENTS),
            NewEntry(user("c2"), Action.READ, ALL_MERCHANTS),
            NewEntry(user("d"), Action.READ, event_object("another")),
            NewEntry(user("e"), Action.READ, MERCHANTS_EVENTS, user("another")),
        ]
        for entry in entries:
            audit_log.record(conn, entry)
            conn.commit()
        since = world.rows("SELECT at FROM hannun.audit_log WHERE entry_no = 2")[0].at
        seen = exposure(conn, SPRING, since)
    assert (seen.event.owner, seen.event.participants) == (OWNER, 2)
    assert [reader.id for reader in seen.readers] == ["a", "b", "c", "c2"]


def test_everybody_whose_data_an_event_holds_is_listed_once_in_a_file_of_its_owner(
    counting: Counting, tmp_path: Path
) -> None:
    world, path = counting.world, tmp_path / "people.csv"
    counting.count(
        world.message("participant-registered", participantId=KIM, registeredAt="never")
    )  # also in the ledger
    people = world.rows(
        "SELECT participant::text AS id FROM hannun.participants UNION "
        "SELECT (fields ->> 'participant')::uuid::text FROM hannun.dead_letters WHERE fields ? 'participant'"
    )
    with counting.connect() as conn:
        count = list_people(conn, SPRING, path, "kim@host")
        with pytest.raises(OperatorError, match="no event has the id"):
            list_people(conn, "another", tmp_path / "none", "kim@host")
    expected = {("merchant", OWNER), *(("participant", row.id) for row in people)}
    with path.open(newline="") as file:
        titles, *rows = csv.reader(file)
    assert (titles, {tuple(row) for row in rows}) == (["kind", "id"], expected)
    assert count == len(rows) == len(expected)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "none").exists()
    (entry,) = world.rows("SELECT action, object FROM hannun.audit_log")
    assert (entry.action, entry.object) == ("exported", f"event {SPRING}")


def test_the_command_names_places_and_never_the_data(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = counting.world

    def run(*arguments: str, status: int) -> str:
        ran = CliRunner().invoke(app, ["privacy", *arguments])
        assert ran.exit_code == status, ran.output
        assert all(len(line) <= 80 for line in ran.stdout.splitlines() if " " in line.strip())
        assert not any(secret in ran.output for secret in (TELEPHONE, EMAIL))
        return " ".join(ran.stdout.split())

    for name, value in {
        "DATABASE_URL": world.url,
        "HANNUN_OWNER_DATABASE_URL": world.owner_url,
        "HANNUN_KEY_RING_FILE": str(tmp_path / "keys.toml"),
        "HANNUN_BACKUP_FOLDER": str(tmp_path / "backups"),
        "REDIS_HOST": world.redis.host,
        "REDIS_PORT": str(world.redis.port),
        "REDIS_PASSWORD": world.redis.password,
        "COLUMNS": "80",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "backups").mkdir()
    assert run("audit", status=0) == "nothing was found that looks like personal data"
    world.rows("UPDATE hannun.events SET title = %s", EMAIL)
    made = CliRunner().invoke(app, ["backup", "create"])
    assert made.exit_code == 0, made.output
    backup = made.stdout.split()[0]
    (tmp_path / "serve.log").write_text(f"{TELEPHONE}\n", "utf-8")
    said = run("audit", "--logs", str(tmp_path / "serve.log"), "--backup", backup, "--id", KIM, status=1)
    assert "hannun.events.title: e-mail address, 1 time" in said
    assert "serve.log: telephone number, 1 time, first in line 1" in said
    assert f"{backup}, hannun.events: e-mail address, 1 time" in said
    assert f"{backup}, hannun.participants: the given id, 1 time" in said
    assert f"hannun.participants of event {SPRING}: the given id, 1 time" in said
    unasked = CliRunner().invoke(app, ["privacy", "forget", "--participant", KIM, "--reason", "request 17"])
    assert " ".join(unasked.stdout.split()).startswith(f"the participant {KIM} is named in 1 event hannun.dead_letters")
    assert isinstance(unasked.exception, OperatorError)
    assert unasked.exception.args[0].startswith("nobody was forgotten: standard input is no terminal")
    assert world.rows("SELECT * FROM hannun.forgotten") == []
    forgot = run("forget", "--participant", KIM, "--reason", "request 17", "--yes", status=0)
    assert f"the participant {KIM} is forgotten in 1 event " in forgot
    run("forget", "--participant", KIM, "--reason", "the same again", "--yes", status=0)
    known = world.rows("SELECT * FROM hannun.forgotten")
    nobody = "9a3e61f0-0000-4000-8000-00000000ffff"
    misspelled = ("--reason", "misspelled")
    for who in (("--participant", nobody), ("--participant", nobody, "--event", SPRING), ("--merchant", nobody)):
        for yes in ((), ("--yes",)):
            refused = CliRunner().invoke(app, ["privacy", "forget", *who, *misspelled, *yes])
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert "nothing names this id" in " ".join(refused.stderr.split())
    assert world.rows("SELECT * FROM hannun.forgotten") == known
    said = run("forget", "--merchant", nobody, "--reason", "request 18", "--yes", "--even-if-unknown", status=0)
    assert "is forgotten in 0 events" in said
    assert len(world.rows("SELECT * FROM hannun.forgotten")) == len(known) + 1
    said = run("audit", "--backup", backup, status=1)
    assert f"{backup}, hannun.participants: forgotten id, 1 time" in said
    assert f"{backup}, hannun.dead_letters: forgotten id" not in said
    world.rows("UPDATE hannun.events SET title = ''")
    assert run("audit", "--id", KIM, status=0) == "nothing was found that looks like personal data"
    since = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    assert "2 participants" in run("audit", "--possible", SPRING, "--since", since, status=0)
    file = tmp_path / "whom to inform.csv"
    possible = ("audit", "--possible", SPRING, "--since", since, "--list", str(file))
    assert "names 3 of them" in run(*possible, status=0)
    again = CliRunner().invoke(app, ["privacy", *possible])
    assert "File exists" in str(again.exception)
    actions = [row.action for row in world.rows("SELECT action FROM hannun.audit_log ORDER BY entry_no")]
    assert actions.count("scanned for personal data") == 7
    assert actions.count("exported") == 2, "also the one that was refused"
    assert actions.count("forgotten") == 2
