"""Tokens by an issuer's published keys: which are accepted, for how long, and how often the issuer is read."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from faults import silent_resolver
from issuer import EC, RSA, Issuer, new_ec, new_rsa, pem_of, published, token_by
from served import SECRET, Site
from world import OWNER, SPRING

from hannun.errors import IssuerUnavailable, OperatorError
from hannun.issuer import check_key_set_url, key_set_over_http
from hannun.web.auth import Verifier
from hannun.web.jwks import parse_key_set

MINE = f"/api/v1/users/{OWNER}/analytics"


class Clock:
    """The clock of the keys, which the test advances."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


OpenSite = Callable[..., tuple[Site, Clock]]


@pytest.fixture
def open_with_issuer(site_with: Callable[..., Site], issuer: Issuer) -> OpenSite:
    """Opens a site that has read the issuer's set once and whose clock of the keys is stopped."""

    def open_site(**settings: Any) -> tuple[Site, Clock]:
        settings = {"jwt_jwks_refresh_s": 3_600.0, "jwt_jwks_url": issuer.url, **settings}
        site = site_with(**settings)
        keys, clock = site.services.verifier._keys, Clock()
        assert keys is not None
        site.world.wait_for("the keys to be read", lambda: keys._keys)
        keys._clock, keys._cool_at, keys._good_until = clock, 10.0, 86_400.0
        return site, clock

    return open_site


def refresh_keys(site: Site) -> None:
    """Read the key set, as the service does every few minutes."""
    keys = site.services.verifier._keys
    assert keys is not None
    site.run_in_loop(keys.refresh)


def status(site: Site, token: str, path: str = MINE) -> int:
    return site.with_token(token).get(path).status_code


def test_tokens_by_published_keys_and_by_the_secret_are_accepted(open_with_issuer: OpenSite) -> None:
    site, _ = open_with_issuer()
    site.world.count(site.world.created())
    for token in (token_by(RSA, "rsa-1", OWNER), token_by(EC, "ec-1", OWNER), site.token(OWNER)):
        assert status(site, token) == status(site, token, f"/api/v1/events/{SPRING}/analytics") == 200


def test_without_a_secret_only_published_keys_verify_tokens(open_with_issuer: OpenSite) -> None:
    site, _ = open_with_issuer(jwt_secret="")
    assert status(site, token_by(RSA, "rsa-1", OWNER)) == 200
    assert status(site, site.token(OWNER)) == 401
    assert status(site, hmac_signed({"alg": "HS256", "typ": "JWT"}, b"")) == 401


def hmac_signed(header: dict[str, Any], secret: bytes) -> str:
    claims = {"sub": OWNER, "roles": ["ADMIN"], "exp": int(time.time()) + 60}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def test_a_token_that_no_published_key_signed_is_refused(open_with_issuer: OpenSite) -> None:
    site, _ = open_with_issuer()
    thief = new_ec()
    by_issuer = token_by(RSA, "rsa-1", OWNER)
    header, _, signature = by_issuer.split(".")
    admin = base64.urlsafe_b64encode(json.dumps({"sub": OWNER, "roles": ["ADMIN"], "exp": 4e9}).encode()).decode()
    refused = {
        "another's key under the kid": token_by(thief, "ec-1", OWNER),
        "no kid": token_by(RSA, None, OWNER),
        "another key's kid": token_by(RSA, "ec-1", OWNER),
        "the set has no such kid": token_by(RSA, "rsa-2", OWNER),
        "the public key as the secret": hmac_signed({"alg": "HS256", "kid": "rsa-1"}, pem_of(RSA)),
        "the public key as the secret, without its end": hmac_signed({"alg": "HS256"}, pem_of(EC).strip()),
        "the modulus as the secret": hmac_signed({"alg": "HS256", "kid": "rsa-1"}, published(RSA, "")["n"].encode()),
        "says RS256, is HMAC by the public key": hmac_signed({"alg": "RS256", "kid": "rsa-1"}, pem_of(RSA)),
        "says RS256, is HMAC by our secret": hmac_signed({"alg": "RS256", "kid": "rsa-1"}, SECRET.encode()),
        "none": hmac_signed({"alg": "none", "kid": "rsa-1"}, b"").rpartition(".")[0] + ".",
        "PS256 by the right key": jwt.encode({"sub": OWNER, "exp": 4e9}, RSA, "PS256", {"kid": "rsa-1"}),
        "RS512 by the right key": jwt.encode({"sub": OWNER, "exp": 4e9}, RSA, "RS512", {"kid": "rsa-1"}),
        "brings its own key": jwt.encode(
            {"sub": OWNER, "exp": 4e9}, thief, "ES256", {"kid": "ec-1", "jwk": published(thief, "ec-1")}
        ),
        "names its own set": jwt.encode(
            {"sub": OWNER, "exp": 4e9}, thief, "ES256", {"kid": "ec-1", "jku": "http://127.0.0.1:1/jwks"}
        ),
        "other claims under the signature": f"{header}.{admin.rstrip('=')}.{signature}",
        "a kid that is no text": hmac_signed({"alg": "ES256", "kid": 1}, b"x"),
        "an extension that must be understood": jwt.encode(
            {"sub": OWNER, "exp": 4e9}, RSA, "RS256", {"kid": "rsa-1", "crit": ["x"], "x": 1}
        ),
    }
    for what, token in refused.items():
        assert status(site, token) == 401, what


