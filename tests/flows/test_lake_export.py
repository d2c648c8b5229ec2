"""The dataset for analysts: whole at every moment, each message once, no person in it, sums that `reconcile` proves."""

import json
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from forgetting import KIM, Counting
from small_disks import small_disk
from typer.testing import CliRunner
from world import OWNER, SPRING, World

from hannun.cli.application import app
from hannun.errors import OperatorError
from hannun.files import copied_tables
from hannun.files import lake as lake_files
from hannun.files.lake import COLUMNS, Lake, WrittenVersion
from hannun.flows.forgetting import Person
from hannun.flows.lake_export import export_lake
from hannun.key_ring import add_key, open_key_ring
from hannun.store.database import connected

SUMMER = "5b0c2f64-0000-4000-8000-00000000000a"
DATABASE = "the database of a test"


def export(world: World, folder: Path) -> WrittenVersion:
    lake = Lake(folder, DATABASE)
    with connected(world.url, application="a test") as conn, lake.locked():
        return export_lake(conn, lake, lambda _: None)


def fill(world: World, months: range = range(8, 11)) -> None:
    """Two events with 200 participants in these months, and measurements in two of them."""
    dice = random.Random(7)
    world.count(world.created(), world.created(SUMMER))
    world.count(
        *(
            world.registered(
                f"p{number}",
                event=dice.choice((SPRING, SUMMER)),
                at=f"2026-{dice.choice(months):02}-{dice.randint(1, 28):02}T1{dice.randint(0, 9)}:00:00Z",
                channel=dice.choice(("NaverBlog", "Instagram")),
            )
            for number in range(200)
        )
    )
    for month in months[:2]:
        world.record_measurement(SPRING, "Instagram", f"2026-{month:02}-03T10:00", {"views": 40 + month, "likes": 3})


@pytest.fixture
def filled(world: World) -> World:
    fill(world)
    return world


