"""Drives the simulated platform: sends what has happened, then what happens, until told to stop.

    past ──────────────> present ── every half second ──> stop
      └── service away ──┴── the same messages again, until they are taken or told to stop

The time up to which all is sent moves only after the service has taken it, so nothing is lost over a
restart of the service; what was taken without our hearing of it is sent again, and changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from hannun.errors import Busy, Transient
from hannun.sandbox.platform import Message, Platform
from hannun.sandbox.senders import Sender

TICK_S = 0.5
CHUNK_COUNT = 1_000
AGAIN_AFTER_S = 1.0
AGAIN_AFTER_S_MAX = 10.0
# A laptop that slept must not come back with a night's bustle to send; an outage of the service may.
BUSTLE_BEHIND_MAX = timedelta(hours=1)


def simulate(
    platform: Platform,
    sender: Sender,
    *,
    stop: threading.Event,
    clock: Callable[[], datetime],
    pace: float,
    progress: Callable[[str], None],
    since: datetime | None = None,
    history: bool = True,
    reached: Callable[[datetime], None] = lambda _: None,
) -> None:
    """Send the platform's messages until `stop` is set.

    Args:
        clock: the present, with a zone.
        pace: of the live part, see `Platform.live`.
        progress: hears one short line at a time.
        since: up to when an earlier run has sent everything; from there on the ordinary course is filled
            in. None: nothing was ever sent, the past is sent from its beginning.
        history: False: leave the past alone, whatever it was; begin with the present.
        reached: hears up to when everything has been taken; what to keep as the next run's `since`.

    Raises:
        OperatorError: the service refuses in a way that trying again does not change.
    """
    sent_until = clock()
    if history and not _send_history(platform, sender, stop, progress, since, sent_until):
        return
    reached(sent_until)
    progress("the present begins")
    while not stop.is_set():
        now = clock()
        if not _send_present(platform, sender, stop, progress, sent_until, now, pace):
            return
        sent_until = max(sent_until, now)  # a clock that was set back sends nothing twice
        reached(sent_until)
        stop.wait(TICK_S)


def _send_history(
    platform: Platform,
    sender: Sender,
    stop: threading.Event,
    progress: Callable[[str], None],
    since: datetime | None,
    until: datetime,
) -> bool:
    """Send the ordinary course in [since, until). False: told to stop before the end."""
    count = 0
    for chunk in _chunks(platform.history(until, since)):
        if not _deliver(sender, chunk, stop, progress):
            return False
        count += len(chunk)
        progress(f"the past: {count:,} messages sent")
    return not stop.is_set()


def _send_present(
    platform: Platform,
    sender: Sender,
    stop: threading.Event,
    progress: Callable[[str], None],
    since: datetime,
    until: datetime,
    pace: float,
) -> bool:
    """Send what happened in [since, until) while we watched. False: told to stop before the end."""
    if until - since > BUSTLE_BEHIND_MAX:
        return _send_history(platform, sender, stop, progress, since, until)
    return all(_deliver(sender, chunk, stop, progress) for chunk in _chunks(platform.live(since, until, pace)))


def _deliver(sender: Sender, messages: list[Message], stop: threading.Event, progress: Callable[[str], None]) -> bool:
    """Have these messages taken, however long the service is away. False: told to stop before that."""
    while not stop.is_set():
        try:
            sender.send(messages)
        except Transient as away:
            progress(f"the service is away, sending the same again in a moment: {away}")
            after_s = away.retry_after_s if isinstance(away, Busy) else AGAIN_AFTER_S
            stop.wait(min(after_s, AGAIN_AFTER_S_MAX))
        else:
            return True
    return False


def _chunks(messages: Iterable[Message]) -> Iterator[list[Message]]:
    remaining = iter(messages)
    while chunk := list(islice(remaining, CHUNK_COUNT)):
        yield chunk
