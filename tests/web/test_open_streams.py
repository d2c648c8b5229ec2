"""Open event streams: slow pages, ended streams, and every change to every page."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Site
from test_connections import Connection
from test_live import LIVE
from world import OWNER, SPRING

from hannun.domain.answer import Topic
from hannun.domain.batch import ChangedEvent
from hannun.flows import live_updates
from hannun.flows.live_updates import LiveUpdates
from hannun.web import open_streams

SiteWith = Callable[..., Site]


@contextmanager
def raw_stream(site: Site) -> Iterator[Connection]:
    """A stream on a raw connection, from which nothing is read yet."""
    before = site.watcher_count
    with Connection(site) as connection:
        connection.shrink_receive_buffer()
        head = f"GET {LIVE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.token(OWNER)}\r\n\r\n"
        connection.send(head.encode())
        site.world.wait_for("the stream to be open", lambda: site.watcher_count == before + 1)
        yield connection


def received(connection: Connection, end: bytes) -> bytes:
    """What the server sends, up to these bytes."""
    found = b""
    while not found.endswith(end):
        piece = connection._socket.recv(65_536)
        assert piece, found[-500:]
        found += piece
    return found


def send_to_all(site: Site, frames: list[bytes]) -> None:
    async def send() -> None:
        for frame in frames:
            for watcher in list(site.services.live_updates._watchers.get(("event", SPRING), ())):
                watcher(frame)

    site.run_in_loop(send)


def frame(number: int) -> bytes:
    return b"event: changed\ndata: %06d\n\n" % number


def test_a_stream_keeps_nothing_of_its_request(site: Site) -> None:
    site.world.count(site.world.created())
    with raw_stream(site):
        site.world.wait_for("the task of the request to end", lambda: not site._http.state.tasks)
        (connection,) = site._http.state.connections
        assert isinstance(connection, open_streams.StreamConnection)
        assert not hasattr(connection, "__dict__")
        assert list(site._http._table._open) == [connection]


def test_a_page_that_does_not_read_gets_the_newest_frame_when_it_reads_again(site: Site) -> None:
    site.world.count(site.world.created())
    with raw_stream(site) as slow:
        sent = 0
        while not site.has_paused_writes():
            send_to_all(site, [frame(number) for number in range(sent, sent + 1_000)])
            sent += 1_000
            assert sent < 100_000, "a page that does not read must not fill the memory"
        send_to_all(site, [frame(number) for number in range(sent, sent + 1_000)])
        newest = sent + 999
        found = received(slow, b"%06d\n\n\r\n" % newest)
        numbers = [int(line[6:]) for line in found.split(b"\n") if line.startswith(b"data: ")]
        assert numbers == sorted(set(numbers)), "in order, none twice"
        assert len(numbers) < newest


def test_a_page_that_never_reads_is_cut_and_leaves_its_place(site_with: SiteWith) -> None:
    site = site_with(unread_answer_s=0.1, live_streams_per_caller_max=1)
    site.world.count(site.world.created())
    with raw_stream(site):

        def is_cut() -> bool:
            send_to_all(site, [frame(number) for number in range(1_000)])
            return site.watcher_count == 0

        site.world.wait_for("it to be cut", is_cut)
    with raw_stream(site):
        pass


def test_a_client_that_sends_on_a_stream_is_cut(site: Site) -> None:
    site.world.count(site.world.created())
    with raw_stream(site) as connection:
        assert connection.flood(b"x" * 10_000) < 10_000_000
        site.world.wait_for("it to be cut", lambda: site.watcher_count == 0)


def test_an_idle_stream_gets_heartbeats(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_streams, "CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(open_streams, "HEARTBEAT_S", 0.02)
    site.world.count(site.world.created())
    with raw_stream(site) as connection:
        assert b"200 OK" in received(connection, b": still here\n\n\r\n")


def test_a_stream_that_ends_ends_as_a_response_should(site: Site) -> None:
    site.world.count(site.world.created())
    with raw_stream(site) as connection:

        async def end() -> None:
            site.services.open_streams.end()

        site.run_in_loop(end)
        assert received(connection, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
        assert connection._socket.recv(1) == b""
        with raw_stream_after_end(site) as later:
            assert received(later, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


@contextmanager
def raw_stream_after_end(site: Site) -> Iterator[Connection]:
    with Connection(site) as connection:
        connection.send(f"GET {LIVE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.token(OWNER)}\r\n\r\n".encode())
        yield connection


# -- every change reaches every page once

TOPICS: list[Topic] = [("event", "a"), ("event", "b"), ("user", "m")]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 2)),
        st.tuples(st.just("leave"), st.integers(0, 20)),
        st.tuples(st.just("change"), st.integers(0, 1)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_each_change_reaches_each_page_that_watches_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_run_steps(steps))


async def _run_steps(steps: list[tuple[str, int]]) -> None:
    announced: asyncio.Queue[ChangedEvent | None] = asyncio.Queue()
    versions: Counter[Topic] = Counter()

    async def announcements() -> AsyncIterator[ChangedEvent | None]:
        while True:
            yield await announced.get()

    async def etag(topic: Topic) -> str:
        await asyncio.sleep(0)
        return str(versions[topic])

    live = LiveUpdates(announcements, etag)
    pages: list[tuple[Topic, list[int], list[int], Any]] = []
    """Topic, expected and received versions, and the function that receives: of each open page."""
    ended: list[tuple[list[int], list[int]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_updates, "NOTIFY_INTERVAL_S", 0)
        patch.setattr(live_updates, "SENDS_IN_A_ROW", 2)
        running = asyncio.create_task(live.run())
        for verb, number in steps:
            if verb == "join":
                topic, got = TOPICS[number], list[int]()
                send = _receiver(got)
                live.watch(topic, send)
                pages.append((topic, [], got, send))
            elif verb == "leave" and pages:
                topic, expected, got, send = pages.pop(number % len(pages))
                live.unwatch(topic, send)
                ended.append((expected, got))
            elif verb == "change":
                changed = [TOPICS[number], TOPICS[2]]
                versions.update(changed)
                for topic, expected, _, _ in pages:
                    if topic in changed:
                        expected.append(versions[topic])
                announced.put_nowait(ChangedEvent(TOPICS[number][1], "m", 1, ()))
                async with asyncio.timeout(20):
                    # A page that joins before a change is announced may get it, although it loads a newer answer.
                    while not announced.empty() or any(expected != got for _, expected, got, _ in pages):  # noqa: ASYNC110
                        await asyncio.sleep(0)
                assert live.watcher_count == len(pages)
        assert set(live._watchers) == {topic for topic, *_ in pages}, "nothing is kept of a topic that nobody watches"
        running.cancel()
    assert all(expected == got for expected, got in ended)


def _receiver(got: list[int]) -> Callable[[bytes], None]:
    def receive(frame: bytes) -> None:
        if frame.startswith(b"event: changed"):
            got.append(int(json.loads(frame.split(b"data: ")[1])["etag"]))

    return receive