def read(folder: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table, as any engine with hive partitions reads them."""
    dataset = pyarrow.dataset.dataset(folder / "current" / table, partitioning="hive")
    return list(dataset.to_table().to_pylist())


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "current/manifest.json").read_text())
    return found


def test_the_sums_are_those_that_reconcile_proves(filled: World, tmp_path: Path) -> None:
    export(filled, tmp_path / "lake")
    assert filled.drift() == []
    arrivals, timeline = read(tmp_path / "lake", "arrivals"), read(tmp_path / "lake", "timeline")
    for event in (SPRING, SUMMER):
        total = filled.event_row(event).participants
        assert sum(row["participants"] for row in arrivals if row["event_id"] == event) == total
        minutes = [row for row in timeline if row["event_id"] == event]
        assert [
            (row["timestamp"].replace(tzinfo=None), row["participants"], row["views"])
            for row in sorted(minutes, key=lambda row: row["timestamp"])
        ] == [(row.timestamp, row.participants, row.views) for row in filled.timeline(event)]
    by_channel = defaultdict(int)
    for row in arrivals:
        by_channel[row["event_id"], row["channel"]] += row["participants"]
    for name, stats in filled.channel_stats().items():
        assert by_channel[SPRING, name] == stats.participants


def test_a_manifest_describes_every_file_and_the_snapshot(filled: World, tmp_path: Path) -> None:
    export(filled, tmp_path)
    stated = manifest(tmp_path)
    files = {path.relative_to(tmp_path / "current").as_posix() for path in (tmp_path / "current").rglob("*.parquet")}
    assert {file["path"] for file in stated["files"]} == files
    assert Lake(tmp_path, DATABASE).check() == []
    assert {file["month"] for file in stated["files"]} == {"2026-08", "2026-09", "2026-10"}
    assert stated["totals"]["participants"] == sum(
        file["sums"]["participants"] for file in stated["files"] if file["table"] == "arrivals"
    )
    assert stated["newestVersion"] == max(filled.event_row(event).version for event in (SPRING, SUMMER))
    for file in stated["files"]:
        rows = pyarrow.parquet.read_table(tmp_path / "current" / file["path"], partitioning=None).to_pylist()
        assert len(rows) == file["rows"]
        assert {name: sum(row[name] for row in rows) for name in file["sums"]} == file["sums"]


def test_no_person_is_in_any_file(filled: World, tmp_path: Path) -> None:
    export(filled, tmp_path)
    users = {row.user_id for row in filled.rows("SELECT user_id FROM hannun.events")}
    people = {str(row.participant) for row in filled.rows("SELECT participant FROM hannun.participants")}
    assert len(people) == 200
    for table, columns in COLUMNS.items():
        rows = read(tmp_path, table)
        assert {*rows[0]} == {*columns, "month"}
        values = {str(value) for row in rows for value in row.values()}
        assert not values & (users | people | {f"p{number}" for number in range(200)})


def test_a_second_export_writes_only_the_months_that_have_changed(filled: World, tmp_path: Path) -> None:
    first = export(filled, tmp_path)
    assert export(filled, tmp_path) == first._replace(new=0)
    filled.count(
        filled.registered("late", at="2026-09-20T10:00:00Z"), filled.registered("p1", at="2026-10-01T00:00:00Z")
    )
    inodes = {file.path: (tmp_path / "current" / file.path).stat().st_ino for file in first.files}
    second = export(filled, tmp_path)
    changed = {
        file.path for file in second.files if inodes[file.path] != (tmp_path / "current" / file.path).stat().st_ino
    }
    assert (second.version, second.new) == (first.version + 1, 2)
    assert changed == {f"{table}/month=2026-09/rows.parquet" for table in ("arrivals", "timeline")}
    assert sum(row["participants"] for row in read(tmp_path, "arrivals")) == 201
    assert sorted(path.name for path in tmp_path.glob("version-*")) == ["version-1", "version-2"]


def test_a_damaged_file_is_found_and_written_again(filled: World, tmp_path: Path) -> None:
    written = export(filled, tmp_path)
    path = tmp_path / "current" / written.files[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert Lake(tmp_path, DATABASE).check() == [written.files[0].path]
    export(filled, tmp_path)
    assert Lake(tmp_path, DATABASE).check() == []


class KilledHere(BaseException):
    """The process ends here, and nothing of it runs any more."""


class DyingDisk:
    """Stands for the modules that change the disk, and kills the process before the n-th change."""

    CHANGES = ("rename", "replace", "link", "symlink", "fsync", "rmtree")

    def __init__(self, module: Any, changes: list[int]) -> None:
        self._module = module
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if name not in self.CHANGES:
            return function

        def change(*arguments: Any, **options: Any) -> Any:
            self._changes[0] -= 1
            if self._changes[0] < 0:
                raise KilledHere
            return function(*arguments, **options)

        return change


def killed_exports(world: World, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Exports that are killed before their first change, their second, and so on; True is the first that ends."""
    for count in range(1_000):
        changes = [count]
        with patch.context() as of_one:
            for name, module in (("os", os), ("shutil", shutil)):
                of_one.setattr(lake_files, name, DyingDisk(module, changes))
            try:
                export(world, folder)
            except KilledHere:
                yield False
            else:
                yield True
                return


def test_readers_see_a_whole_version_whenever_an_export_was_killed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world, range(9, 11))
    seen = []
    for rounds, expected in ((0, {200}), (1, {200, 201}), (2, {201, 202})):
        for number in range(rounds and 1):
            world.count(world.registered(f"late {rounds} {number}", at="2026-09-20T10:00:00Z"))
        for ended in killed_exports(world, tmp_path, monkeypatch):
            if (tmp_path / "current").exists():
                assert Lake(tmp_path, DATABASE).check() == []
                total = sum(row["participants"] for row in read(tmp_path, "arrivals"))
                assert total == manifest(tmp_path)["totals"]["participants"]
                assert total in expected
                seen.append(total)
            else:
                assert not ended
                assert seen == [], "the dataset that was there is gone"
        assert seen[-1] == max(expected)
    assert {*seen} == {200, 201, 202}
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".next")] == []


