"""The route of the running system's figures, for administrators: what `hannun watch` shows, over HTTP."""

from collections.abc import Iterator
from datetime import datetime

from fastapi import APIRouter, Request, Response

from hannun.domain.channels import ChannelTable
from hannun.domain.refresh_status import RefreshStatus
from hannun.domain.response_schemas import (
    ChannelNow,
    ConsistentShare,
    CountingNow,
    MonthsNow,
    OperationDone,
    OperationsOverview,
    PositionNow,
    RedisNow,
    RoundNow,
    format_instant,
)
from hannun.flows.server_watch import DatabaseView, OperationsNow, RedisView, rate, recent_hit_ratio
from hannun.web.api import Calling
from hannun.web.callers import need_admin
from hannun.web.contract import AUTHENTICATION_PROBLEMS, answers_with
from hannun.web.korean_hints import in_korean
from hannun.web.language import Language, language_of
from hannun.web.request_limits import Served
from hannun.web.uncached import uncached_json

router = APIRouter(prefix="/api/v1")


@router.get("/operations/overview")
@answers_with(
    OperationsOverview,
    problems=(*AUTHENTICATION_PROBLEMS, "store-unavailable"),
    headers=("Cache-Control", "Content-Language", "Vary"),
)
async def operations_overview(request: Request, services: Served, caller: Calling) -> Response:
    """Counting, refresh, channels, positions, months, Redis and backups now (role ADMIN), some 2 s old at most.

    Why a partition is not read, and what to do, is in Korean or English.
    """
    need_admin(caller)
    language = language_of(request.headers.get("accept-language"))
    body = overview_of(await services.operations(), services.channels, language)
    return uncached_json(body, headers={"Content-Language": language, "Vary": "Accept-Language"})


def overview_of(now: OperationsNow, channels: ChannelTable, language: Language = "en") -> OperationsOverview:
    """The answer; only the texts about partitions that are not read depend on the language."""
    database = now.database
    return OperationsOverview(
        as_of=format_instant(database.counting.now),
        counting=_counting(now),
        consistency=[
            ConsistentShare(after_s, share)
            for after_s, share in sorted((now.redis.consistent if now.redis else {}).items())
        ],
        round=_round(now.refresh),
        channels=list(_channels(now.refresh, channels)),
        positions=list(_positions(now, language)),
        months=_months(database),
        redis=None if now.redis is None else _redis(now.redis, now.redis_before),
        operations=[
            OperationDone(kind, format_instant(each.ended_at), each.age_s, each.seconds, each.size_bytes)
            for kind, each in sorted(database.operations.items())
        ],
        database_bytes=database.database_bytes,
        unreachable=dict(now.unreachable),
    )


def _counting(now: OperationsNow) -> CountingNow:
    found = now.database.counting
    before = None if now.database_before is None else now.database_before.counting
    return CountingNow(
        messages_per_second=rate(found, before, "offsets"),
        counted_per_second=rate(found, before, "ledger_rows"),
        lag=None if now.lag is None else sum(now.lag.values()),
        counted_at=_instant(found.counted_at),
        dead_letters_open=now.database.dead_letters_open,
        invalidations_pending=found.pending,
        stopped_partitions=found.stopped,
    )


def _round(status: RefreshStatus) -> RoundNow | None:
    if not status.rounds:
        return None
    newest = status.rounds[0]
    return RoundNow(
        format_instant(newest.due_at),
        format_instant(newest.began_at),
        _instant(newest.ended_at),
        newest.pieces,
        newest.pieces_done,
        status.pairs,
    )


def _channels(status: RefreshStatus, table: ChannelTable) -> Iterator[ChannelNow]:
    names = {key: work.name for key, work in status.work.items()} | {key: age.name for key, age in status.ages.items()}
    known = {channel.key: channel.name for channel in table.known}
    for key in sorted({*names, *status.breakers}):
        breaker, age = status.breakers.get(key), status.ages.get(key)
        name = names.get(key) or known.get(key, key)
        yield ChannelNow(
            channel_name=name,
            channel_title=table.title(name),
            breaker=None if breaker is None else breaker.name,
            held=breaker is not None and breaker.held,
            active_events=0 if age is None else age.active,
            stale_events=0 if age is None else age.stale,
            oldest_measured_at=None if age is None else _instant(age.oldest_at),
        )


def _positions(now: OperationsNow, language: Language) -> Iterator[PositionNow]:
    for each in now.database.positions:
        yield PositionNow(
            each.topic,
            each.partition,
            each.next_offset,
            None if now.lag is None else now.lag.get((each.topic, each.partition)),
            _instant(each.moved_at),
            _text(each.stopped, language),
            _text(each.hint, language),
        )


def _text(text: str | None, language: Language) -> str | None:
    return text if text is None or language == "en" else in_korean(text)


def _months(database: DatabaseView) -> MonthsNow:
    attached = sorted(database.months.attached)
    first, last = (f"{attached[0]:%Y-%m}", f"{attached[-1]:%Y-%m}") if attached else (None, None)
    return MonthsNow(first, last, database.months.ahead, len(database.months.detached))


def _redis(redis: RedisView, before: RedisView | None) -> RedisNow:
    now = redis.statistics
    return RedisNow(
        now.used_bytes,
        now.max_bytes,
        now.keys,
        now.hit_ratio,
        recent_hit_ratio(now, None if before is None else before.statistics),
        now.evicted_keys,
    )


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(moment)
