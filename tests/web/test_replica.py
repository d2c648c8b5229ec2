"""A streaming replica reads for files: as true as the primary, and never needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pyarrow.dataset
import pytest
from polling import wait_for
from replicas import Replay, streaming_replica
from served import Site, open_site
from sheets import csv_rows
from typer.testing import CliRunner
from world import OWNER, PASSWORD, SPRING, World, gauges, make_database, make_owner

from hannun.cli.application import app
from hannun.embedded import PostgresServer
from hannun.flows.doctor.registry import named
from hannun.flows.report import merchant_loaders
from hannun.processes.commands.doctor import open_examination
from hannun.settings import Settings
from hannun.store import lake, reports
from hannun.store import replica as replicas
from hannun.store.replica import Replayed, Written, why_not

MINE = f"/api/v1/users/{OWNER}/analytics?format=csv&table=events&lang=en"
ONE = f"/api/v1/events/{SPRING}/analytics"
SUMMER = "5b0c2f64-0000-4000-8000-00000000000a"


@pytest.fixture(scope="module")
def postgres(home: Path) -> Iterator[PostgresServer]:
    """The primary, which waits for its log as in production."""
    with PostgresServer(home / "primary", settings={"fsync": "off"}) as server:
        make_owner(server)
        make_database(server, "template_of_tests")
        yield server
    server.destroy()


@pytest.fixture(scope="module")
def replica(home: Path, postgres: PostgresServer) -> Iterator[PostgresServer]:
    with streaming_replica(postgres, home / "replica") as server:
        yield server


@pytest.fixture
def replay(postgres: PostgresServer, replica: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A replica that is asked again at once where it could not be read."""
    monkeypatch.setattr(replicas, "REST_S", 0.0)
    replay = Replay(postgres, replica)
    yield replay
    replay.resume()


@pytest.fixture
def replica_url(world: World, replay: Replay) -> str:
    """The address of the world's database on the replica."""
    return replay.replica.url(world.name, "analytics_readwrite", PASSWORD)


@pytest.fixture
def site(world: World, replica_url: str) -> Iterator[Site]:
    """A site that waits for the replica for as long as a slow machine needs."""
    world.count(world.created(), world.created(SUMMER), world.registered("p1", channel="NAVER"))
    with open_site(world, replica_database_url=replica_url, replica_wait_s=20.0, request_s=30.0) as site:
        yield site


@pytest.fixture
def impatient_site(world: World, replica_url: str) -> Iterator[Site]:
    world.count(world.created(), world.created(SUMMER), world.registered("p1", channel="NAVER"))
    with open_site(world, replica_database_url=replica_url, replica_wait_s=0.2) as site:
        yield site


def reads() -> dict[str, float]:
    """How many reads for files each server has done so far."""
    found = gauges("hannun_replica_reads_total")
    return {server: found.get(f'{{server="{server}"}}', 0) for server in ("replica", "primary")}


class ReadsOf:
    """Which server does the reads of a block."""

    def __enter__(self) -> "ReadsOf":
        self._before = reads()
        return self

    def __exit__(self, *_: object) -> None:
        self.done = {server: count - self._before[server] for server, count in reads().items()}


def participants(file: httpx2.Response) -> int:
    """The sum of the participants in a file of all events."""
    assert file.status_code == 200, file.text
    titles, *rows = csv_rows(file.content)
    return sum(int(row[titles.index("Participants")]) for row in rows)


# -- what the replica reads ------------------------------------------------------------------------------------------


def test_files_that_no_cache_holds_are_read_on_the_replica_and_say_what_the_primary_says(
    world: World, site: Site
) -> None:
    addresses = [
        MINE,
        f"{ONE}/timeline?format=csv&startDate=2026-11-01&granularity=hourly",
        f"{ONE}/channels?format=csv",
    ]
    with ReadsOf() as read:
        files = [site.owner.get(address).text for address in addresses]
    assert read.done == {"replica": 3, "primary": 0}
    with open_site(world) as without:
        assert [without.owner.get(address).text for address in addresses] == files


