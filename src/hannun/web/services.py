"""What the HTTP door needs, opened by the wiring and handed to every route."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from anyio import CapacityLimiter
from starlette.requests import Request

from hannun.flows.authorization import Authorizer
from hannun.flows.export import Exports
from hannun.flows.http_ingestion import HttpIngestion
from hannun.flows.live_updates import LiveUpdates
from hannun.flows.report.answers import Reports
from hannun.flows.report.cached_reader import CachedReader
from hannun.flows.share_links import ShareLinks
from hannun.web.auth import Verifier
from hannun.web.limits import RateLimit


@dataclass(frozen=True, slots=True)
class Services:
    """The flows behind the door, and what the door itself decides with."""

    access: Authorizer
    reports: Reports
    cached_answers: CachedReader
    exports: Exports
    intake: HttpIngestion
    counting: CapacityLimiter
    live: LiveUpdates
    sharing: ShareLinks
    verifier: Verifier
    limit: RateLimit
    refresh_limit: RateLimit
    share_limit: RateLimit
    sign_in_limit: RateLimit
    stranger_limit: RateLimit
    body_bytes_max: int
    sign_in_codes: Mapping[str, str]
    secure_cookies: bool
    cors_origins: Sequence[str]
    health: Callable[[], Mapping[str, object]]


async def services_of(request: Request) -> Services:
    """The services of the application that serves this request. Async like all that depends on it: FastAPI would run a
    plain function in a thread, and neither the verifier nor the limit is made for two."""
    services: Services = request.app.state.services
    return services
