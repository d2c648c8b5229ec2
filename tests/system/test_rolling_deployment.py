"""Two versions at once: the schema is migrated under load, and processes of both versions run on it side by side.

    the version before ──── runs ──── runs on the newer schema ──── ends
                            migrate ▲        the new one ──────── runs ──────────

`tests/upgrade/before.tar.xz` is the source of the version before (`tools/pack_version.py`). A version that does not
exist yet, with one more migration, stands for the next one.
"""

import shutil
import tarfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from outside import PASSWORD, BackgroundLoop, Event, Load, Service, Topics, redis_environment
from polling import wait_for

from hannun.embedded import PostgresServer, ValkeyServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]

TESTS = Path(__file__).parents[1]
OURS = TESTS.parent / "src" / "hannun"
NEXT_MIGRATION = """
-- A migration of a version that does not exist yet.
CREATE TABLE hannun.only_the_next_version_knows (a integer);
ALTER TABLE hannun.events ADD COLUMN only_the_next_version_knows integer NOT NULL DEFAULT 7;
"""


class Versions(NamedTuple):
    """Two versions over one database, and whether the version before can start on the newer schema."""

    before: Service
    now: Service
    before_can_start_again: bool


def source_of_the_version_before(folder: Path) -> Path:
    with tarfile.open(TESTS / "upgrade" / "before.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder / "src"


def source_of_the_next_version(folder: Path) -> Path:
    shutil.copytree(OURS, folder / "hannun", ignore=shutil.ignore_patterns("__pycache__"))
    migrations = folder / "hannun" / "store" / "migrations"
    newest = max(migrations.glob("*.sql")).name[:4]
    (migrations / f"{int(newest) + 1:04}_next.sql").write_text(NEXT_MIGRATION)
    return folder


@pytest.fixture(params=["the version before, and this one", "this version, and the next"])
def versions(
    request: pytest.FixtureRequest, postgres: PostgresServer, valkey: ValkeyServer, tmp_path: Path
) -> Iterator[Versions]:
    """Two versions over one database, which the older one has migrated."""
    of_now = request.param.startswith("this")
    name = f"rolling_{uuid.uuid4().hex[:12]}"
    environment = {
        "DATABASE_URL": postgres.url(name, "analytics_readwrite", PASSWORD),
        "HANNUN_OWNER_DATABASE_URL": postgres.url(name, "hannun_owner", PASSWORD),
        **redis_environment(valkey.url),
    }
    sources = {
        "before": None if of_now else source_of_the_version_before(tmp_path / "source"),
        "now": source_of_the_next_version(tmp_path / "source") if of_now else None,
    }
    with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser, ExitStack() as stack:
        superuser.execute(f"CREATE DATABASE {name} OWNER hannun_owner")
        stack.callback(superuser.execute, f"DROP DATABASE {name} WITH (FORCE)")
        services = []
        for which, source in sources.items():
            folder = tmp_path / which
            folder.mkdir()
            services.append(stack.enter_context(Service(folder, source=source, **environment)))
        yield Versions(*services, before_can_start_again=of_now)


def migrate(service: Service) -> str:
    ran = service.run("migrate")
    assert ran.status == 0, ran.out + ran.err
    return str(service.rows("SELECT version_num FROM hannun.schema_version")[0][0])


@pytest.mark.faults
def test_two_versions_count_and_answer_side_by_side_while_one_replaces_the_other(
    versions: Versions, topics: Topics
) -> None:
    before, now, before_can_start_again = versions
    older = migrate(before)
    kafka = topics.environment()
    running = [before.start_ingest(**kafka), before.start_serve(), before.start_schedule()]
    over_kafka, over_http = [Event() for _ in range(3)], Event()
    for event in over_kafka:
        topics.send([event.created()])
        event.expect([event.created()])
    created = over_http.created()
    before.post_until_accepted([created])
    over_http.expect([created])
    posting = [before]
    changes = threading.Lock()  # whoever holds it may end a process: no request is under way

    def post_and_read() -> None:
        """Every version that serves counts messages and answers for them."""
        with changes:
            for service in posting:
                messages = [over_http.registered("Instagram"), over_http.sold(700)]
                answer = service.post(messages)
                assert answer.status_code == 200, answer.text
                over_http.expect(messages)
                found = service.dashboard(over_http.id)
                assert found is not None and found.title == over_http.title

    with Load(topics, over_kafka) as load, BackgroundLoop(post_and_read, pause_s=0.005) as requests:
        load.wait_for_more()
        newer = migrate(now)
        assert newer > older
        load.wait_for_more()
        ends = topics.ends()
        wait_for("the version before to count on the newer schema", lambda: topics.are_counted(before, ends))
        if before_can_start_again:
            with changes:
                for process in running:
                    assert process.terminate() == 0
                running = [before.start_ingest(**kafka), before.start_serve(), before.start_schedule()]
        now.start_ingest(**kafka)
        now.start_serve()
        now.start_schedule()
        with changes:
            posting.append(now)
        load.wait_for_more()
        ends = topics.ends()
        wait_for("both versions to count", lambda: topics.are_counted(now, ends))
        assert all(process.is_running for process in running)
        with changes:
            posting.remove(before)
        for process in running:
            assert process.terminate() == 0
        load.wait_for_more()
        assert requests.is_running
    wait_for("the messages to be counted", lambda: topics.are_counted(now))
    wait_for("the invalidations to be delivered", lambda: now.pending_invalidations() == 0)
    for event in (*over_kafka, over_http):
        assert now.figures(event.id) == event.expected_figures
        assert now.dashboard(event.id) == event.expected_figures
    now.assert_no_drift()
