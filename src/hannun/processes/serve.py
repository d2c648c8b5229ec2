"""Opens and closes everything behind the HTTP API: PostgreSQL, Redis, the flows and the background work."""

import asyncio
import time
from collections.abc import AsyncIterator, Container
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from anyio import CapacityLimiter

from hannun import deadlines, issuer
from hannun.cache import keys, opening
from hannun.domain.authorization import Principal
from hannun.errors import OperatorError
from hannun.flows import health_checks
from hannun.flows.access_records import AccessRecords
from hannun.flows.authorization import Authorizer
from hannun.flows.dead_letter_retry import DeadLetterDesk
from hannun.flows.doctor.standing import GOOD_S, HealthChecks, check_all
from hannun.flows.event_documents import EventDocuments
from hannun.flows.event_list import EventList
from hannun.flows.export import Exports
from hannun.flows.http_ingestion import HttpIngestion
from hannun.flows.limit_sharing import LimitSharing
from hannun.flows.live_updates import LiveUpdates, Topic
from hannun.flows.merchant_list import MerchantList
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader
from hannun.flows.report.registry import dashboard_question
from hannun.flows.sessions import EndedSessions, Sessions
from hannun.flows.share_links import ShareLinks
from hannun.flows.typed_totals import TypedTotals
from hannun.processes import jobs
from hannun.processes.amounts import amounts
from hannun.processes.background import TRANSACTIONS_STOP_S_MAX, run_in_task, run_jobs
from hannun.processes.channels import channel_access, channel_declarations, channel_table
from hannun.processes.commands.doctor import open_examination
from hannun.processes.commands.retry import read_record
from hannun.processes.commands.tokens import issue_token
from hannun.processes.commands.watching import open_readers, operations_now
from hannun.processes.file_reports import open_file_reports
from hannun.processes.shared_work import SharedWork
from hannun.processes.writing import open_writing
from hannun.settings import Settings
from hannun.store.database import ReadPool
from hannun.web.auth import Verifier
from hannun.web.compression import PackedAnswers
from hannun.web.jwks import TokenKeys
from hannun.web.limits import RateLimit, StreamLimit
from hannun.web.open_streams import OpenStreams
from hannun.web.services import Services

OPERATIONS_S_MAX = 3.0
"""How long a reading for the page of operators may take: an answer is promised within 5 s."""
OPERATIONS_GOOD_S = 1.5
"""How long a reading for the page of operators is given to further requests. Rates are those between two readings."""


@asynccontextmanager
async def open_serving(settings: Settings) -> AsyncIterator[Services]:
    """What the HTTP API uses, opened and checked.

    Raises:
        Transient: PostgreSQL or Redis cannot be reached now.
        OperatorError: a setting is wrong, or PostgreSQL or Redis is not as it must be.
    """
    ended = EndedSessions()
    async with open_verifier(settings, ended) as verifier, _open_services(settings, verifier, ended) as services:
        yield services


@asynccontextmanager
async def open_verifier(settings: Settings, ended: Container[bytes]) -> AsyncIterator[Verifier]:
    """The verifier of tokens, other than those of ended sessions. A task reads the keys that the issuer publishes.

    An issuer that is away at the start is no error: its keys are read as soon as it is back.

    Raises:
        OperatorError: a setting is wrong, and which.
    """
    secrets = settings.secrets_source("jwt_secret")
    verifier = partial(
        Verifier,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        role_claim=settings.role_claim,
        ended=ended,
    )
    if not (settings.jwt_jwks_url or settings.jwt_jwks_file):
        settings.needed("jwt_secret")
        yield verifier(secrets)
        return
    if settings.jwt_jwks_good_s < settings.jwt_jwks_refresh_s:
        raise OperatorError(
            f"HANNUN_JWT_JWKS_GOOD_S is {settings.jwt_jwks_good_s:g}, so keys would expire before they are read again",
            hint=f"HANNUN_JWT_JWKS_REFRESH_S is {settings.jwt_jwks_refresh_s:g}: it must be the shorter one",
        )
    async with issuer.open_key_set(settings.jwt_jwks_url, settings.jwt_jwks_file, settings.jwt_jwks_read_s) as read:
        keys = TokenKeys(
            read,
            refresh_s=settings.jwt_jwks_refresh_s,
            good_s=settings.jwt_jwks_good_s,
            cooldown_s=settings.jwt_jwks_cooldown_s,
        )
        verifies = verifier(secrets, keys)
        async with run_in_task("read the issuer's keys", keys.run()):
            yield verifies