def test_pages_and_what_the_cache_holds_are_read_on_the_primary(world: World, site: Site, replay: Replay) -> None:
    """So nothing that lags can be cached: the replica has replayed nothing of what is read here."""
    replay.pause()
    world.count(world.registered("p2"), world.registered("p3"))
    with ReadsOf() as read:
        for address in (
            f"{ONE}?format=csv&table=figures&lang=en",
            f"{ONE}/timeline?format=csv",
            ONE,
            f"{ONE}/timeline",
        ):
            assert site.owner.get(address).status_code == 200
        assert site.owner.get(ONE).json()["summary"]["totalParticipants"] == 3
    assert read.done == {"replica": 0, "primary": 0}


def test_a_file_waits_until_the_replica_has_what_was_committed_before(world: World, site: Site, replay: Replay) -> None:
    replay.pause()
    world.count(world.registered("p2"))
    with ReadsOf() as read, anyio.from_thread.start_blocking_portal() as portal:
        file = portal.start_task_soon(anyio.to_thread.run_sync, site.owner.get, MINE)
        wait_for("the file to wait for the replica", lambda: replica_is_asked_for_its_position(replay) or file.done())
        assert not file.done()
        replay.resume()
        assert participants(file.result(30)) == 2
    assert read.done == {"replica": 1, "primary": 0}


def replica_is_asked_for_its_position(replay: Replay) -> bool:
    asking = "application_name = 'hannun-serve-replica' AND query LIKE '%pg_lsn%'"
    return replay.run(f"SELECT count(*) FROM pg_stat_activity WHERE {asking}") != 0


# -- where the replica cannot ----------------------------------------------------------------------------------------


def test_what_a_lagging_replica_lacks_is_read_on_the_primary(
    world: World, impatient_site: Site, replay: Replay
) -> None:
    replay.pause()
    world.count(world.registered("p2"))
    with ReadsOf() as read:
        assert participants(impatient_site.owner.get(MINE)) == 2
        assert impatient_site.owner.get(f"{ONE}/channels?format=csv").status_code == 200
    assert read.done == {"replica": 0, "primary": 2}


def test_without_its_replica_a_site_reads_files_on_the_primary_and_later_on_the_replica_again(
    world: World, site: Site, replay: Replay, replica_url: str
) -> None:
    assert participants(site.owner.get(MINE)) == 1
    replay.replica.stop()
    try:
        world.count(world.registered("p2"))
        with open_site(world, replica_database_url=replica_url, replica_wait_s=0.2) as started_without:
            with ReadsOf() as read:
                assert participants(started_without.owner.get(MINE)) == 2
            assert read.done == {"replica": 0, "primary": 1}
    finally:
        replay.replica.start()
    with ReadsOf() as read:
        assert participants(site.owner.get(MINE)) == 2
    assert read.done == {"replica": 1, "primary": 0}


