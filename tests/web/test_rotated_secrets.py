"""Secrets are rotated under traffic, and no request fails: of PostgreSQL, of Redis, and of tokens."""

import secrets
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from polling import wait_for
from served import SECRET, Site, as_json, open_site
from world import OWNER, PASSWORD, SPRING, World

from hannun.embedded import PostgresServer
from hannun.tokens import sign_token

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
NEW_PASSWORD = "the-new-password"
PATIENT = {"refreshes_a_minute": 1_000_000, "stranger_requests_a_minute": 0, "request_s": 15.0}


def replace(path: Path, text: str) -> None:
    new = path.with_name(f"new-{uuid.uuid4().hex}")
    new.write_text(text)
    new.rename(path)


class Traffic:
    """Reads uncached answers and posts messages all the time."""

    def __init__(self, site: Site, headers: Callable[[], dict[str, str]]) -> None:
        self._site = site
        self._headers = headers
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[work]) for work in (self._read, self._post)]
        self.statuses: Counter[int] = Counter()
        self.posted = 0

    def _run(self, work: Callable[[], int]) -> None:
        while not self._stop.is_set():
            self.statuses[work()] += 1

    def _read(self) -> int:
        return self._site.anonymous.get(ANALYTICS, params={"refresh": "true"}, headers=self._headers()).status_code

    def _post(self) -> int:
        message = as_json(self._site.world.registered(f"p{self.posted}"))
        answer = self._site.service.post("/api/v1/messages", json=[message])
        self.posted += answer.status_code == 200
        return answer.status_code

    def wait_for_more(self) -> None:
        """Wait until more requests of both kinds were answered."""
        target = self.statuses.total() + 20
        posted = self.posted + 3
        wait_for("more answers", lambda: self.statuses.total() >= target and self.posted >= posted)

    @contextmanager
    def running(self) -> Iterator["Traffic"]:
        for thread in self._threads:
            thread.start()
        try:
            self.wait_for_more()
            yield self
            self.wait_for_more()
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


def token_of_owner() -> dict[str, str]:
    return {"Authorization": f"Bearer {sign_token(SECRET, OWNER, ['MERCHANT'], 3600)}"}


@pytest.fixture
def login(postgres: PostgresServer, world: World) -> Iterator[str]:
    """A user that is a member of the service's role, with the password of the tests."""
    name = f"service_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' IN ROLE analytics_readwrite")
        yield name
        superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
        superuser.execute(f"DROP ROLE {name}")


def backends_of(postgres: PostgresServer, user: str) -> set[int]:
    with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser:
        rows = superuser.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s", [user]).fetchall()
    return {pid for (pid,) in rows}


@contextmanager
def site_with_url_in(path: Path, world: World) -> Iterator[Site]:
    """A site whose connections to PostgreSQL live for a moment only, so that new ones are opened all the time."""
    settings = {"DATABASE_URL": "", "DATABASE_URL_FILE": str(path), "pool_lifetime_s": 0.2}
    with open_site(world, **PATIENT, **settings) as site:
        yield site


def test_the_password_of_postgresql_is_rotated_under_traffic(
    world: World, postgres: PostgresServer, login: str, tmp_path: Path
) -> None:
    path = tmp_path / "url"
    path.write_text(postgres.url(world.name, login, PASSWORD))
    world.count(world.created())
    with site_with_url_in(path, world) as site, Traffic(site, token_of_owner).running() as traffic:
        before = backends_of(postgres, login)
        with psycopg.connect(postgres.superuser_url, autocommit=True) as superuser:
            superuser.execute(f"ALTER ROLE {login} PASSWORD '{NEW_PASSWORD}'")
        replace(path, postgres.url(world.name, login, NEW_PASSWORD))
        traffic.wait_for_more()
        wait_for("a connection with the new password", lambda: backends_of(postgres, login) - before)
    assert set(traffic.statuses) == {200}
    assert world.event_stats().total_participants == traffic.posted
    assert world.drift() == []


def test_the_user_of_postgresql_is_changed_under_traffic(
    world: World, postgres: PostgresServer, login: str, tmp_path: Path
) -> None:
    path = tmp_path / "url"
    path.write_text(world.url)
    world.count(world.created())
    with site_with_url_in(path, world) as site, Traffic(site, token_of_owner).running() as traffic:
        replace(path, postgres.url(world.name, login, PASSWORD))
        traffic.wait_for_more()
        wait_for("a connection of the other user", lambda: backends_of(postgres, login))
    assert set(traffic.statuses) == {200}


def test_the_password_of_redis_is_rotated_under_traffic(world: World, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(world.redis.password)
    world.count(world.created())
    with open_site(world, REDIS_PASSWORD="", REDIS_PASSWORD_FILE=str(path), **PATIENT) as site:
        try:
            with Traffic(site, token_of_owner).running() as traffic:
                site.redis.acl_setuser("default", enabled=True, passwords=[f"+{NEW_PASSWORD}"])
                replace(path, NEW_PASSWORD)
                site.redis.acl_setuser("default", enabled=True, passwords=[f"-{world.redis.password}"])
                site.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                traffic.wait_for_more()
            assert set(traffic.statuses) == {200}

            def is_cached() -> bool:
                return site.owner.get(ANALYTICS).headers["x-data-source"] == "cache"

            wait_for("an answer from Redis", is_cached)
        finally:
            site.redis.acl_setuser("default", enabled=True, passwords=[f"+{world.redis.password}"])
            site.redis.acl_setuser("default", enabled=True, passwords=[f"-{NEW_PASSWORD}"])


def test_the_secret_of_tokens_is_rotated_under_traffic(world: World, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    new = secrets.token_urlsafe(48)
    signing = [SECRET]

    def headers() -> dict[str, str]:
        return {"Authorization": f"Bearer {sign_token(signing[0], OWNER, ['MERCHANT'], 3600)}"}

    world.count(world.created())
    with open_site(world, jwt_secret="", jwt_secret_file=str(path), **PATIENT) as site:

        def status(secret: str) -> int:
            token = sign_token(secret, OWNER, ["MERCHANT"], 3600)
            return site.with_token(token).get(ANALYTICS).status_code

        with Traffic(site, headers).running() as traffic:
            old = site.with_token(sign_token(SECRET, OWNER, ["MERCHANT"], 3600))
            assert old.get(ANALYTICS).status_code == 200
            assert status(new) == 401
            replace(path, f"{new}\n{SECRET}\n")
            wait_for("the new secret to be accepted", lambda: status(new) == 200)
            signing[0] = new
            assert old.get(ANALYTICS).status_code == 200, "both are valid meanwhile"
            replace(path, "too short")
            traffic.wait_for_more()
        assert set(traffic.statuses) == {200}
        session = site.client({}).post("/api/v1/session", json={"code": site.sign_in_code(OWNER)})
        cookie = session.headers["set-cookie"].partition(";")[0]
        replace(path, f"{new}\n")
        wait_for("a verified token of the old secret to be refused", lambda: old.get(ANALYTICS).status_code == 401)
        assert status(SECRET) == 401
        assert site.client({"Cookie": cookie}).get(ANALYTICS).status_code == 200, "the first secret has signed it"
        assert status(new) == 200
