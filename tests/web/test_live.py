"""Pages are woken when what they look at changes: server-sent events over a real socket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from served import STRANGER, Site, opened
from world import OWNER, SPRING, World

from hannun.domain.batch import ChangedEvent
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.flows.live_updates import LiveUpdates

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
LIVE = f"/api/v1/events/{SPRING}/live"


class Stream:
    """A page's stream, as it comes in."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def told(self) -> Any:
        """What the next event says; waits for it."""
        kind = None
        for line in self._lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                assert kind == "changed"
                return json.loads(line.removeprefix("data: "))
        raise AssertionError("the stream ended")

    def ends(self) -> bool:
        return not [line for line in self._lines if line.startswith("data: ")]


@contextmanager
def watched(site: Site, client: httpx2.Client, path: str = LIVE) -> Iterator[Stream]:
    before = site.watching
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        site.world.wait_for("the page to be watching", lambda: site.watching > before)
        yield Stream(answer)


def test_a_page_is_told_the_etag_that_it_will_find(site: Site) -> None:
    site.sends(site.world.created())
    with watched(site, site.owner) as stream:
        site.sends(site.world.registered("p1"))
        told = stream.told()
        answer = site.owner.get(ANALYTICS)
        assert told == {"eventId": SPRING, "etag": answer.headers["etag"]}
        assert answer.headers["x-data-source"] == "cache"  # the hub has asked before us
        assert answer.json()["summary"]["totalParticipants"] == 1


def test_a_merchants_page_is_told_of_each_of_their_events(site: Site) -> None:
    with watched(site, site.owner, f"/api/v1/users/{OWNER}/live") as stream:
        site.sends(site.world.created())
        told = stream.told()
        assert told == {"userId": OWNER, "etag": site.owner.get(f"/api/v1/users/{OWNER}/analytics").headers["etag"]}


def test_many_changes_in_a_moment_are_told_once(site: Site) -> None:
    world = site.world
    site.sends(world.created())
    with watched(site, site.owner) as stream:
        world.invalidator.invalidate([ChangedEvent(SPRING, OWNER, 1, ())] * 500)
        site.sends(world.registered("p1"))
        etag = site.owner.get(ANALYTICS).headers["etag"]
        times = 1
        while stream.told()["etag"] != etag:
            times += 1
        assert times < 20


def test_every_page_that_watches_is_told(site: Site) -> None:
    site.sends(site.world.created())
    with watched(site, site.owner) as one, watched(site, site.owner) as another, watched(site, site.admin) as third:
        assert site.watching == 3
        site.sends(site.world.registered("p1"))
        assert one.told() == another.told() == third.told()


def test_only_who_may_see_it_may_watch_it(site: Site) -> None:
    site.sends(site.world.created(), site.world.registered("early", "not-created-yet"))
    for client, path in (
        (site.stranger, LIVE),
        (site.owner, "/api/v1/events/not-created-yet/live"),
        (site.owner, "/api/v1/events/there-is-none/live"),
        (site.owner, f"/api/v1/users/{STRANGER}/live"),
    ):
        assert (client.get(path).status_code, client.get(path).json()["code"]) == (404, "not-found")
    assert site.nobody.get(LIVE).status_code == 401
    assert site.watching == 0


def test_a_page_that_leaves_is_forgotten(site: Site) -> None:
    site.sends(site.world.created())
    with watched(site, site.owner), watched(site, site.admin):
        assert site.watching == 2
    site.world.wait_for("the pages to be gone", lambda: site.watching == 0)
    assert site.sends(site.world.registered("p1"))["counted"] == 1


def test_a_session_that_ends_takes_its_stream_with_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sends(site.world.created())
    almost = SimpleNamespace(time=lambda: time.time() + 3_599.5)  # the stream believes it to be later than it is
    monkeypatch.setattr("hannun.web.callers.time", almost)
    with site.owner.stream("GET", LIVE) as answer:
        assert answer.status_code == 200
        assert Stream(answer).ends()
    site.world.wait_for("the page to be gone", lambda: site.watching == 0)


def test_a_page_looks_again_when_announcements_may_have_been_missed(site: Site) -> None:
    site.sends(site.world.created())
    with watched(site, site.owner) as stream:
        site.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert stream.told()["etag"] == site.owner.get(ANALYTICS).headers["etag"]


def test_an_announcement_that_cannot_be_read_does_no_harm(site: Site) -> None:
    site.sends(site.world.created())
    with watched(site, site.owner) as stream:
        for nonsense in (b"\xff", b"[]", b"7", b"{}", b'{"eventId": 7}', b"{"):
            site.redis.publish("hannun:changed", nonsense)
        site.sends(site.world.registered("p1"))
        etag = site.owner.get(ANALYTICS).headers["etag"]
        while stream.told()["etag"] != etag:
            pass


def test_after_a_restart_of_redis_pages_look_again_and_are_told_as_before(
    postgres: PostgresServer, database: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        ValkeyServer(tmp_path_factory.mktemp("valkey")) as valkey,
        World(postgres, valkey, database) as world,
        opened(world) as site,
    ):
        world.count(world.created())
        with watched(site, site.owner) as stream:
            valkey.stop()
            world.count(world.registered("while it was away"))  # its announcement reaches nobody
            valkey.start()
            while stream.told()["etag"] != (etag := site.owner.get(ANALYTICS).headers["etag"]):
                pass
            assert site.owner.get(ANALYTICS).json()["summary"]["totalParticipants"] == 1
            world.wait_for("the service to listen again", site._listens)
            world.count(world.registered("and once more"))
            while stream.told()["etag"] == etag:
                pass


def test_a_page_that_does_not_read_holds_up_no_other() -> None:
    async def told_beside_a_stuck_one() -> list[bytes]:
        announced: asyncio.Queue[ChangedEvent | None] = asyncio.Queue()

        async def announcements() -> AsyncIterator[ChangedEvent | None]:
            while True:
                yield await announced.get()

        async def etag(topic: Any) -> str:
            return '"1"'

        async def stuck(frame: bytes) -> None:
            await asyncio.Event().wait()

        frames: asyncio.Queue[bytes] = asyncio.Queue()
        live = LiveUpdates(announcements, etag)
        live.watch(("event", SPRING), stuck)
        live.watch(("event", SPRING), frames.put)
        running = asyncio.create_task(live.run())
        async with asyncio.timeout(20):
            announced.put_nowait(ChangedEvent(SPRING, None, 1, ()))
            first = await frames.get()
            announced.put_nowait(None)
            second = await frames.get()
        running.cancel()
        return [first, second]

    first, second = asyncio.run(told_beside_a_stuck_one())
    assert first == second == b'event: changed\ndata: {"eventId":"%b","etag":"\\"1\\""}\n\n' % SPRING.encode()
