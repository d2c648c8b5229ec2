"""Checks of counting: stopped partitions, lag, dead letters, pending invalidations."""

from collections.abc import Iterator

from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor.examined import Examined
from hannun.store import diagnosis
from hannun.store.positions import stopped_partitions, stopped_topics
from hannun.store.uncreated_events import uncreated_events


def stopped(examined: Examined) -> Iterator[Finding]:
    """Whether topics or partitions wait for an operator."""
    places = [(at.topic, at.reason, at.hint) for at in stopped_topics(examined.conn) if at.waits]
    places += [(f"{at.topic}[{at.partition}]", at.reason, at.hint) for at in stopped_partitions(examined.conn)]
    for place, reason, hint in places:
        yield Finding(
            Severity.CRITICAL,
            place,
            "{place} is not read, and Kafka's retention goes on: {reason}",
            "{hint}",
            {"place": place, "reason": reason, "hint": hint},
            ("hannun positions list",),
        )


def dead_letters(examined: Examined) -> Iterator[Finding]:
    """Whether more messages become dead letters than usual."""
    rates = diagnosis.dead_letters_by_hour(examined.conn)
    newest, before = sum(each.newest for each in rates), sum(each.before for each in rates)
    if newest < examined.expected.dead_letters_an_hour_max or newest <= before:
        return
    first = rates[0]
    yield Finding(
        Severity.WARNING,
        f"{first.kind}: {first.reason}",
        "{newest} messages became dead letters in the last hour, {before} in the hour before; most of them, {most}, "
        "are {kind} with the reason {reason}",
        "look at one, correct what sends them, and retry them: docs/messages.md explains each reason",
        {"newest": newest, "before": before, "most": first.newest, "kind": first.kind, "reason": first.reason},
        ("hannun dead-letters list",),
    )


def invalidations(examined: Examined) -> Iterator[Finding]:
    """Whether invalidations are not delivered to Redis in time."""
    count, oldest_s = diagnosis.late_invalidations(examined.conn, examined.expected.invalidation_late_s)
    if count:
        yield Finding(
            Severity.WARNING,
            "hannun.owed_invalidations",
            "{count} invalidations are not delivered, the oldest for {oldest} s: Redis is away, or no process of "
            "Hannun runs",
            "restore Redis, or start a serve, ingest or schedule; each of them delivers what is pending",
            {"count": count, "oldest": round(oldest_s)},
            ("hannun doctor --only redis",),
        )


def uncreated(examined: Examined) -> Iterator[Finding]:
    """Whether events are counted for an hour whose event-created message never came."""
    events = uncreated_events(examined.conn)
    if events:
        yield Finding(
            Severity.WARNING,
            "event-created",
            "{count} events have participants or sales for an hour, and no event-created message: the API answers 404 "
            "for them",
            "find out where their messages are: the topic's producer, its dead letters, or a partition that is stopped",
            {"count": len(events)},
            ("hannun dead-letters list", "hannun positions list"),
        )
