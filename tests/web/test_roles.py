"""What each role may do: reading needs MERCHANT or ADMIN, sending SERVICE or ADMIN; how a token names its roles."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jwt
import pytest
from fastapi.routing import APIRoute
from served import SECRET, Site
from test_odd_tokens import claims_with, signed
from world import OWNER, SPRING

from hannun.errors import OperatorError
from hannun.processes.commands.tokens import issue_token
from hannun.settings import Settings
from hannun.tokens import ROLES, RoleClaim
from hannun.web.app import application

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
SESSION = "/api/v1/session"
SIGN_IN_CODES = "/api/v1/sign-in-codes"
MESSAGES = "/api/v1/messages"
BY_LINK = f"/api/v1/events/{SPRING}/session"
NONE = "5b0c2f64-0000-4000-8000-00000000000f"


def with_roles(site: Site, roles: object) -> httpx2.Client:
    return site.with_token(signed({"alg": "HS256"}, claims_with(roles=roles)))


def reading_requests(site: Site) -> Iterator[tuple[str, str]]:
    """Method and path of every route that shows or changes what belongs to a merchant."""
    app = application(site.services)
    routers = [app, *(route.original_router for route in app.routes if hasattr(route, "original_router"))]
    for route in (route for router in routers for route in router.routes):
        if not isinstance(route, APIRoute) or not route.path.startswith("/api/v1/"):
            continue
        path = (
            re.sub("{event_id}", SPRING, route.path)
            .replace("{user_id}", OWNER)
            .replace("{share_id}", "a-link")
            .replace("{channel_name}", "NAVER")
        )
        if path not in (SESSION, MESSAGES, BY_LINK):
            yield from ((method, path) for method in route.methods)


@pytest.mark.parametrize("roles", [[], ["GUEST"], ["SERVICE"], ["merchant"], ["ROLE_MERCHANT"], ["MERCHANT,ADMIN"]])
def test_without_a_reading_role_every_route_is_403_also_for_the_owner(site: Site, roles: list[str]) -> None:
    site.send(site.world.created())
    assert site.owner.get(ANALYTICS).status_code == site.admin.get(ANALYTICS).status_code == 200  # it is cached now
    client = with_roles(site, roles)
    # The platform's service makes the codes by which its users sign in.
    requests = [each for each in reading_requests(site) if roles != ["SERVICE"] or each[1] != SIGN_IN_CODES]
    assert len(requests) >= 13
    for method, path in requests:
        for address in (path, path.replace(SPRING, NONE)):
            answer = client.request(
                method, address, json={"until": "2030-01-01T00:00:00Z"} if method == "POST" else None
            )
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, address)
            assert not {"etag", "x-data-source"} & set(answer.headers)
    for _ in range(2):  # the second time the token is verified, and the fast path could answer
        assert client.get(ANALYTICS).status_code == client.get(f"/api/v1/users/{OWNER}/analytics").status_code == 403


@pytest.mark.parametrize(
    ("roles", "reads", "sends", "signs_in"),
    [
        ([], 403, 403, 403),
        (["GUEST"], 403, 403, 403),
        (["SERVICE"], 403, 200, 204),
        (["MERCHANT"], 200, 403, 204),
        (["ADMIN"], 200, 200, 204),
        (["MERCHANT", "SERVICE"], 200, 200, 204),
        (["GUEST", "MERCHANT"], 200, 403, 204),
    ],
)
def test_each_role_does_what_it_is_for(site: Site, roles: list[str], reads: int, sends: int, signs_in: int) -> None:
    site.send(site.world.created())
    client = with_roles(site, roles)
    for _ in range(2):
        assert client.get(ANALYTICS).status_code == reads
    assert client.post(MESSAGES, json=[]).status_code == sends
    assert client.get(SESSION).status_code == (403 if signs_in == 403 else 200)
    token = signed({"alg": "HS256"}, claims_with(roles=roles))
    signed_in = site.anonymous.post(SESSION, json={"token": token})
    assert signed_in.status_code == signs_in
    assert ("set-cookie" in signed_in.headers) == (signs_in == 204)


def test_a_share_link_opens_its_event_also_for_a_session_without_a_role(site: Site) -> None:
    site.send(site.world.created())
    address = site.owner.post(f"/api/v1/events/{SPRING}/shares", json={"until": in_a_day()}).json()["address"]
    secret = address.partition("#share=")[2]
    token = signed({"alg": "HS256"}, claims_with(roles=[]))
    headers = {"Cookie": f"hannun_session={token}; hannun_share={secret}"}
    assert site.anonymous.get(ANALYTICS, headers=headers).status_code == 200
    assert site.anonymous.get(f"{ANALYTICS}/roi", headers={"Cookie": f"hannun_session={token}"}).status_code == 403


def in_a_day() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


CONFIGURED: list[tuple[dict[str, str], dict[str, Any], int]] = [
    ({"jwt_role_prefix": "ROLE_"}, {"roles": ["ROLE_MERCHANT"]}, 200),
    ({"jwt_role_prefix": "ROLE_"}, {"roles": ["MERCHANT"]}, 403),
    ({"jwt_role_prefix": "ROLE_"}, {"roles": ["ROLE_ROLE_MERCHANT", "role_MERCHANT"]}, 403),
    ({"jwt_role_mapping": "SELLER=MERCHANT"}, {"roles": ["SELLER"]}, 200),
    ({"jwt_role_mapping": "SELLER=MERCHANT"}, {"roles": ["MERCHANT"]}, 200),
    ({"jwt_role_mapping": "MERCHANT=SERVICE"}, {"roles": ["MERCHANT"]}, 403),
    ({"jwt_role_mapping": " ops = ADMIN , ops=SERVICE,"}, {"roles": ["ops"]}, 200),
    ({"jwt_role_mapping": "a=b=MERCHANT"}, {"roles": ["a=b"]}, 200),
    ({"jwt_role_prefix": "ROLE_", "jwt_role_mapping": "SELLER=MERCHANT"}, {"roles": ["SELLER"]}, 200),
    ({"jwt_role_prefix": "ROLE_", "jwt_role_mapping": "SELLER=MERCHANT"}, {"roles": ["ROLE_SELLER"]}, 403),
    ({"jwt_roles_claim": "groups"}, {"groups": ["MERCHANT"], "roles": []}, 200),
    ({"jwt_roles_claim": "groups"}, {"roles": ["MERCHANT"]}, 403),
    ({"jwt_roles_claim": "realm_access.roles"}, {"realm_access": {"roles": ["MERCHANT"]}}, 200),
    ({"jwt_roles_claim": "realm_access.roles"}, {"realm_access": {}}, 403),
    ({"jwt_roles_claim": "realm_access.roles"}, {"realm_access": ["MERCHANT"]}, 401),
    ({"jwt_roles_claim": "realm_access.roles"}, {"realm_access": {"roles": {"MERCHANT": 1}}}, 401),
    ({"jwt_roles_claim": "https://shop.example.com/roles"}, {"https://shop.example.com/roles": ["MERCHANT"]}, 200),
    ({"jwt_roles_claim": "scope"}, {"scope": "openid MERCHANT,GUEST"}, 200),
    ({"jwt_roles_claim": "scope"}, {"scope": "openid"}, 403),
    ({}, {"roles": "MERCHANT"}, 401),
    ({}, {"roles": [["MERCHANT"]]}, 401),
]


@pytest.mark.parametrize(("settings", "claims", "status"), CONFIGURED)
def test_claim_prefix_and_mapping_of_the_roles_are_settings(
    site_with: Callable[..., Site], settings: dict[str, str], claims: dict[str, Any], status: int
) -> None:
    site = site_with(**settings)
    client = site.with_token(signed({"alg": "HS256"}, claims_with(**claims)))
    assert client.get(f"/api/v1/users/{OWNER}/analytics").status_code == status


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"jwt_role_prefix": "ROLE_"},
        {"jwt_roles_claim": "realm_access.roles", "jwt_role_prefix": "hannun:"},
        {"jwt_roles_claim": "https://shop.example.com/roles"},
        {"jwt_role_mapping": "SELLER=MERCHANT,MERCHANT=SERVICE,boss=ADMIN"},
    ],
)
def test_our_own_tokens_name_their_roles_as_the_service_reads_them(settings: dict[str, str]) -> None:
    own = Settings(jwt_secret=SECRET, **settings)  # type: ignore[arg-type]
    for role in ROLES:
        claims = jwt.decode(issue_token(own, OWNER, [role], 60), SECRET, ["HS256"])
        assert own.role_claim.decode(claims) == {role}, role


@pytest.mark.parametrize("mapping", ["SELLER", "SELLER=", "=MERCHANT", "SELLER=OWNER", "SELLER=merchant"])
def test_a_mapping_to_what_is_no_role_is_refused_at_the_start(mapping: str) -> None:
    with pytest.raises(OperatorError, match="HANNUN_JWT_ROLE_MAPPING"):
        _ = Settings(jwt_role_mapping=mapping).role_claim


def test_an_empty_name_of_the_claim_is_refused_at_the_start() -> None:
    with pytest.raises(OperatorError, match="HANNUN_JWT_ROLES_CLAIM"):
        _ = Settings(jwt_roles_claim=" ").role_claim


def test_a_token_without_the_claim_has_no_role() -> None:
    assert RoleClaim().decode({}) == RoleClaim("a.b").decode({"a": {}}) == frozenset()
