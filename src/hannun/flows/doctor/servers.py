"""Checks of the servers: whether they answer, and whether their clocks agree."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Final

from hannun.domain.findings import Finding, Severity
from hannun.errors import KafkaUnavailable, OperatorError, RedisUnavailable, StoreUnavailable
from hannun.flows.doctor.examined import Examined, Skipped
from hannun.store import diagnosis

CLOCK_S_MAX: Final = 2.0
"""How far two clocks may differ. What is dated by one machine is compared with dates of another."""


def postgresql(examined: Examined) -> Iterator[Finding]:
    """Whether PostgreSQL accepts a connection of the service's role."""
    try:
        examined.servers.connect()
    except (StoreUnavailable, OperatorError) as error:
        yield Finding(
            Severity.CRITICAL,
            "PostgreSQL",
            "PostgreSQL accepts no connection: {error}",
            "{hint}",
            {"error": error.args[0], "hint": error.hint},
        )


def redis(examined: Examined) -> Iterator[Finding]:
    """Whether Redis answers."""
    try:
        examined.redis.check()
    except (RedisUnavailable, OperatorError) as error:
        yield Finding(
            Severity.WARNING,
            "Redis",
            "Redis is away, so every answer is read from PostgreSQL and changes reach open pages late: {error}",
            "{hint}",
            {"error": error.args[0], "hint": error.hint},
        )


def kafka(examined: Examined) -> Iterator[Finding]:
    """Whether a broker answers."""
    try:
        examined.broker.check()
    except KafkaUnavailable as error:
        yield Finding(
            Severity.CRITICAL,
            "Kafka",
            "no broker answers, so nothing is counted from the topics: {error}",
            "{hint}",
            {"error": error.args[0], "hint": error.hint},
        )


def replica(examined: Examined) -> Iterator[Finding]:
    """Whether the streaming replica can be read, and is not far behind."""
    check = examined.servers.check_replica
    if check is None:
        raise Skipped("HANNUN_REPLICA_DATABASE_URL is not set")
    primary = examined.conn
    try:
        check(primary)
    except (StoreUnavailable, OperatorError) as error:
        yield Finding(
            Severity.WARNING,
            "replica",
            "the replica cannot be read, so the primary reads for all files: {error}",
            "{hint}",
            {"error": error.args[0], "hint": error.hint},
        )


def clocks(examined: Examined) -> Iterator[Finding]:
    """Whether the clocks of the servers agree with this machine's."""
    for server, clock in (("PostgreSQL", _postgresql_clock), ("Redis", _redis_clock)):
        with suppress(StoreUnavailable, RedisUnavailable, OperatorError, Skipped):
            before = examined.now()
            there = clock(examined)
            ahead_s = _seconds_ahead(before, there, examined.now())
            if abs(ahead_s) > CLOCK_S_MAX:
                yield Finding(
                    Severity.WARNING,
                    server,
                    "the clock of {server} is {seconds} s ahead of this machine's: tokens, ages of figures and the "
                    "times of rounds are judged by different clocks"
                    if ahead_s > 0
                    else "the clock of {server} is {seconds} s behind this machine's: tokens, ages of figures and the "
                    "times of rounds are judged by different clocks",
                    "let both machines keep time by NTP; the one that is wrong shows it in its own time service",
                    {"server": server, "seconds": f"{abs(ahead_s):.1f}"},
                    ("timedatectl timesync-status", "chronyc tracking"),
                )


def _postgresql_clock(examined: Examined) -> datetime:
    return diagnosis.clock(examined.conn)


def _redis_clock(examined: Examined) -> datetime:
    return examined.redis.clock()


def _seconds_ahead(before: datetime, there: datetime, after: datetime) -> float:
    """How far a clock is ahead of ours, which was read before and after it. 0 where it lies between them."""
    if there > after:
        return (there - after).total_seconds()
    return min(0.0, (there - before).total_seconds())
