"""What the HTTP routes use. A process opens it and gives it to the application."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from anyio import CapacityLimiter
from starlette.requests import Request

from hannun.domain.channels import ChannelTable
from hannun.domain.granularity import WeekStart
from hannun.flows.access_records import AccessRecords
from hannun.flows.authorization import Authorizer
from hannun.flows.dead_letter_retry import DeadLetterDesk
from hannun.flows.doctor.standing import Checkup
from hannun.flows.event_documents import EventDocuments
from hannun.flows.event_list import EventList
from hannun.flows.export import Exports
from hannun.flows.http_ingestion import HttpIngestion
from hannun.flows.live_updates import LiveUpdates
from hannun.flows.merchant_list import MerchantList
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader
from hannun.flows.report.file_reports import FileReports
from hannun.flows.server_watch import OperationsNow
from hannun.flows.sessions import Sessions
from hannun.flows.share_links import ShareLinks
from hannun.flows.typed_totals import TypedTotals
from hannun.web.auth import COOKIE, SHARE_COOKIE, Verifier
from hannun.web.compression import PackedAnswers
from hannun.web.limits import RateLimit, StreamLimit
from hannun.web.open_streams import OpenStreams


@dataclass(frozen=True, slots=True)
class Services:
    """The flows, the limits and the settings that the routes use.

    Args:
        ingestion_threads: the threads on which message batches are counted; only these threads wait for the database.
        request_limit: by user; every request with a valid token takes from it.
        refresh_limit: by user; requests with `refresh=true`, and answers that are computed anew because `If-None-Match`
            names a newer version than the cached one.
        share_limit: by share link.
        sign_in_limit: by address; sign-ins, successful or not.
        anonymous_limit: by address; requests without a valid token or share link.
        page_limit: by address; pages, files and probes, and paths that do not exist.
        stream_limit: by user and share link; open live streams.
        issue_token: a token for a userId with these roles, for so many seconds, signed with the shared secret.
        own_origins: the origins under which browsers see this service, where a proxy hides its address from it.
        sign_in_url: where the platform signs a merchant in; "" where it does not.
        week_start: the first day of weekly buckets, where a question names none.
        health_report: the process's health; takes up to a second.
        checkup: the results of all checks of the doctor; takes up to 3.5 s.
        channels: the titles of channels.
        operations: what the page for operators shows; takes up to 5 s.
        request_s: the seconds that a request may spend on waiting for other systems.
    """

    access_records: AccessRecords
    authorizer: Authorizer
    reports: Reports
    file_reports: FileReports
    cached_answers: CachedReader
    event_list: EventList
    merchant_list: MerchantList
    packed_answers: PackedAnswers
    exports: Exports
    documents: EventDocuments
    ingestion: HttpIngestion
    ingestion_threads: CapacityLimiter
    typed_totals: TypedTotals
    live_updates: LiveUpdates
    open_streams: OpenStreams
    share_links: ShareLinks
    verifier: Verifier
    request_limit: RateLimit
    refresh_limit: RateLimit
    share_limit: RateLimit
    sign_in_limit: RateLimit
    anonymous_limit: RateLimit
    page_limit: RateLimit
    stream_limit: StreamLimit
    body_bytes_max: int
    sessions: Sessions
    issue_token: Callable[[str, Sequence[str], float], str]
    secure_cookies: bool
    cors_origins: Sequence[str]
    own_origins: Sequence[str]
    sign_in_url: str
    week_start: WeekStart
    health_report: Callable[[], Awaitable[Mapping[str, object]]]
    checkup: Callable[[], Awaitable[Checkup]]
    channels: ChannelTable
    operations: Callable[[], Awaitable[OperationsNow]]
    dead_letters: DeadLetterDesk
    request_s: float

    @property
    def session_cookie(self) -> str:
        """The name of the session's cookie. Behind TLS, browsers accept it from this host only, and for all its paths.

        So no other host of the same domain can set it, to sign the browser in as somebody else.
        """
        return f"__Host-{COOKIE}" if self.secure_cookies else COOKIE

    @property
    def share_cookie(self) -> str:
        """The name of a share link's cookie, which is for some paths. Behind TLS, browsers accept it over TLS only."""
        return f"__Secure-{SHARE_COOKIE}" if self.secure_cookies else SHARE_COOKIE


async def services_of(request: Request) -> Services:
    """The services of the application that serves this request.

    Async, like every dependency that uses it: FastAPI would run a plain function in a thread, and neither the verifier
    nor the rate limits are thread-safe.
    """
    services: Services = request.app.state.services
    return services