def test_a_public_key_cannot_be_the_secret() -> None:
    with pytest.raises(OperatorError, match="PEM"):
        Verifier(lambda: (pem_of(RSA).decode(),))


def test_only_usable_verification_keys_are_taken_from_a_set() -> None:
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "kid": "oct", "alg": "HS256"}
    p384 = jwt.get_algorithm_by_name("ES384").to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())
    left_out = [
        secret,
        published(new_rsa(1_024), "weak"),
        published(RSA, "to encrypt", use="enc"),
        published(RSA, "for another algorithm", alg="RS512"),
        published(EC, "says it is for HMAC", alg="HS256"),
        published(RSA, "not to verify", key_ops=["encrypt"]),
        published(RSA, "strange operations", key_ops=7),
        {**json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(RSA)), "kid": "private", "key_ops": ["verify"]},
        {**json.loads(p384), "kid": "p384"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "not on the curve"},
        {**published(RSA, ""), "kid": None},
        "no key",
        None,
    ]
    document = json.dumps({"keys": [*left_out, published(RSA, "r"), published(EC, "e", alg="ES256")]})
    assert set(parse_key_set(document.encode())) == {("r", "RS256"), ("e", "ES256")}
    for no_set in (b"", b"[]", b"{}", b'{"keys": {}}', b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011
            parse_key_set(no_set)


def test_a_new_key_is_read_when_a_token_names_it(open_with_issuer: OpenSite, issuer: Issuer) -> None:
    site, clock = open_with_issuer()
    new = new_ec()
    issuer.keys.append(published(new, "ec-2"))
    clock.s = 10.0  # the cool-down of the first read is over
    assert status(site, token_by(new, "ec-2", OWNER)) == 200
    assert issuer.read_count == 2


def test_tokens_with_unknown_keys_cannot_overload_the_issuer(open_with_issuer: OpenSite, issuer: Issuer) -> None:
    site, clock = open_with_issuer()
    for second, reads in ((0.0, 1), (9.9, 1), (10.0, 2), (15.0, 2), (20.0, 3)):
        clock.s = second
        for n in range(5):
            assert status(site, token_by(EC, f"made up {second} {n}", OWNER)) == 401
        assert issuer.read_count == reads, second


def test_an_unavailable_issuer_is_not_overloaded_either(open_with_issuer: OpenSite, issuer: Issuer) -> None:
    site, clock = open_with_issuer()
    issuer.response = (500, b"")
    clock.s = 10.0
    for n in range(5):
        answer = site.with_token(token_by(EC, f"made up {n}", OWNER)).get(MINE)
        assert (answer.status_code, answer.json()["code"]) == (503, "issuer-unavailable")
        assert answer.headers["retry-after"] == "10"
    assert issuer.read_count == 2


def test_a_key_that_left_the_set_is_no_longer_trusted(open_with_issuer: OpenSite, issuer: Issuer) -> None:
    site, _ = open_with_issuer()
    cached_token, by_another = token_by(RSA, "rsa-1", OWNER), token_by(EC, "ec-1", OWNER)
    assert status(site, cached_token) == status(site, by_another) == 200
    issuer.keys = [published(EC, "ec-1")]
    refresh_keys(site)
    assert status(site, cached_token) == status(site, token_by(RSA, "rsa-1", OWNER)) == 401
    assert status(site, by_another) == 200


def test_another_key_under_a_known_kid_is_a_different_key(open_with_issuer: OpenSite, issuer: Issuer) -> None:
    site, _ = open_with_issuer()
    cached_token, new = token_by(EC, "ec-1", OWNER), new_ec()
    assert status(site, cached_token) == 200
    issuer.keys = [published(new, "ec-1")]
    refresh_keys(site)
    assert status(site, cached_token) == 401
    assert status(site, token_by(new, "ec-1", OWNER)) == 200


def test_while_the_issuer_is_unavailable_the_last_set_stays_trusted_for_a_day(
    open_with_issuer: OpenSite, issuer: Issuer
) -> None:
    site, clock = open_with_issuer()
    cached_token = token_by(RSA, "rsa-1", OWNER)
    assert status(site, cached_token) == 200
    for response in ((500, b""), (200, b"<html>"), (302, b""), (200, b" " * 2_000_000)):
        issuer.response = response
        refresh_keys(site)
        assert status(site, cached_token) == status(site, token_by(EC, "ec-1", OWNER)) == 200
    clock.s = 86_400.0
    assert status(site, cached_token) == status(site, token_by(EC, "ec-1", OWNER)) == 503
    assert status(site, site.token(OWNER)) == 200  # the secret does not need the issuer
    issuer.response = None
    refresh_keys(site)
    assert status(site, cached_token) == 200


def test_an_issuer_that_hangs_delays_no_token_with_a_known_key(open_with_issuer: OpenSite, issuer: Issuer) -> None:
    site, clock = open_with_issuer(jwt_jwks_read_s=20.0, request_s=20.0)
    known = token_by(RSA, "rsa-1", OWNER)
    issuer.may_answer.clear()
    issuer.was_read.clear()
    clock.s = 10.0
    client, statuses = site.with_token(token_by(EC, "made up", OWNER)), []
    waiting = Thread(target=lambda: statuses.append(client.get(MINE).status_code))
    waiting.start()
    assert issuer.was_read.wait(60)
    assert status(site, known) == status(site, site.token(OWNER)) == 200
    assert statuses == []  # the request with the unknown key is still waiting
    issuer.may_answer.set()
    waiting.join()
    assert statuses == [401]


@pytest.mark.parametrize("fault", ["silent", "slow", "half open"])
def test_an_issuer_that_does_not_answer_in_time_is_503(
    site_with: Callable[..., Site], issuer: Issuer, fault: str
) -> None:
    with socket.socket() as half_open:
        half_open.bind(("127.0.0.1", 0))
        half_open.listen()  # the kernel accepts for it
        address = f"http://127.0.0.1:{half_open.getsockname()[1]}/" if fault == "half open" else issuer.url
        if fault == "silent":
            issuer.may_answer.clear()
        issuer.byte_interval_s = 0.05
        site = site_with(jwt_jwks_url=address, jwt_jwks_read_s=0.3, jwt_jwks_cooldown_s=0.01)
        began = time.monotonic()
        answer = site.with_token(token_by(RSA, "rsa-1", OWNER)).get(MINE)
        assert (answer.status_code, answer.json()["code"]) == (503, "issuer-unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert time.monotonic() - began < 5
        assert status(site, site.token(OWNER)) == 200


def test_a_key_set_whose_name_is_not_looked_up_is_unavailable_in_time() -> None:
    gave_up = Event()

    async def read() -> None:
        async with key_set_over_http("http://localhost:1/keys", 0.2) as read_keys:
            with pytest.raises(IssuerUnavailable):
                await read_keys()
            gave_up.set()

    reader = Thread(target=lambda: asyncio.run(read()), daemon=True)  # its event loop ends after the look-up
    with silent_resolver():
        reader.start()
        assert gave_up.wait(60)
    reader.join()


def test_an_issuer_that_is_unavailable_at_the_start_is_read_later(
    site_with: Callable[..., Site], issuer: Issuer
) -> None:
    issuer.response = (503, b"")
    site = site_with(jwt_jwks_url=issuer.url, jwt_jwks_cooldown_s=0.01)
    token = token_by(RSA, "rsa-1", OWNER)
    assert status(site, token) == 503
    issuer.response = None
    site.world.wait_for("the keys to be read", lambda: status(site, token) == 200)


def test_keys_are_read_again_from_a_file_that_is_replaced(site_with: Callable[..., Site], tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [published(RSA, "rsa-1")]}))
    site = site_with(jwt_jwks_file=str(file), jwt_jwks_refresh_s=0.01)
    assert status(site, token_by(RSA, "rsa-1", OWNER)) == 200
    file.write_text(json.dumps({"keys": [published(EC, "ec-1")]}))
    site.world.wait_for("the new key", lambda: status(site, token_by(EC, "ec-1", OWNER)) == 200)
    assert status(site, token_by(RSA, "rsa-1", OWNER)) == 401


