"""Old months go into a Parquet archive before their tables are dropped, and come back from it row by row."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from small_disks import small_disk
from typer.testing import CliRunner
from world import SPRING, World

from hannun import settings
from hannun.cli.application import app
from hannun.errors import OperatorError, Transient
from hannun.files.month_archives import MonthArchives
from hannun.flows.partitions.archives import archive_month, check_archives, drop_archived_month
from hannun.flows.partitions.months import AttachedFrom, PartitionChanges, apply_partition_plan, attach_months
from hannun.processes.schedule_jobs import apply_partition_plan_hourly
from hannun.store.database import Connection
from hannun.store.partitions import database_id

SUMMER = "5b0c2f64-0000-4000-8000-000000000002"
JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)
TODAY = date(2026, 11, 23)
ALL_ROWS = "SELECT * FROM public.timeline_data ORDER BY event_id, timestamp"


@pytest.fixture
def archives(world: World, tmp_path: Path) -> MonthArchives:
    with psycopg.connect(world.owner_url) as conn:
        return MonthArchives(tmp_path / "archive", database_id(conn))


@pytest.fixture
def history(world: World) -> list[dict[str, Any]]:
    """Two events with participants and measurements in January, February and November. Returns their timeline."""
    world.count(world.created(), world.created(SUMMER), world.distributed(channel="NAVER"))
    for event in (SPRING, SUMMER):
        world.count(
            *(world.registered(event=event, at=f"2026-{m}-20T10:0{n}Z") for m in ("01", "02", "11") for n in "37")
        )
    world.record_measurement(SPRING, "NaverBlog", "2026-01-20 10:04", {"views": 3, "likes": 2, "conversions": 1})
    world.roll_up()
    world.rows(
        "UPDATE public.timeline_data SET created_at = '2026-01-20 10:09:08.000007' WHERE timestamp < '2026-02-01'"
    )
    assert world.drift() == []
    return timeline(world)


def timeline(world: World) -> list[dict[str, Any]]:
    return [row.columns for row in world.rows(ALL_ROWS)]


@contextmanager
def owner_of(world: World) -> Iterator[Connection]:
    with psycopg.connect(world.owner_url, autocommit=True) as owner:
        yield owner


def apply(world: World, archives: MonthArchives | None, *, keep: int = 6, dry_run: bool = False) -> PartitionChanges:
    with owner_of(world) as owner:
        return apply_partition_plan(owner, TODAY, ahead=0, keep=keep, archives=archives, by="a test", dry_run=dry_run)


def attach(world: World, archives: MonthArchives | None, *months: date) -> dict[date, AttachedFrom]:
    with owner_of(world) as owner:
        return dict(attach_months(owner, months, archives=archives, by="a test", dry_run=False))


def tables(world: World) -> set[str]:
    names = "SELECT relname FROM pg_class WHERE relname ~ '^timeline_data_[0-9a-z]' AND relkind = 'r'"
    return {row.relname for row in world.rows(names)}


@pytest.mark.usefixtures("history")
def test_months_that_are_not_kept_are_archived_and_then_dropped(world: World, archives: MonthArchives) -> None:
    planned = apply(world, archives, dry_run=True)
    assert (planned.detached, planned.archived) == ((JANUARY, FEBRUARY), (JANUARY, FEBRUARY))
    assert len(tables(world)) == 3, "a dry run changes nothing"
    assert archives.months() == set()
    assert apply(world, archives) == planned
    assert tables(world) == {"timeline_data_2026_11"}
    assert archives.months() == {JANUARY, FEBRUARY}
    assert world.drift() == []
    assert apply(world, archives) == PartitionChanges((), (), ()), "a second run has nothing to do"


@pytest.mark.usefixtures("history")
def test_an_archive_is_readable_by_its_owner_only(world: World, archives: MonthArchives) -> None:
    before = os.umask(0)
    try:
        apply(world, archives)
    finally:
        os.umask(before)
    file = archives.path(FEBRUARY)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]


@pytest.mark.usefixtures("history")
def test_without_an_archive_or_a_retention_tables_stay(world: World, archives: MonthArchives) -> None:
    assert apply(world, None).archived == ()
    assert len(tables(world)) == 3
    with owner_of(world) as owner:
        changes = apply_partition_plan(owner, TODAY, ahead=0, keep=None, archives=archives, by="a test", dry_run=False)
    assert changes.archived == ()
    assert len(tables(world)) == 3


def test_an_attached_archive_restores_every_column_of_every_row(
    world: World, archives: MonthArchives, history: list[dict[str, Any]]
) -> None:
    apply(world, archives)
    assert attach(world, archives, JANUARY, FEBRUARY) == {
        JANUARY: AttachedFrom.ARCHIVE,
        FEBRUARY: AttachedFrom.ARCHIVE,
    }
    assert timeline(world) == history
    world.roll_up()
    assert world.drift() == []
    with psycopg.connect(world.readonly_url) as reader:
        reader.execute("SELECT count(*) FROM public.timeline_data_2026_01")  # other teams may read it as before


@pytest.mark.usefixtures("history")
def test_a_message_of_an_archived_month_is_counted_and_its_archive_is_written_again(
    world: World, archives: MonthArchives
) -> None:
    apply(world, archives)
    world.count_with_retries(world.registered(at="2026-01-25T10:00Z"))
    assert world.drift() == []
    with_it = timeline(world)
    assert apply(world, archives).archived == (JANUARY,)
    assert attach(world, archives, JANUARY)[JANUARY] is AttachedFrom.ARCHIVE
    assert timeline(world) == with_it


@pytest.mark.usefixtures("history")
def test_an_archive_older_than_the_ledgers_is_not_used(world: World, archives: MonthArchives) -> None:
    """The month was attached by a message meanwhile, then detached and dropped by hand."""
    apply(world, archives)
    world.count_with_retries(world.registered(at="2026-01-25T10:00Z"))
    minutes = [(row["timestamp"], row["participants"]) for row in timeline(world)]
    world.rows("ALTER TABLE public.timeline_data DETACH PARTITION public.timeline_data_2026_01")
    world.rows("DROP TABLE public.timeline_data_2026_01")
    assert attach(world, archives, JANUARY)[JANUARY] is AttachedFrom.LEDGERS_INSTEAD
    assert [(row["timestamp"], row["participants"]) for row in timeline(world)] == minutes
    assert world.drift() == []


@pytest.mark.usefixtures("history")
def test_a_table_that_differs_from_its_archive_is_not_dropped(world: World, archives: MonthArchives) -> None:
    apply(world, None)
    with owner_of(world) as owner:
        archive_month(owner, archives, JANUARY)
        world.rows("UPDATE public.timeline_data_2026_01 SET views = views + 1 WHERE views > 0")
        with pytest.raises(OperatorError, match=r"archive has 5 rows, and its table 5 with other figures"):
            drop_archived_month(owner, archives, JANUARY, by="a test")
        world.rows("DELETE FROM public.timeline_data_2026_01 WHERE views > 0")
        with pytest.raises(OperatorError, match=r"archive has 5 rows, and its table 4"):
            drop_archived_month(owner, archives, JANUARY, by="a test")
        with pytest.raises(OperatorError, match="there is no archive"):
            drop_archived_month(owner, archives, FEBRUARY, by="a test")
    assert len(tables(world)) == 3


@pytest.mark.usefixtures("history")
def test_an_attached_month_is_neither_archived_nor_dropped(world: World, archives: MonthArchives) -> None:
    apply(world, archives)
    attach(world, archives, JANUARY)
    with owner_of(world) as owner:
        with pytest.raises(OperatorError, match="cannot drop 2026-01: it has no detached table"):
            drop_archived_month(owner, archives, JANUARY, by="a test")
        with pytest.raises(OperatorError, match="cannot archive 2026-01: it has no detached table"):
            archive_month(owner, archives, JANUARY)
    assert "timeline_data_2026_01" in tables(world)


@pytest.mark.usefixtures("history")
def test_a_table_that_a_dump_reads_is_not_dropped_and_nobody_waits_for_it(
    world: World, archives: MonthArchives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hannun.store.partitions.DROP_LOCK_WAIT", "100ms")
    apply(world, None)
    with psycopg.connect(world.owner_url) as dump, owner_of(world) as owner:
        dump.execute("SELECT count(*) FROM public.timeline_data_2026_01")
        archive_month(owner, archives, JANUARY)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            drop_archived_month(owner, archives, JANUARY, by="a test")
        dump.rollback()
        drop_archived_month(owner, archives, JANUARY, by="a test")
    assert tables(world) == {"timeline_data_2026_02", "timeline_data_2026_11"}


@pytest.mark.usefixtures("history")
def test_no_changed_byte_of_an_archive_goes_unnoticed(world: World, archives: MonthArchives) -> None:
    """With a byte flipped or its end missing, a file is refused; or it was a byte that holds nothing of the rows."""
    apply(world, archives)
    path = archives.path(JANUARY)
    intact, rows = path.read_bytes(), b"".join(archives.read(JANUARY))
    refused = 0
    for at in range(0, len(intact), 23):
        for damaged in (intact[:at] + bytes([intact[at] ^ 0x41]) + intact[at + 1 :], intact[:at]):
            path.write_bytes(damaged)
            try:
                archives.contents(JANUARY)
            except OperatorError:
                refused += 1
            else:
                assert b"".join(archives.read(JANUARY)) == rows, f"byte {at} of {len(intact)}"
    assert refused > len(intact) / 23, "each cut-off file, and most flipped bytes"


@pytest.mark.usefixtures("history")
def test_a_damaged_archive_is_not_attached(world: World, archives: MonthArchives) -> None:
    apply(world, archives)
    path = archives.path(JANUARY)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OperatorError, match="is damaged") as refused:
        attach(world, archives, JANUARY)
    assert "the ledgers take its place" in refused.value.hint
    path.unlink()
    assert attach(world, archives, JANUARY)[JANUARY] is AttachedFrom.LEDGERS
    assert world.drift() == []


@pytest.mark.usefixtures("history")
def test_an_archive_of_another_month_or_database_is_refused(world: World, archives: MonthArchives) -> None:
    apply(world, archives)
    archives.path(JANUARY).rename(archives.path(date(2026, 3, 1)))
    with pytest.raises(OperatorError, match=r"not the archive of 2026-03 of this database, but of .*2026-01"):
        archives.contents(date(2026, 3, 1))
    foreign = MonthArchives(archives.path(FEBRUARY).parent, "another database")
    with pytest.raises(OperatorError, match="not the archive of 2026-02 of this database"):
        attach(world, foreign, FEBRUARY)
    assert tables(world) == {"timeline_data_2026_11"}


@pytest.mark.usefixtures("history")
def test_an_attach_that_is_interrupted_leaves_nothing_behind(
    world: World, archives: MonthArchives, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(world, archives)

    (rows,) = archives.read(JANUARY)

    def cut_off(_: date) -> Iterator[bytes]:
        yield rows[: rows.index(b"\n") + 1]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(archives, "read", cut_off)
        with pytest.raises(KeyboardInterrupt):
            attach(world, archives, JANUARY)
    assert tables(world) == {"timeline_data_2026_11"}
    assert attach(world, archives, JANUARY)[JANUARY] is AttachedFrom.ARCHIVE


@pytest.mark.usefixtures("history")
def test_all_archives_are_verified_at_once(world: World, archives: MonthArchives) -> None:
    apply(world, archives)
    assert [(month, contents.rows) for month, contents in check_archives(archives, [])] == [(JANUARY, 5), (FEBRUARY, 4)]


@pytest.mark.small_disk
@pytest.mark.usefixtures("history")
def test_with_a_full_disk_of_the_archive_the_month_stays_in_its_table(world: World, tmp_path: Path) -> None:
    """The job of `schedule` reports it, runs on, and archives when there is room."""
    with small_disk(tmp_path / "small", 1) as disk, pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "DATABASE_URL": world.url,
            "HANNUN_OWNER_DATABASE_URL": world.owner_url,
            "HANNUN_MONTHS_KEPT": "6",
            "HANNUN_ARCHIVE_FOLDER": str(disk.folder / "archive"),
        }.items():
            environment.setenv(name, value)
        job = apply_partition_plan_hourly(settings.read())
        disk.fill(leave_bytes=4_096)
        for _ in range(2):
            with pytest.raises(Transient, match=r"cannot write .*No space left on device"):
                job.run_once(datetime(2026, 11, 23, tzinfo=UTC))
        assert len(tables(world)) >= 3
        assert [file for file in (disk.folder / "archive").iterdir() if file.is_file()] == []
        disk.make_room()
        assert job.run_once(datetime(2026, 11, 23, tzinfo=UTC)).changed == 2
        assert tables(world).isdisjoint({"timeline_data_2026_01", "timeline_data_2026_02"})
        assert len(list((disk.folder / "archive").iterdir())) == 2
    assert world.drift() == []


# -- the commands ----------------------------------------------------------------------------------------------------


class Commands:
    """`hannun partitions` on a terminal of 80 columns."""

    def __init__(self, world: World, **environment: str) -> None:
        self.environment = {
            "DATABASE_URL": world.url,
            "HANNUN_OWNER_DATABASE_URL": world.owner_url,
            "HANNUN_MONTHS_AHEAD": "0",
            "COLUMNS": "80",
            **environment,
        }

    def __call__(self, *words: str) -> list[str]:
        done = CliRunner().invoke(app, ["partitions", *words], env=self.environment, catch_exceptions=False)
        assert done.exit_code == 0
        lines = done.output.splitlines()
        assert all(len(line) <= 80 for line in lines), lines
        return [line for line in lines if "2026-11" not in line]


@pytest.mark.usefixtures("history")
def test_the_commands_archive_verify_drop_and_attach_a_month(world: World, tmp_path: Path) -> None:
    run = Commands(world, HANNUN_ARCHIVE_FOLDER=str(tmp_path / "archive"))
    assert run("detach", "2026-01", "--dry-run") == ["timeline_data_2026_01 would be detached"]
    assert run("detach", "2026-01") == ["timeline_data_2026_01 detached"]
    assert run("detach", "2026-01") == ["timeline_data_2026_01 is not attached"]
    assert run("list") == ["2026-01  detached", "2026-02  attached"]
    assert run("archive", "2026-01") == ["timeline_data_2026_01 archived: 5 rows"]
    assert run("list") == ["2026-01  detached, archived", "2026-02  attached"]
    assert run("verify") == ["timeline_data_2026_01 intact: 5 rows"]
    assert run("drop", "2026-01") == ["timeline_data_2026_01 dropped; its archive holds 5 rows"]
    assert run("list") == ["2026-01  dropped, archived", "2026-02  attached"]
    assert run("attach", "2026-01") == ["timeline_data_2026_01 attached, from its archive"]
    assert run("list") == ["2026-01  attached, archived", "2026-02  attached"]
    assert world.drift() == []
    recorded = world.rows("SELECT action, object FROM hannun.audit_log ORDER BY 1")
    assert {(row.action.removeprefix("month "), row.object) for row in recorded} == {
        (action, "month 2026-01") for action in ("detached", "dropped", "attached")
    }


@pytest.mark.usefixtures("history")
def test_a_second_operator_is_refused_while_the_first_is_at_work(world: World) -> None:
    run = Commands(world, HANNUN_MONTHS_KEPT="6")
    with psycopg.connect(world.owner_url) as first:
        first.execute("SELECT pg_advisory_xact_lock(hashtext('hannun.partitions'))")
        with pytest.raises(Transient, match=f"at work: process {first.info.backend_pid} of PostgreSQL, from"):
            run("detach", "2026-01")
        run("plan")
    run("apply")
    assert run("list") == ["2026-01  detached", "2026-02  detached"]


def test_a_command_that_needs_the_archive_says_which_setting_is_missing(world: World) -> None:
    with pytest.raises(OperatorError, match="HANNUN_ARCHIVE_FOLDER is not set"):
        Commands(world)("verify")
