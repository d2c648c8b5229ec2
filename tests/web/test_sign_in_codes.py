"""One-time codes for the platform: who gets one, what it opens, and that it leads to no other origin."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import Site
from world import OWNER

from hannun.errors import OperatorError
from hannun.settings import Settings

PATH = "/api/v1/sign-in-codes"


def request_code(site: Site, **body: Any) -> Any:
    return site.service.post(PATH, json={"userId": OWNER, **body})


def test_the_platform_gets_a_code_that_signs_one_browser_in(site: Site) -> None:
    answer = request_code(site, returnTo="/events/some?lang=en")
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    body = answer.json()
    assert body == {"code": body["code"], "address": f"/events/some?lang=en#code={body['code']}", "expiresInS": 600}
    used = [site.anonymous.post("/api/v1/session", json={"code": body["code"]}) for _ in range(2)]
    assert [each.status_code for each in used] == [204, 401]
    cookie = used[0].headers["set-cookie"].partition(";")[0]
    session = site.anonymous.get("/api/v1/session", headers={"Cookie": cookie}).json()
    assert (session["userId"], session["roles"]) == (OWNER, ["MERCHANT"])
    (entry,) = site.world.rows("SELECT object FROM hannun.audit_log WHERE action = 'sign-in code made'")
    assert entry.object == "roles MERCHANT"


def test_only_the_platform_and_administrators_get_codes_and_only_the_latter_for_administrators(site: Site) -> None:
    wanted = {"userId": OWNER}
    answers = [client.post(PATH, json=wanted).status_code for client in (site.owner, site.admin, site.anonymous)]
    assert answers == [403, 201, 401]
    by_cookie = site.client({"Cookie": f"hannun_session={site.token('the-platform', 'SERVICE')}"})
    assert by_cookie.post(PATH, json=wanted).status_code == 403
    assert request_code(site, roles=["ADMIN"]).status_code == 403
    assert site.admin.post(PATH, json={**wanted, "roles": ["ADMIN", "MERCHANT"]}).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"userId": ""},
        {"userId": "x" * 256},
        {"userId": "a\0"},
        {"userId": OWNER, "roles": []},
        {"userId": OWNER, "roles": ["SERVICE"]},
        *(
            {"userId": OWNER, "returnTo": path}
            for path in ("", "events", "//evil.test", "/\\evil.test", "https://evil.test")
        ),
        *(
            {"userId": OWNER, "returnTo": path}
            for path in ("/a#code=b", "/a\nb", "/a b", "/\t/evil.test", "/" + "a" * 3_000)
        ),
        [],
    ],
)
def test_a_body_of_another_form_gets_no_code(site: Site, body: Any) -> None:
    answer = site.service.post(PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-body")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text("/\\.:@?#%a \t\n\0", max_size=8))
def test_a_code_leads_to_no_other_origin(site: Site, path: str) -> None:
    answer = request_code(site, returnTo=path)
    if answer.status_code == 201:
        address = answer.json()["address"]
        assert address[0] == "/" and address[1:2] not in ("/", "\\") and address.count("#") == 1


def test_the_address_of_the_platforms_sign_in_must_be_one_of_http() -> None:
    assert Settings(sign_in_url="https://shop.test/sign-in?from=hannun").platform_sign_in.endswith("from=hannun")
    for wrong in (
        "javascript:alert(1)",
        "shop.test/sign-in",
        "https://",
        'https://shop.test/"><script>',
        "https://shop.test/#a",
    ):
        with pytest.raises(OperatorError, match="HANNUN_SIGN_IN_URL"):
            _ = Settings(sign_in_url=wrong).platform_sign_in
