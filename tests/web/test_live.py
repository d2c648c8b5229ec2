"""Server-sent events over a real socket: a page learns of changes of what it shows."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import date
from types import SimpleNamespace
from typing import Any

import httpx2
import psycopg
import pytest
from served import OTHER_MERCHANT, Site, open_site
from world import OWNER, SPRING, World

from hannun.domain.batch import ChangedEvent
from hannun.embedded import PostgresServer, ValkeyServer
from hannun.flows.live_updates import LiveUpdates
from hannun.flows.partitions.months import apply_partition_plan

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
LIVE = f"/api/v1/events/{SPRING}/live"


class Stream:
    """The client's side of an event stream."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def next_change(self) -> Any:
        """The data of the next `changed` event; waits for it."""
        return self._next("changed")

    def opened(self) -> Any:
        """The data of the `opened` event; waits for it."""
        return self._next("opened")

    def _next(self, wanted: str) -> Any:
        kind = None
        for line in self._lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind == wanted:
                return json.loads(line.removeprefix("data: "))
        raise AssertionError("the stream ended")

    def ends(self) -> bool:
        return "event: changed" not in list(self._lines)


@contextmanager
def watched(site: Site, client: httpx2.Client, path: str = LIVE) -> Iterator[Stream]:
    before = site.watcher_count
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        site.world.wait_for("the stream to be open", lambda: site.watcher_count > before)
        yield Stream(answer)


def test_a_change_event_has_the_etag_of_the_next_response(site: Site) -> None:
    site.send(site.world.created())
    with watched(site, site.owner) as stream:
        site.send(site.world.registered("p1"))
        change = stream.next_change()
        answer = site.owner.get(ANALYTICS)
        assert change == {"eventId": SPRING, "etag": answer.headers["etag"]}
        assert answer.headers["x-data-source"] == "cache"  # LiveUpdates has filled the cache
        assert answer.json()["summary"]["totalParticipants"] == 1


def test_a_stream_begins_with_the_etag_of_what_it_watches(site: Site) -> None:
    """A page that holds the answer with this ETag need not request it again."""
    site.send(site.world.created(), site.world.registered("p1"))
    for path in (f"/api/v1/events/{SPRING}", f"/api/v1/users/{OWNER}"):
        etag = site.owner.get(f"{path}/analytics").headers["etag"]
        with watched(site, site.owner, f"{path}/live") as stream:
            assert stream.opened()["etag"] == etag
    site.send(site.world.registered("between the answer and the stream"))
    with watched(site, site.owner) as stream:
        assert stream.opened()["etag"] not in (etag, None)


def test_a_merchants_stream_announces_changes_of_each_of_their_events(site: Site) -> None:
    with watched(site, site.owner, f"/api/v1/users/{OWNER}/live") as stream:
        site.send(site.world.created())
        change = stream.next_change()
        assert change == {"userId": OWNER, "etag": site.owner.get(f"/api/v1/users/{OWNER}/analytics").headers["etag"]}


def test_a_month_that_is_detached_changes_what_a_page_shows(site: Site) -> None:
    site.send(site.world.created(), site.world.registered(at="2026-01-20T10:00Z"))
    with watched(site, site.owner) as stream, watched(site, site.owner, f"/api/v1/users/{OWNER}/live") as of_all:
        with psycopg.connect(site.world.owner_url) as owner:
            apply_partition_plan(owner, date(2026, 11, 23), ahead=0, keep=3, by="a test", dry_run=False)
        site.world.deliver_pending()
        assert stream.next_change()["eventId"] == SPRING
        assert of_all.next_change()


def test_many_changes_at_once_are_announced_together(site: Site) -> None:
    world = site.world
    site.send(world.created())
    with watched(site, site.owner) as stream:
        world.invalidator.invalidate([ChangedEvent(SPRING, OWNER, 1, ())] * 500)
        site.send(world.registered("p1"))
        etag = site.owner.get(ANALYTICS).headers["etag"]
        times = 1
        while stream.next_change()["etag"] != etag:
            times += 1
        assert times < 20


def test_every_open_stream_gets_the_change(site: Site) -> None:
    site.send(site.world.created())
    with watched(site, site.owner) as one, watched(site, site.owner) as another, watched(site, site.admin) as third:
        assert site.watcher_count == 3
        site.send(site.world.registered("p1"))
        assert one.next_change() == another.next_change() == third.next_change()


