"""`hannun up`: everything on one machine in one command, from its first start to its end."""

import json
import os
import pwd
import signal
import socket
import tempfile
import time
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from outside import DEADLINE_S, Event, Figures, Message, Process, client, figures_in, figures_of_dashboard, wait_for

ENDS_S_MAX = 30.0
KEYS = {"api", "database_url", "redis_url", "kafka_bootstrap", "admin_token", "settings"}


class Up:
    """`hannun up` on a home, with the environment of a new user."""

    def __init__(self, home: Path, log: Path, *, user: int | None = None) -> None:
        self.home = home
        self._log = log
        self._user = user
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        if user is not None:
            self.environment["HOME"] = str(home.parent)
        self.process: Process | None = None
        self.http = client()

    def launch(self, *arguments: str) -> Process:
        """Start it, and do not wait."""
        given = ["up", "--home", str(self.home), *arguments]
        if "--port" not in given:
            given += ["--port", "0"]
        return Process(given, self.environment, self._log, user=self._user)

    def start(self, *arguments: str) -> None:
        """Start it, and wait until it has written `endpoints.json` anew: it is ready then."""
        before = self._written_at()
        process = self.process = self.launch(*arguments)
        wait_for("endpoints.json", lambda: self._written_at() not in (0, before) or not process.is_running, 90)
        assert process.is_running, process.log

    def _written_at(self) -> int:
        try:
            return (self.home / "endpoints.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def stop(self) -> None:
        assert self.process is not None
        signalled_at = time.monotonic()
        assert self.process.terminate() == 0, self.process.log
        assert time.monotonic() - signalled_at < ENDS_S_MAX
        assert not (self.home / "endpoints.json").exists() or not self.is_ready(), "the API does not answer any more"

    def clean_up(self) -> None:
        """End its processes, whatever the test did."""
        if self.process is not None and self.process.is_running:
            self.process.terminate()
        if self.process is not None:
            self.process.kill()
        self.http.close()

    # -- the page's session

    def sign_in(self, code: str) -> str:
        """The cookie that a code is exchanged for; empty where it is refused."""
        answer = client().post(f"{self.endpoints['api']}/api/v1/session", json={"code": code})
        assert answer.status_code in (204, 401), answer.text
        return answer.headers.get("set-cookie", "").partition(";")[0]

    def user_of(self, cookie: str) -> str:
        """The user of a session; empty where it has ended."""
        answer = client().get(f"{self.endpoints['api']}/api/v1/session", headers={"Cookie": cookie})
        assert answer.status_code in (200, 401), answer.text
        return str(answer.json().get("userId", ""))

    # -- what it answers

    @property
    def endpoints(self) -> Message:
        endpoints: Message = json.loads((self.home / "endpoints.json").read_text())
        return endpoints

    def get(self, path: str) -> httpx2.Response:
        endpoints = self.endpoints
        return self.http.get(endpoints["api"] + path, headers={"Authorization": f"Bearer {endpoints['admin_token']}"})

    def is_ready(self) -> bool:
        try:
            return self.get("/health/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def post(self, event: Event, messages: list[Message]) -> None:
        endpoints = self.endpoints
        headers = {"Authorization": f"Bearer {endpoints['admin_token']}"}
        response = self.http.post(f"{endpoints['api']}/api/v1/messages", json=messages, headers=headers)
        assert response.status_code == 200, response.text
        event.expect(messages)

    def dashboard(self, event: Event) -> Figures:
        return figures_of_dashboard(self.get(f"/api/v1/events/{event.id}/analytics").json())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.endpoints["database_url"], autocommit=True) as conn:
            return conn.execute(query).fetchall()  # type: ignore[call-overload]

    def assert_no_drift(self) -> None:
        """`hannun reconcile` finds no drift. It needs no setting but DATABASE_URL."""
        environment = {**self.environment, "DATABASE_URL": self.endpoints["database_url"]}
        log = self._log.with_name("reconcile.log")
        process = Process(["reconcile"], environment, log)
        assert process.wait() == 0, process.log

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command with `--home` and no setting; returns what it printed."""
        environment = {name: self.environment[name] for name in ("PATH", "PYTHONPATH") if name in self.environment}
        log = self._log.with_name(f"{arguments[0]}.log")
        process = Process(arguments, environment, log)
        assert process.wait() == status, process.log
        return process.log

    def pid_of(self, verb: str) -> int:
        """The id of the child process with this command or program; 0 where there is none."""
        assert self.process is not None
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            program = arguments[0].rpartition(b"/")[2]
            if int(parent) == self.process.pid and verb.encode() in (program, *arguments):
                return int(entry.name)
        return 0


@pytest.fixture
def new_home() -> Iterator[Path]:
    """A home that does not exist yet, in a folder that every user of the machine may enter."""
    with tempfile.TemporaryDirectory(prefix="hannun-up-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder, "home")


@pytest.fixture
def up(new_home: Path, tmp_path: Path) -> Iterator[Up]:
    up = Up(new_home, tmp_path / "up.log")
    yield up
    up.clean_up()


def test_endpoints_json_works_sigterm_ends_it_and_the_data_stays(up: Up) -> None:
    up.start()
    endpoints = up.endpoints
    assert set(endpoints) == KEYS
    assert endpoints["kafka_bootstrap"] is None
    assert (up.home / "endpoints.json").stat().st_mode & 0o077 == 0, "it holds secrets"
    assert not list(up.home.glob(".endpoints.json*"))
    event = Event()
    up.post(event, event.first_batch())
    assert up.dashboard(event) == event.expected_figures
    with redis.Redis.from_url(endpoints["redis_url"], protocol=3) as conn:
        assert conn.ping()
        assert conn.exists(f"analytics:dashboard:{event.id}")
    with psycopg.connect(endpoints["database_url"]) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one snapshot for all figures
        assert figures_in(conn, event.id) == event.expected_figures
        tables = conn.execute(
            "SELECT count(*) FILTER (WHERE has_table_privilege(c.oid, 'SELECT')), count(*) FROM pg_class c "
            "WHERE relkind IN ('r', 'p', 'v') AND relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace)"
        ).fetchone()
        assert tables is not None and tables[0] == tables[1] > 5, "it may read every table"
    assert up.process is not None and "ready: " + endpoints["api"] in up.process.log
    code = up.process.log.partition("/#code=")[2].split()[0]
    session = up.sign_in(code)
    assert up.sign_in(code) == "", "it works once"
    assert up.user_of(session) == "admin"
    assert up.http.delete(f"{endpoints['api']}/api/v1/session", headers={"Cookie": session}).status_code == 204
    assert up.user_of(session) == ""
    up.stop()

    up.start()
    assert up.sign_in(code) == up.user_of(session) == "", "also after a restart"
    assert up.dashboard(event) == event.expected_figures
    up.post(event, event.later_batch())
    assert up.dashboard(event) == event.expected_figures
    up.assert_no_drift()


def test_commands_find_the_servers_by_its_home(up: Up) -> None:
    up.start()
    event = Event()
    up.post(event, event.first_batch())
    home = ["--home", str(up.home)]
    assert "drift: 0" in up.run("reconcile", *home)
    assert event.id in up.run("export", "dashboard", event.id, "--out", "-", *home)
    token = up.run("token", "admin", "--role", "ADMIN", *home).strip()
    path = f"{up.endpoints['api']}/api/v1/events/{event.id}/analytics"
    assert up.http.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    link = up.run("sign-in-code", *home).strip()
    assert link.startswith(f"{up.endpoints['api']}/#code=")
    code = link.partition("=")[2]
    assert up.user_of(up.sign_in(code)) == "admin"
    assert up.sign_in(code) == ""
    other = up.run("sign-in-code", "--user", "u1", "--role", "MERCHANT", *home).strip().rpartition("=")[2]
    assert up.user_of(up.sign_in(other)) == "u1"
    up.run("partitions", *home)
    assert up.run("positions", *home, "list") == "no partition of Kafka was ever read\n"
    up.run("dead-letters", *home, "list")
    assert up.process is not None
    assert f"reconcile --home {up.home}" in up.process.log, "a command can be pasted in any folder"
    (version,) = up.rows("SELECT version_num FROM hannun.schema_version")[0]
    assert up.run("migrate", *home, "--plan") == f"the schema is of version {version}; nothing is missing\n"
    shown = up.run("settings", *home)
    of_home, _, others = shown.partition("from the environment:")
    assert "from --home:\n  DATABASE_URL=" in of_home and "REDIS_HOST=127.0.0.1" in of_home, shown
    assert "_FILE=\n" not in shown and "REDIS_HOST" not in others


@pytest.mark.faults
def test_a_backup_of_a_new_home_is_made_as_the_doctor_says(up: Up) -> None:
    up.start()
    folder = up.home / "backups"
    assert folder.stat().st_mode & 0o777 == 0o700, "backups hold personal data"
    advice = up.run("doctor", "--only", "backups", "--home", str(up.home), status=2)
    (command,) = [line.strip() for line in advice.splitlines() if line.strip().startswith("hannun backup ")]
    up.run(*command.split()[1:])
    assert list(folder.glob("logical/*/manifest.json"))
    left = up.run("doctor", "--only", "backups", "--home", str(up.home), status=1)
    assert "backup-redis" in left and "backup-logical" not in left, "the other kinds are not made yet"


@pytest.mark.faults
def test_it_goes_on_after_a_kill_of_any_of_its_processes_and_of_all(up: Up) -> None:
    up.start()
    event = Event()
    up.post(event, event.first_batch())
    api = up.endpoints["api"]

    for verb in ("serve", "schedule"):
        killed = up.pid_of(verb)
        os.kill(killed, signal.SIGKILL)
        wait_for(f"another {verb}", partial(_is_another, up, verb, killed))
    wait_for("serve to answer", up.is_ready)
    assert up.endpoints["api"] == api
    assert up.dashboard(event) == event.expected_figures

    assert up.process is not None
    for program in ("postgres", "valkey-server"):
        os.kill(up.pid_of(program), signal.SIGKILL)
        up.process.wait_for_log(f"{program.removesuffix('-server')} has died; starting it again")
        wait_for(f"{program} to be back", lambda: up.is_ready() and up.get("/health/ready").json()["status"] == "ready")
        assert up.dashboard(event) == event.expected_figures

    # A second one on the same home is refused, and names the first.
    assert up.process is not None
    second = Up(up.home, up.home.parent / "second.log")
    refused = second.launch()
    assert refused.wait() not in (0, 1)
    assert f"(pid {up.process.pid}) uses it" in refused.log
    assert "Hint: " in refused.log
    assert "Traceback" not in refused.log
    assert up.is_ready(), "the first goes on"

    # kill -9 of all of it at once, as a power cut would.
    up.process.kill()
    up.start()
    assert up.dashboard(event) == event.expected_figures
    up.post(event, event.later_batch())
    assert up.dashboard(event) == event.expected_figures
    up.assert_no_drift()


def test_a_port_that_is_taken_is_refused_before_a_server_starts(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = up.process = up.launch("--port", str(port))
        assert process.wait() not in (0, 1)
    assert f"cannot listen on 127.0.0.1:{port}" in process.log
    assert "Hint: another --port" in process.log
    assert "Traceback" not in process.log
    assert "starting" not in process.log
    assert not (up.home / "endpoints.json").exists()


def test_a_port_that_cannot_be_is_refused(up: Up) -> None:
    process = up.process = up.launch("--port", "70000")
    assert process.wait() == 2
    assert "65535" in process.log
    assert not up.home.exists()


def test_the_figures_of_the_demo_grow(up: Up) -> None:
    up.start("--demo")
    total = "SELECT coalesce(sum(total_participants), 0) FROM public.event_stats"
    seen = wait_for("some participants", lambda: up.rows(total)[0][0], 90)
    wait_for("more participants", lambda: up.rows(total)[0][0] > seen, 90)
    wait_for("numbers of a channel", lambda: _channel_status(up) == 200)
    listed = up.run("sandbox", "list", "--home", str(up.home))
    assert "status (status=403" in listed and "error-body (after 1 calls" in listed, "what the demo's pages show"
    (event_id,) = up.rows("SELECT event_id FROM public.event_stats ORDER BY total_participants DESC LIMIT 1")[0]
    assert up.get(f"/api/v1/events/{event_id}/analytics").json()["summary"]["totalParticipants"] > 0
    up.assert_no_drift()
    up.stop()


@pytest.mark.faults
def test_the_demo_measures_its_events_and_says_after_a_restart_that_its_weeks_are_counted(up: Up) -> None:
    up.start("--demo")
    assert up.process is not None
    up.process.wait_for_log("simulated weeks arrive within a minute")
    state = up.home / "simulation.json"
    wait_for("the weeks to be sent", lambda: state.exists() and "reached" in state.read_text(), 90)
    assert up.endpoints["settings"]["HANNUN_REFRESH_AT"] == "*/30 * * * * *"
    measured = "SELECT count(*) FROM hannun.channel_measurements WHERE views > 0"
    wait_for("a round to measure the events", lambda: up.rows(measured)[0][0], 90)
    assert "last rounds" in up.run("watch", "--once", "--home", str(up.home))
    assert "call: ok" in up.run("channels", "check", "NaverBlog", "--home", str(up.home))
    up.stop()
    up.start("--demo")
    up.process.wait_for_log("simulated weeks are counted")
    assert up.process.log.count("arrive within a minute") == 1
    up.stop()


@pytest.mark.faults
def test_the_channels_of_the_demo_are_there_again_after_a_kill_and_a_restart(up: Up) -> None:
    up.start("--demo")
    wait_for("numbers of a channel", lambda: _channel_status(up) == 200)
    address = _channel_address(up)
    killed = up.pid_of("sandbox")
    os.kill(killed, signal.SIGKILL)
    wait_for("another sandbox", partial(_is_another, up, "sandbox", killed))
    wait_for("numbers of a channel", lambda: _channel_status(up) == 200)
    assert _channel_address(up) == address, "those that poll it have read the address at their start"
    up.stop()
    up.start("--demo")
    wait_for("numbers of a channel", lambda: _channel_status(up) == 200)


def _channel_address(up: Up) -> str:
    path = up.home / "channel-access.toml"
    assert path.stat().st_mode & 0o077 == 0, "it holds credentials"
    access = tomllib.loads(path.read_text())
    assert sorted(access) == ["GenieTV", "Instagram", "KakaoChannel", "NaverBlog", "RingoBiz", "WooriTV"]
    return str(access["NaverBlog"]["address"])


def _channel_status(up: Up) -> int:
    """The status of a call of a channel; 0 where nobody answers."""
    try:
        return up.http.get(f"{_channel_address(up)}/posts/stats?post=any").status_code
    except httpx2.TransportError:
        return 0


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_messages_over_its_kafka_are_counted(up: Up) -> None:
    up.start("--kafka")
    event = Event()
    messages = event.first_batch()
    producer = Producer({"bootstrap.servers": up.endpoints["kafka_bootstrap"]})
    for message in messages:
        producer.produce(message["type"], json.dumps(message), key=event.id)
    assert producer.flush(DEADLINE_S) == 0
    event.expect(messages)
    wait_for("the messages to be counted", lambda: _figures(up, event) == event.expected_figures)
    assert up.dashboard(event) == event.expected_figures
    up.assert_no_drift()
    up.stop()


@pytest.mark.faults
@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_a_deleted_topic_ends_none_of_its_processes_also_after_a_restart_of_ingest(up: Up) -> None:
    up.start("--kafka")
    bootstrap = up.endpoints["kafka_bootstrap"]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_topics(["distribution-completed"]).values():
        future.result()
    before = up.pid_of("ingest")
    os.kill(before, signal.SIGKILL)
    wait_for("another ingest", lambda: up.pid_of("ingest") not in (0, before))
    event = Event()
    messages = [event.created(), *(event.registered("Instagram") for _ in range(3)), event.sold(1_000)]
    producer = Producer({"bootstrap.servers": bootstrap})
    for message in messages:
        producer.produce(message["type"], json.dumps(message), key=event.id)
    assert producer.flush(DEADLINE_S) == 0
    event.expect(messages)
    wait_for("the messages to be counted", lambda: _figures(up, event) == event.expected_figures, deadline_s=60)
    assert up.dashboard(event) == event.expected_figures
    health = up.get("/health/ready").json()
    assert health["status"] == "degraded"
    assert "distribution-completed (Kafka " in health["parts"]["kafka"]
    up.stop()


def test_it_runs_as_an_ordinary_user(tmp_path: Path, new_home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the other tests of this file run as one already")
    someone = pwd.getpwnam("nobody")
    mine = new_home.parent / "of-nobody"
    mine.mkdir()
    os.chown(mine, someone.pw_uid, someone.pw_gid)
    up = Up(mine / "home", tmp_path / "up.log", user=someone.pw_uid)
    try:
        asked = Process(["--help"], up.environment, tmp_path / "help.log", user=someone.pw_uid)
    except PermissionError as error:
        pytest.skip(f"NOT TESTED: {someone.pw_name} may not run Python here: {error}")
    if asked.wait() != 0:
        pytest.skip(f"NOT TESTED: {someone.pw_name} may not run hannun here: {asked.log[-200:]}")
    try:
        up.start()
        event = Event()
        up.post(event, event.first_batch())
        assert up.dashboard(event) == event.expected_figures
        assert (up.home / "endpoints.json").stat().st_uid == someone.pw_uid
        up.stop()
    finally:
        up.clean_up()


def _is_another(up: Up, verb: str, killed: int) -> bool:
    return up.pid_of(verb) not in (0, killed)


def _figures(up: Up, event: Event) -> Figures | None:
    with psycopg.connect(up.endpoints["database_url"]) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one snapshot for all figures
        return figures_in(conn, event.id)
