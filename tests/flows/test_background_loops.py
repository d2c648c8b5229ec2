"""Background loops outlive one bad item: what one caller sends does not end the work for all others."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from hannun.cache import RedisAddress
from hannun.cache.processed_markers import ProcessedMarkers
from hannun.counting import outbox_relay
from hannun.counting.outbox_relay import OutboxRelay
from hannun.domain.answer import Topic
from hannun.domain.batch import ChangedEvent
from hannun.flows import limit_sharing, live_updates
from hannun.flows.cache_consistency import ConsistencyChecker
from hannun.flows.limit_sharing import LimitSharing
from hannun.flows.live_updates import LiveUpdates

BAD, GOOD = "\ud800", "a merchant"


async def run_for_a_moment(work: Awaitable[object], until: Callable[[], bool]) -> None:
    """Run a loop until it has done what the test waits for, at most 10 s."""
    task = asyncio.ensure_future(work)
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while not until() and not task.done():  # noqa: ASYNC110  the loops have no event for it
                await asyncio.sleep(0.005)
    if task.done():
        await task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert until()


class Usage:
    """A limit with usage to publish in each period."""

    def __init__(self) -> None:
        self.deducted: list[str] = []

    def drain_unshared_usage(self, subjects_max: int) -> dict[str, int]:
        return {BAD: 1, GOOD: 2}

    def deduct_remote_usage(self, subject: str, count: int) -> None:
        if subject == "breaks":
            raise KeyError(subject)
        self.deducted.append(subject)


async def silence() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield


def test_usage_is_shared_although_one_subject_cannot_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_sharing, "SHARE_INTERVAL_S", 0.001)
    published: list[bytes] = []

    async def publish(message: bytes) -> None:
        published.append(message)
        if len(published) == 1:
            raise ValueError("an odd answer of Redis")

    with capture_logs() as logs:
        sharing = LimitSharing({"requests": Usage()}, publish, silence)
        asyncio.run(run_for_a_moment(sharing.run(), lambda: len(published) >= 5))
    assert all(msgspec.json.decode(message)["taken"] == {"requests": {GOOD: 2}} for message in published)
    assert [line["log_level"] for line in logs] == ["error", "error"], "each kind of error is logged once"


def test_usage_of_other_processes_is_received_although_one_message_fails() -> None:
    limit = Usage()

    async def messages() -> AsyncIterator[bytes]:
        for subject in ("breaks", "breaks", GOOD):
            yield msgspec.json.encode({"by": "another", "taken": {"requests": {subject: 1}}})
        await asyncio.Event().wait()

    async def publish(_: bytes) -> None: ...

    with capture_logs() as logs:
        sharing = LimitSharing({"requests": limit}, publish, messages)
        asyncio.run(run_for_a_moment(sharing.run(), lambda: limit.deducted == [GOOD]))
    assert len(logs) == 1


@pytest.mark.parametrize("bad", ["its answer cannot be computed", BAD])
def test_pages_are_notified_although_one_topic_fails(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "NOTIFY_INTERVAL_S", 0.001)
    frames: list[bytes] = []

    async def announcements() -> AsyncIterator[ChangedEvent | None]:
        while True:
            for event_id in (bad, GOOD):
                yield ChangedEvent(event_id, None, 1, ())
            await asyncio.sleep(0.001)

    async def etag(topic: Topic) -> str | None:
        if topic[1] != GOOD:
            raise ZeroDivisionError
        return "the ETag"

    async def watch() -> None:
        live = LiveUpdates(announcements, etag)
        for event_id in (bad, GOOD):
            live.watch(("event", event_id), frames.append)
        notified = b'event: changed\ndata: {"eventId":"a merchant","etag":"the ETag"}\n\n'
        await run_for_a_moment(live.run(), lambda: frames.count(notified) >= 3)

    with capture_logs() as logs:
        asyncio.run(watch())
    assert 1 <= len(logs) <= 2, "each kind of error is logged once"


def test_a_comparison_that_fails_is_logged_and_others_go_on() -> None:
    async def broken(_: Topic) -> Any:
        raise ZeroDivisionError

    async def sleep(_: float) -> None: ...

    with capture_logs() as logs:
        asyncio.run(ConsistencyChecker(silence, broken, broken, samples_a_second=1, sleep=sleep).follow(("event", "e")))
    assert [line["event"] for line in logs] == ["a comparison failed"]


def test_the_relay_delivers_although_one_delivery_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_relay, "FAILURE_PAUSE_S", 0.001)
    delivered: list[str] = []

    class Invalidator:
        def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
            if events and events[0].event_id == BAD:
                raise UnicodeEncodeError("utf-8", BAD, 0, 1, "a lone surrogate")
            delivered.extend(event.event_id for event in events)
            return False

    relay = OutboxRelay(None, Invalidator(), interval_s=0.02)  # type: ignore[arg-type]
    relay._record_delivery([ChangedEvent(BAD, None, 1, ()), ChangedEvent(GOOD, None, 1, ())], time.monotonic())
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop], daemon=True)
    with capture_logs() as logs:
        relay.deliver(1, [ChangedEvent(BAD, None, 1, ())])
        thread.start()
        ended_s = time.monotonic() + 60
        while not logs and time.monotonic() < ended_s:
            time.sleep(0.005)
        relay._record_delivery([ChangedEvent(GOOD, None, 1, ())], time.monotonic())
        relay.deliver(2, [ChangedEvent(GOOD, None, 1, ())])
        while not delivered and time.monotonic() < ended_s:
            time.sleep(0.005)
        stop.set()
        relay.wake()
        thread.join(10)
    assert delivered == [GOOD]
    assert [line["log_level"] for line in logs] == ["error"]


def test_markers_are_written_although_one_batch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write(_: ProcessedMarkers, message_ids: list[str]) -> None:
        if BAD in message_ids:
            raise UnicodeEncodeError("utf-8", BAD, 0, 1, "a lone surrogate")
        written.extend(message_ids)

    monkeypatch.setattr(ProcessedMarkers, "write", write)
    markers = ProcessedMarkers(RedisAddress("localhost", 1, ""), per_second_max=9, lifetime_s=1, now=lambda: 0.0)
    markers.enqueue([BAD])
    markers.enqueue([GOOD])
    stop = threading.Event()
    stop.set()
    with capture_logs() as logs:
        markers.run(stop)
    markers.close()
    assert written == [GOOD]
    assert [line["event"] for line in logs] == ["markers could not be written"]