@pytest.mark.small_disk
def test_a_full_disk_leaves_the_version_before_and_no_part_of_another(filled: World, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 2) as disk:
        export(filled, disk.folder / "lake")
        filled.count(filled.registered("late", at="2026-09-20T10:00:00Z"))
        for free_bytes in (0, 4_096, 16_384):
            disk.fill(leave_bytes=free_bytes)
            with pytest.raises(OperatorError, match="cannot write the dataset .*No space left on device"):
                export(filled, disk.folder / "lake")
            assert sum(row["participants"] for row in read(disk.folder / "lake", "arrivals")) == 200
            assert not (disk.folder / "lake/.next").exists()
            disk.make_room()
        export(filled, disk.folder / "lake")
        assert sum(row["participants"] for row in read(disk.folder / "lake", "arrivals")) == 201


def test_one_export_at_a_time_writes_a_folder(filled: World, tmp_path: Path) -> None:
    """The second one is refused before it reads, so that no older snapshot is published after a newer one."""
    with Lake(tmp_path, DATABASE).locked():
        ran = CliRunner().invoke(app, ["export", "--lake", str(tmp_path)], env={"DATABASE_URL": filled.url})
        assert isinstance(ran.exception, OperatorError)
        assert "another export writes" in str(ran.exception)
        assert "reading" not in ran.output
    assert export(filled, tmp_path).version == 1


def test_forgetting_people_changes_no_file(world: World, tmp_path: Path) -> None:
    add_key(tmp_path / "keys.toml", "2026-11")
    counting = Counting(world, open_key_ring(tmp_path / "keys.toml"))
    counting.count(world.created(), world.registered(KIM), world.registered())
    before = export(world, tmp_path / "lake")
    counting.forget(Person(participant=KIM))
    counting.forget(Person(merchant=OWNER))
    counting.database.close()
    assert export(world, tmp_path / "lake") == before._replace(new=0)


def test_small_blocks_give_the_same_rows(filled: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(filled, tmp_path / "large")
    monkeypatch.setattr(copied_tables, "BLOCK_BYTES", 500)
    export(filled, tmp_path / "small")
    for table in COLUMNS:
        assert read(tmp_path / "large", table) == read(tmp_path / "small", table)


def test_rows_that_do_not_add_up_are_not_published(filled: World, tmp_path: Path) -> None:
    export(filled, tmp_path)
    with filled.owner_connection() as owner:
        owner.execute(
            "DELETE FROM hannun.participants WHERE participant IN (SELECT participant FROM hannun.participants LIMIT 1)"
        )
        owner.commit()
    with pytest.raises(OperatorError, match="199 participants.*200"):
        export(filled, tmp_path)
    assert sum(row["participants"] for row in read(tmp_path, "arrivals")) == 200


def test_a_folder_of_something_else_is_refused(filled: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.doc").touch()
    with pytest.raises(OperatorError, match=r"holds something else: thesis\.doc"):
        export(filled, tmp_path / "other")
    export(filled, tmp_path / "lake")
    with (
        connected(filled.url, application="a test") as conn,
        pytest.raises(OperatorError, match="another database"),
    ):
        export_lake(conn, Lake(tmp_path / "lake", "another one"), lambda _: None)


def test_nothing_counted_is_an_empty_dataset(world: World, tmp_path: Path) -> None:
    assert export(world, tmp_path).files == []
    assert manifest(tmp_path)["files"] == []


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_what_it_wrote_and_the_audit_log_names_it(filled: World, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": filled.url, "COLUMNS": "80"}
    for state in ("8 new files", "nothing new"):
        ran = CliRunner().invoke(app, ["export", "--lake", str(tmp_path)], env=environment, catch_exceptions=False)
        assert ran.exit_code == 0
        assert state in " ".join(ran.output.split())
    exported = filled.rows("SELECT object FROM hannun.audit_log WHERE action = 'exported'")
    assert {row.object for row in exported} == {"history of all events, without people"}


@pytest.mark.parametrize(
    ("words", "found"),
    [([], "not named"), (["dashboard"], "not named"), (["dashboard", "--lake", "x"], "dashboard is a view")],
)
def test_the_command_exports_a_view_or_the_dataset(words: list[str], found: str) -> None:
    refused = CliRunner().invoke(app, ["export", *words])
    assert isinstance(refused.exception, OperatorError)
    assert found in str(refused.exception)