@asynccontextmanager
async def _open_services(settings: Settings, verifier: Verifier, ended: EndedSessions) -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        writing = stack.enter_context(open_writing(settings, "hannun-serve", settings.request_pool))
        examination = stack.enter_context(open_examination(settings, watched_since=datetime.now(UTC)))
        standing_checks = HealthChecks(examination)
        disk_health = health_checks.DiskHealth(writing.database("-disk"))
        health = health_checks.Health(writing.database("-health"), writing.invalidator, standing_checks, disk_health)
        access_records = AccessRecords(writing.database("-audit"))
        reader = ReadPool(
            settings.database_source,
            settings.request_pool,
            application="hannun-serve-read",
            amounts=amounts(settings),
        )
        packed_bytes_max = settings.copies_bytes_max // 4  # an answer takes about a fifth of its bytes when compressed
        cache = opening.answer_cache(
            settings.redis,
            lifetime_s=settings.answer_lifetime_s,
            timeout_s=settings.redis_read_wait_s,
            local_bytes_max=settings.copies_bytes_max - packed_bytes_max,
        )
        relay = stack.enter_context(writing.relaying(cache))
        cached_answers = CachedReader(cache, lambda: health.database_unavailable)
        limits = {
            "requests": RateLimit(settings.requests_a_minute),
            "refreshes": RateLimit(settings.refreshes_a_minute),
            "shares": RateLimit(settings.share_requests_a_minute),
            "sign-ins": RateLimit(settings.sign_ins_a_minute),
            "strangers": RateLimit(settings.stranger_requests_a_minute),
            "pages": RateLimit(settings.page_requests_a_minute),
        }
        reports = Reports(
            reader,
            cached_answers,
            lambda: datetime.now(UTC),
            channel_table(settings),
            settings.stale_after,
            may_rebuild=lambda principal: limits["refreshes"].try_take(_rebuild_subject(principal)),
        )
        file_reports = await stack.enter_async_context(
            open_file_reports(settings, reader, reports, application="hannun-serve", size_max=settings.exports_at_once)
        )
        counters = [writing.counter("http", relay) for _ in range(settings.counting_threads)]
        ingestion = HttpIngestion(
            counters,
            messages_max=settings.body_messages_max,
            wait_s_max=settings.pool_wait_s,
            now=lambda: time.time_ns() // 1_000,
        )
        limit_usage = opening.pubsub_channel(settings.redis, keys.LIMIT_USAGE)
        stack.push_async_callback(reader.close)
        stack.push_async_callback(cache.close)
        stack.push_async_callback(limit_usage.close)
        await reader.open()
        await cache.open()
        await stack.enter_async_context(run_in_task("check that Redis accepts invalidations", cache.watch_writes()))
        await stack.enter_async_context(
            run_in_task("share the limits", LimitSharing(limits, limit_usage.publish, limit_usage.subscribe).run())
        )
        sessions = Sessions(reader, writing.database("-sessions"), ended)
        await sessions.read_ended()  # before the first request
        await stack.enter_async_context(run_in_task("read ended sessions", sessions.run()))
        # Each job runs at once, in a thread: the first request need not wait for them, so they begin last.
        await stack.enter_async_context(
            run_jobs(
                jobs.deliver_pending_invalidations(writing),
                jobs.update_gauges(writing),
                jobs.probe_postgresql(health),
                jobs.check_health(standing_checks),
                jobs.check_disk(disk_health),
                jobs.record_accesses(access_records),
            )
        )
        stack.push_async_callback(asyncio.to_thread, access_records.write)  # what was added since the job's last run
        stack.callback(writing.end_transactions_after, TRANSACTIONS_STOP_S_MAX)
        live_updates = LiveUpdates(cache.announcements, lambda topic: _etag(reports, topic, settings.request_s))
        yield Services(
            access_records=access_records,
            authorizer=Authorizer(reader, cache),
            reports=reports,
            file_reports=file_reports,
            cached_answers=cached_answers,
            event_list=EventList(reader),
            merchant_list=MerchantList(reader),
            packed_answers=PackedAnswers(packed_bytes_max),
            exports=Exports(settings.exports_at_once),
            documents=EventDocuments(),
            ingestion=ingestion,
            ingestion_threads=CapacityLimiter(settings.counting_threads),
            typed_totals=TypedTotals(
                writing.measurement_counter("-totals", relay),
                channel_table(settings),
                channel_access(settings, channel_declarations(settings)),
            ),
            live_updates=live_updates,
            open_streams=OpenStreams(live_updates),
            share_links=ShareLinks(reader, writing.database("-shares"), lambda: datetime.now(UTC)),
            verifier=verifier,
            request_limit=limits["requests"],
            refresh_limit=limits["refreshes"],
            share_limit=limits["shares"],
            sign_in_limit=limits["sign-ins"],
            anonymous_limit=limits["strangers"],
            page_limit=limits["pages"],
            stream_limit=StreamLimit(settings.live_streams_per_caller_max, settings.live_streams_max),
            body_bytes_max=settings.body_bytes_max,
            sessions=sessions,
            issue_token=partial(issue_token, settings),
            secure_cookies=settings.secure_cookies,
            cors_origins=settings.origins,
            own_origins=settings.own_origins,
            sign_in_url=settings.platform_sign_in,
            week_start=settings.week_start,
            health_report=health.shared_report,
            checkup=SharedWork(partial(check_all, stack.enter_context(open_examination(settings))), GOOD_S).result,
            channels=channel_table(settings),
            operations=SharedWork(
                partial(operations_now, stack.enter_context(open_readers(settings, OPERATIONS_S_MAX))),
                OPERATIONS_GOOD_S,
            ).result,
            dead_letters=DeadLetterDesk(
                writing.database("-dead-letters"),
                writing.decoder,
                writing.direct_counter(),
                partial(read_record, settings),
            ),
            request_s=settings.request_s,
        )


def _rebuild_subject(principal: Principal) -> str:
    """Whose refreshes a rebuild takes: the user's, or those of all links to an event, never those of its owner."""
    return principal.user_id if principal.only_event is None else f"links to {principal.only_event}"


async def _etag(reports: Reports, topic: Topic, wait_s: float) -> str | None:
    """The ETag of the dashboard that a page will request next. Reading it also fills the cache."""
    everything = Principal("", frozenset({"ADMIN"}))
    with deadlines.within(wait_s):
        answer, _ = await reports.answer(everything, dashboard_question(topic))
    return answer.etag
