"""Checks of Service Bus, where it is the source: whether its queues can be read, who waits, what nobody has counted."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from hannun.domain.facts import Reason
from hannun.domain.findings import Finding, Severity
from hannun.errors import OperatorError, ServiceBusUnavailable
from hannun.flows.doctor.examined import Examined
from hannun.service_bus.inspection import DEAD_PEEKED_MAX, Failure, OldestMessage

WATCHED_S: Final = 0.5
"""How long the oldest messages are watched, to see whether they are counted."""


def queues(examined: Examined) -> Iterator[Finding]:
    """Whether each queue can be read, and whether its messages wait for longer than they should."""
    before = examined.queues.oldest()
    yield from _unreadable(before)
    due = examined.now() - timedelta(seconds=examined.expected.lag_s_max)
    late = {
        name: found for name, found in before.items() if isinstance(found, OldestMessage) and found.received_at <= due
    }
    if late:
        time.sleep(WATCHED_S)
        after = examined.queues.oldest()
        for name, oldest in late.items():
            yield _waiting(examined, name, oldest, moves=after[name] != oldest)


def _unreadable(found: Mapping[str, OldestMessage | Failure | None]) -> Iterator[Finding]:
    """The queues that cannot be read: one finding for each hint, since one cause may concern all of them."""
    failed: defaultdict[str, list[tuple[str, Failure]]] = defaultdict(list)
    for name, each in found.items():
        if isinstance(each, OperatorError | ServiceBusUnavailable):
            failed[each.hint].append((name, each))
    for hint, of_hint in failed.items():
        names = ", ".join(name for name, _ in of_hint)
        yield Finding(
            Severity.CRITICAL,
            names,
            "nothing is counted from {queues}: {error}",
            "{hint}",
            {"queues": names, "error": of_hint[0][1].args[0], "hint": hint},
        )


def _waiting(examined: Examined, name: str, oldest: OldestMessage, *, moves: bool) -> Finding:
    evidence = {"queue": name, "seconds": round((examined.now() - oldest.received_at).total_seconds())}
    if moves:
        return Finding(
            Severity.WARNING,
            name,
            "the oldest message of {queue} came {seconds} s ago, though messages are counted",
            "start more ingest processes; where PostgreSQL is busy, look at slow queries",
            evidence,
            ("hannun ingest --source servicebus", "hannun watch"),
        )
    return Finding(
        Severity.CRITICAL,
        name,
        "the oldest message of {queue} came {seconds} s ago, and none is counted: no ingest reads Service Bus, or it "
        "cannot write",
        "start an ingest; where one runs, its log says what it waits for",
        evidence,
        ("hannun ingest --source servicebus",),
    )


def dead_letters(examined: Examined) -> Iterator[Finding]:
    """Whether dead-letter subqueues hold what nobody has counted, or fill up."""
    ours = {str(reason) for reason in Reason}
    for name, reasons in examined.queues.dead_letters().items():
        if isinstance(reasons, OperatorError | ServiceBusUnavailable):
            continue  # another check names it
        others = {reason: count for reason, count in reasons.items() if reason not in ours}
        if others:
            most = max(others, key=others.__getitem__)
            yield Finding(
                Severity.WARNING,
                name,
                "the dead-letter subqueue of {queue} holds {count} messages or more that nothing has counted, most of "
                "them for the reason {reason}",
                "find out why, as an ingest that was killed for its memory or a time to live; then move them back to "
                "the queue: docs/operating.md, Service Bus",
                {"queue": name, "count": sum(others.values()), "reason": most or "-"},
            )
        elif reasons.total() >= DEAD_PEEKED_MAX:
            yield Finding(
                Severity.NOTICE,
                name,
                "the dead-letter subqueue of {queue} holds {count} messages or more, which are also in the table of "
                "dead letters; it counts against the size of the queue",
                "empty it when you have looked at them; the table keeps its rows",
                {"queue": name, "count": reasons.total()},
                ("hannun dead-letters list",),
            )
