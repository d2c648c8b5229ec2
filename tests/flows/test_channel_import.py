"""Totals from a CSV file: all lines or none, each bad line named, and the same file again changes nothing."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from world import SPRING, World

from hannun.domain.measurements import Outcome
from hannun.errors import OperatorError
from hannun.flows import channel_import
from hannun.flows.channel_import import BadFile, import_totals

HEADER = "event_id,measured_at,views,likes\n"


@pytest.fixture
def spring(world: World) -> World:
    world.count(world.created())
    return world


def ago(world: World, **parts: int) -> str:
    """An instant before the database's time, as a line says it."""
    return f"{world.measurement_counter.now() - timedelta(**parts):%Y-%m-%dT%H:%M:%S}Z"


def run(world: World, folder: Path, text: str | bytes, channel: str = "naverblog") -> dict[Outcome, int]:
    path = folder / "totals.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return dict(import_totals(path, channel, world.measurement_counter, "test", lambda _: None))


def refusals(world: World, folder: Path, text: str) -> dict[int, str]:
    """Why each bad line is refused, by its number; nothing is imported."""
    with pytest.raises(BadFile, match="nothing was imported") as refused:
        run(world, folder, text)
    assert world.rows("SELECT event_no FROM hannun.channel_measurements") == []
    return dict(refused.value.lines)


def test_the_lines_of_a_file_become_the_history_of_the_channel(spring: World, tmp_path: Path) -> None:
    lines = "".join(f"{SPRING},{ago(spring, hours=hours)},{views},\n" for hours, views in ((3, 10), (1, 25), (2, 20)))
    assert run(spring, tmp_path, "\ufeff" + HEADER + "\n" + lines) == {"changed": 3}
    assert [row.views for row in spring.rows("SELECT views FROM hannun.increments ORDER BY minute")] == [10, 10, 5]
    assert spring.event_stats().total_views == 25
    assert spring.measured().likes is None, "an empty cell is unknown, and not 0"
    assert spring.drift() == []


def test_the_same_file_again_changes_nothing(spring: World, tmp_path: Path) -> None:
    text = HEADER + f"{SPRING},{ago(spring, hours=2)},10,1\n{SPRING},{ago(spring, hours=1)},9,2\n"
    assert run(spring, tmp_path, text) == {"changed": 2}
    before = spring.event_row().version
    assert run(spring, tmp_path, text) == {"older": 2}
    assert spring.event_row().version == before
    assert spring.drift() == []


def test_an_import_that_was_interrupted_is_started_again(
    spring: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_import, "LINES_AT_ONCE", 1)
    text = HEADER + "".join(f"{SPRING},{ago(spring, hours=hours)},{9 - hours},\n" for hours in (3, 2, 1))
    path = tmp_path / "totals.csv"
    path.write_text(text)

    class Interrupted(Exception):
        pass

    def interrupt(progress: object) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        import_totals(path, "naverblog", spring.measurement_counter, "test", interrupt)
    progress: list[str] = []
    outcomes = import_totals(
        path, "naverblog", spring.measurement_counter, "test", lambda done: progress.append(str(done))
    )
    assert outcomes == {"older": 1, "changed": 2}
    assert progress == ["1 of 3 lines", "2 of 3 lines", "3 of 3 lines"]
    assert spring.measured().views == 8
    assert spring.drift() == []


def test_each_bad_line_is_named_with_its_reason_and_nothing_is_imported(spring: World, tmp_path: Path) -> None:
    at = ago(spring, hours=1)
    bad = {
        f"{SPRING},{at},-1,": "negative: views",
        f"{SPRING},{at},many,": "wrong-type: views",
        f"{SPRING},{at},9999999999,": "too-large: views",
        f"{SPRING},{at},,": "empty",
        f"{SPRING},2026-11-20T10:00:00,1,": "measured_at has no offset from UTC: add one, as in +09:00",
        f"{SPRING},yesterday,1,": "measured_at is no ISO 8601 instant, as in 2026-11-27T10:00:00+09:00",
        f"{SPRING},0001-01-01T00:00:00+14:00,1,": "measured_at is no ISO 8601 instant, as in 2026-11-27T10:00:00+09:00",
        f"{SPRING},2999-01-01T00:00:00Z,1,": "measured_at is in the future",
        f"{SPRING},1999-01-01T00:00:00Z,1,": "measured_at is more than 366 days ago",
        f",{at},1,": "event_id is no id of 1 to 36 characters",
        f"a/b,{at},1,": "event_id is no id of 1 to 36 characters",
        f"{'x' * 37},{at},1,": "event_id is no id of 1 to 36 characters",
        f"nobody,{at},1,": "no event has the id nobody",
        f"{SPRING},{at},1": "it has 3 cells, and the header has 4",
    }
    good = f"{SPRING},{at},5,"
    text = HEADER + "\n".join([good, *bad, good]) + "\n"
    assert refusals(spring, tmp_path, text) == {
        **dict(enumerate(bad.values(), 3)),
        len(bad) + 3: "event_id and measured_at are those of line 2",
    }


