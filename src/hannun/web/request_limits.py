"""Which limit a request takes from, before it costs anything.

    token verified before ─► the limit of its subject
    any other token, a share link's secret, neither ─► the limit of the address ─┬► known after all: given back, then
                                                                                 │  the limit of the subject or link
                                                                                 └► unknown: taken
    a sign-in ─► the limit of sign-ins of the address
    a path outside the API, an unknown path ─► the limit of page requests of the address

So nothing is verified or looked up for an address that has used up its limit. `tests/web/test_route_limits.py` lists
all routes with their limits.
"""

from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

from hannun.web.limits import address_of
from hannun.web.services import Services, services_of

_ADDRESS_TAKEN = "hannun.address_limit_taken"
_SUBJECT_TAKEN = "hannun.subject_limit_taken"
_PROBES = ("/health/", "/metrics")
Served = Annotated[Services, Depends(services_of)]


def take_from_address(request: Request, services: Services) -> None:
    """Count a request of a caller who is not known yet against its address, once for each request.

    Raises:
        Busy: the address has used up its limit.
    """
    if not request.scope.get(_ADDRESS_TAKEN):
        services.anonymous_limit.take(address_of(request))
        request.scope[_ADDRESS_TAKEN] = True


def give_back_to_address(request: Request, services: Services) -> None:
    """The caller is known after all, and counts against a limit of their own."""
    if request.scope.pop(_ADDRESS_TAKEN, False):
        services.anonymous_limit.give_back(address_of(request))


def take_from_subject(request: Request, services: Services, subject: str) -> None:
    """Count a request against the subject of its token, unless the fast path has done so.

    Raises:
        Busy: the subject has used up its limit.
    """
    if request.scope.get(_SUBJECT_TAKEN) != subject:
        services.request_limit.take(subject)


def record_subject_taken(scope: Scope, subject: str) -> None:
    """The fast path took from the limit of this subject, and hands the request on."""
    scope[_SUBJECT_TAKEN] = subject


def take_from_pages(request: Request, services: Services) -> None:
    """Count a request for a page, a file or a path that does not exist against its address.

    Probes have a bucket of their own: a proxy that is not trusted sends all requests from one address, and a crowd of
    visitors must not make this process look unhealthy.

    Raises:
        Busy: the address has used up its limit.
    """
    address = address_of(request)
    services.page_limit.take(f"{address} probes" if request.scope["path"].startswith(_PROBES) else address)


async def limit_anonymous(request: Request, services: Served) -> None:
    """Dependency of a route that needs no token."""
    take_from_address(request, services)


async def limit_sign_ins(request: Request, services: Served) -> None:
    """Dependency of a route that exchanges a secret for a cookie."""
    services.sign_in_limit.take(address_of(request))