def test_invalid_settings_of_the_issuer_are_refused_at_the_start(site_with: Callable[..., Site]) -> None:
    for url in ("http://login.example.com/jwks", "ftp://login.example.com/jwks", "jwks.json", "https://"):
        with pytest.raises(OperatorError, match="HANNUN_JWT_JWKS_URL"):
            check_key_set_url(url)
    check_key_set_url("https://login.example.com/jwks")
    with pytest.raises(OperatorError, match="both"):
        site_with(jwt_jwks_url="https://login.example.com/jwks", jwt_jwks_file="jwks.json")
    with pytest.raises(OperatorError, match="HANNUN_JWT_JWKS_GOOD_S"):
        site_with(jwt_jwks_file="jwks.json", jwt_jwks_good_s=60.0)
    with pytest.raises(OperatorError, match="cannot be read"):
        site_with(jwt_jwks_file="/there/is/none")


def test_issuer_and_audience_are_checked_when_they_are_set(open_with_issuer: OpenSite) -> None:
    site, _ = open_with_issuer(jwt_issuer="https://login.example.com", jwt_audience="hannun")
    right = {"iss": "https://login.example.com", "aud": "hannun"}
    assert status(site, token_by(RSA, "rsa-1", OWNER, **right)) == 200
    assert status(site, token_by(RSA, "rsa-1", OWNER, **{**right, "aud": ["billing", "hannun"]})) == 200
    for wrong in ({"iss": "https://evil.example.com"}, {"iss": None}, {"aud": "billing"}, {"aud": None}, {"aud": []}):
        assert status(site, token_by(RSA, "rsa-1", OWNER, **(right | wrong))) == 401, wrong
    assert status(site, site.token(OWNER)) == 401  # tokens by the secret are checked too


