"""Opens and closes everything behind the HTTP API."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from anyio import CapacityLimiter

from hannun import issuer
from hannun.cache import AnswerCache, keys
from hannun.cache.pubsub import PubSubChannel
from hannun.domain.authorization import Principal
from hannun.domain.questions import OfMerchant, UserQuestion
from hannun.errors import OperatorError
from hannun.flows import health_checks
from hannun.flows.authorization import Authorizer
from hannun.flows.export import Exports
from hannun.flows.http_ingestion import HttpIngestion
from hannun.flows.limit_sharing import LimitSharing
from hannun.flows.live_updates import LiveUpdates, Topic
from hannun.flows.report import Reports
from hannun.flows.share_links import ShareLinks
from hannun.processes.background import in_this_loop, running, without_long_collections
from hannun.processes.writing import channel_table, open_writing, paying_old_debts, telling_gauges
from hannun.settings import Settings
from hannun.store.database import ReadPool
from hannun.web.auth import Verifier
from hannun.web.jwks import TokenKeys
from hannun.web.limits import RateLimit
from hannun.web.services import Services

LOOK_EVERY_S = 0.5  # how soon a kept answer says that PostgreSQL is away


@asynccontextmanager
async def open_serving(settings: Settings) -> AsyncIterator[Services]:
    """Everything behind the HTTP door, open and checked."""
    async with AsyncExitStack() as beside:
        verifier = await beside.enter_async_context(verifying(settings))
        yield await beside.enter_async_context(_serving(settings, verifier))


@asynccontextmanager
async def verifying(settings: Settings) -> AsyncIterator[Verifier]:
    """Who verifies tokens, and beside it what reads the issuer's keys, where it publishes some.

    An issuer that is away at the start is no error: its keys are read as soon as it is back.
    """
    verifier = partial(Verifier, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    if not (settings.jwt_jwks_url or settings.jwt_jwks_file):
        yield verifier(settings.needed("jwt_secret"))
        return
    if settings.jwt_jwks_good_s < settings.jwt_jwks_refresh_s:
        raise OperatorError(
            f"HANNUN_JWT_JWKS_GOOD_S is {settings.jwt_jwks_good_s:g}, so keys would end before they are read again",
            hint=f"HANNUN_JWT_JWKS_REFRESH_S is {settings.jwt_jwks_refresh_s:g}: make it the shorter one",
        )
    async with issuer.source(settings.jwt_jwks_url, settings.jwt_jwks_file) as read:
        keys = TokenKeys(
            read,
            refresh_s=settings.jwt_jwks_refresh_s,
            good_s=settings.jwt_jwks_good_s,
            cooldown_s=settings.jwt_jwks_cooldown_s,
        )
        verifies = verifier(settings.jwt_secret.get_secret_value(), keys)
        async with in_this_loop("read the issuer's keys", keys.run()):
            yield verifies


@asynccontextmanager
async def _serving(settings: Settings, verifier: Verifier) -> AsyncIterator[Services]:
    with open_writing(settings, "hannun-serve") as writing, ExitStack() as stack:
        stack.enter_context(paying_old_debts(writing))
        stack.enter_context(telling_gauges(writing))
        asked_by_health = writing.database("-health")
        reader = ReadPool(settings.needed("database_url"), settings.pool, application="hannun-serve-read")
        cache = AnswerCache(
            settings.redis,
            lifetime_s=settings.answer_lifetime_s,
            timeout_s=settings.redis_read_wait_s,
            local_bytes_max=settings.copies_bytes_max,
        )
        health = health_checks.Health(asked_by_health, writing.invalidator)
        stack.enter_context(running("look at PostgreSQL", LOOK_EVERY_S, health.look_at_database))
        payer = stack.enter_context(writing.paying(cache))
        reports = Reports(
            reader, cache, lambda: datetime.now(UTC), channel_table(settings), lambda: health.database_away
        )
        live = LiveUpdates(cache.announcements, lambda topic: _etag(reports, topic))
        counters = [writing.counter("http", payer) for _ in range(settings.counting_threads)]
        intake = HttpIngestion(
            counters,
            messages_max=settings.body_messages_max,
            wait_s_max=settings.pool_wait_s,
            now=lambda: time.time_ns() // 1_000,
        )
        limits = {
            "requests": RateLimit(settings.requests_a_minute),
            "refreshes": RateLimit(settings.refreshes_a_minute),
            "shares": RateLimit(settings.share_requests_a_minute),
            "sign-ins": RateLimit(settings.sign_ins_a_minute),
            "strangers": RateLimit(settings.stranger_requests_a_minute),
        }
        limit_usage = PubSubChannel(settings.redis, keys.LIMIT_USAGE)
        await reader.open()
        await cache.open()
        without_long_collections()
        try:
            async with in_this_loop(
                "share the limits", LimitSharing(limits, limit_usage.publish, limit_usage.subscribe).run()
            ):
                yield Services(
                    access=Authorizer(reader, cache),
                    reports=reports,
                    exports=Exports(settings.exports_at_once),
                    intake=intake,
                    counting=CapacityLimiter(settings.counting_threads),
                    live=live,
                    sharing=ShareLinks(reader, writing.database("-shares"), lambda: datetime.now(UTC)),
                    verifier=verifier,
                    limit=limits["requests"],
                    refresh_limit=limits["refreshes"],
                    share_limit=limits["shares"],
                    sign_in_limit=limits["sign-ins"],
                    stranger_limit=limits["strangers"],
                    body_bytes_max=settings.body_bytes_max,
                    sign_in_codes=_codes(settings),
                    secure_cookies=settings.secure_cookies,
                    cors_origins=settings.origins,
                    health=health.tell,
                )
        finally:
            await limit_usage.close()
            await cache.close()
            await reader.close()


async def _etag(reports: Reports, topic: Topic) -> str | None:
    """The ETag that a page will find, and with it the answer in the cache."""
    everything = Principal("", frozenset({"ADMIN"}))
    kind, id_ = topic
    if kind == "event":
        answer, _ = await reports.dashboard(everything, id_)
    else:
        answer, _ = await reports.user(everything, UserQuestion(OfMerchant(id_)))
    return answer.etag


def _codes(settings: Settings) -> Mapping[str, str]:
    text = settings.sign_in_codes.get_secret_value()
    codes: dict[str, str] = json.loads(text) if text else {}
    return codes