def test_a_line_that_is_no_csv_ends_the_reading_and_is_named(spring: World, tmp_path: Path) -> None:
    found = refusals(spring, tmp_path, HEADER + f'{SPRING},"{ago(spring, hours=1)}" x,1,\n')
    assert list(found) == [2] and found[2].startswith("the line is no CSV")


def test_a_channel_without_a_type_for_the_event_is_named(spring: World, tmp_path: Path) -> None:
    spring.count(spring.registered("p1", channel="Radio"))
    path = tmp_path / "totals.csv"
    path.write_text(HEADER + f"{SPRING},{ago(spring, hours=1)},5,\n")
    with pytest.raises(BadFile) as refused:
        import_totals(path, "radio", spring.measurement_counter, "test", lambda _: None)
    assert "has no type" in refused.value.lines[0].reason


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", "missing columns: event_id, measured_at"),
        (b"event_id,measured_at\n", "none holds a count"),
        (b"event_id,measured_at,views,views\n", "a column is there twice"),
        (b"event_id,measured_at,veiws\n", "unknown columns: 'veiws'"),
        (b"event_id,views\n", "missing columns: measured_at"),
        (b'event_id,"measured_at" x,views\n', "the first line is no CSV"),
        (b"\xff\xfe\x00", "it is not UTF-8 at byte 0"),
    ],
)
def test_a_file_that_is_none_is_refused(spring: World, tmp_path: Path, text: bytes, found: str) -> None:
    with pytest.raises(OperatorError, match=found):
        run(spring, tmp_path, text)


def test_a_file_is_bounded(spring: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_import, "LINES_MAX", 2)
    with pytest.raises(OperatorError, match="more than 2 lines"):
        run(spring, tmp_path, HEADER + "x,y,1,\n" * 3)
    monkeypatch.setattr(channel_import, "FILE_BYTES_MAX", 100)
    with pytest.raises(OperatorError, match="more than 0 MB"):
        run(spring, tmp_path, HEADER + "x" * 100)
    with pytest.raises(OperatorError, match="cannot read"):
        import_totals(tmp_path / "nothing.csv", "naverblog", spring.measurement_counter, "test", lambda _: None)


def test_the_command_says_what_was_imported_and_names_bad_lines(spring: World, tmp_path: Path) -> None:
    path = tmp_path / "totals.csv"
    ours = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    redis = {
        "REDIS_HOST": spring.redis.host,
        "REDIS_PORT": str(spring.redis.port),
        "REDIS_PASSWORD": spring.redis.password,
    }

    def imports(text: str, channel: str = "NAVER") -> subprocess.CompletedProcess[str]:
        path.write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "hannun", "channels", "import", channel, str(path)],
            env={"DATABASE_URL": spring.url, "COLUMNS": "80", **redis, **ours},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    ran = imports(HEADER + f"{SPRING},{ago(spring, hours=1)},5,\n")
    assert (ran.returncode, ran.stdout.splitlines()) == (0, ["NaverBlog: 1 line", "  1 changed the totals"]), ran.stderr
    ran = imports(HEADER + f"{SPRING},{ago(spring, hours=1)},-5,\n")
    assert ran.returncode == 2
    assert "line 2: negative: views" in ran.stderr and "nothing was imported: 1 of 1 lines cannot be used" in ran.stderr
    assert max(map(len, ran.stderr.splitlines())) <= 80
    ran = imports(HEADER, channel="Nowhere")
    assert ran.returncode == 2 and "no channel is named 'Nowhere'" in ran.stderr
    assert spring.event_stats().total_views == 5
