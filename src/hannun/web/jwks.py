"""The token issuer's public keys (JWKS): read periodically, and again when a token names an unknown key.

    known key ────────────────────────────────────► verify, whether the issuer is available or not
    unknown key ─► cool-down over ─► read the set ─► key in it? verify : refuse
                └► otherwise ──────────────────────► refuse
    every `refresh_s`: read the set ─► keys that left it are no longer trusted, nor are tokens cached under them
                                    └► the issuer is unavailable ─► the last set stays trusted for `good_s`

- Invalid tokens cannot overload the issuer: a failed read starts the cool-down too.
- Only requests with an unknown key wait for a read, and all of them share one read.
- PyJWKClient does not fit. It reads synchronously under one lock that blocks every caller. It starts its cool-down only
  after a successful read. It drops a set that is too old even while the issuer is unavailable.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from hannun.errors import IssuerUnavailable, Unauthenticated
from hannun.telemetry import log, metrics

PUBLIC_KEY_ALGORITHMS = frozenset({"RS256", "ES256"})
KEYS_MAX = 100
RSA_BITS_MIN = 2_048

VerificationKey = RSAPublicKey | EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A published key and the one algorithm that it is for. `fingerprint` distinguishes it from every other key."""

    key: VerificationKey
    algorithm: str
    fingerprint: bytes


KeySet = Mapping[tuple[str, str], PublicKey]
"""By (kid, algorithm)."""


def parse_key_set(document: bytes) -> KeySet:
    """The keys of a set that can verify tokens. Symmetric, private, weak and encryption keys are left out.

    Raises:
        ValueError: the document is not a key set.
    """
    key_set = json.loads(document)
    jwks = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(jwks, list):
        raise ValueError("it is not a JSON object with a list of keys")
    found: dict[tuple[str, str], PublicKey] = {}
    for jwk in jwks[:KEYS_MAX]:
        key = _verification_key(jwk)
        if key is not None:
            found.setdefault((jwk["kid"], key.algorithm), key)
    return found


def _verification_key(jwk: object) -> PublicKey | None:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig":
        return None
    algorithm = {"RSA": "RS256", "EC P-256": "ES256"}.get(f"{jwk.get('kty')} {jwk.get('crv', '')}".strip())
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or "d" in jwk:
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if algorithm == "RS256" and key.key_size < RSA_BITS_MIN:
        return None
    identity = json.dumps([jwk["kid"], algorithm, *(jwk.get(name) for name in ("n", "e", "x", "y"))])
    return PublicKey(key, algorithm, hashlib.sha256(identity.encode()).digest())


class TokenKeys:
    """The keys of one issuer. For one event loop; `run` reads them in the background."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        *,
        refresh_s: float,
        good_s: float,
        cooldown_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._refresh_s = refresh_s
        self._good_s = good_s
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._keys: KeySet = {}
        self._fingerprints: frozenset[bytes] = frozenset()
        self._good_until = float("-inf")
        self._cool_at = float("-inf")
        self._failed = True
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read the set periodically, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._cooldown_s if self._failed else self._refresh_s)

    def is_trusted(self, fingerprint: bytes) -> bool:
        """Whether the key is still in the set and the set is not too old."""
        return fingerprint in self._fingerprints and self._clock() < self._good_until

    async def find(self, kid: str, algorithm: str) -> PublicKey:
        """The trusted key with this `kid`. Reads the set again where the key is unknown and the cool-down is over.

        Raises:
            Unauthenticated: the issuer does not publish the key.
            IssuerUnavailable: the set cannot be read, so nothing is known about the key.
        """
        key = self._trusted_key(kid, algorithm)
        if key is None and (self._reading is not None or self._clock() >= self._cool_at):
            await self.refresh()
            key = self._trusted_key(kid, algorithm)
        if key is not None:
            return key
        if self._failed:
            raise IssuerUnavailable("the issuer's keys cannot be read", retry_after_s=self._cooldown_s)
        raise Unauthenticated("the token is invalid: its issuer does not publish this key")

    def _trusted_key(self, kid: str, algorithm: str) -> PublicKey | None:
        key = self._keys.get((kid, algorithm))
        return key if key is not None and self.is_trusted(key.fingerprint) else None

    async def refresh(self) -> None:
        """Read the set now, or wait for the read in progress. A failed read leaves the last set in place."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_once())
        # Shielded: a request that is cancelled must not cancel the read that other requests wait for.
        await asyncio.shield(self._reading)

    async def _read_once(self) -> None:
        try:
            keys = parse_key_set(await self._read())
        except Exception as error:  # whatever the issuer sends: the last set stays trusted, and the next read follows
            self._failed = True
            log.warning("the issuer's keys cannot be read; the last ones stay trusted for now", error=str(error))
        else:
            self._failed = False
            self._keys = keys
            self._fingerprints = frozenset(key.fingerprint for key in keys.values())
            self._good_until = self._clock() + self._good_s
            metrics.token_keys_read.set_to_current_time()
            if not keys:
                log.warning("the issuer publishes no key that can verify a token")
        finally:
            self._cool_at = self._clock() + self._cooldown_s
            self._reading = None
