"""Checks of the answers in Redis: whether too many look-ups miss and why, and whether its memory is full."""

from collections.abc import Iterator, Mapping
from typing import Final

from hannun.domain import lookups
from hannun.domain.findings import Finding, Severity
from hannun.domain.lookups import Cause, Window
from hannun.flows.doctor.examined import Examined

MEMORY_SHARE_MAX: Final = 0.9

_CAUSES: Final[Mapping[Cause, tuple[Severity, str, str, tuple[str, ...]]]] = {
    "evictions": (
        Severity.WARNING,
        "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), while Redis "
        "evicted {evicted} keys: its memory of {max_mb} MB is too small",
        "give Redis more memory, or a server of its own; or store less: a shorter HANNUN_PROCESSED_MARK_LIFETIME_S",
        ("CONFIG SET maxmemory 512mb", "MEMORY STATS"),
    ),
    "lifetime": (
        Severity.WARNING,
        "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), while "
        "{expired} keys expired: an answer lives {lifetime} s and is rebuilt every {period} s",
        "set HANNUN_ANSWER_LIFETIME_S of serve and schedule above the period of HANNUN_REFRESH_AT; changes invalidate "
        "answers at once, so a long lifetime shows nothing outdated",
        ("HANNUN_ANSWER_LIFETIME_S=3600",),
    ),
    "invalidations": (
        Severity.WARNING,
        "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), while "
        "answers were invalidated {invalidations} times: events change more often than they are read",
        "invalidate an event less often: with HANNUN_INVALIDATIONS_APART_S=1 its answers are at most a second older; "
        "or raise HANNUN_BATCH_WAIT_S, so that a batch holds more messages",
        ("HANNUN_INVALIDATIONS_APART_S=1",),
    ),
    "first-reads": (
        Severity.NOTICE,
        "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), and neither "
        "evictions nor expiry nor invalidations explain it: these answers were read for the first time",
        "nothing, after a start of Redis or a campaign that brings new events. Else look at who reads so many events",
        ("hannun watch",),
    ),
}


def misses(examined: Examined) -> Iterator[Finding]:
    """Whether too many look-ups miss, and which setting to tune."""
    statistics = examined.redis.statistics()
    found = lookups.windows(
        examined.redis.count_lookups(), examined.redis.recorded_lookups(), examined.redis.started_at_s()
    )
    if not lookups.is_trouble(found):
        return
    expected, window = examined.expected, found.newest
    for cause in lookups.causes(window, lifetime_is_short=expected.answer_lifetime_s < expected.refresh_period_s):
        severity, text, remedy, statements = _CAUSES[cause]
        evidence = _evidence(window, found.before) | {
            "max_mb": statistics.max_bytes // 1_000_000,
            "lifetime": f"{expected.answer_lifetime_s:g}",
            "period": f"{expected.refresh_period_s:g}",
        }
        yield Finding(severity, f"answers in Redis: {cause}", text, remedy, evidence, statements)


def _evidence(window: Window, before: Window | None) -> dict[str, object]:
    return {
        "miss_percent": round(window.miss_share * 100, 1),
        "before_percent": "?" if before is None else round(before.miss_share * 100, 1),
        "before": "not known" if before is None else f"{round(before.miss_share * 100, 1)} %",
        "lookups": window.lookups,
        "minutes": round(window.seconds / 60, 1),
        "evicted": window.evicted,
        "expired": window.expired,
        "invalidations": window.invalidations,
    }


def memory(examined: Examined) -> Iterator[Finding]:
    """Whether Redis is nearly full and evicts nothing, so that it will refuse to store."""
    found = examined.redis.statistics()
    if found.evicts or not found.max_bytes or found.used_bytes < found.max_bytes * MEMORY_SHARE_MAX:
        return
    yield Finding(
        Severity.WARNING,
        "Redis",
        "Redis uses {used_mb} of {max_mb} MB and evicts nothing (maxmemory-policy noeviction): when it is full it "
        "stores no answer, and limits of callers are no longer shared",
        "let it evict the answers that nobody reads, or give it more memory",
        {"used_mb": found.used_bytes // 1_000_000, "max_mb": found.max_bytes // 1_000_000},
        ("CONFIG SET maxmemory-policy allkeys-lru", "CONFIG SET maxmemory 512mb"),
    )