def test_only_callers_who_may_see_an_event_may_watch_it(site: Site) -> None:
    site.send(site.world.created(), site.world.registered("early", "not-created-yet"))
    for client, path in (
        (site.other_merchant, LIVE),
        (site.owner, "/api/v1/events/not-created-yet/live"),
        (site.owner, "/api/v1/events/there-is-none/live"),
        (site.owner, f"/api/v1/users/{OTHER_MERCHANT}/live"),
    ):
        assert (client.get(path).status_code, client.get(path).json()["code"]) == (404, "not-found")
    assert site.anonymous.get(LIVE).status_code == 401
    assert site.watcher_count == 0


def test_a_closed_stream_is_removed(site: Site) -> None:
    site.send(site.world.created())
    with watched(site, site.owner), watched(site, site.admin):
        assert site.watcher_count == 2
    site.world.wait_for("the streams to be removed", lambda: site.watcher_count == 0)
    assert site.send(site.world.registered("p1"))["counted"] == 1


def test_a_stream_ends_when_its_session_expires(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.send(site.world.created())
    almost = SimpleNamespace(time=lambda: time.time() + 3_599.5)  # a clock that is ahead
    monkeypatch.setattr("hannun.web.callers.time", almost)
    with site.owner.stream("GET", LIVE) as answer:
        assert answer.status_code == 200
        assert Stream(answer).ends()
    site.world.wait_for("the stream to be removed", lambda: site.watcher_count == 0)


def test_a_lost_subscription_makes_pages_reload(site: Site) -> None:
    site.send(site.world.created())
    with watched(site, site.owner) as stream:
        site.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert stream.next_change()["etag"] == site.owner.get(ANALYTICS).headers["etag"]


def test_malformed_announcements_are_ignored(site: Site) -> None:
    site.send(site.world.created())
    with watched(site, site.owner) as stream:
        for nonsense in (b"\xff", b"[]", b"7", b"{}", b'{"eventId": 7}', b"{"):
            site.redis.publish("hannun:changed", nonsense)
        site.send(site.world.registered("p1"))
        etag = site.owner.get(ANALYTICS).headers["etag"]
        while stream.next_change()["etag"] != etag:
            pass


def test_after_a_restart_of_redis_pages_reload_and_changes_are_announced_again(
    postgres: PostgresServer, database: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        ValkeyServer(tmp_path_factory.mktemp("valkey")) as valkey,
        World(postgres, valkey, database) as world,
        open_site(world) as site,
    ):
        world.count(world.created())
        with watched(site, site.owner) as stream:
            valkey.stop()
            world.count(world.registered("while it was away"))  # its announcement reaches no subscriber
            valkey.start()
            while stream.next_change()["etag"] != (etag := site.owner.get(ANALYTICS).headers["etag"]):
                pass
            assert site.owner.get(ANALYTICS).json()["summary"]["totalParticipants"] == 1
            world.wait_for("the service to subscribe again", site.is_subscribed)
            world.count(world.registered("and once more"))
            while stream.next_change()["etag"] == etag:
                pass


def test_after_a_lost_subscription_each_page_is_told_to_ask_again() -> None:
    async def frames_beside_a_blocked_client() -> list[bytes]:
        announced: asyncio.Queue[ChangedEvent | None] = asyncio.Queue()

        async def announcements() -> AsyncIterator[ChangedEvent | None]:
            while True:
                yield await announced.get()

        async def etag(topic: Any) -> str:
            return '"1"'

        frames: asyncio.Queue[bytes] = asyncio.Queue()
        live = LiveUpdates(announcements, etag)
        live.watch(("event", SPRING), frames.put_nowait)
        running = asyncio.create_task(live.run())
        async with asyncio.timeout(20):
            opened = await frames.get()
            announced.put_nowait(ChangedEvent(SPRING, None, 1, ()))
            first = await frames.get()
            announced.put_nowait(None)
            second = await frames.get()
        running.cancel()
        return [opened, first, second]

    opened, first, second = asyncio.run(frames_beside_a_blocked_client())
    assert opened == first.replace(b"changed", b"opened")
    assert first == second == b'event: changed\ndata: {"eventId":"%b","etag":"\\"1\\""}\n\n' % SPRING.encode()