def test_a_replica_that_could_not_be_read_is_left_alone_for_a_while(
    impatient_site: Site, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So not every file waits for it."""
    monkeypatch.setattr(replicas, "REST_S", 3_600.0)
    replay.pause()
    impatient_site.world.count(impatient_site.world.registered("p2"))
    with ReadsOf() as read:
        assert participants(impatient_site.owner.get(MINE)) == 2
        replay.resume()
        assert participants(impatient_site.owner.get(MINE)) == 2
    assert read.done == {"replica": 0, "primary": 2}


def test_a_replica_that_was_promoted_is_not_read(world: World) -> None:
    """A server that accepts writes is none, here the primary itself."""
    world.count(world.created(), world.registered("p1"))
    with open_site(world, replica_database_url=world.url, replica_wait_s=0.2) as site, ReadsOf() as read:
        assert participants(site.owner.get(MINE)) == 1
    assert read.done == {"replica": 0, "primary": 1}


WRITTEN = Written(7, 16_384, 2, "0/3000000")


@pytest.mark.parametrize(
    ("replayed", "reason"),
    [
        (Replayed(True, 7, 16_384, 2, True), None),
        (Replayed(True, 7, 16_384, 2, False), "lags"),
        (Replayed(False, 7, 16_384, 2, True), "promoted"),
        (Replayed(True, 8, 16_384, 2, True), "another server"),
        (Replayed(True, 7, 16_385, 2, True), "another database"),
        (Replayed(True, 7, 16_384, 1, True), "timeline 2"),
    ],
)
def test_only_the_same_database_of_the_same_log_is_read(replayed: Replayed, reason: str | None) -> None:
    found = why_not(WRITTEN, replayed)
    assert found is reason or (found is not None and reason is not None and reason in found)


# -- where the replay ends a read ------------------------------------------------------------------------------------


def end_reads_of_pages(world: World, replay: Replay, monkeypatch: pytest.MonkeyPatch, before_page: int) -> None:
    """The replay ends the read of all events on the replica, just before a page of it is read."""
    read_page, pages = reports.merchant_page, 0

    async def read(conn: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal pages
        if conn.info.port == replay.replica.port:
            pages += 1
            if pages == before_page:
                await anyio.to_thread.run_sync(replay.end_read, world.owner_url, conn.info.backend_pid)
        return await read_page(conn, *arguments, **options)

    monkeypatch.setattr(reports, "merchant_page", read)


def test_a_read_that_the_replay_ends_is_done_again_on_the_primary(
    world: World, site: Site, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_reads_of_pages(world, replay, monkeypatch, before_page=1)
    with ReadsOf() as read:
        assert participants(site.owner.get(MINE)) == 1
    assert read.done == {"replica": 0, "primary": 1}


def test_a_file_that_has_begun_breaks_off_where_the_replay_ends_its_read(
    world: World, site: Site, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not go on from another snapshot, nor look complete."""
    monkeypatch.setattr(merchant_loaders, "PAGE_MAX", 1)
    end_reads_of_pages(world, replay, monkeypatch, before_page=2)
    with pytest.raises(httpx2.RemoteProtocolError):
        site.owner.get(MINE)
    assert participants(site.owner.get(MINE)) == 1


# -- the doctor ------------------------------------------------------------------------------------------------------


def test_the_doctor_says_why_the_replica_is_not_read(world: World, replica_url: str, replay: Replay) -> None:
    def findings(url: str, wait_s: float) -> list[str]:
        settings = Settings(DATABASE_URL=world.url, replica_database_url=url, replica_wait_s=wait_s)
        with open_examination(settings) as examination:
            (result,) = examination.run(named(["replica"]), 20.0)
        assert result.state == ("found" if result.findings else "ok")
        return [each.cause_text for each in result.findings]

    world.count(world.created())
    assert findings(replica_url, 20.0) == []
    replay.pause()
    world.count(world.registered())
    assert "lags behind" in findings(replica_url, 0.1)[0]
    assert "it is no replica" in findings(world.url, 0.1)[0]


# -- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(world: World, replica_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs `hannun export` with a replica. Returns what it prints to standard output."""
    world.count(world.created(), world.registered("p1"), world.registered("p2", at="2026-10-20T10:00:00Z"))
    variables = {"DATABASE_URL": world.url, "HANNUN_REPLICA_DATABASE_URL": replica_url, "HANNUN_REPLICA_WAIT_S": "20"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> str:
        ran = CliRunner().invoke(app, ["export", *words], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    return run


def test_the_command_reads_a_view_on_the_replica(run: Callable[..., str], world: World) -> None:
    for words in (["all-dashboard", OWNER], ["dashboard", SPRING]):
        with ReadsOf() as read:
            assert run(*words, "--out", "-")
        assert read.done == {"replica": 1, "primary": 0}
    assert world.rows("SELECT count(*) AS entries FROM hannun.audit_log WHERE action = 'exported'")[0].entries == 2


def arrivals(folder: Path) -> int:
    rows = pyarrow.dataset.dataset(folder / "current/arrivals", partitioning="hive").to_table().to_pylist()
    return sum(row["participants"] for row in rows)


def test_the_dataset_for_analysts_is_read_on_the_replica(run: Callable[..., str], tmp_path: Path) -> None:
    with ReadsOf() as read:
        run("--lake", str(tmp_path))
    assert read.done == {"replica": 1, "primary": 0}
    assert arrivals(tmp_path) == 2


def test_a_dataset_whose_read_the_replay_ends_is_read_on_the_primary(
    run: Callable[..., str], world: World, replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_rows = lake.rows

    def read(conn: Any, table: str) -> Iterator[bytes]:
        if conn.info.port == replay.replica.port and table == "timeline":
            replay.end_read(world.owner_url, conn.info.backend_pid)
        return read_rows(conn, table)

    monkeypatch.setattr(lake, "rows", read)
    with ReadsOf() as done:
        run("--lake", str(tmp_path))
    assert done.done == {"replica": 0, "primary": 1}
    assert arrivals(tmp_path) == 2
    assert not (tmp_path / ".next").exists()
