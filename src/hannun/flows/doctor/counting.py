"""Checks of counting: stopped partitions, lag, dead letters, pending invalidations."""

from collections.abc import Iterator

from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor.examined import Examined
from hannun.store.positions import stopped_partitions, stopped_topics


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
