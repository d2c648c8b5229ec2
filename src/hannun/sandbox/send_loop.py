"""Sends the messages of the simulated platform: first the history, then live messages, until stopped.

    history ──────────────> live ── every half second ──> stop
      └── service unavailable ──┴── the same messages again, until they are accepted or the run is stopped

The time up to which all messages are sent advances only after the service has accepted them. So a restart of the
service loses no message. Messages whose acceptance this process did not learn of are sent again, which changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from hannun.errors import Busy, Transient
from hannun.sandbox.platform import Message, Platform
from hannun.sandbox.senders import Sender

SEND_INTERVAL_S = 0.5
MESSAGES_PER_SEND = 1_000
RETRY_DELAY_S = 1.0
RETRY_DELAY_S_MAX = 10.0
# After a sleep of the machine, the demo traffic of a whole night must not be sent. After a shorter outage it is sent.
DEMO_TRAFFIC_BACKLOG_MAX = timedelta(hours=1)


def send_until_stopped(
    platform: Platform,
    sender: Sender,
    *,
    stop: threading.Event,
    clock: Callable[[], datetime],
    pace: float,
    progress: Callable[[str], None],
    since: datetime | None = None,
    history: bool = True,
    on_sent: Callable[[datetime], None] = lambda _: None,
) -> None:
    """Send the platform's messages until `stop` is set.

    Args:
        clock: returns the current time, with a time zone.
        pace: the rate of the demo traffic, see `Platform.live`.
        progress: called with one short line at a time.
        since: the time up to which an earlier run has sent everything. The base traffic since then is sent first. None
            if nothing was ever sent; then the history is sent from its beginning.
        history: whether to send the history. If False, only live messages are sent, and `since` has no effect.
        on_sent: called with the time up to which the service has accepted all messages. Store it as the next run's
            `since`.

    Raises:
        OperatorError: the service refuses the messages, and another attempt cannot help.
    """
    sent_until = clock()
    if history and not _send_history(platform, sender, stop, progress, since, sent_until):
        return
    on_sent(sent_until)
    progress("sending live messages")
    while not stop.is_set():
        now = clock()
        if not _send_live(platform, sender, stop, progress, sent_until, now, pace):
            return
        sent_until = max(sent_until, now)  # so that a clock that was set back causes no repeats
        on_sent(sent_until)
        stop.wait(SEND_INTERVAL_S)


def _send_history(
    platform: Platform,
    sender: Sender,
    stop: threading.Event,
    progress: Callable[[str], None],
    since: datetime | None,
    until: datetime,
) -> bool:
    """Send the base traffic in [since, until). Returns False if stopped before the end."""
    count = 0
    for chunk in _split_into_chunks(platform.history(until, since)):
        if not _send_chunk(sender, chunk, stop, progress):
            return False
        count += len(chunk)
        progress(f"history: {count:,} messages sent")
    return not stop.is_set()


def _send_live(
    platform: Platform,
    sender: Sender,
    stop: threading.Event,
    progress: Callable[[str], None],
    since: datetime,
    until: datetime,
    pace: float,
) -> bool:
    """Send base and demo traffic in [since, until). Returns False if stopped before the end."""
    if until - since > DEMO_TRAFFIC_BACKLOG_MAX:
        return _send_history(platform, sender, stop, progress, since, until)
    chunks = _split_into_chunks(platform.live(since, until, pace))
    return all(_send_chunk(sender, chunk, stop, progress) for chunk in chunks)


def _send_chunk(
    sender: Sender, messages: list[Message], stop: threading.Event, progress: Callable[[str], None]
) -> bool:
    """Send these messages until the service accepts all of them. Returns False if stopped before that."""
    while not stop.is_set():
        try:
            sender.send(messages)
        except Transient as error:
            progress(f"the service is unavailable, sending the same messages again: {error}")
            delay_s = error.retry_after_s if isinstance(error, Busy) else RETRY_DELAY_S
            stop.wait(min(delay_s, RETRY_DELAY_S_MAX))
        else:
            return True
    return False


def _split_into_chunks(messages: Iterable[Message]) -> Iterator[list[Message]]:
    remaining = iter(messages)
    while chunk := list(islice(remaining, MESSAGES_PER_SEND)):
        yield chunk