def test_a_token_with_an_audience_is_refused_where_none_is_set(open_with_issuer: OpenSite) -> None:
    site, _ = open_with_issuer()
    assert status(site, token_by(RSA, "rsa-1", OWNER, aud="billing")) == 401


def test_clocks_may_differ_by_a_few_seconds(open_with_issuer: OpenSite) -> None:
    site, _ = open_with_issuer()
    for claim, ahead_s in (("nbf", 3), ("iat", 3), ("exp", -2)):
        taken = {claim: int(time.time()) + ahead_s}  # now, since an earlier request may have taken seconds
        assert status(site, token_by(EC, "ec-1", OWNER, **taken)) == 200, taken
    now = int(time.time())
    for refused in ({"nbf": now + 600}, {"iat": now + 600}, {"exp": now - 60}, {"exp": None}):
        assert status(site, token_by(EC, "ec-1", OWNER, **refused)) == 401, refused


def test_claims_with_extreme_values_do_no_harm(open_with_issuer: OpenSite) -> None:
    site, _ = open_with_issuer()
    for absurd in ({"exp": 1e300}, {"exp": 10**30}):
        assert site.with_token(token_by(EC, "ec-1", OWNER, **absurd)).get("/api/v1/session").status_code == 200
    for refused in ({"exp": float("inf")}, {"exp": float("nan")}, {"nbf": float("inf")}, {"iat": float("inf")}):
        assert status(site, token_by(EC, "ec-1", OWNER, **refused)) == 401, refused
    assert status(site, token_by(EC, "ec-1", "x" * 300), "/api/v1/session") == 401


def test_a_token_that_is_too_long_is_refused_before_it_is_parsed(
    open_with_issuer: OpenSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = open_with_issuer()
    assert status(site, token_by(EC, "ec-1", OWNER, padding="x" * 3_000)) == 200
    monkeypatch.setattr("jwt.get_unverified_header", lambda _: pytest.fail("it was read"))
    answer = site.with_token(token_by(EC, "ec-1", OWNER, padding="x" * 10_000)).get(MINE)
    assert answer.status_code == 401
    assert "longer" in answer.json()["detail"]


def test_a_stream_ends_when_the_key_of_its_token_leaves_the_set(
    open_with_issuer: OpenSite, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hannun.web.open_streams.CHECK_INTERVAL_S", 0.01)  # how often a stream checks its token
    site, _ = open_with_issuer()
    with site.with_token(token_by(EC, "ec-1", OWNER)).stream("GET", f"/api/v1/users/{OWNER}/live") as answer:
        assert answer.status_code == 200
        site.world.wait_for("the stream to be open", lambda: site.watcher_count == 1)
        issuer.keys = [published(RSA, "rsa-1")]
        refresh_keys(site)
        site.world.wait_for("the stream to end", lambda: site.watcher_count == 0)
